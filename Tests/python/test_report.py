"""What a search says of itself: layers, steps, the table, and the one line."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

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
    ]


def test_the_table_of_several_steps() -> None:
    weights, gradients = network(21)
    found = sf.force(weights, gradients, sparsity=0.7, steps=5)
    assert str(found).splitlines()[0] == "force: 18 of 61 weights kept (sparsity 0.7049), 5 steps"


def test_the_one_line() -> None:
    assert repr(pruned()) == "<Pruning magnitude: 1500 of 2006 weights kept>"


@pytest.mark.filterwarnings("always::swiftforce.SwiftForceWarning")
def test_a_warning_names_at_most_five_steps() -> None:
    weights = np.float32([1, 2, 3])
    with pytest.warns(sf.DegenerateSaliencyWarning, match=r"^7 of 7 steps \(1, 2, 3, 4, 5, ...\)"):
        sf.force(weights, lambda w: w * 0, keep=1, steps=7, schedule=[2] * 6 + [1])
