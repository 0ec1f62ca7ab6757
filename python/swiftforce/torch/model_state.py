"""The state of a model and of random number generators, restored after a search."""

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
    """Put a model in the state for scoring, and restore its state at the end.

    Inside, the model is in train or eval mode, `parameters` require gradients, and no parameter has
    hooks. At the end, also after an exception, these are as before: training flags, buffers (such
    as the statistics of batch normalisation), gradients, hooks, ``requires_grad``, and the states
    of random number generators (of torch on CPU and GPU, numpy, Python, and of `batches` if it is a
    DataLoader).
    """
    with ExitStack() as stack:
        stack.callback(torch.clear_autocast_cache)  # It holds casts of masked weights.
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
    """Restore the states of all random number generators at the end."""
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
    """The generators that a DataLoader shuffles with."""
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
        with ExitStack() as stack:  # If one cannot be restored, the others still are.
            for module, name, buffer, before in kept:
                module._buffers[name] = buffer
                if buffer is not None and before is not None:
                    stack.callback(_restore_buffer, buffer, *before)


def _restore_buffer(buffer: torch.Tensor, version: int, contents: torch.Tensor) -> None:
    """Write a buffer if it changed; an expanded buffer cannot be written, so it did not change."""
    is_same = buffer._version == version
    if is_same and buffer.layout == torch.strided:
        # Batch normalisation does not increment the version when it writes its statistics.
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
            # A hook could mask gradients, and so the scores, or take a step of an optimizer.
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
