"""Calls on models of PyTorch: gradients, searches, steps of training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import swiftforce.torch as sft
import torch
from torch.nn.functional import cross_entropy

from benchmarks.classifiers import Kind, samples
from benchmarks.measure import Call
from benchmarks.plan import keep_for
from benchmarks.reference import Reference, check_agreement
from Tests.python.support import torch_twin

Batch = tuple[torch.Tensor, torch.Tensor]


def model_of(kind: Kind) -> torch.nn.Module:
    """A network in torch, in train mode. Networks of one kind have the same weights."""
    return torch_twin.twin(kind.make(), torch.float32)


def batches_of(count: int, size: int) -> list[Batch]:
    """Batches of images of noise, with random labels."""
    x, y = map(torch.from_numpy, samples(count * size))
    return list(zip(x.split(size), y.split(size), strict=True))


def size_of(model: torch.nn.Module) -> int:
    """Number of prunable weights."""
    return sum(weight.numel() for weight in sft.prunable(model).values())


def gradients(model: torch.nn.Module, batch: Batch) -> Call:
    """Forward and backward, for the gradients of the prunable weights."""
    weights = list(sft.prunable(model).values())
    x, y = batch
    return lambda: torch.autograd.grad(cross_entropy(model(x), y), weights)


def reference_steps(model: torch.nn.Module, batches: Sequence[Batch], keeps: Sequence[int]) -> Call:
    """The published algorithm: each call is a step with the next batch."""
    search = Reference(model, sft.prunable(model))
    steps = zip(cycle(batches), keeps, strict=False)

    def step() -> Reference:
        (x, y), keep = next(steps)
        search.step(x, y, keep)
        return search

    return step


def check_searches(model: torch.nn.Module, batches: Sequence[Batch], keep: int) -> None:
    """Compare the masks of swiftforce and the published algorithm after two steps.

    Raises
    ------
    RuntimeError
        If the masks differ.
    """
    keeps = (round((size_of(model) * keep) ** 0.5), keep)
    ours = sft.prune(model, batches, loss=cross_entropy, method="force", schedule=keeps)
    step = reference_steps(model, batches, keeps)
    step()
    check_agreement(ours.masks, step(), keep)


def training_step(kind: Kind, batch: Batch, sparsity: float | None = None) -> Call:
    """A step of SGD with momentum on a new model; with masks if a sparsity is given."""
    model = model_of(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    if sparsity is not None:
        sft.apply(model, sft.prune(model, method="magnitude", sparsity=sparsity), optimizer)
    x, y = batch

    def step() -> torch.nn.Module:
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
        return model

    return step


def check_removed(model: torch.nn.Module, sparsity: float) -> None:
    """Check the number of zero weights of a trained model.

    Raises
    ------
    RuntimeError
        If it is wrong: training changed removed weights.
    """
    zeros = sum(int((weight == 0).sum()) for weight in sft.prunable(model).values())
    size = size_of(model)
    if zeros != size - keep_for(size, sparsity):
        raise RuntimeError(f"{zeros} of {size} weights are zero where {sparsity:g} are removed")
