"""Calls on a search from within its own step are refused before anything happens."""

from __future__ import annotations

import copy
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import _core

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WEIGHTS = np.float32([1, 1, 1, 1, 1, 1])
KEEPS = [2, 2, 2]
FIRST, INNER, OUTER = (np.float32(grads) for grads in (range(6), range(6, 0, -1), [1] * 6))


class Alone:
    """A communicator of one rank, which calls a function in each of its sums."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self.act: Callable[[], object] | None = None
        self.sums = 0

    def sum_integers(self, values: Any) -> None:
        self.sums += 1
        if self.act is not None:
            self.act()

    def sum_floats(self, values: Any) -> None: ...

    def offset(self, count: int) -> int:
        return 0


def begun(communicator: Alone | None = None, method: str = "iterative_snip") -> sf.MaskSearch[Any]:
    search = sf.MaskSearch(WEIGHTS, method=method, schedule=KEEPS, communicator=communicator)
    search.step(FIRST)
    return search


def facts(search: sf.MaskSearch[Any]) -> tuple[Any, ...]:
    return search.taken, search.history, search.masks.tobytes(), search.masked_weights.tobytes()


#: Everything that can be done with a search.
CALLS: dict[str, Callable[[sf.MaskSearch[Any]], object]] = {
    "step": lambda search: search.step(INNER),
    "save": lambda search: search.save("/nonexistent/search"),
    "result": lambda search: search.result(),
    "masks": lambda search: search.masks,
    "masked_weights": lambda search: search.masked_weights,
    "taken": lambda search: search.taken,
    "done": lambda search: search.done,
    "history": lambda search: search.history,
}
COPIES: dict[str, Callable[[sf.MaskSearch[Any]], object]] = {
    "pickle": pickle.dumps,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("method", ["force", "iterative_snip", "grasp_it"])
@pytest.mark.parametrize("call", [name for name in CALLS if name != "save"])
def test_a_communicator_must_not_use_its_search(call: str, method: str) -> None:
    communicator, plain = Alone(), begun(Alone(), method)
    search = begun(communicator, method)
    refused = []

    def act() -> None:
        with pytest.raises(sf.InUseError, match="under way in this thread"):
            CALLS[call](search)
        refused.append(call)

    communicator.act = act
    communicator.sums = 0
    search.step(OUTER)
    communicator.act = None
    assert len(refused) == communicator.sums > 3
    plain.step(OUTER)
    assert facts(search) == facts(plain)
    search.step(OUTER)
    assert search.done


def test_an_error_that_a_communicator_lets_out_leaves_the_search_as_it_was() -> None:
    communicator = Alone()
    search = begun(communicator)
    before = facts(search)
    communicator.act = lambda: search.step(INNER)
    with pytest.raises(sf.InUseError):
        search.step(OUTER)
    communicator.act = None
    assert facts(search) == before


def test_a_thread_that_a_communicator_waits_for_takes_no_step() -> None:
    communicator = Alone()
    search = begun(communicator)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            search.step(INNER)
        except sf.InUseError as error:
            errors.append(error)

    def act() -> None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()

    communicator.act = act
    search.step(OUTER)
    communicator.act = None
    assert errors
    assert {str(error).partition(":")[0] for error in errors} == {
        "a call on this search is under way in another thread"
    }
    assert search.taken == 2


@pytest.fixture
def alarms() -> Any:
    """A way to set what SIGUSR1 does; put back afterwards."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("call", [*CALLS, *COPIES])
def test_a_signal_handler_must_not_use_the_search_in_its_step(
    call: str, alarms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the signal came right before the native step, and right after it."""
    search, plain = begun(), begun()
    errors: list[BaseException] = []

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            (CALLS | COPIES)[call](search)
        except sf.InUseError as error:
            errors.append(error)

    native = _core.search_step

    def step_with_signals(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        report = native(*arguments)
        signal.raise_signal(signal.SIGUSR1)
        return report

    alarms(handler)
    with monkeypatch.context() as patch:
        patch.setattr(_core, "search_step", step_with_signals)
        search.step(OUTER)
    assert len(errors) == 2
    plain.step(OUTER)
    assert facts(search) == facts(plain)


def test_a_search_is_free_again_after_a_step_that_failed(tmp_path: Path) -> None:
    search = begun()
    with pytest.raises(sf.ShapeError):
        search.step(np.float32([1]))
    with pytest.raises(OSError):
        search.save(tmp_path / "none" / "search")
    assert search.step(OUTER).step == 2


def test_gradients_may_be_found_by_another_search() -> None:
    """What a gradient function does with other objects is its own affair."""

    def gradients(masked: Any) -> Any:
        sf.force(WEIGHTS, lambda inner: inner + 1, keep=1, steps=2)
        return masked + FIRST

    found = sf.force(WEIGHTS, gradients, keep=2, steps=3)
    expected = sf.force(WEIGHTS, lambda masked: masked + FIRST, keep=2, steps=3)
    assert found.history == expected.history
