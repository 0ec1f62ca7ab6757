"""Kinds of data, ways to cut them into tensors, and made-up networks: what the tests run on."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = Any
Arrays = list[Array]

TINY = np.float32(1e-45)  # the smallest denormal
HUGE = np.float32(3.4e38)


def _normal(n: int, rng: np.random.Generator) -> Array:
    return rng.standard_normal(n).astype(np.float32)


def _maximum_last(n: int, rng: np.random.Generator) -> Array:
    values = np.zeros(n, np.float32)
    values[-1:] = 1
    return values


def _half_zeros(n: int, rng: np.random.Generator) -> Array:
    return np.where(rng.random(n) < 0.5, np.float32(0), _normal(n, rng))


def _signed_zeros(n: int, rng: np.random.Generator) -> Array:
    return np.where(rng.random(n) < 0.5, np.float32(-0.0), np.float32(0.0))


def _near_ties(n: int, rng: np.random.Generator) -> Array:
    """Neighbouring floats: all digits of a key but the lowest are equal."""
    bits = np.float32(1).view(np.uint32) + rng.integers(0, 5, n, dtype=np.uint32)
    return bits.astype(np.uint32).view(np.float32)


def _any_bits(n: int, rng: np.random.Generator) -> Array:
    """Exponents far apart, both signs; products of a few of them are finite."""
    return np.ldexp(_normal(n, rng), rng.integers(-70, 18, n)).astype(np.float32)


#: As sorting libraries test: a name, and how to make n values of that kind.
KINDS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "random": _normal,
    "constant": lambda n, rng: np.full(n, 0.5, np.float32),
    "sorted": lambda n, rng: np.sort(_normal(n, rng)),
    "reversed": lambda n, rng: np.sort(_normal(n, rng))[::-1].copy(),
    "few values": lambda n, rng: rng.integers(-2, 3, n).astype(np.float32),
    "maximum last": _maximum_last,
    "half zeros": _half_zeros,
    "zeros": lambda n, rng: np.zeros(n, np.float32),
    "signed zeros": _signed_zeros,
    "denormals": lambda n, rng: rng.integers(0, 9, n).astype(np.float32) * TINY,
    "near ties": _near_ties,
    "any bits": _any_bits,
}

#: Around the widths of vectors and the 4096 elements of a block.
SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 4095, 4096, 4097, 8191, 8193, 12_289)


def cut(flat: Array, places: list[int]) -> Arrays:
    """The array as tensors that end at the places; a place named twice makes an empty one."""
    return [part.copy() for part in np.split(flat, sorted(places))]


@st.composite
def cuts(draw: st.DrawFn, n: int, most: int = 6) -> list[int]:
    """Places to cut n elements at."""
    return draw(st.lists(st.integers(0, n), max_size=most))


@st.composite
def values(draw: st.DrawFn, n: int) -> Array:
    """An array of n values of some kind."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    return KINDS[kind](n, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def shaped(arrays: Arrays) -> Arrays:
    """The tensors, every second one as a matrix where that is possible."""
    return [
        array.reshape(2, -1) if i % 2 and array.size % 2 == 0 and array.size else array
        for i, array in enumerate(arrays)
    ]


def gradient_function(slopes: Arrays, offsets: Arrays) -> Callable[[Arrays], Arrays]:
    """Gradients that are dense, depend on the masked weights, and are the same bits every time."""

    def gradients(masked: Arrays) -> Arrays:
        return [a * w + b for a, w, b in zip(slopes, masked, offsets, strict=True)]

    return gradients


def network(seed: int, shapes: tuple[tuple[int, ...], ...] = ((7, 5), (0,), (5, 3), (11,))):
    """Weights and a function from masked weights to gradients, of one seed."""
    rng = np.random.default_rng(seed)
    weights, slopes, offsets = (
        [rng.standard_normal(shape).astype(np.float32) for shape in shapes] for _ in range(3)
    )
    return weights, gradient_function(slopes, offsets)


def blobs(n: int, features: int = 6, classes: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Samples that a small network learns to tell apart: x (n, features), y (n,)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    centres = 3 * np.eye(classes, features)
    return (centres[y] + 0.3 * rng.standard_normal((n, features))).astype(np.float32), y


def write_images(folder: Path, *, train: int, test: int, side: int = 4, classes: int = 4) -> None:
    """Four IDX files: square images of which one of the first rows is bright, labels that row."""
    rng = np.random.default_rng(7)
    for part, count in (("train", train), ("t10k", test)):
        labels = rng.integers(0, classes, count).astype(np.uint8)
        images = rng.integers(0, 60, (count, side, side)).astype(np.uint8)
        images[np.arange(count), labels] += 180
        header = struct.pack(">BBBB3I", 0, 0, 8, 3, *images.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">BBBBI", 0, 0, 8, 1, count)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
