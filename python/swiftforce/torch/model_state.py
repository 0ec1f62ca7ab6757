"""The state of a model and of random number generators, restored after a search."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import nn

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.interrupts import Interrupts
from swiftforce.torch.snapshot import Parts, Snapshot, Structure

Mode = Literal["train", "eval", "as_is"]


class ModelState:
    """Puts a model in the state for scoring, and restores its state at the end.

    Inside, the model is in the given mode, `parameters` require gradients, and no parameter has
    hooks or a gradient. At the end, also after an exception, all is as before, bit for bit,
    whoever changed it: parameters and buffers, training flags, caches and other attributes,
    gradients, hooks, ``requires_grad``, and the states of random number generators (of torch on
    CPU and GPU, numpy, Python, the model, and of `batches` if it is a DataLoader). Signals such as
    Ctrl-C wait while the state is being saved or restored.

    Saving it costs one copy of all parameters and buffers in host memory, those of `parameters`
    excepted if `weights` restores them.

    Parameters
    ----------
    model : nn.Module
    parameters : iterable of nn.Parameter
        The parameters that are searched.
    batches : object
    mode : {"train", "eval", "as_is"}
        Modes are set by the model's own ``train`` and ``eval``, where models drop what they have
        cached. "as_is" leaves the flags of all modules as they are.
    weights : context manager, optional
        Restores the values of `parameters`.
    contexts : context managers
        Entered last and left first, also protected from signals.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: Iterable[nn.Parameter],
        batches: object,
        *,
        mode: str,
        weights: AbstractContextManager[Any] | None = None,
        contexts: Iterable[AbstractContextManager[Any]] = (),
    ) -> None:
        self._model = model
        self._parameters = tuple(parameters)
        self._batches = batches
        self._mode = mode
        self._weights = weights
        self._contexts = tuple(contexts)
        self._stack = ExitStack()
        self._caches: Structure | None = None
        self._interrupts = Interrupts(ModelState.__enter__.__code__, ModelState.__exit__.__code__)

    def __enter__(self) -> Self:
        self._interrupts.install()
        try:
            self._begin(self._stack)
            self._interrupts.deliver()
        except BaseException:
            try:
                self._stack.close()
            finally:
                self._interrupts.uninstall()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._stack.__exit__(kind, error, trace)
        finally:
            self._interrupts.uninstall()

    def _begin(self, stack: ExitStack) -> None:
        check_initialised(self._model)
        stack.callback(torch.clear_autocast_cache)  # It holds casts of masked weights.
        stack.enter_context(forked_generators(self._batches))
        snapshot = Snapshot(
            self._model, without=self._parameters if self._weights is not None else ()
        )
        stack.callback(snapshot.restore)
        if self._weights is not None:
            stack.enter_context(self._weights)
        snapshot.suspend()
        for one in self._parameters:
            _check_can_require_grad(self._model, one)
            one.requires_grad_(True)
        stack.callback(set_mode, self._model, train=self._model.training)
        self._set_mode()
        for context in self._contexts:
            stack.enter_context(context)
        if not self._model.training:  # What the contexts put into the model is no cache.
            self._caches = Structure(Parts(self._model, own=True), own=True)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())

    def _set_mode(self) -> None:
        flags = [(module, module.training) for module in self._model.modules()]
        as_is = self._mode == "as_is"
        train = self._model.training if as_is else self._mode == "train"
        if self._model.training == train:
            # What the model has cached in this mode is of the dense weights: the way through the
            # other mode drops it.
            set_mode(self._model, train=not train)
        set_mode(self._model, train=train)
        if as_is:
            for module, training in flags:
                module.training = training

    def begin_batch(self) -> None:
        """Drop what the model cached of earlier weights, in eval mode; let waiting signals act."""
        self._interrupts.deliver()
        if self._caches is not None:
            self._caches.restore()


def set_mode(model: nn.Module, *, train: bool) -> None:
    """Call the model's own ``train`` or ``eval``, which may do more than setting flags."""
    first = next(iter(inspect.signature(model.train).parameters), None)
    if first != "mode" and type(model).train is not nn.Module.train:
        nn.Module.train(model, train)  # Its own ``train`` is something else: it trains, perhaps.
    elif train:
        model.train()
    else:
        model.eval()


def check_initialised(model: nn.Module) -> None:
    """Refuse a model with parameters or buffers that have no values yet.

    Raises
    ------
    UnsupportedTypeError
    """
    named = (*model.named_parameters(), *model.named_buffers())
    lazy = [name for name, one in named if nn.parameter.is_lazy(one)]
    if lazy:
        raise UnsupportedTypeError(
            f"{lazy[0]} has no values yet: run one batch through the model before pruning it"
        )


def _check_can_require_grad(model: nn.Module, parameter: nn.Parameter) -> None:
    if not parameter.is_inference():
        return
    name = next((name for name, one in model.named_parameters() if one is parameter), "a parameter")
    raise UnsupportedTypeError(
        f"{name} was made under torch.inference_mode, so it can have no gradient: make or load the "
        "model outside of it (torch.no_grad is enough), or pass copy.deepcopy(model)"
    )


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
