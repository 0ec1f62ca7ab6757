"""What a search says of itself: layers, steps, the table, and the one line."""

from __future__ import annotations

import copy
import io
import json
import pickle
import sys
from dataclasses import FrozenInstanceError, asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import swiftforce as sf
from kinds import network
from swiftforce.inputs.tensors import Tensors
from swiftforce.result.layers import layers_of
from swiftforce.show import tables

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
    assert layers_of(Tensors(weights, "weights"), found.history[-1].layer_kept) == found.layers


def test_layers_are_made_when_they_are_first_read() -> None:
    found = pruned()
    assert "layers" not in vars(found)
    copies = pickle.loads(pickle.dumps(pruned())), copy.copy(pruned()), replace(pruned(), seed=1)
    for other in copies:
        assert "layers" in vars(other)
        assert other.layers == found.layers
    assert vars(copies[0]).keys() == {field.name for field in fields(sf.Pruning)}
    assert found.layers is found.layers
    # Their shapes are those of the weights, whatever becomes of the masks.
    found = pruned()
    found.masks["fc1"] = found.masks["fc1"].reshape(-1)
    assert found.layers[0].shape == (40, 50)


def test_a_subclass_and_its_attributes_are_copied() -> None:
    @dataclass(frozen=True, eq=False)
    class Named(sf.Pruning):
        layers: tuple[sf.Layer, ...]
        note: str = ""

    found = pruned()
    named = Named(**{field.name: getattr(found, field.name) for field in fields(found)}, note="x")
    object.__setattr__(named, "more", 3)
    again = copy.copy(named)
    assert (again.layers, again.note, again.more) == (found.layers, "x", 3)


def test_a_result_without_layers_has_the_other_fields_alone() -> None:
    with pytest.raises(AttributeError, match="no attribute 'layer'"):
        pruned().layer  # noqa: B018


def test_many_tensors_of_every_size() -> None:
    """Each is named, checked and counted as if it were alone."""
    weights = [np.full(place % 4, place % 7, np.float32) for place in range(2000)]
    found = sf.magnitude(weights, keep=500)
    assert [layer.name for layer in found.layers] == [str(place) for place in range(2000)]
    kept = [int(mask.sum()) for mask in found.masks]
    assert [(layer.size, layer.kept) for layer in found.layers] == [
        (place % 4, number) for place, number in enumerate(kept)
    ]
    weights[1999] = weights[3][:2]
    with pytest.raises(sf.OverlapError, match=r"weights\[(3|1999)\] shares memory with"):
        sf.magnitude(weights, keep=500)
    weights[1999] = weights[1998].astype(np.int64)
    with pytest.raises(sf.UnsupportedTypeError, match=r"weights\[1999\] has dtype int64"):
        sf.magnitude(weights, keep=500)


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
    # How the mask was found is no part of the method; floors and caps have an oracle of their own.
    others = {"passes", "kept_by_floors", "removed_by_caps"}
    assert [field.name for field in fields(sf.Step) if field.name not in others] == names


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
        "warning: no weight is kept in fc2",
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


def to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What is printed from now on goes there."""
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "110"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


def test_a_terminal_has_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = to_a_terminal(monkeypatch)
    print(pruned())
    shown = terminal.getvalue()
    lines = shown.splitlines()
    assert "█" in next(line for line in lines if line.startswith("fc1"))
    # A tensor without weights has no density.
    assert "█" not in next(line for line in lines if line.startswith("none"))
    assert next(line for line in lines if line.startswith("fc2 ")).endswith("nothing is left")
    assert lines[-1] == "warning: no weight is kept in fc2"
    # What is printed on a terminal may also be written to a file: str() knows of no other place.
    assert "\x1b" not in shown


def test_colours_come_from_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = to_a_terminal(monkeypatch)
    tables.print_result(pruned())
    shown = terminal.getvalue()
    assert "\x1b[1m" in shown
    (collapsed,) = [line for line in shown.splitlines() if "fc2" in line and "(3, 2)" in line]
    assert "\x1b[1;31m" in collapsed
    assert "nothing is left" in collapsed


def test_a_terminal_without_rich_has_the_plain_table(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = to_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    print(pruned())
    tables.print_result(pruned())
    assert terminal.getvalue() == f"{pruned()}\n" * 2


def test_a_format_string_is_plain_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = str(pruned())
    to_a_terminal(monkeypatch)
    assert f"{pruned()}" == plain


class Tee:
    """What stands in the place of standard output in many scripts."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


@pytest.mark.parametrize("stdout", [Tee(), None])
def test_standard_output_may_be_anything(
    stdout: Tee | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = format(pruned())
    monkeypatch.setattr(sys, "stdout", stdout)
    assert str(pruned()) == expected
    print(pruned())
    tables.print_result(pruned())
    if stdout is not None:
        assert stdout.text == 2 * f"{expected}\n"


#: Names that mean something to rich, to terminals or to tables.
ODD = ("[/red]", "[bold]x", ":smile:", "esc\x1b[31m", "two\nlines", "\udc80", "größe")


def test_names_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    terminal = to_a_terminal(monkeypatch)
    found = sf.magnitude({name: np.float32([2, 1]) for name in ODD}, keep=7)
    shown = ["[/red]", "[bold]x", ":smile:", "esc\\x1b[31m", "two\\nlines", "\\udc80", "größe"]
    for text in (str(found), format(found)):
        body = text.splitlines()[2 : 2 + len(ODD)]
        assert [line.split("  ")[0] for line in body] == shown
    tables.print_result(found)
    tables.show("[/title]", [("[/red]", "b"), *((name, "1") for name in shown)])
    assert all(name in terminal.getvalue() for name in (*shown, "[/title]"))


@pytest.mark.parametrize(("width", "has_bars"), [(110, True), (76, True), (60, False), (49, False)])
def test_bars_have_what_names_and_numbers_leave(
    width: int, has_bars: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = pytest.importorskip("rich.console")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    page = io.StringIO()
    name = "a_layer.of_middling.weight"
    console.Console(file=page, width=width).print(sf.magnitude({name: np.ones(3, "f")}, keep=2))
    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert ("█" in page.getvalue()) is has_bars
    # Nothing of the name and of the numbers is lost.
    first = next(line.index("shape") for line in lines if "shape" in line)
    assert name in "".join(line[:first].strip() for line in lines)
    assert any("0.6667" in line for line in lines)


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


def test_sums_beyond_float64_are_no_number_in_json() -> None:
    found = sf.magnitude(np.full(10, 1e308), keep=5)
    told = json.loads(found.to_json())
    assert told["history"][0]["saliency"] is None
    assert told["history"][0]["threshold"] == 1e308
    assert told == found.to_dict()
    # And no share of them is told.
    assert "of the sum" not in format(found)


def test_a_scope_is_saved_loaded_and_in_the_record(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    scope = sf.Scope(4, 20, 2, 30, (("big", 14, "not trained"),))
    found = sf.magnitude({"fc": np.float32([[1, -2], [3, 4]])}, sparsity=0.5)
    assert found.model_sparsity is None
    assert "scope" not in found.to_dict()
    assert "searched" not in format(found)
    found = replace(found, scope=scope)
    found.save(tmp_path / "masks")
    again = sf.load(tmp_path / "masks")
    assert again.scope == scope
    assert again.to_dict()["model_sparsity"] == 2 / 30
    assert again.warnings == found.warnings
    assert "only 20 % of the elements" in found.warnings[0]
    assert "big (14): not trained" in found.warnings[0]
