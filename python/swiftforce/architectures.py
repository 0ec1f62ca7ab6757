"""The networks that a run of an experiment can name, and the images that they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from swiftforce import nn
from swiftforce.datasets import Dataset
from swiftforce.tensors import Array


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Attributes
    ----------
    label : str
        What pictures call it.
    build : callable
        ``build(input_shape, classes, seed)`` makes the network of these and nothing else.
    side : int
        Pixels that an image must have on each side at least; smaller ones are framed.
    """

    label: str
    build: Callable[[tuple[int, ...], int, int], nn.Network]
    side: int = 1


def _lenet_300_100(input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Network:
    return nn.lenet_300_100(math.prod(input_shape), classes, seed=seed)


def _family(label: str, function: str, depth: int, side: int = 1) -> Architecture:
    def build(input_shape: tuple[int, ...], classes: int, seed: int) -> nn.Network:
        network: nn.Network = getattr(nn, function)(depth, input_shape, classes, seed=seed)
        return network

    return Architecture(f"{label}{depth}", build, side)


#: The networks that a run can name. VGG halves its images five times.
NETWORKS: dict[str, Architecture] = {
    "lenet_300_100": Architecture("LeNet-300-100", _lenet_300_100),
    **{f"vgg{depth}": _family("VGG", "vgg", depth, side=32) for depth in (11, 13, 16, 19)},
    **{f"resnet{depth}": _family("ResNet", "resnet", depth) for depth in (18, 20, 34, 50, 56)},
}


def framed(data: Dataset, side: int) -> Dataset:
    """Images of at least so many pixels on each side: smaller ones get a frame of black pixels.

    Parameters
    ----------
    data : Dataset
        Normalised by its `mean` and `std`.
    side : int

    Returns
    -------
    Dataset
        The same one where its images are large enough.
    """
    missing = [max(0, side - pixels) for pixels in data.train_x.shape[2:]]
    if not any(missing):
        return data
    black = (-np.array(data.mean, np.float32) / np.array(data.std, np.float32)).reshape(-1, 1, 1)
    return replace(
        data,
        train_x=_framed(data.train_x, missing, black),
        test_x=_framed(data.test_x, missing, black),
    )


def _framed(images: Array, missing: Sequence[int], black: Array) -> Array:
    sides = [pixels + more for pixels, more in zip(images.shape[2:], missing, strict=True)]
    result = np.empty((*images.shape[:2], *sides), np.float32)
    result[:] = black
    top, left = (more // 2 for more in missing)
    result[..., top : top + images.shape[2], left : left + images.shape[3]] = images
    return result
