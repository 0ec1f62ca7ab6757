"""The methods by name: what scores a step, and which search of the core runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, cast

import torch
from torch import nn

from swiftforce.adapters import check_given_scores
from swiftforce.distributed import Communicator
from swiftforce.errors import (
    HyperparameterError,
    MissingGradientsError,
    ScheduleError,
    StepsError,
    UnknownNameError,
)
from swiftforce.inputs import MethodName as CoreMethodName
from swiftforce.inputs import (
    RuleName,
    SaliencyName,
    canonical_name,
    integer,
    method_info,
    schedules,
)
from swiftforce.inputs import methods as core_methods
from swiftforce.search import Schedule, check_steps
from swiftforce.torch.arguments import check_objective
from swiftforce.torch.batch_parts import with_tensors
from swiftforce.torch.eager import eager
from swiftforce.torch.given_scores import GivenScores, Scores
from swiftforce.torch.gradients import Averaging, Parameters, hessian_gradients, mean_gradients
from swiftforce.torch.model_state import Mode
from swiftforce.torch.objective import BatchLoss, Loss, Objective
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.reached import Reached, unreached_error
from swiftforce.torch.second_derivatives import contexts
from swiftforce.torch.sharded import Sharding
from swiftforce.torch.step_scoring import Scoring
from swiftforce.torch.synaptic_flow import check_example, synaptic_flow
from swiftforce.torch.wrappers import unwrapped

MethodName = Literal[CoreMethodName, "grasp", "synflow"]

#: Methods whose scores this package computes; the core selects by them.
GRASP, SYNFLOW = "grasp", "synflow"
#: Default number of steps of SynFlow: that of its paper.
SYNFLOW_STEPS = 100
#: Default temperature of GraSP: that of its authors' code.
GRASP_TEMPERATURE = 200.0


def methods() -> tuple[str, ...]:
    """Names of all methods of `prune`: those of `swiftforce.methods`, and two more.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import swiftforce.torch as sft
    >>> sft.methods()[-2:]
    ('grasp', 'synflow')
    """
    return (*core_methods(), GRASP, SYNFLOW)


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    name : str
    core : str, optional
        The method of the core that runs its steps; None for GraSP, whose step is a selection.
    is_one_shot : bool
        Whether it takes exactly one step.
    needs_batches : bool
    steps : int, optional
        Its default number of steps, if that is not the core's.
    saliency, rule : str, optional
        In place of those of the core's method.
    is_given : bool
        Whether the caller computes its scores.
    """

    name: str
    core: CoreMethodName | None
    is_one_shot: bool
    needs_batches: bool
    steps: int | None = None
    saliency: SaliencyName | None = None
    rule: RuleName | None = None
    is_given: bool = False

    @property
    def runs_model(self) -> bool:
        """Whether something is computed by the model, which may change its state."""
        return self.needs_batches or self.is_given

    @property
    def takes_gradients(self) -> bool:
        """Whether its scores are computed from the loss of batches."""
        return self.needs_batches and not self.is_flow

    @property
    def is_flow(self) -> bool:
        """Whether its scores are those of the synaptic flow."""
        return self.name == SYNFLOW

    def mode_of(self, mode: str | None) -> Mode:
        """The mode that the model is scored in.

        Raises
        ------
        UnknownNameError
        """
        if mode is not None:
            mode = canonical_name("mode", mode, ("train", "eval", "as_is"))
        if self.name == SYNFLOW and mode == "train":
            raise UnknownNameError("synflow scores the model in eval mode: leave mode out")
        return cast(Mode, mode or ("eval" if self.name == SYNFLOW else "train"))

    def steps_of(self, steps: int | None, schedule: Schedule) -> int | None:
        """The number of steps to search with; None for the core's default, or a list's length.

        Raises
        ------
        StepsError, ScheduleError

        Warns
        -----
        StepsIgnoredWarning
            If a one-shot method is given several steps.
        """
        if self.name == GRASP:
            if not isinstance(schedule, str):
                raise ScheduleError("grasp takes one step: pass sparsity or keep, not a schedule")
            canonical_name("schedule", schedule, schedules())
        if steps is None:
            return self.steps if isinstance(schedule, str) else None
        count = integer(steps, "steps", StepsError)
        return check_steps(count, self.name, one_shot=self.is_one_shot)

    def scoring(
        self,
        model: nn.Module,
        parameters: Parameters,
        batches: Iterable[Any] | None,
        *,
        loss: Loss | None,
        batch_loss: BatchLoss | None,
        scores: Scores | None,
        batches_per_step: int,
        temperature: float | None,
        ranks: Ranks | None,
        sharding: Sharding | None,
    ) -> Scoring:
        """What computes the scores of its steps; takes no batch yet.

        Raises
        ------
        HyperparameterError, MissingGradientsError, UnsupportedTypeError, UnknownNameError
        """
        count = integer(batches_per_step, "batches_per_step", HyperparameterError)
        if count < 1:
            raise HyperparameterError(f"batches_per_step must be at least 1, not {count}")
        if temperature is not None and (self.name != GRASP or loss is None):
            raise HyperparameterError(
                "temperature is for the method grasp with loss(output, target): leave it out"
            )
        if temperature is not None and not 0 < temperature < inf:
            raise HyperparameterError(
                f"temperature must be a finite number above 0, not {temperature}"
            )
        of_loss = {
            "batches": batches,
            "loss": loss,
            "batch_loss": batch_loss,
            "batches_per_step": None if count == 1 else count,
        }
        if check_given_scores(self.saliency, scores, of_loss, signature="scores(model)"):
            assert scores is not None
            return GivenScores(model, parameters, scores, ranks)
        if not self.needs_batches:
            return Scoring((), 0)
        device = next(iter(parameters.values())).device
        if self.name == SYNFLOW:
            if batches is None:
                raise MissingGradientsError(
                    "synflow needs batches for the shape of an input: pass a DataLoader, or a list "
                    "of one tensor"
                )
            return _SynapticFlow(batches, model, parameters, device, batch_loss)
        check_objective(loss, batch_loss, batches, self.name)
        assert batches is not None
        if temperature is None:
            temperature = GRASP_TEMPERATURE if self.name == GRASP and loss is not None else 1.0
        objective = Objective(model, loss, batch_loss, device=device, temperature=temperature)
        how = Averaging(
            Reached(parameters),
            ranks,
            sharding,
            weighs=count > 1 or ranks is not None or sharding is not None,
            method=self.name,
        )
        return _Derivatives(batches, count, objective, parameters, how)


def method_of(
    name: str, saliency: SaliencyName | None = None, rule: RuleName | None = None
) -> Method:
    """The method of that name, in any accepted spelling, with axes in place of its own.

    Raises
    ------
    UnknownNameError
    HyperparameterError
        If its axes cannot be replaced.
    """
    name = canonical_name("method", name, methods())
    if name in {GRASP, SYNFLOW} and (saliency is not None or rule is not None):
        raise HyperparameterError(
            f"saliency and rule are for methods of the core, which {name} is not: leave them out, "
            "or pass another method"
        )
    if name == GRASP:
        return Method(name, core=None, is_one_shot=True, needs_batches=True)
    if name == SYNFLOW:
        return Method(
            name, "iterative_snip", is_one_shot=False, needs_batches=True, steps=SYNFLOW_STEPS
        )
    info = method_info(name, saliency, rule)
    return Method(
        name,
        cast(CoreMethodName, name),
        info["one_shot"],
        info["needs_gradients"],
        saliency=saliency,
        rule=rule,
        is_given=info["saliency"] == "given",
    )


class _Derivatives(Scoring):
    """Gradients of the loss, or their products with the Hessian."""

    def __init__(
        self,
        batches: Iterable[Any],
        count: int,
        objective: Objective,
        parameters: Parameters,
        how: Averaging,
    ) -> None:
        super().__init__(batches, count)
        self._objective = objective
        self._parameters = parameters
        self._how = how

    @property
    def contexts(self) -> tuple[AbstractContextManager[Any], ...]:
        return contexts() if self._how.method == GRASP else ()

    def begin_batches_by(self, begin_batch: Callable[[], None]) -> None:
        self._objective.begin_batch = begin_batch

    def __call__(self) -> list[torch.Tensor]:
        derive = hessian_gradients if self._how.method == GRASP else mean_gradients
        return derive(self._objective, self._parameters, self._take(), self._how)

    def check_reached(self) -> None:
        if self._skipped:
            self._how.reached.add_all()
        ranks, sharding = self._how.ranks, self._how.sharding
        communicators: tuple[Communicator, ...] = () if ranks is None else (ranks.communicator,)
        if sharding is not None:
            communicators = sharding.all_ranks
        missing = self._how.reached.missing(communicators)
        if missing:
            compute = None if sharding is not None else self._compute_once_more
            raise unreached_error(missing, self._parameters, compute)

    def _compute_once_more(self) -> None:
        self._objective(next(self._queue))


class _SynapticFlow(Scoring):
    """Gradients of the synaptic flow; the first batch gives the shape of an input."""

    def __init__(
        self,
        batches: Iterable[Any],
        model: nn.Module,
        parameters: Parameters,
        device: torch.device,
        batch_loss: BatchLoss | None,
    ) -> None:
        super().__init__(batches, 0)
        self._model = model
        self._parameters = parameters
        self._device = device
        self._batch_loss = batch_loss
        self._example: Any = None

    @property
    def contexts(self) -> tuple[AbstractContextManager[Any], ...]:
        return (eager(),)

    def begin_batches_by(self, begin_batch: Callable[[], None]) -> None:
        self._begin_batch = begin_batch

    def __call__(self) -> list[torch.Tensor]:
        self._begin_batch()
        if self._example is None:
            self._example = next(self._queue)
            check_example(self._example)
            if self._batch_loss is None:
                self._example = with_tensors(self._example, lambda one: one.to(self._device))
        model = unwrapped(self._model)
        return synaptic_flow(model, self._parameters, self._example, self._batch_loss)
