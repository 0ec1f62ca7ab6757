"""Calls of the native core that succeed, and values that are none of its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from swiftforce import _core

#: Seed, ranks, steps taken, damping, axes and limits of a search that has none of them.
PLAIN = (0, 0, 0, 0.0, 1.0, 0, -1, -1, None, None, None, None, None)
FUNCTIONS = sorted(
    name
    for name, value in vars(_core).items()
    if callable(value) and not isinstance(value, type) and not name.startswith("_")
)
ARITY = {
    "addresses": 1,
    "allocate": 5,
    "bounds_range": 2,
    "cpu_levels": 0,
    "ieee": 1,
    "keep_count": 2,
    "layer_backward": 10,
    "layer_forward": 7,
    "method": 1,
    "names": 1,
    "network_apply": 3,
    "network_create": 3,
    "network_evaluate": 4,
    "network_forget": 1,
    "network_forward": 3,
    "network_gradients": 11,
    "network_magnitudes": 1,
    "network_masks": 2,
    "network_parameters": 1,
    "network_plan": 1,
    "network_remember": 1,
    "network_reset": 1,
    "network_restore": 1,
    "network_sizes": 1,
    "network_train": 7,
    "network_view": 2,
    "permutation": 3,
    "scan": 1,
    "saliency": 5,
    "saliency_reads": 1,
    "schedule": 4,
    "search_create": 19,
    "search_once": 7,
    "search_report": 3,
    "search_taken": 1,
    "search_step": 10,
    "search_objective": 7,
    "select": 7,
    "set_threads": 1,
    "sparse_backward": 8,
    "sparse_create": 2,
    "sparse_forward": 6,
    "sparse_limit": 1,
    "threads": 0,
}


def linear(inputs: int, outputs: int, source: int = -1) -> tuple[Any, ...]:
    return (0, source, -2, True, inputs, outputs, 0, 0, 0, 0, 0.0, 0.0)


def relu(source: int) -> tuple[Any, ...]:
    return (1, source, -2, False, 0, 0, 0, 0, 0, 0, 0.0, 0.0)


#: Batch normalisation of two channels.
NORMALIZATION = (3, -1, -2, False, 2, 0, 0, 0, 0, 0, 0.1, 1e-5)
#: A linear layer of three inputs and two outputs.
SPARSE = (3, 2, (1, 1, 1, 0), (1, 1, 1, 0))
LAYERS = (linear(6, 5), relu(0), linear(5, 3, 1))

#: Functions to which some of it is no garbage: a small number, or a sequence of nothing.
LENIENT = ("addresses", "names", "method", "saliency_reads")

F, M, INT = np.float32, np.bool_, np.int64


def new_network(seed: int = 0) -> object:
    return _core.network_create(LAYERS, None, seed)


def new_search(size: int = 4) -> object:
    return _core.search_create(2, 0, 1, 2, None, (size,), *PLAIN)


def stepped_search() -> object:
    search = new_search()
    ones = [np.ones(4, F)]
    _core.search_step(search, ones, ones, None, [np.ones(4, M)], None, None, None, None, None)
    return search


def valid_calls(scale: int = 1) -> dict[str, tuple[Callable[..., Any], list[Any]]]:
    """A call of each function that succeeds."""
    n, samples = 4 * scale, 3 * scale
    ones = [np.ones(n, F)]
    network = new_network()
    x, y, rows = np.ones((samples, 6), F), np.zeros(samples, INT), np.arange(samples, dtype=INT)
    weights = [np.ones((5, 6), F), np.ones((3, 5), F)]
    gradients = [np.empty((5, 6), F), np.empty((3, 5), F)]
    masks = [np.ones((5, 6), M), np.ones((3, 5), M)]
    operation = _core.sparse_create(SPARSE, np.ones((2, 3), M))
    statistics = [np.ones(2, F) for _ in range(4)]
    arguments: dict[str, list[Any]] = {
        "names": [0],
        "method": [2],
        "ieee": [object],
        "keep_count": [10, 0.5],
        "schedule": [0, 10, 2, 3],
        "permutation": [np.empty(n, INT), 1, 0],
        "scan": [ones],
        "saliency": [0, ones, [np.ones(n, F)], [np.empty(n, F)], 1],
        "select": [ones, [np.empty(n, M)], 2, None, None, (2, 0, 1, 1, (2, 0, 1, 1, n)), None],
        "search_create": [
            *(2, 0, 1, 2, (3, 1), (2, 2), 0, 0, 0, 0.0, 1.0, 0, -1, 1),
            (0, 2, 1, 2, 0, 2, 0, 2) * 2,
            (1, 0),
            None,
            None,
            None,
        ],
        "search_once": [0, 2, 0, ones, [np.ones(n, F)], [np.empty(n, M)], (None,) * 4],
        "allocate": [1, (2, 2), (3, 3), None, 2],
        "bounds_range": [(2, 2), (0, 2, 1, 2, 0, 2, 0, 2) * 2],
        "search_step": [
            new_search(n),
            ones,
            [np.ones(n, F)],
            None,
            [np.empty(n, M)],
            [np.empty(n, F)],
            [np.zeros(n, F)],
            None,
            None,
            None,
        ],
        "search_objective": [
            stepped_search(),
            [np.ones(4, F)],
            [np.ones(4, F)],
            [np.ones(4, M)],
            None,
            None,
            None,
        ],
        "addresses": [[np.empty(n, F), np.empty(0, F)]],
        "cpu_levels": [],
        "saliency_reads": [0],
        "threads": [],
        "set_threads": [_core.threads()],
        "search_report": [stepped_search(), 1, 1],
        "search_taken": [new_search()],
        "network_create": [LAYERS, None, 0],
        "network_sizes": [network],
        "network_parameters": [network],
        "network_apply": [network, masks, True],
        "network_plan": [network],
        "network_view": [network, 0],
        "network_masks": [network, [np.empty((5, 6), M), np.empty((3, 5), M)]],
        "network_magnitudes": [network],
        "network_remember": [network],
        "network_restore": [network],
        "network_forget": [network],
        "network_reset": [network],
        "network_gradients": [network, weights, gradients, x, y, rows, 0, False, True, 0, 1.0],
        "network_train": [network, x, y, rows, 0.1, 0.9, 0.0],
        "network_evaluate": [network, x, y, rows],
        "network_forward": [network, x, np.empty((samples, 3), F)],
        "layer_forward": [
            NORMALIZATION,
            (2, 1, 1),
            16,
            np.ones(32, F),
            statistics,
            np.empty(32, F),
            np.empty(6, F),
        ],
        "layer_backward": [
            NORMALIZATION,
            (2, 1, 1),
            16,
            np.ones(32, F),
            statistics,
            np.ones(32, F),
            np.ones(6, F),
            np.ones(32, F),
            np.empty(32, F),
            [np.empty(2, F), np.empty(2, F)],
        ],
        "sparse_limit": [SPARSE],
        "sparse_create": [SPARSE, np.ones((2, 3), M)],
        "sparse_forward": [
            operation,
            16,
            np.ones(48, F),
            np.ones(6, F),
            np.ones(2, F),
            np.empty(32, F),
        ],
        "sparse_backward": [
            operation,
            16,
            np.ones(48, F),
            np.ones(6, F),
            np.ones(32, F),
            np.empty(48, F),
            np.empty(6, F),
            np.empty(2, F),
        ],
    }
    return {name: (getattr(_core, name), list(given)) for name, given in arguments.items()}


class Sequence:
    """Claims more than it has."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, position: int) -> Any:
        raise RuntimeError("no item")


class Endless:
    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, position: int) -> Any:
        return 1


GARBAGE: list[Any] = [
    None,
    -1,
    2**31,
    2**80,
    1.5,
    float("nan"),
    "text",
    b"\0" * 16,
    [],
    (),
    {},
    [None],
    [1, "a"],
    [[]],
    object(),
    Sequence(),
    np.zeros(3, F),
    np.zeros((3, 6)),
    np.zeros(0, F),
    [np.zeros(4)],
    [np.zeros(8, F)[::2]],
    [np.frombuffer(bytes(17), F, offset=1)],
    [np.zeros(4, ">f4")],
    [np.zeros(4, F), np.zeros(4, F)],
    [np.zeros(5, F)],
    np.zeros(2, "f4,f4"),
    memoryview(b"abcd"),
]


def try_call(function: Callable[..., Any], arguments: list[Any]) -> None:
    """Any answer will do, and any ordinary exception; only not a crash or a SystemError."""
    try:
        function(*arguments)
    except SystemError:
        raise
    except Exception as error:
        assert str(error)


def counts(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(item) for item in objects]
