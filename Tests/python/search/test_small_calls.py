"""What makes small calls cheap changes nothing that is seen."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from swiftforce import _core
from swiftforce.result import records as report

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def searched() -> sf.MaskSearch:
    weights, gradients = network(2)
    search = sf.MaskSearch(weights, sparsity=0.7, steps=4)
    while not search.done:
        search.step(gradients(search.masked_weights))
    return search


def test_a_step_is_one_however_it_is_made() -> None:
    step = searched().history[-1]
    made = sf.Step(**asdict(step))
    assert report.step_of(asdict(step)) == step == made
    assert (repr(step), hash(step)) == (repr(made), hash(made))
    with pytest.raises(FrozenInstanceError):
        step.keep = 1


@pytest.mark.parametrize("lost", [{1}, {2, 3}, {4}, {1, 2, 3, 4}])
def test_steps_whose_report_got_lost_on_the_way_are_in_the_record(lost: set[int]) -> None:
    search = searched()
    history = search.history
    for position in lost:
        del search._native._steps[position]
    assert search.history == history
    assert [step.step for step in history] == [1, 2, 3, 4]


def test_a_result_is_not_that_of_later_steps() -> None:
    weights, gradients = network(2)
    search = sf.MaskSearch(weights, sparsity=0.7, steps=3)
    search.step(gradients(search.masked_weights))
    first = search.result()
    kept = [mask.copy() for mask in first.masks]
    search.step(gradients(search.masked_weights))
    search.step(gradients(search.masked_weights))
    assert len(first.history) == 1
    assert all((mask == was).all() for mask, was in zip(first.masks, kept, strict=True))
    assert first.layers != search.result().layers


def test_few_weights_are_read_twice() -> None:
    weights = np.arange(1, 1001, dtype=np.float32)
    assert sf.magnitude(weights, keep=10).history[0].passes == 2


def test_addresses() -> None:
    memory = np.zeros(8, np.float32)
    first = memory.ctypes.data
    assert _core.addresses((memory, memory[2:], memory.view(np.uint16))) == (
        first,
        first + 8,
        first,
    )
    with pytest.raises((BufferError, ValueError)):
        _core.addresses([memory[::2]])


def test_names_of_another_structure_are_told_apart() -> None:
    weights = {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)}
    with pytest.raises(sf.StructureError, match="'c'"):
        sf.snip(weights, {**weights, "c": np.ones(1, np.float32)}, keep=1)
    with pytest.raises(sf.StructureError, match="lack 'b'"):
        sf.snip(weights, {"a": weights["a"], "c": weights["b"]}, keep=1)
