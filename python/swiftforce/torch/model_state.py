"""A model and the world around it, left after a search as they were before it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def temporary_state(
    model: nn.Module, parameters: Iterable[nn.Parameter], batches: object, *, train: bool
) -> Iterator[None]:
    """Inside, the model is in the mode asked for, and `parameters` have gradients and no hooks.

    Afterwards, also after an exception: training flags, buffers (the statistics of batch
    normalisation among them), gradients, hooks, ``requires_grad`` and the state of all generators
    of random numbers (of torch on CPU and GPU, numpy, Python, and of `batches`, if that is a
    DataLoader) are as before.
    """
    with ExitStack() as stack:
        stack.callback(torch.clear_autocast_cache)  # casts of masked weights
        stack.enter_context(forked_generators(batches))
        stack.enter_context(_buffers(model))
        stack.enter_context(_gradients(model))
        stack.enter_context(_flags(model, tuple(parameters)))
        model.train(train)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


@contextmanager
def forked_generators(batches: object = None) -> Iterator[None]:
    """Afterwards, all generators of random numbers are as before."""
    of_torch, of_numpy, of_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    of_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    of_batches = [(one, one.get_state()) for one in _generators_of(batches)]
    try:
        yield
    finally:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        if of_gpus:
            torch.cuda.set_rng_state_all(of_gpus)
        for generator, state in of_batches:
            generator.set_state(state)


def _generators_of(batches: object) -> list[torch.Generator]:
    """The generators that a DataLoader shuffles by."""
    holders = (batches, getattr(batches, "sampler", None))
    found = (getattr(holder, "generator", None) for holder in holders)
    return [one for one in found if isinstance(one, torch.Generator)]


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    kept = [
        (module, name, buffer, None if buffer is None else (buffer._version, buffer.clone()))
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        yield
    finally:
        with ExitStack() as stack:  # one that cannot be put back does not keep the others from it
            for module, name, buffer, before in kept:
                module._buffers[name] = buffer
                if buffer is not None and before is not None:
                    stack.callback(_put_back, buffer, *before)


def _put_back(buffer: torch.Tensor, version: int, contents: torch.Tensor) -> None:
    """Write a buffer where it changed; one that cannot be written, as it is expanded, did not."""
    is_same = buffer._version == version
    if is_same and buffer.layout == torch.strided:
        # Batch normalisation writes its statistics without counting it as a new version.
        is_same = buffer.equal(contents)
    if is_same:
        return
    with torch.no_grad():
        if buffer.shape != contents.shape:
            buffer.resize_(contents.shape)
        buffer.copy_(contents)


@contextmanager
def _gradients(model: nn.Module) -> Iterator[None]:
    kept = [(parameter, parameter.grad) for parameter in model.parameters()]
    try:
        for parameter, _ in kept:
            parameter.grad = None
        yield
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient


@contextmanager
def _flags(model: nn.Module, parameters: tuple[nn.Parameter, ...]) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    flags = [(one, one.requires_grad) for one in parameters]
    hooks = [
        (one, one._backward_hooks, one._post_accumulate_grad_hooks) for one in model.parameters()
    ]
    try:
        for one in parameters:
            one.requires_grad_(True)
        for one, _, _ in hooks:
            # One that masks gradients would mask the scores, one that takes a step would take it.
            one._backward_hooks = None
            one._post_accumulate_grad_hooks = None  # type: ignore[assignment]
        yield
    finally:
        for one, backward, accumulated in hooks:
            one._backward_hooks = backward
            one._post_accumulate_grad_hooks = accumulated
        for one, is_trained in flags:
            one.requires_grad_(is_trained)
        for module, training in modes:
            module.training = training
