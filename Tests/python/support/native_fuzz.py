"""Calls of the core with arguments drawn at random: a program with a number of calls and a seed.

Any answer will do, and any ordinary exception. What ends the process, or what a sanitizer reports,
is a fault.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from native_calls import GARBAGE, LAYERS, linear, try_call, valid_calls
from swiftforce import _core

TYPES = ("f4", "f8", "f2", "?", "i8", "u1", "i4", ">f4", "c8", "S3", "O")
NUMBERS = (0, 1, -1, 2, 3, 7, 255, 2**24, 2**24 + 1, 2**31, 2**62, 2**63 - 1, -(2**63), 2**63)


def array(draw: np.random.Generator, pool: Any) -> Any:
    """An array of any type and layout; some share memory with each other."""
    kind = TYPES[int(draw.integers(4 if draw.random() < 0.7 else len(TYPES)))]
    size = int(draw.choice([0, 1, 2, 4, 5, 12, 30, 1000, 40_000]))
    choice = draw.random()
    if choice < 0.3:  # a part of memory that others may have, too
        width = np.dtype(kind).itemsize
        start = int(draw.integers(0, 64))
        if kind == "O" or start + size * width > pool.size:
            return np.zeros(0, "f4")
        found = pool[start : start + size * width].view(kind)
    else:
        found = np.empty(size, kind) if draw.random() < 0.2 else np.ones(size).astype(kind)
        if kind in ("f4", "f8", "f2") and draw.random() < 0.5:
            values = [0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 6e4, 1, 2]
            found = draw.choice(values, size).astype(kind)
    if draw.random() < 0.1:
        found = found[:: int(draw.choice([-1, 2, -2, 3]))]
    if draw.random() < 0.2 and found.size % 6 == 0:
        found = found.reshape(-1, 6)
    if draw.random() < 0.05:
        found.setflags(write=False)
    return np.broadcast_to(found, (3, *found.shape)) if draw.random() < 0.02 else found


def layer(draw: np.random.Generator) -> tuple[Any, ...]:
    """A description of a layer, most of them nonsense."""
    small = [int(draw.choice([-2, -1, 0, 1, 2, 3, 4, 6, 2**31, 2**40])) for _ in range(8)]
    kind, source, addend = (int(draw.integers(-1, 12)), small[0], int(draw.choice([-2, -2, -1, 0])))
    real = float(draw.choice([0.0, 0.1, -1, np.nan, np.inf]))
    return (kind, min(source, 5), addend, draw.random() < 0.5, *small[1:7], real, 1e-5)


def argument(draw: np.random.Generator, pool: Any, given: Any) -> Any:
    """Something in place of an argument."""
    choice = draw.random()
    if choice < 0.15:
        return GARBAGE[int(draw.integers(len(GARBAGE)))]
    if choice < 0.3:
        return NUMBERS[int(draw.integers(len(NUMBERS)))]
    if isinstance(given, int) and choice < 0.8:
        return int(draw.integers(-3, 40))
    if choice < 0.4:
        return array(draw, pool)
    if choice < 0.45:
        return [LAYERS, [linear(6, 3)], [layer(draw) for _ in range(int(draw.integers(5)))]][
            int(draw.integers(3))
        ]
    return [array(draw, pool) for _ in range(int(draw.choice([0, 1, 1, 1, 2, 2, 3, 40])))]


def main(calls: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    threads = _core.threads()
    for number in range(calls):
        if number % 50 == 0:
            valid, pool = valid_calls(), np.ones(2**16, np.uint8)
            names = [name for name in valid if name not in ("set_threads", "ieee")]
        name = names[int(draw.integers(len(names)))]
        function, arguments = valid[name][0], list(valid[name][1])
        for _ in range(int(draw.integers(1, 4))):
            if arguments:
                place = int(draw.integers(len(arguments)))
                arguments[place] = argument(draw, pool, arguments[place])
        if name == "schedule" and isinstance(arguments[3], int) and arguments[3] > 10**5:
            continue  # is right, and slow
        try_call(function, arguments)
    assert _core.threads() == threads


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]))
