"""Searches in several threads and processes, and steps that were interrupted."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks
from swiftforce import _core

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def test_threads_do_not_disturb_each_other() -> None:
    networks = [network(seed, ((60, 50), (50, 20))) for seed in range(8)]
    expected = [sf.force(w, g, sparsity=0.9, steps=6).masks for w, g in networks]

    def hammer(position: int) -> None:
        weights, gradients = networks[position]
        for _ in range(8):
            found = sf.force(weights, gradients, sparsity=0.9, steps=6)
            assert_same_masks(found.masks, expected[position])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_threads_may_share_the_weights() -> None:
    weights, gradients = network(15, ((200, 100),))
    expected = sf.force(weights, gradients, keep=99, steps=4).masks
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda _: sf.force(weights, gradients, keep=99, steps=4).masks, range(12))
    for masks in found:
        assert_same_masks(masks, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # of JAX, once it is imported
def test_a_child_process_goes_on_with_the_search() -> None:
    weights, gradients = network(16)
    expected = sf.force(weights, gradients, keep=7, steps=4).masks
    search = sf.MaskSearch(weights, keep=7, steps=4)
    search.step(gradients(search.masked_weights))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            while not search.done:
                search.step(gradients(search.masked_weights))
            assert_same_masks(search.result().masks, expected)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert_same_masks(search.result().masks, expected)


def test_a_step_whose_return_was_interrupted_is_in_the_record() -> None:
    weights, gradients = network(14)
    search, other = (sf.MaskSearch(weights, keep=7, steps=4) for _ in range(2))
    for _ in range(4):
        other.step(gradients(other.masked_weights))
    search.step(gradients(search.masked_weights))
    # What an interrupt right after the native call leaves behind: a step that nobody recorded.
    _core.search_step(
        search._native._handle,
        search._tensors.arrays,
        gradients(search.masked_weights),
        search._buffers.masks(1),
        search._buffers.masks(2),
        search._buffers.masked,
        None,
        None,
        None,
        None,
    )
    assert search.taken == 2
    while not search.done:
        search.step(gradients(search.masked_weights))
    assert search.history == other.history
    assert_same_masks(search.result().masks, other.result().masks)


def test_steps_from_several_threads_are_recorded_in_order() -> None:
    weights = np.linspace(1, 2, 50_000, dtype=np.float32)
    search = sf.MaskSearch(weights, keep=100, steps=40)

    def work() -> None:
        for _ in range(10):
            search.step(weights)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step.step for step in search.history] == list(range(1, 41))
    assert search.result().keep == 100
