"""The extension keeps no reference and no memory, and other threads run during its calls."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import tracemalloc

import pytest
from native_calls import (
    FUNCTIONS,
    PLAIN,
    Sequence,
    counts,
    linear,
    new_network,
    new_search,
    try_call,
    valid_calls,
)
from swiftforce import _core


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_reference_is_kept(name: str) -> None:
    """Neither by calls that succeed nor by calls that fail at each of the arguments."""
    function, arguments = valid_calls()[name]
    held = [*arguments, *itertools.chain(*(a for a in arguments if type(a) in (list, tuple)))]
    held = [item for item in held if not isinstance(item, (int, float)) and item is not None]
    failing = [
        [*arguments[:place], garbage, *arguments[place + 1 :]]
        for place in range(len(arguments))
        for garbage in (Sequence(), 2**80)
    ]
    if name in ("search_step",):  # takes both of its steps, then fails
        function(*arguments)
    before = counts(held)
    for _ in range(50):
        try_call(function, arguments)
        for given in failing:
            try_call(function, given)
    given = None
    assert counts(held) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_memory_is_kept(name: str) -> None:
    function, arguments = valid_calls()[name]
    bad = [[*arguments[:i], Sequence(), *arguments[i + 1 :]] for i in range(len(arguments))]

    def work(times: int) -> None:
        for _ in range(times):
            try_call(function, arguments)
            for given in bad:
                try_call(function, given)

    work(20)
    gc.collect()
    gc.freeze()  # Collections need not look at what other tests left.
    tracemalloc.start()
    try:
        work(5)
        marks = [tracemalloc.get_traced_memory()[0]]
        for _ in range(3):
            work(40)
            gc.collect()
            marks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Ten bytes a round would be a leak if they came every time: the interpreter keeps things, too.
    assert min(end - start for start, end in itertools.pairwise(marks)) < 400


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_networks_and_searches_are_released() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1])

    def work(times: int) -> None:
        for _ in range(times):
            network = _core.network_create((linear(300, 300),), None, 0)
            _core.network_view(network, 0)
            _core.network_remember(network)
            _core.search_create(2, 0, 1, 1000, None, (10_000,), *PLAIN)

    work(50)
    before = resident()
    work(300)  # 108 MB of weights
    assert resident() - before < 5000


def test_views_keep_their_network() -> None:
    network = new_network(seed=3)
    view = _core.network_view(network, 0)
    expected = bytes(memoryview(view))
    del network
    gc.collect()
    others = [new_network(seed) for seed in range(20)]
    assert bytes(memoryview(view)) == expected
    del others


# ------------------------------------------------------------------------- the lock


@pytest.mark.parametrize(
    "name",
    [
        "permutation",
        "scan",
        "saliency",
        "select",
        "search_step",
        "network_gradients",
        "network_train",
        "network_evaluate",
        "network_forward",
    ],
)
def test_other_threads_run_during_a_call(name: str) -> None:
    """The interval is so long that only a call that gives the lock away lets others run."""
    turns: list[int] = []
    stop, ready = threading.Event(), threading.Event()

    def turn() -> None:
        ready.set()
        while not stop.wait(0.0005):
            turns.append(1)

    function, arguments = valid_calls(scale=400_000 if name[0] != "n" else 40_000)[name]
    interval = sys.getswitchinterval()
    other = threading.Thread(target=turn)
    other.start()
    ready.wait()
    try:
        sys.setswitchinterval(600)
        for _ in range(30):
            if name == "search_step":
                arguments[0] = new_search(arguments[1][0].size)
            before = len(turns)
            function(*arguments)
            during = len(turns) - before
            if during:
                break
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        other.join()
    assert during
