"""A model and the world around it, left after a search as they were before it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def preserved(
    model: nn.Module, parameters: Iterable[nn.Parameter], *, train: bool
) -> Iterator[None]:
    """Inside, the model is in the mode asked for and `parameters` have gradients.

    Afterwards, also after an exception: training flags, buffers (the statistics of batch
    normalisation among them), gradients, ``requires_grad`` and the state of all generators of
    random numbers (torch on CPU and GPU, numpy, Python) are as before.
    """
    with ExitStack() as stack:
        stack.enter_context(_generators())
        stack.enter_context(_buffers(model))
        stack.enter_context(_gradients(model))
        stack.enter_context(_flags(model, tuple(parameters)))
        model.train(train)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


@contextmanager
def _generators() -> Iterator[None]:
    of_torch, of_numpy, of_python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    of_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_python)
        if of_gpus:
            torch.cuda.set_rng_state_all(of_gpus)


@contextmanager
def _buffers(model: nn.Module) -> Iterator[None]:
    kept = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, contents in kept:
                buffer.copy_(contents)
                module._buffers[name] = buffer


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
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        for module, training in modes:
            module.training = training
