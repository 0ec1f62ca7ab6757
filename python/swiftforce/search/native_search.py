"""A search of the native core: it chooses, counts steps and keeps their record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from swiftforce import _core
from swiftforce.errors import RankFailedError, SwiftForceError
from swiftforce.inputs import Array, Tensors, case_number
from swiftforce.native import native_call, public_error
from swiftforce.result import Damping, Layer, Step, layers_of, step_of
from swiftforce.search.agreement import Watch, rank_failure
from swiftforce.search.limits import NO_LIMITS, Limits
from swiftforce.search.shards import Shard


class NativeSearch:
    """The core's search over some weights.

    Parameters
    ----------
    tensors : Tensors
        The dense weights.
    method : str
    keeps : tuple of int
        Weights kept after each step, of all ranks.
    seed : int
    shard : Shard, optional
        This rank's part, if several ranks hold the weights.
    damping : Damping
        Its step is one of `keeps`.
    history : sequence of Step
        The steps that were taken before: the search continues after them.
    initial : int, optional
        Weights of all ranks that the masks keep which the search begins at. To the core they are
        the masks of a first step, of which it has no record.
    axes : (int, int)
        Numbers of the saliency and the rule in place of those of the method; -1: those.
    limits : Limits, optional
        How many weights tensors must and may keep.

    Raises
    ------
    SwiftForceError
        What the core refuses, as the public error.
    """

    def __init__(
        self,
        tensors: Tensors,
        method: str,
        keeps: tuple[int, ...],
        *,
        seed: int,
        shard: Shard | None,
        damping: Damping,
        history: Sequence[Step] = (),
        initial: int | None = None,
        axes: tuple[int, int] = (-1, -1),
        limits: Limits | None = None,
    ) -> None:
        self._tensors = tensors
        self._shard = shard
        # The core has no record of earlier steps.
        self._steps = {step.step: step for step in history}
        #: Whether scores are computed from the weights, so that their sum is an objective.
        self._has_objective = axes[0] < 0 or axes[0] != case_number("saliency", "given")
        #: The objective at the masks of a step, which later gradients tell.
        self._objectives: dict[int, float] = {}
        self._before = () if initial is None else (initial,)
        numbers = (*self._before, *keeps)
        try:
            self._handle = _core.search_create(
                case_number("method", method),
                0,
                keeps[-1],
                len(numbers),
                numbers,
                tensors.sizes,
                seed,
                0 if shard is None else shard.total,
                len(self._before) + len(history),
                damping.momentum,
                damping.removed_factor,
                0 if damping.nested_from is None else damping.nested_from + len(self._before),
                *axes,
                *(NO_LIMITS if limits is None else limits.arguments),
                None if limits is None else limits.wholes,
            )
        except _core.NativeError as error:
            raise public_error(error, tensors.label) from None

    @property
    def taken(self) -> int:
        """Number of steps taken."""
        with native_call():
            return _core.search_taken(self._handle) - len(self._before)

    def report(self, position: int) -> Step:
        """What the step at a position did; 1 is the first."""
        # The core keeps the record, so it also has a step whose return was interrupted.
        if position not in self._steps:
            with native_call():
                report = _core.search_report(
                    self._handle, position + len(self._before), len(self._tensors.arrays)
                )
            self._record(position, report)
        return self._steps[position]

    def _record(self, position: int, report: dict[str, Any]) -> Step:
        """Keep what a step reports, and the objective before it, at the masks of the last one."""
        if self._has_objective:
            self.set_objective(position - 1, report["objective_before"])
        known = {"step": position, "objective": self._objectives.get(position)}
        step = self._steps[position] = step_of({**report, **known})
        return step

    def set_objective(self, position: int, objective: float) -> None:
        """Add the objective at the masks of a step to its record."""
        self._objectives[position] = objective
        if position in self._steps:
            self._steps[position] = replace(self._steps[position], objective=objective)

    def step(
        self,
        position: int,
        gradients: tuple[Array, ...] | None,
        before: tuple[Array, ...] | None,
        after: tuple[Array, ...],
        masked: tuple[Array, ...] | None,
        accumulated: tuple[Array, ...] | None,
        watch: Watch,
    ) -> Step:
        """Take the step at a position: from the masks before it, write those after it.

        Parameters
        ----------
        before : tuple of array, optional
            The masks of the previous step; None if the search begins with all weights.
        after, masked : tuple of array
            Where the masks and, if given, the masked weights are written.
        accumulated : tuple of array, optional
            The accumulated scores, if the search has any: read and, if the step succeeds, written.
        watch : Watch
            The one that this is called in: from the first sum on, the core tells the other ranks.
        """
        shard = self._shard
        try:
            report = _core.search_step(
                self._handle,
                self._tensors.arrays,
                gradients,
                before,
                after,
                masked,
                accumulated,
                None if shard is None else partial(shard.sum, watch),
                None if shard is None else shard.starts,
                None if shard is None else shard.loops,
            )
        except _core.NativeError as error:
            raise self._refusal(error, watch) from None
        return self._record(position, report)

    def _refusal(self, error: _core.NativeError, watch: Watch) -> SwiftForceError:
        """What the core refused, as the public error; that of another rank names the rank."""
        found = public_error(error, self._tensors.label)
        if watch.failed and isinstance(found, RankFailedError):
            return rank_failure(watch.failed)
        return found

    def objective(
        self, gradients: tuple[Array, ...], masks: tuple[Array, ...], watch: Watch
    ) -> float:
        """The sum of the method's scores over the kept weights of all ranks.

        Parameters
        ----------
        masks : tuple of array
            Those of the last step, at which the gradients were taken.
        watch : Watch
            The one that this is called in.
        """
        shard = self._shard
        try:
            return _core.search_objective(
                self._handle,
                self._tensors.arrays,
                gradients,
                masks,
                None if shard is None else partial(shard.sum, watch),
                None if shard is None else shard.starts,
                None if shard is None else shard.loops,
            )
        except _core.NativeError as error:
            raise self._refusal(error, watch) from None

    def layers(self, step: Step) -> tuple[Layer, ...]:
        """What a step left of each tensor; for pieces, of each whole tensor."""
        if self._shard is None or self._shard.blocks is None:
            return layers_of(self._tensors, step.layer_kept)
        return self._shard.layers(step)
