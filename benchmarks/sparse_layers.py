"""One layer with random masks: its three products, by the engine and by torch.

The engine has no call for a single layer. It takes steps of training of a network that has a cheap
layer before this one, so that the gradient of its input is needed, and a mean and two classes after
it. The same network without the layer takes the time that is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from swiftforce import nn

from benchmarks.arrays import Array
from benchmarks.classifiers import samples
from benchmarks.measure import Call, Times, repeated
from benchmarks.plan import keep_for
from benchmarks.sparse_networks import Kernels, check_logits, check_losses, training_step

#: Name of the measured layer's weight in `network`.
WEIGHT = "1.weight"


@dataclass(frozen=True)
class Layer:
    """A convolution, or a linear layer if the image has no side.

    Attributes
    ----------
    kernel, inputs, outputs, stride : int
    side : int
        Of the image that enters.
    times : int
        How often a timed run computes it.
    targets : tuple of (float, float)
        Sparsity, and the ratio of torch's time to ours that is aimed at.
    """

    kernel: int
    inputs: int
    outputs: int
    side: int = 0
    stride: int = 1
    times: int = 1
    targets: tuple[tuple[float, float], ...] = ()

    def __str__(self) -> str:
        """The kernel, the channels, and the image."""
        if not self.side:
            return f"linear, {self.inputs} -> {self.outputs}"
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        kernel = f"{self.kernel}x{self.kernel}{stride}"
        return f"{kernel}, {self.inputs} -> {self.outputs}, {self.side}x{self.side}"

    def target(self, sparsity: float) -> str:
        """What the project aims at; empty if there is none."""
        return f">= {dict(self.targets)[sparsity]:g}" if sparsity in dict(self.targets) else ""

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.kernel // 2

    @property
    def described(self) -> nn.Linear | nn.Conv2d:
        """The layer of `swiftforce.nn`."""
        if not self.side:
            return nn.Linear(self.inputs, self.outputs, bias=False)
        return nn.Conv2d(
            self.inputs, self.outputs, self.kernel, self.stride, self.padding, bias=False
        )

    def mask(self, sparsity: float) -> Array:
        """A mask that keeps a random choice of weights."""
        shape = (self.outputs, self.inputs, *([self.kernel] * 2 if self.side else []))
        size = int(np.prod(shape))
        mask = np.zeros(size, bool)
        mask[np.random.default_rng(1).permutation(size)[: keep_for(size, sparsity)]] = True
        return mask.reshape(shape)

    def network(self) -> nn.Network:
        """The network that the layer is measured in."""
        return _around([self.described], self.inputs, self.side, self.outputs)

    def networks_without(self) -> list[nn.Network]:
        """Networks without the layer: of its inputs, and of its outputs if they have another size.

        The mean of their times is that of what surrounds the layer, since the layer before it and
        the mean after it cost about as much for each number that passes.
        """
        sizes = {(self.inputs, self.side), (self.outputs, -(-self.side // self.stride))}
        return [_around([], size, side, size) for size, side in sorted(sizes)]


def _around(
    layers: Sequence[nn.Linear | nn.Conv2d], inputs: int, side: int, outputs: int
) -> nn.Network:
    if not side:
        return nn.Network(
            [nn.Linear(1, inputs, bias=False), *layers, nn.Linear(outputs, 2)], seed=1
        )
    first, last = nn.Conv2d(1, inputs, 1, bias=False), (nn.GlobalAvgPool2d(), nn.Linear(outputs, 2))
    return nn.Network([first, *layers, *last], input_shape=(1, side, side), seed=1)


# ------------------------------------------------------------------------- ours


def samples_of(net: nn.Network, n: int) -> tuple[Array, Array]:
    """Noise of one channel, with random labels of two classes."""
    x, y = samples(n, net.input_shape)
    return x, y % 2


def masked(layer: Layer, sparsity: float, kernels: Kernels = "auto") -> nn.Network:
    """The layer's network with a mask on its weight alone."""
    net = layer.network()
    masks = {name: np.ones(weight.shape, bool) for name, weight in net.weights.items()}
    net.apply({**masks, WEIGHT: layer.mask(sparsity)}, kernels=kernels)
    return net


def steps_of(layer: Layer, net: nn.Network, n: int) -> Call:
    """Steps of training on `n` samples, as many as a timed run has."""
    return repeated(training_step(net, *samples_of(net, n)), layer.times)


def figures_of(layer: Layer, times: Times, without: Sequence[Times] = ()) -> tuple[float, float]:
    """Median and best of one computation of the layer.

    Parameters
    ----------
    without : sequence of Times
        Of the networks without it, if these are times of a network with it.
    """
    median = times.median - sum(other.median for other in without) / max(1, len(without))
    best = times.best - sum(other.best for other in without) / max(1, len(without))
    return median / layer.times, best / layer.times


# ------------------------------------------------------------------------- torch


def task_of(layer: Layer, sparsity: float, n: int) -> dict[str, Any]:
    """The masked weight and an input, as `sparse_peers` takes them."""
    weight = masked(layer, sparsity).weights[WEIGHT]
    rng = np.random.default_rng(1)
    shape = (n, layer.inputs, *([layer.side] * 2 if layer.side else []))
    return {
        "weight": torch.from_numpy(weight.copy()),
        "x": torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)),
        "stride": layer.stride,
        "padding": layer.padding,
        "times": layer.times,
    }


def torch_products(task: dict[str, Any]) -> Call:
    """torch: the products of all weights, without a network around them."""
    weight, x = task["weight"].requires_grad_(), task["x"].requires_grad_()

    def forward() -> torch.Tensor:
        if weight.dim() == 2:
            return torch.nn.functional.linear(x, weight)
        return torch.nn.functional.conv2d(x, weight, None, task["stride"], task["padding"])

    gradient = torch.randn_like(forward())
    return repeated(lambda: torch.autograd.grad(forward(), (x, weight), gradient), task["times"])


def csr_products(task: dict[str, Any]) -> Call:
    """torch: those of the kept weights of a linear layer, on arrays transposed beforehand.

    Raises
    ------
    RuntimeError
        If they differ from the products of all weights.
    """
    dense, x = task["weight"].detach(), task["x"].detach()
    weight, transposed = dense.to_sparse_csr(), dense.t().to_sparse_csr()
    columns = x.t().contiguous()
    gradient = torch.randn_like(weight @ columns)
    zeros = torch.zeros_like(weight.values())
    places = weight.crow_indices(), weight.col_indices()
    zero = torch.sparse_csr_tensor(*places, zeros, weight.shape, check_invariants=False)

    def products() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        of_weights = torch.sparse.sampled_addmm(zero, gradient, x, beta=0.0)
        return weight @ columns, transposed @ gradient, of_weights

    expected = dense @ columns, dense.t() @ gradient, (gradient @ x) * (dense != 0)
    for found, wanted in zip(products(), expected, strict=True):
        if not torch.allclose(found.to_dense(), wanted, atol=1e-3):
            raise RuntimeError("the products of torch CSR are wrong")
    return repeated(products, task["times"])


# ------------------------------------------------------------------------- checks of equal results


def check_layer(layer: Layer, sparsity: float, n: int) -> None:
    """Compare three steps over kept weights with those over all, and outputs with torch's.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    kernels: tuple[Kernels, ...] = ("auto", "dense")
    losses = {}
    for kernel in kernels:
        net = masked(layer, sparsity, kernel)
        x, y = samples_of(net, n)
        check_logits(net, x)
        step = training_step(net, x, y, rate=0.1)
        losses[kernel] = [step() for _ in range(3)][-1]
    check_losses(losses)
