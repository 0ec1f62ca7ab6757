"""Ranks as threads of one process: a communicator with a barrier, and a way to run them all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

Array = Any
Result = TypeVar("Result")


class Group:
    """Threads that add up what they hand in. Counts the bytes that a rank sends."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = [0] * size
        self._barrier = threading.Barrier(size, timeout=60)
        self._lock = threading.Lock()
        self._sums: Array = None

    def sum(self, rank: int, values: Array) -> None:
        self.sent[rank] += values.nbytes
        with self._lock:
            if self._sums is None:
                self._sums = np.zeros_like(values)
            assert self._sums.shape == values.shape and self._sums.dtype == values.dtype
            self._sums += values
        self._barrier.wait()
        values[...] = self._sums
        # Nobody starts the next sum before everybody has read this one.
        if self._barrier.wait() == 0:
            self._sums = None
        self._barrier.wait()

    def run(self, work: Callable[[Member], Result]) -> list[Result | BaseException]:
        """What the work returns or raises on each rank."""
        outcomes: list[Any] = [None] * self.size

        def one(rank: int) -> None:
            try:
                outcomes[rank] = work(Member(self, rank))
            except BaseException as error:
                outcomes[rank] = error

        stack = threading.stack_size(1 << 20)
        try:
            threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
            for thread in threads:
                thread.start()
        finally:
            threading.stack_size(stack)
        for thread in threads:
            thread.join()
        return outcomes


class Member:
    """The communicator of one rank."""

    def __init__(self, group: Group, rank: int) -> None:
        self._group = group
        self.rank = rank

    @property
    def size(self) -> int:
        return self._group.size

    def sum_integers(self, values: Array) -> None:
        assert values.dtype == np.int64 and values.ndim == 1
        self._group.sum(self.rank, values)

    def sum_floats(self, values: Array) -> None:
        self._group.sum(self.rank, values)

    def offset(self, count: int) -> int:
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = count
        self._group.sum(self.rank, counts)
        return int(counts[: self.rank].sum())


def runs_of(count: int, cuts: list[int]) -> list[slice]:
    """The stretches of `count` elements between cuts."""
    ends = [0, *sorted(cuts), count]
    return [slice(a, b) for a, b in pairwise(ends)]


def results(outcomes: list[Any]) -> list[Any]:
    """What the work returned on each rank, if it raised on none."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
