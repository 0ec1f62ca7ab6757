"""What a search says of itself: layers, steps, the table, and the one line."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import FrozenInstanceError, asdict, fields, replace

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from swiftforce.report import layers_of
from swiftforce.tensors import Tensors

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def pruned() -> sf.Pruning:
    weights = {
        "fc1": np.arange(2000, dtype=np.float32).reshape(40, 50),
        "none": np.empty((0, 3), np.float32),
        "fc2": np.zeros((3, 2), np.float32),
    }
    return sf.magnitude(weights, keep=1500)


def test_layers() -> None:
    fc1, none, fc2 = pruned().layers
    assert fc1 == sf.Layer("fc1", (40, 50), 2000, 1500)
    assert (fc1.density, fc1.sparsity, fc1.collapsed) == (0.75, 0.25, False)
    assert (none.size, none.density, none.collapsed) == (0, 1.0, False)
    assert (fc2.kept, fc2.density, fc2.collapsed) == (0, 0.0, True)


def test_the_whole() -> None:
    found = pruned()
    assert (found.size, found.keep, found.steps) == (2006, 1500, 1)
    assert found.density == 1500 / 2006
    assert found.sparsity == 1 - 1500 / 2006
    assert (found.method, found.schedule, found.seed) == ("magnitude", "exponential", 0)
    assert not found.degenerate


def test_layers_are_the_masks() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    kept = tuple(int(mask.sum()) for mask in found.masks)
    assert tuple(layer.kept for layer in found.layers) == kept == found.history[-1].layer_kept
    assert [layer.name for layer in found.layers] == ["0", "1", "2", "3"]
    assert layers_of(Tensors(weights, "weights"), found.history[-1]) == found.layers


def test_a_list_of_the_callers_is_a_custom_schedule() -> None:
    weights, gradients = network(21)
    assert sf.force(weights, gradients, schedule=[30, 20]).schedule == "custom"


def test_degenerate_is_said_of_the_last_step() -> None:
    weights = np.float32([1, 2, 3, 4])
    for last, expected in (([0, 0, 0, 0], True), ([1, 1, 1, 1], False)):
        search = sf.MaskSearch(weights, schedule=[3, 2])
        search.step(np.float32([0, 0, 0, 0]))
        search.step(np.float32(last))
        assert search.result().degenerate is expected
        assert search.result().history[0].degenerate


def test_the_fields_of_a_step_are_those_of_the_oracle() -> None:
    names = [field.name for field in fields(oracle.Step)]
    # How the mask was found is no part of the method.
    assert [field.name for field in fields(sf.Step) if field.name != "readings"] == names


def test_records_cannot_be_changed() -> None:
    found = pruned()
    for record, name in ((found, "method"), (found.layers[0], "kept"), (found.history[0], "keep")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, 0)
    assert replace(found.layers[0], kept=0).collapsed


def test_the_table() -> None:
    assert str(pruned()).splitlines() == [
        "magnitude: 1,500 of 2,006 weights kept (sparsity 0.2522), 1 step",
        "layer  shape     weights   kept  density",
        "fc1    (40, 50)    2,000  1,500     0.75",
        "none   (0, 3)          0      0        1",
        "fc2    (3, 2)          6      0        0",
        "all                2,006  1,500   0.7478",
        "kept weights have 93.8 % of the sum of all |weight|",
        "warning: no weight is kept in fc2: nothing passes through",
    ]


def test_the_table_of_several_steps() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    lines = str(found).splitlines()
    assert lines[0] == "force: 18 of 61 weights kept (sparsity 0.7049), 5 steps"
    removed = sum(step.removed for step in found.history)
    revived = sum(step.revived for step in found.history)
    assert removed - revived == 61 - 18
    assert lines[7].startswith(f"on the way: {removed} removed, {revived} brought back; saliency ")
    assert lines[8].endswith(" % of the sum of all |weight x gradient| in the last step")


def test_the_one_line() -> None:
    assert repr(pruned()) == "<Pruning magnitude: 1500 of 2006 weights kept>"


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed_on_a_terminal(found: object, monkeypatch: pytest.MonkeyPatch) -> str:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "110"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    print(found)
    return terminal.getvalue()


def test_a_terminal_has_bars_and_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    shown = printed_on_a_terminal(pruned(), monkeypatch)
    assert "\x1b[1m" in shown
    assert "█" in next(line for line in shown.splitlines() if line.startswith("fc1"))
    (collapsed,) = [line for line in shown.splitlines() if "fc2" in line and "(3, 2)" in line]
    assert "\x1b[1;31m" in collapsed
    assert "nothing is left" in collapsed
    assert "warning: no weight is kept in fc2" in shown
    assert shown.endswith("\n")
    assert not shown.endswith("\n\n")


def test_a_terminal_without_rich_has_the_plain_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert printed_on_a_terminal(pruned(), monkeypatch) == f"{pruned()}\n"


def test_a_format_string_is_plain_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = str(pruned())
    shown = printed_on_a_terminal(f"{pruned()}", monkeypatch)
    assert shown == f"{plain}\n"


def test_rich_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    console = pytest.importorskip("rich.console")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    page = io.StringIO()
    names = {"a_layer_with_a_name_that_is_longer_than_the_terminal_is_wide.weight": np.ones(3, "f")}
    console.Console(file=page, width=50).print(sf.magnitude(names, keep=2))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 50
    # Nothing of the name is lost.
    width = next(line.index("shape") for line in lines if "shape" in line)
    assert next(iter(names)) in "".join(line[:width].strip() for line in lines)


# ------------------------------------------------------------------------- for logs


def test_a_result_as_a_dict_is_all_but_the_masks() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    told = found.to_dict()
    assert {
        name: told[name] for name in ("method", "schedule", "seed", "size", "keep", "steps")
    } == {
        "method": "force",
        "schedule": "exponential",
        "seed": 0,
        "size": 61,
        "keep": 18,
        "steps": 5,
    }
    assert told["sparsity"] == found.sparsity
    assert told["degenerate"] is False
    assert told["warnings"] == list(found.warnings)
    assert [layer["density"] for layer in told["layers"]] == [each.density for each in found.layers]
    assert [tuple(layer["shape"]) for layer in told["layers"]] == [w.shape for w in weights]
    for step, expected in zip(told["history"], found.history, strict=True):
        assert {**step, "layer_kept": tuple(step["layer_kept"])} == asdict(expected)


def test_a_result_as_json_is_the_dict(tmp_path) -> None:
    pytest.importorskip("safetensors")
    found = pruned()
    assert json.loads(found.to_json()) == found.to_dict()
    assert "\n" not in found.to_json()
    assert found.to_json(indent=2).startswith('{\n  "method"')
    found.save(tmp_path / "a.safetensors")
    assert sf.load(tmp_path / "a.safetensors").to_json() == found.to_json()


def test_names_that_are_not_ascii_stay_readable_in_json() -> None:
    assert '"größe"' in sf.magnitude({"größe": np.ones(3, "f")}, keep=2).to_json()
