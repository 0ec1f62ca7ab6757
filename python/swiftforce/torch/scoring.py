"""The methods by name: what a step is scored by, and which search of the core runs it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import inf
from typing import Any

import torch
from torch import nn

from swiftforce.adapters import endless
from swiftforce.errors import (
    HyperparameterError,
    MissingGradientsError,
    StepsError,
    UnknownNameError,
)
from swiftforce.inputs import integer, method_info
from swiftforce.inputs import methods as methods_of_core
from swiftforce.search import check_steps
from swiftforce.torch.gradients import Parameters, hessian_gradients, mean_gradients, synaptic_flow
from swiftforce.torch.objective import BatchLoss, Loss, Objective, input_of
from swiftforce.torch.parameters import unwrapped
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.sharded import Sharding

#: Methods that this adapter scores for; the core chooses.
GRASP, SYNFLOW = "grasp", "synflow"
#: Steps of SynFlow where the caller names none: those of its paper.
SYNFLOW_STEPS = 100
#: The outputs' divisor of GraSP where the caller names none: that of its authors' code.
GRASP_TEMPERATURE = 200.0


def methods() -> tuple[str, ...]:
    """Names of all methods of `prune`: those of `swiftforce.methods`, and two more.

    Examples
    --------
    >>> import swiftforce.torch as sft
    >>> sft.methods()[-2:]
    ('grasp', 'synflow')
    """
    return (*methods_of_core(), GRASP, SYNFLOW)


@dataclass(frozen=True)
class Method:
    """A method by its name.

    Attributes
    ----------
    name : str
    core : str
        The method of the core that runs its steps.
    is_one_shot : bool
    needs_batches : bool
    steps : int, optional
        So many where the caller names none, if not as many as the core takes.
    """

    name: str
    core: str
    is_one_shot: bool
    needs_batches: bool
    steps: int | None = None

    def is_train(self, mode: str | None) -> bool:
        """Whether the model is scored in its training mode."""
        if mode not in {None, "train", "eval"}:
            raise UnknownNameError(f"there is no mode {mode!r}; there are: train, eval")
        if self.name == SYNFLOW and mode == "train":
            raise UnknownNameError("synflow scores one input of ones, in the mode 'eval' alone")
        return mode != "eval" and self.name != SYNFLOW

    def check_steps(self, steps: int | None) -> None:
        """Refuse a number of steps that a one-shot method does not take."""
        if self.is_one_shot and steps is not None:
            check_steps(integer(steps, "steps", StepsError), self.name, one_shot=True)

    def scoring(
        self,
        model: nn.Module,
        parameters: Parameters,
        batches: Iterable[Any] | None,
        *,
        loss: Loss | None,
        batch_loss: BatchLoss | None,
        batches_per_step: int,
        temperature: float | None,
        ranks: Ranks | None,
        sharding: Sharding | None,
    ) -> Scoring:
        """What its steps are scored by; no batch is taken yet.

        Raises
        ------
        HyperparameterError, MissingGradientsError
        """
        count = integer(batches_per_step, "batches_per_step", HyperparameterError)
        if count < 1:
            raise HyperparameterError(f"batches_per_step must be at least 1, not {count}")
        if temperature is not None and (self.name != GRASP or loss is None):
            raise HyperparameterError(
                "temperature is for the method grasp with loss(output, target)"
            )
        if temperature is not None and not 0 < temperature < inf:
            raise HyperparameterError(f"temperature must be above 0, not {temperature}")
        if not self.needs_batches:
            return Scoring((), 0)
        if batches is None:
            raise MissingGradientsError(
                f"the method {self.name!r} scores weights by batches: pass them"
            )
        device = next(iter(parameters.values())).device
        if self.name == SYNFLOW:
            return _SynapticFlow(batches, model, parameters, device)
        if temperature is None:
            temperature = GRASP_TEMPERATURE if self.name == GRASP and loss is not None else 1.0
        objective = Objective(model, loss, batch_loss, device=device, temperature=temperature)
        weighs = count > 1 or ranks is not None or sharding is not None
        if self.name == GRASP:
            derive = partial(hessian_gradients, ranks=ranks, weighs=weighs)
        else:
            derive = partial(mean_gradients, ranks=ranks, weighs=weighs, sharding=sharding)
        return _Derivatives(batches, count, partial(derive, objective, parameters))


def method_of(name: str) -> Method:
    """The method of a name.

    Raises
    ------
    UnknownNameError
    """
    if name == GRASP:
        return Method(name, core="", is_one_shot=True, needs_batches=True)
    if name == SYNFLOW:
        return Method(
            name, "iterative_snip", is_one_shot=False, needs_batches=True, steps=SYNFLOW_STEPS
        )
    if name not in methods_of_core():
        raise UnknownNameError(f"there is no method {name!r}; there are: {', '.join(methods())}")
    info = method_info(name)
    return Method(name, name, info["one_shot"], info["needs_gradients"])


class Scoring:
    """What one step after another is scored by; here, by nothing but the weights.

    Parameters
    ----------
    batches : iterable
    count : int
        Of the batches that a step takes.
    """

    def __init__(self, batches: Iterable[Any], count: int) -> None:
        self._queue: Iterator[Any] = endless(batches)
        self._count = count

    def __call__(self) -> list[torch.Tensor] | None:
        """Gradients of the next step, one for each parameter."""
        return None

    def skip(self, steps: int) -> None:
        """Go through the batches of so many steps."""
        for _ in range(steps):
            deque(self._take(), maxlen=0)

    def _take(self) -> Iterator[Any]:
        """The batches of a step, one after the other."""
        return islice(self._queue, self._count)


class _Derivatives(Scoring):
    """Gradients of the loss, or their products with the Hessian."""

    def __init__(
        self,
        batches: Iterable[Any],
        count: int,
        derive: Callable[[Iterable[Any]], list[torch.Tensor]],
    ) -> None:
        super().__init__(batches, count)
        self._derive = derive

    def __call__(self) -> list[torch.Tensor]:
        return self._derive(self._take())


class _SynapticFlow(Scoring):
    """Synaptic flow, for which one batch shows the shape of an input."""

    def __init__(
        self,
        batches: Iterable[Any],
        model: nn.Module,
        parameters: Parameters,
        device: torch.device,
    ) -> None:
        super().__init__(batches, 0)
        self._model = model
        self._parameters = parameters
        self._device = device
        self._example: torch.Tensor | None = None

    def __call__(self) -> list[torch.Tensor]:
        if self._example is None:
            self._example = input_of(next(self._queue)).to(self._device)
        return synaptic_flow(unwrapped(self._model), self._parameters, self._example)
