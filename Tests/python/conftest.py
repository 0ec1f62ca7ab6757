"""Shared by all tests: hypothesis profiles, a generator of random numbers, small data sets.

With `CI=true` in the environment, as wherever the suite must not surprise, hypothesis draws the
same examples every time; elsewhere it draws new ones.
"""

from __future__ import annotations

import gc
import gzip
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import HealthCheck, settings
from kinds import write_images
from swiftforce import nn
from swiftforce.experiments.architectures import NETWORKS, Architecture

settings.register_profile(
    "local", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", settings.get_profile("local"), derandomize=True, database=None, print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20210504)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    """Restores the number of threads."""
    before = sf.get_num_threads()
    yield
    sf.set_num_threads(before)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """One thread of torch: fastest for small networks, and deterministic."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """A folder with the four files of a tiny, learnable stand-in for Fashion-MNIST."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_images(folder, train=160, test=60)
    # One file is gzipped, as in Debian's package.
    plain = folder / "t10k-labels-idx1-ubyte"
    plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return folder


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny network for runs, which trains in no time."""

    def build(input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Network:
        layers = [nn.Linear(math.prod(input_shape), 20), nn.ReLU(), nn.Linear(20, classes)]
        return nn.Network(layers, seed=seed)

    monkeypatch.setitem(NETWORKS, "small", Architecture("Small", build))
    return "small"


def pytest_collection_finish() -> None:
    """Collections of garbage need not look at ten thousand tests, which stay until the end."""
    gc.collect()
    gc.freeze()
