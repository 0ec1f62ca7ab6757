"""Threads, CPU levels, and the processes and files that arrays may come from."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import oracle
import pytest
import swiftforce as sf
from swiftforce import nn

SIZE = 400_000
PROGRAM = """
import numpy as np, swiftforce as sf
rng = np.random.default_rng(0)
w, g = rng.standard_normal((2, 400_000), dtype=np.float32)
print(sf.cpu_levels()[0], sf.get_num_threads(), np.packbits(sf.snip(w, g, keep=4321).masks).sum())
"""


def arrays(seed: int = 0) -> tuple[oracle.Array, oracle.Array]:
    weights, gradients = np.random.default_rng(seed).standard_normal((2, SIZE), dtype=np.float32)
    return weights, gradients


def expected(weights: oracle.Array, gradients: oracle.Array, keep: int) -> oracle.Array:
    return oracle.select([np.abs(weights * gradients)], keep)[0]


@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_masks_do_not_depend_on_the_number_of_threads(threads):
    weights, gradients = arrays()
    sf.set_num_threads(threads)
    assert sf.get_num_threads() == threads
    pruning = sf.snip(weights, gradients, keep=4321)
    oracle.assert_same_masks(pruning.masks, expected(weights, gradients, 4321))
    assert pruning.history[0].passes == 1


@pytest.mark.parametrize("threads", [0, -1, 4097, 1 << 62, 1.5, "2", True])
def test_a_bad_number_of_threads_is_refused(threads):
    before = sf.get_num_threads()
    with pytest.raises(sf.ThreadsError):
        sf.set_num_threads(threads)
    assert sf.get_num_threads() == before


def test_ties_are_read_once():
    scores = np.ones(SIZE, np.float32)
    weights = np.ones(SIZE, np.float32)
    pruning = sf.snip(weights, scores, keep=SIZE // 4)
    assert pruning.history[0].passes == 1
    oracle.assert_same_masks(pruning.masks, np.arange(SIZE) < SIZE // 4)


@pytest.mark.slow
def test_several_python_threads_call_at_once():
    data = [arrays(seed) for seed in range(8)]
    found: dict[int, oracle.Array] = {}
    start = threading.Barrier(len(data))

    def work(i: int) -> None:
        for _ in range(3):
            start.wait(60)
            found[i] = sf.snip(*data[i], keep=1000 + i).masks

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (weights, gradients) in enumerate(data):
        oracle.assert_same_masks(found[i], expected(weights, gradients, 1000 + i))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_of_openblas_that_were_switched_on_are_switched_off():
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split()[-1] for line in lines if "/libopenblas" in line}
    if not paths:
        pytest.skip("the extension contains OpenBLAS")
    libraries = [ctypes.CDLL(path) for path in paths]
    net = nn.Network([nn.Linear(3, 2)])
    try:
        for library in libraries:
            library.openblas_set_num_threads(2)
        net.predict(np.ones((5, 3), np.float32))
        assert 1 in [library.openblas_get_num_threads() for library in libraries]
    finally:
        for library in libraries:
            library.openblas_set_num_threads(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")  # of JAX, once it is imported
@pytest.mark.usefixtures("restored_threads")
def test_a_forked_child_works_after_the_parent_used_threads():
    sf.set_num_threads(3)
    weights, gradients = arrays()
    wanted = expected(weights, gradients, 777)
    oracle.assert_same_masks(sf.snip(weights, gradients, keep=777).masks, wanted)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(60)  # ends a child that waits for threads it does not have
            oracle.assert_same_masks(sf.snip(weights, gradients, keep=777).masks, wanted)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    oracle.assert_same_masks(sf.snip(weights, gradients, keep=777).masks, wanted)


#: What is computed first in a child makes tables of the Swift runtime, which all threads want.
FORKS = """
import os, signal, sys
import numpy as np
import swiftforce as sf

sf.set_num_threads(2)
arrays = np.random.default_rng(0).standard_normal((2, 500_000), dtype=np.float32)
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        sf.snip(*arrays, keep=500)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("a child waited for ever")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("forks", [100, pytest.param(10_000, marks=pytest.mark.long)])
def test_the_first_call_is_made_in_a_child(forks):
    subprocess.run([sys.executable, "-c", FORKS, str(forks)], check=True)


def test_memory_mapped_arrays_are_read_in_place(tmp_path: Path):
    weights, gradients = arrays()
    mapped = []
    for name, array in (("w", weights), ("g", gradients)):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    pruning = sf.snip(*mapped, keep=999)
    oracle.assert_same_masks(pruning.masks, expected(weights, gradients, 999))


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("level", sf.cpu_levels())
@pytest.mark.slow
def test_a_level_can_be_chosen_and_changes_no_mask(level):
    weights, gradients = np.random.default_rng(0).standard_normal((2, SIZE), dtype=np.float32)
    digest = np.packbits(expected(weights, gradients, 4321)).sum()
    done = run(SWIFTFORCE_CPU_LEVEL=level, SWIFTFORCE_NUM_THREADS="3")
    assert done.stdout.split() == [level, "3", str(digest)], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWIFTFORCE_CPU_LEVEL", "x86-64-v9"),
        ("SWIFTFORCE_CPU_LEVEL", "v2"),
        ("SWIFTFORCE_NUM_THREADS", "0"),
        ("SWIFTFORCE_NUM_THREADS", "many"),
        ("SWIFTFORCE_NUM_THREADS", "99999"),
    ],
)
def test_a_bad_variable_is_named(name, value):
    done = run(**{name: value})
    assert done.returncode == 1
    assert "EnvironmentVariableError" in done.stderr
    assert name in done.stderr
    assert value in done.stderr


@pytest.mark.parametrize(
    "kinds",
    [
        ("float16", "float16"),
        ("float16", "float32"),
        ("float32", "float64"),
        ("float64", "float16"),
    ],
)
@pytest.mark.parametrize("size", [1000, SIZE])
def test_types_are_mixed_without_rounding(kinds, size):
    rng = np.random.default_rng(4)
    weights, gradients = (rng.standard_normal(size).astype(kind) for kind in kinds)
    wide = np.float64 if "float64" in kinds else np.float32
    scores = np.abs(weights.astype(wide) * gradients.astype(wide))
    masks = sf.snip(weights, gradients, keep=size // 7).masks
    oracle.assert_same_masks(masks, oracle.select([scores], size // 7)[0])
    found = sf.saliency(weights, gradients)
    assert found.dtype == wide
    assert np.array_equal(found, scores)


@pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")  # all are zero at times
@pytest.mark.slow
def test_arrays_that_another_thread_writes_are_an_error_or_an_exact_mask() -> None:
    scores = np.zeros(1 << 18, np.float32)
    ramp = np.arange(scores.size, dtype=np.float32)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            scores[:] = ramp
            scores[:] = 0

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            try:
                mask = sf.select(scores, keep=1000)
            except sf.ArraysChangedError:
                continue
            assert np.count_nonzero(mask) == 1000
    finally:
        is_over.set()
        writer.join()
