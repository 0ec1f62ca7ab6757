"""What the engine is asked to do, and torch beside it: the same network, samples and work."""

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

#: How far gradients may be from torch's, as a share of their length. Activations that are nearly
#: zero go either way: on ResNet50 torch itself is 0.014 from its own gradients in binary64.
CLOSE = 0.05


# ------------------------------------------------------------------------- gradients


def gradients(net: nn.Network, x: Array, y: Array) -> Call:
    """Ours: forward and backward at the dense weights."""
    found = net.gradients_on(x, y)
    return lambda: found(net.weights)


def torch_gradients(
    net: nn.Network, x: Array, y: Array, layout: torch.memory_format = torch.contiguous_format
) -> Call:
    """The same of torch, for the weights alone; biases are not asked for."""
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
    """Ours: each call is a step that keeps so many weights."""
    search = sf.MaskSearch(net.weights, method="force", schedule=[keep] * steps)
    found = net.gradients_on(x, y)

    def step() -> sf.MaskSearch:
        search.step(found(search.masked_weights))
        return search

    return step


def torch_force_steps(net: nn.Network, x: Array, y: Array, keep: int) -> Call:
    """The published algorithm on torch, in a loop without end."""
    search = Reference(torch_twin.twin(net, torch.float32), net.weights)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    return lambda: search.step(inputs, labels, keep)


# ------------------------------------------------------------------------- evaluation


def evaluation(net: nn.Network, x: Array, y: Array) -> Call:
    """Ours: loss and accuracy."""
    return lambda: net.evaluate(x, y)


def torch_evaluation(net: nn.Network, x: Array, y: Array, size: int) -> Call:
    """The same of torch, in batches of a size."""
    module = torch_twin.twin(net, torch.float32).eval()
    inputs, labels = torch.from_numpy(x).split(size), torch.from_numpy(y).split(size)

    @torch.inference_mode()
    def call() -> tuple[float, int]:
        loss, correct = 0.0, 0
        for batch, wanted in zip(inputs, labels, strict=True):
            logits = module(batch)
            loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            correct += int((logits.argmax(1) == wanted).sum())
        return loss / len(y), correct

    return call


# ------------------------------------------------------------------------- memory


def needed(net: nn.Network, n: int) -> int:
    """Bytes of weights and biases, their gradients, and outputs of layers for so many samples.

    Of convolutions, batch norms and pools, each once; not of ReLU, which can overwrite its input.
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


# ------------------------------------------------------------------------- are they the same


def check_gradients(ours: Mapping[str, Array], theirs: Mapping[str, torch.Tensor]) -> None:
    """Compare the gradients of both.

    Raises
    ------
    RuntimeError
        If a figure would be that of wrong gradients.
    """
    for name, gradient in ours.items():
        wanted = theirs[name].numpy()
        if np.linalg.norm(gradient - wanted) > CLOSE * np.linalg.norm(wanted):
            raise RuntimeError(f"the gradients of swiftforce and torch differ at {name}")


def check_masks(ours: sf.MaskSearch, theirs: Mapping[str, torch.Tensor], keep: int) -> None:
    """Compare the masks of a first step of both, which may differ where scores nearly tie; count.

    Later steps can not be compared: what a step does to a few weights, the next does to many.

    Raises
    ------
    RuntimeError
        If a figure would be that of a wrong mask.
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
        If a figure would be that of a wrong evaluation.
    """
    loss, correct = theirs
    if abs(ours.loss - loss) > 1e-3 * loss or abs(ours.correct - correct) > 0.001 * ours.count:
        raise RuntimeError("the evaluations of swiftforce and torch differ")
