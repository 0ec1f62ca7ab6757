"""Calls of the engine and of torch with the same network, samples and work."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import swiftforce as sf
import torch
from swiftforce import nn

from benchmarks.arrays import Array
from benchmarks.measure import Call
from benchmarks.reference import Reference
from Tests.python.support import torch_twin

#: Largest distance of gradients to torch's, relative to their norm. Rounding decides the sign of
#: activations near zero: on ResNet50, torch's own gradients differ by 0.014 from those in binary64.
CLOSE = 0.05


# ------------------------------------------------------------------------- gradients


def gradients(net: nn.Network, x: Array, y: Array) -> Call:
    """swiftforce: forward and backward at the dense weights."""
    found = net.gradients_on(x, y, loss="cross_entropy")
    return lambda: found(net.weights)


def torch_gradients(
    net: nn.Network, x: Array, y: Array, layout: torch.memory_format = torch.contiguous_format
) -> Call:
    """torch: the same, for the gradients of weights but not of biases."""
    module = torch_twin.twin(net, torch.float32).to(memory_format=layout)
    inputs = torch.from_numpy(x).to(memory_format=layout)
    labels = torch.from_numpy(y)
    parameters = torch_twin.parameters(module)
    names = list(net.weights)
    weights = [parameters[name] for name in names]

    def call() -> dict[str, torch.Tensor]:
        loss = torch.nn.functional.cross_entropy(module(inputs), labels)
        return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))

    return call


# ------------------------------------------------------------------------- steps of FORCE


def force_steps(net: nn.Network, x: Array, y: Array, keep: int, steps: int) -> Call:
    """swiftforce: each call is a step that keeps `keep` weights."""
    search = sf.MaskSearch(net.weights, method="force", schedule=[keep] * steps)
    found = net.gradients_on(x, y, loss="cross_entropy")

    def step() -> sf.MaskSearch:
        search.step(found(search.masked_weights))
        return search

    return step


def torch_force_steps(net: nn.Network, x: Array, y: Array, keep: int) -> Call:
    """torch: each call is a step of the published algorithm."""
    search = Reference(torch_twin.twin(net, torch.float32), net.weights)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    return lambda: search.step(inputs, labels, keep)


# ------------------------------------------------------------------------- evaluation


def evaluation(net: nn.Network, x: Array, y: Array) -> Call:
    """swiftforce: loss and accuracy."""
    return lambda: net.evaluate(x, y)


def torch_evaluation(net: nn.Network, x: Array, y: Array, size: int) -> Call:
    """torch: the same, in batches of this size."""
    module = torch_twin.twin(net, torch.float32).eval()
    inputs, labels = torch.from_numpy(x).split(size), torch.from_numpy(y).split(size)

    @torch.inference_mode()
    def call() -> tuple[float, int]:
        loss, correct = 0.0, 0
        for batch, targets in zip(inputs, labels, strict=True):
            logits = module(batch)
            loss += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
            correct += int((logits.argmax(1) == targets).sum())
        return loss / len(y), correct

    return call


# ------------------------------------------------------------------------- memory


def required_bytes(net: nn.Network, n: int) -> int:
    """Bytes of weights, biases, their gradients, and the outputs of layers for `n` samples.

    Outputs of convolutions, batch norms and pools count once. ReLU can overwrite its input.
    """
    module = torch_twin.twin(net, torch.float32).eval()
    layers = (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.MaxPool2d, torch.nn.AvgPool2d)
    numbers = 0

    def count(_: torch.nn.Module, __: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()

    for layer in module.modules():
        if isinstance(layer, (*layers, torch.nn.AdaptiveAvgPool2d)):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        module(torch.zeros(1, 3, 32, 32))
    parameters = sum(value.numel() for value in module.parameters())
    return 4 * (2 * parameters + n * numbers)


# ------------------------------------------------------------------------- checks of equal results


def check_gradients(ours: Mapping[str, Array], theirs: Mapping[str, torch.Tensor]) -> None:
    """Compare the gradients of both.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    for name, gradient in ours.items():
        expected = theirs[name].numpy()
        if np.linalg.norm(gradient - expected) > CLOSE * np.linalg.norm(expected):
            raise RuntimeError(f"the gradients of swiftforce and torch differ at {name}")


def check_masks(ours: sf.MaskSearch, theirs: Mapping[str, torch.Tensor], keep: int) -> None:
    """Check the number of weights kept, and compare the masks of the first step of both.

    Masks may differ at near ties. Later steps are not compared, since differences grow.

    Raises
    ------
    RuntimeError
        If they differ by more than near ties.
    """
    masks = {name: np.asarray(mask) for name, mask in ours.masks.items()}
    if sum(int(mask.sum()) for mask in masks.values()) != keep:
        raise RuntimeError(f"swiftforce does not keep {keep} weights")
    other = sum(int((mask != (theirs[name].numpy() > 0)).sum()) for name, mask in masks.items())
    if other > 0.02 * keep:
        raise RuntimeError("the masks of swiftforce and torch differ")


def check_evaluation(ours: nn.Evaluation, theirs: tuple[float, int]) -> None:
    """Compare loss and number of correct samples.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    loss, correct = theirs
    if abs(ours.loss - loss) > 1e-3 * loss or abs(ours.correct - correct) > 0.001 * ours.count:
        raise RuntimeError("the evaluations of swiftforce and torch differ")
