"""Results do not depend on the floating-point environment of the thread that calls."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from floating_point import (
    ENVIRONMENTS,
    FLUSHED,
    TRAPS,
    environment,
    mxcsr,
    needs_mxcsr,
    x87_control,
)
from native_calls import FUNCTIONS, valid_calls
from swiftforce import _core, nn

pytestmark = needs_mxcsr
TYPES = ("float16", "bfloat16", "float32", "float64")
#: Products of two such numbers are subnormal in binary32, or in binary64.
SMALL = {"float16": 3e-6, "bfloat16": 1e-20, "float32": 1e-20, "float64": 1e-155}


def numbers(dtype: str, size: int, seed: int) -> Any:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    drawn = np.random.default_rng(seed).standard_normal(size) * SMALL[dtype]
    found = drawn.astype(kind)
    assert np.count_nonzero(found.astype(np.float64)) > size // 2
    return found


def in_layout(flat: Any, layout: str) -> Any:
    if layout == "one array":
        return flat
    if layout == "matrix":
        return flat.reshape(-1, 4)
    third = flat.size // 3
    return {"a": flat[:third], "b": flat[third : third + 1], "c": flat[third + 1 :].reshape(-1)}


def bits(value: Any) -> Any:
    """The masks or arrays of a result as bytes."""
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return np.asarray(value).tobytes()


METHODS = ("force", "iterative_snip", "snip", "grasp_it", "magnitude", "random")
STEPS: dict[str, dict[str, Any]] = {name: {"steps": 3} for name in METHODS[:2]}


def searched(method: str, weights: Any, gradients: Any, layout: str) -> list[Any]:
    """Masks, masked weights, and what the history says of the scores."""
    search = sf.MaskSearch(
        in_layout(weights, layout), method=method, keep=weights.size // 7, **STEPS.get(method, {})
    )
    while not search.done:
        search.step(in_layout(gradients, layout) if search.needs_gradients else None)
    steps = [(step.threshold, step.saliency, step.zero_scores) for step in search.history]
    return [bits(search.masks), bits(search.masked_weights), steps]


def test_every_method_is_in_the_list():
    assert set(METHODS) <= set(sf.methods())


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layout", ["one array", "matrix", "named"])
@pytest.mark.parametrize("dtypes", [(t, t) for t in TYPES] + [("float32", "float16")], ids=str)
def test_searches(dtypes, layout, threads, restored_threads):
    sf.set_num_threads(threads)
    size = 40_000 if threads == 1 else 300_000
    weights, gradients = numbers(dtypes[0], size, 1), numbers(dtypes[1], size, 2)
    for method in METHODS:
        plain = searched(method, weights, gradients, layout)
        for name, change in ENVIRONMENTS.items():
            with environment(*change):
                found = searched(method, weights, gradients, layout)
            assert found == plain, (method, name)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("environment_name", ENVIRONMENTS)
def test_scores_and_selections(dtype, environment_name):
    weights, gradients = numbers(dtype, 9_999, 3), numbers(dtype, 9_999, 4)

    def found() -> Any:
        scores = [
            np.asarray(sf.saliency(weights, gradients, criterion=criterion, seed=5))
            for criterion in sf.saliencies()
        ]
        return [bits(score) for score in scores] + [bits(sf.select(s, keep=99)) for s in scores]

    plain = found()
    with environment(*ENVIRONMENTS[environment_name]):
        assert found() == plain


def test_every_product_of_two_float16_numbers_is_exact():
    """The smallest is 2 to the -48; the score is the product in full, not rounded to float16."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16)
    others = np.random.default_rng(0).permutation(halves)
    with environment(FLUSHED):
        scores = sf.saliency(halves, others)
    assert scores.dtype == np.float32
    exact = halves.astype(np.float64) * others.astype(np.float64)
    assert np.array_equal(scores.astype(np.float64), exact)
    assert np.count_nonzero(exact[exact < 2.0**-30]) > 30


def test_averages_of_gradients():
    """Batches of unequal sizes, each normalised by itself, are averaged in Python."""
    layers, shape = NETWORKS["images"]
    net = nn.Network(layers(), input_shape=shape, seed=0)
    x, y = samples("images")
    gradients_on = {"batch_size": 80, "batches_per_step": 3, "loss": "cross_entropy"}
    plain = net.gradients_on(x, y, **gradients_on)(net.weights)
    assert has_subnormals(plain["0.weight"])
    with environment(FLUSHED):
        found = net.gradients_on(x, y, **gradients_on)(net.weights)
    assert bits(found) == bits(plain)


def has_subnormals(array: Any) -> bool:
    return bool(((array != 0) & (np.abs(array) < np.finfo(np.float32).tiny)).any())


def test_counts_and_schedules():
    def found() -> list[Any]:
        counts = [sf.keep_count(n, s) for n, s in itertools.product((7, 10**9), (0.1, 0.999))]
        keeps = [sf.schedule_keeps(name, 10**9, keep=7, steps=60) for name in sf.schedules()]
        return [*counts, *keeps]

    plain = found()
    for change in ENVIRONMENTS.values():
        with environment(*change):
            assert found() == plain


NETWORKS = {
    "linear": (lambda: [nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)], None),
    "images": (
        lambda: [
            nn.Conv2d(3, 9, 3, padding=1),
            nn.BatchNorm2d(9),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(9, 9, 3, groups=9),
            nn.GlobalAvgPool2d(),
            nn.Linear(9, 4),
        ],
        (3, 8, 8),
    ),
}


@cache
def samples(kind: str) -> tuple[Any, Any]:
    """Numbers so small that many products are subnormal. To be called before flags are set."""
    _, shape = NETWORKS[kind]
    rng = np.random.default_rng(2)
    x = rng.standard_normal((200, 784 if shape is None else int(np.prod(shape))))
    return (x * 1e-39).astype(np.float32), rng.integers(0, 4, 200)


def computed(kind: str) -> dict[str, Any]:
    """All that a network computes."""
    layers, shape = NETWORKS[kind]
    net = nn.Network(layers(), input_shape=shape, seed=1)
    x, y = samples(kind)
    found = {"gradients": net.gradients_on(x, y)(net.weights)}
    found["of cross entropy"] = net.gradients_on(x, y, loss="cross_entropy")(net.weights)
    net.fit(x, y, epochs=1, batch_size=100, learning_rate=1e-3, momentum=0.9)
    found |= {"weights": dict(net.weights), "outputs": net.predict(x)}
    return found | {"loss": net.evaluate(x, y).loss}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks(kind, threads, restored_threads):
    sf.set_num_threads(threads)
    plain = computed(kind)
    assert has_subnormals(plain["gradients"]["0.weight"])
    for name, change in ENVIRONMENTS.items():
        with environment(*change):
            found = computed(kind)
        assert {key: bits(value) for key, value in found.items()} == {
            key: bits(value) for key, value in plain.items()
        }, name


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "addresses"])
def test_registers_are_put_back(name):
    """Status flags included; traps that the caller enables stay enabled, and none is taken."""
    for change in [*ENVIRONMENTS.values(), (0x3F, TRAPS), (0, 0)]:
        function, arguments = valid_calls()[name]
        with environment(*change):
            before = mxcsr(), x87_control()
            function(*arguments)
            after = mxcsr(), x87_control()
        assert after == before


@pytest.mark.parametrize("function", [_core.keep_count, _core.select, _core.search_report])
def test_registers_are_put_back_after_an_error(function):
    arguments = {
        _core.keep_count: [10, 2.0],
        _core.select: [
            [np.full(4, np.nan, np.float32)],
            [np.empty(4, np.bool_)],
            2,
            None,
            None,
            None,
            None,
        ],
        _core.search_report: [valid_calls()["search_taken"][1][0], 9, 1],
    }[function]
    with environment(FLUSHED):
        before = mxcsr()
        with pytest.raises(_core.NativeError):
            function(*arguments)
        assert mxcsr() == before


class Alone:
    """One rank. It writes down the flags that its sums are called with."""

    rank, size = 0, 1

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def sum_integers(self, values: Any) -> None:
        self.seen.add(mxcsr() & ~0x3F)

    def sum_floats(self, values: Any) -> None: ...

    def offset(self, count: int) -> int:
        return 0


def test_a_communicator_has_the_flags_of_its_caller():
    weights, gradients = numbers("float16", 5000, 1), numbers("float16", 5000, 2)
    plain = sf.snip(weights, gradients, keep=99).masks
    alone = Alone()
    with environment(FLUSHED):
        expected = mxcsr() & ~0x3F
        search = sf.MaskSearch(weights, method="snip", keep=99, communicator=alone)
        search.step(gradients)
        assert mxcsr() & ~0x3F == expected
    assert alone.seen == {expected}
    oracle.assert_same_masks(search.masks, plain)


def test_a_thread_that_flushes():
    weights, gradients = numbers("float16", 5000, 1), numbers("float16", 5000, 2)
    found: list[Any] = []

    def work() -> None:
        with environment(FLUSHED):
            found.append(sf.snip(weights, gradients, keep=99).masks)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    oracle.assert_same_masks(found[0], sf.snip(weights, gradients, keep=99).masks)


HERE = str(Path(__file__).parent)
PROGRAM = """
import sys
sys.path[:0] = {path!r}
import floating_point
if {flushed}: floating_point.set_bits(floating_point.FLUSHED, 0)
import numpy, pytest, hashlib
import test_floating_point as tests, swiftforce as sf
sf.set_num_threads(2)
floating_point.set_bits(0, floating_point.FLUSHED)
found = tests.computed("linear")
print(hashlib.sha256(repr({{k: tests.bits(v) for k, v in found.items()}}).encode()).hexdigest())
"""


def test_a_thread_that_flushed_when_it_loaded_the_core():
    """The threads of libraries have the flags of the thread that loaded them."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(path=[HERE, *sys.path], flushed=flushed)],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        for flushed in (False, True)
    ]
    assert digests[0] == digests[1] != ""
