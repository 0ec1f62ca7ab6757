"""What a search is between two steps, and what is done with it, for arguments that were checked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Generic, Literal, cast

from swiftforce.distributed import Communicator
from swiftforce.errors import (
    HyperparameterError,
    SearchDoneError,
    StructureError,
)
from swiftforce.inputs import (
    Array,
    Arrays,
    MethodInfo,
    MethodName,
    Patterned,
    Tensors,
    case_names,
    case_number,
    check_distinct,
    check_seed,
    method_info,
    method_name,
)
from swiftforce.result import (
    Damping,
    Layers,
    Masks_co,
    Pruning,
    PruningRecord,
    Step,
    ZeroScores,
    warn_about,
    with_lost_parts,
)
from swiftforce.search.agreement import Agreement, Watch
from swiftforce.search.buffers import SearchBuffers
from swiftforce.search.damping import checked_damping, is_nested
from swiftforce.search.gathering import gathered_masks, wholes_of
from swiftforce.search.gradients import (
    check_has_objective,
    checked_gradients,
    checked_scores,
)
from swiftforce.search.initial_masks import check_begins_at_masks, copied_masks, kept_by
from swiftforce.search.limits import Limits
from swiftforce.search.native_search import NativeSearch
from swiftforce.search.pieces import Piece
from swiftforce.search.saved_search import SavedSearch
from swiftforce.search.saving import Described, Resumed
from swiftforce.search.schedule import Schedule, plan, schedule_name
from swiftforce.search.shards import Shard
from swiftforce.search.shared_limits import check_can_share, limits_of_all, names_elsewhere
from swiftforce.search.tensor_limits import (
    Allocating,
    given_limits,
    keep_of,
    numbers_of,
    with_counts,
    with_shapes,
)
from swiftforce.search.turns import Turns


class SearchState(Generic[Masks_co]):
    """The state of a `MaskSearch`, which has the public methods, and checks what they are given."""

    method: str
    _saliency: str | None
    _rule: str | None
    _limits: Limits | None
    _info: MethodInfo
    _seed: int
    _schedule: str
    _keeps: tuple[int, ...]
    _damping: Damping
    _tensors: Tensors
    _shard: Shard | None
    #: How many weights the masks keep that the search begins at; None if it begins with all.
    _initial: int | None
    _described: Described | None
    _zeros: ZeroScores | None

    def _begin(
        self,
        weights: Arrays,
        *,
        method: MethodName,
        sparsity: float | None = None,
        keep: int | None = None,
        allocation: Allocating | Limits | None = None,
        pattern: Patterned | None = None,
        steps: int | None = None,
        schedule: Schedule,
        saliency: str | None = None,
        rule: str | None = None,
        seed: int,
        momentum: float = 0.0,
        nested_from: float | None = None,
        removed_factor: float = 1.0,
        masked_weights: Arrays | Literal[False] | None,
        initial_masks: PruningRecord[Any] | Arrays | None = None,
        communicator: Communicator | None,
        pieces: Sequence[Piece] | None,
        resumed: Resumed | None = None,
    ) -> None:
        """Check the arguments of `MaskSearch`, and go on from what a file holds, if it is given."""
        history: tuple[Step, ...] = ()
        masks: tuple[Array, ...] | None = None
        accumulated: tuple[Array, ...] | None = None
        if resumed is not None:
            history, masks, accumulated = resumed.history, resumed.masks, resumed.accumulated
        with Watch(communicator):
            with Agreement(communicator) as agreement:
                self.method = method_name(method)
                self._saliency, self._rule = _case("saliency", saliency), _case("rule", rule)
                self._info = method_info(self.method, self._saliency, self._rule)
                self._seed = check_seed(seed)
                self._tensors = Tensors(weights, "weights", may_be_empty=communicator is not None)
                check_distinct(self._tensors)
                self._shard = Shard.of(communicator, self._tensors, pieces)
                begins = not history and (masks is not None or initial_masks is not None)
                if begins:
                    check_begins_at_masks(self.method, one_shot=self._info["one_shot"])
                if initial_masks is not None:
                    masks = copied_masks(self._tensors, initial_masks)
                if self._shard is not None:
                    limited = given_limits(allocation, pattern)
                    agreement.settings = (self._shard.settings, begins, limited)
            elsewhere = self._names_elsewhere(allocation)
            # Without limits nothing can fail here, and there are no more sums than needed.
            is_limited = not (allocation is None and pattern is None)
            with Agreement(communicator if is_limited else None):
                limits = self._numbers(allocation, pattern, resumed, elsewhere)
                kept = kept_by(masks, limits) if begins and masks is not None else 0
            if self._shard is not None:
                self._shard.exchange(kept)
                if limits is not None:
                    with Agreement(communicator):
                        self._shard.place()
                    limits = limits_of_all(limits, self._shard, self._tensors)
            with Agreement(communicator) as agreement:
                if self._shard is not None:
                    kept = self._shard.place()
                self._initial = kept if begins else None
                self._plan(limits, schedule, sparsity, keep, steps)
                if nested_from is None and not self._info["one_shot"]:
                    nested_from = self._info["nested_from"]
                self._damping = checked_damping(
                    momentum, removed_factor, nested_from, steps=len(self._keeps)
                )
                self._continue_from(history, masked_weights)
                self._described = None if resumed is None else resumed.described
                self._zeros = None
                axes = (self._saliency, self._rule)
                agreement.settings = (self.method, axes, self._seed, self._keeps, self._damping)
        if masks is not None or resumed is not None:
            # Now, since no rank can fail any more: the arrays may be the caller's.
            self._buffers.restore(len(history), masks, accumulated)

    def _names_elsewhere(self, allocation: Allocating | Limits | None) -> Collection[str] | None:
        """Names that an allocation uses and other ranks' tensors have; None if there are none."""
        if self._shard is None or self._shard.blocks is not None:
            return None
        if isinstance(allocation, Limits) or allocation is None:
            return ()
        return names_elsewhere(with_shapes(allocation).allocation, self._shard, self._tensors)

    def _numbers(
        self,
        allocation: Allocating | Limits | None,
        pattern: Patterned | None,
        resumed: Resumed | None,
        elsewhere: Collection[str] | None,
    ) -> Limits | None:
        """The limits of this rank's tensors; those of a file are of all ranks'."""
        if self._shard is None:
            return numbers_of(allocation, self._tensors, pattern)
        limits = numbers_of(
            allocation,
            self._tensors,
            pattern,
            shapes=self._shard.shapes,
            names_elsewhere=elsewhere,
        )
        check_can_share(limits, self._shard, self._tensors)
        if limits is None or resumed is None:
            return limits
        return replace(limits, first=resumed.described.wholes.first)

    def _plan(
        self,
        limits: Limits | None,
        schedule: Schedule,
        sparsity: float | None,
        keep: int | None,
        steps: int | None,
    ) -> None:
        """Work out how many weights are kept after each step, and which limits that is within."""
        self._schedule = schedule_name(schedule)
        is_listed = not isinstance(schedule, str)
        size = self._tensors.size if self._shard is None else self._shard.total
        if limits is not None:
            # What all weights cost, if they have costs.
            size = limits.size
            keep = keep_of(limits, sparsity, keep, is_listed=is_listed)
        self._keeps = plan(
            schedule, size, sparsity, keep, steps, method=self.method, initial=self._initial
        )
        self._limits = limits
        if limits is not None:
            if not is_listed:
                self._keeps = limits.lowered(self._keeps)
            self._limits = with_counts(limits, self._keeps[-1], self._tensors)

    def _continue_from(
        self, history: Sequence[Step], masked_weights: Arrays | Literal[False] | None = None
    ) -> None:
        """Make what a search writes, for one that has taken these steps."""
        self._native = NativeSearch(
            self._tensors,
            self.method,
            self._keeps,
            seed=self._seed,
            shard=self._shard,
            damping=self._damping,
            history=history,
            initial=self._initial,
            axes=(_number("saliency", self._saliency), _number("rule", self._rule)),
            limits=self._limits,
        )
        self._buffers = SearchBuffers(
            self._tensors,
            masked_weights,
            needs_masked=len(self._keeps) > 1 or self._initial is not None,
            accumulated=self._damping.momentum > 0,
        )
        self._turns = Turns("call on this search", waits=self._shard is None)

    def _reports(self) -> tuple[Step, ...]:
        steps = range(1, self._native.taken + 1)
        # The report of a step completes that of the step before.
        for step in steps:
            self._native.report(step)
        return tuple(map(self._native.report, steps))

    def _restored(self, masks: Iterable[Array]) -> Masks_co:
        """Masks in the structure of the weights."""
        return cast(Masks_co, self._tensors.restore(masks))

    def _step(self, grads: Arrays | None, scores: Arrays | None = None) -> Step:
        communicator = None if self._shard is None else self._shard.communicator
        with Watch(communicator, by_core=True) as watch:
            with Agreement(communicator):
                taken, steps = self._native.taken, len(self._keeps)
                if taken == steps:
                    raise SearchDoneError(f"the search has taken all of its {steps} steps")
                gradients = None
                if self._scores_are_given:
                    given = checked_scores(self._tensors, grads, scores)
                    gradients = self._buffers.apart(given)
                elif scores is not None:
                    raise HyperparameterError(
                        f"{self.method} computes scores itself: pass gradients, or make the search "
                        "with saliency='given'"
                    )
                elif self._info["needs_gradients"]:
                    given = checked_gradients(self._tensors, grads, self.method)
                    gradients = self._buffers.apart(given)
                before = self._buffers.current(taken)
                after = self._buffers.masks(taken + 1)
            masked = self._buffers.masked
            accumulated = self._buffers.accumulated
            step = self._native.step(
                taken + 1, gradients, before, after, masked, accumulated, watch
            )
        if not taken and gradients is not None and not self._scores_are_given:
            # The step is taken, and warnings alone tell of these: they must not make it fail.
            with suppress(Exception):
                self._zeros = self._zero_scores(step, gradients)
        return step

    def _objective(self, grads: Arrays | None) -> float:
        communicator = None if self._shard is None else self._shard.communicator
        with Watch(communicator, by_core=True) as watch:
            with Agreement(communicator):
                check_has_objective(self.method, needs_gradients=self._info["needs_gradients"])
                taken = self._native.taken
                if not taken:
                    raise SearchDoneError("the search has taken no step yet, so it has no masks")
                gradients = checked_gradients(self._tensors, grads, self.method)
                masks = self._buffers.masks(taken)
            objective = self._native.objective(gradients, masks, watch)
        self._native.set_objective(taken, objective)
        return objective

    @property
    def _multiplies(self) -> bool:
        """Whether scores are products of weights and gradients."""
        return self._info["saliency"] == "connection_sensitivity"

    @property
    def _scores_are_given(self) -> bool:
        return self._info["saliency"] == "given"

    @property
    def _next_is_nested(self) -> bool:
        """Whether only the weights compete in the next step that the last one kept."""
        return is_nested(self._damping, self._native.taken + 1, free=self._info["free"])

    def _forget_previous(self) -> None:
        """Free the memory of the masks before the last step's, until the next step."""
        self._buffers.release_masks(self._native.taken + 1)

    def _save(self, path: str | os.PathLike[str], label: str) -> None:
        with Watch(None if self._shard is None else self._shard.communicator):
            self._write(path, label)

    def _write(self, path: str | os.PathLike[str], label: str) -> None:
        with Agreement(None if self._shard is None else self._shard.communicator) as agreement:
            history = self._reports()
            masks = self._buffers.current(len(history))
            accumulated = self._buffers.accumulated
            agreement.settings = ("save", label, len(history))
        if self._described is None:
            self._described = Described(self._tensors, self._shard)
        saved = SavedSearch(
            method=self.method,
            seed=self._seed,
            schedule=self._schedule,
            keeps=self._keeps,
            history=history,
            weights=self._described.weights,
            kept=(),
            masks=(),
            label=label,
            damping=self._damping,
            accumulated=(),
            saliency=self._saliency or "",
            rule=self._rule or "",
            limits=self._limits,
        )
        self._described.write(path, masks, accumulated, saved)

    def _zero_scores(self, step: Step, gradients: Sequence[Array]) -> ZeroScores | None:
        """Which tensors have no score above zero, if there may be any."""
        tensors = self._tensors
        blocks = None if self._shard is None else self._shard.blocks
        # Of a tensor with other pieces on other ranks, nothing is known here.
        wholes = [
            place
            for place, array in enumerate(tensors.arrays)
            if array.size and (blocks is None or array.size == blocks[place].whole)
        ]
        return ZeroScores.of_step(
            step.zero_scores,
            [tensors.names[place] for place in wholes],
            [tensors.arrays[place] for place in wholes],
            [gradients[place] for place in wholes],
        )

    def _result(
        self, stacklevel: int, *, copies: bool, others: Mapping[str, Any] | None = None
    ) -> Pruning[Masks_co]:
        """The result; `others` are arrays of the model by name that were not searched."""
        history, masks = self._turns.take(lambda: self._found(copies=copies))
        layers = with_lost_parts(self._native.layers(history[-1]), masks)
        zeros = self._zeros
        if zeros is not None and zeros.layers:
            zeros = zeros.with_factors(others or {})
        free = self._info["free"]
        warn_about(Layers.of(layers), history, free=free, zeros=zeros, stacklevel=stacklevel + 1)
        return Pruning(
            masks=self._restored(masks),
            method=self.method,
            layers=layers,
            history=history,
            seed=self._seed,
            schedule=self._schedule,
            zeros=zeros,
            damping=self._damping,
            saliency=self._saliency or "",
            rule=self._rule or "",
            allocation=(
                None if self._limits is None else self._limits.allocation_of(self._tensors.names)
            ),
            pattern=None if self._limits is None else self._limits.pattern,
        )

    def _found(self, *, copies: bool) -> tuple[tuple[Step, ...], tuple[Array, ...]]:
        history = self._reports()
        if not history:
            raise SearchDoneError("the search has taken no step yet, so there is no result")
        masks = self._buffers.masks(len(history))
        return history, tuple([mask.copy() for mask in masks]) if copies else masks

    def _whole_masks(self) -> tuple[Array, ...] | None:
        """The masks of the whole tensors, a bit per weight, on the first rank that shares it.

        All ranks call it; the others get None.
        """
        assert self._shard is not None
        wholes = wholes_of(self._shard, self._tensors)
        return gathered_masks(self._shard, self._buffers.masks(self._native.taken), wholes)

    def __getstate__(self) -> dict[str, Any]:
        """The search between two steps, for `pickle` and `copy`; its arrays are its own.

        Raises
        ------
        StructureError
            If other ranks take part: a communicator belongs to its process.
        """
        if self._shard is not None:
            raise StructureError(
                "a search that several ranks share cannot be pickled or copied: its communicator "
                "belongs to this process"
            )
        return self._turns.take(self._state)

    def _state(self) -> dict[str, Any]:
        history = self._reports()
        masks = self._buffers.current(len(history))
        accumulated = self._buffers.accumulated
        copies = [
            arrays and tuple([array.copy() for array in arrays]) for arrays in (masks, accumulated)
        ]
        made = {"_native": history, "_buffers": copies}
        return {key: value for key, value in vars(self).items() if key != "_turns"} | made

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Go on from where the other search was."""
        vars(self).update(state)
        history, (masks, accumulated) = state["_native"], state["_buffers"]
        self._continue_from(history)
        self._buffers.restore(len(history), masks, accumulated)


def _case(axis: str, name: str | None) -> str | None:
    """The name of a case of an axis, from any spelling; None: that of the method."""
    return None if name is None else case_names(axis)[case_number(axis, name)]


def _number(axis: str, name: str | None) -> int:
    return -1 if name is None else case_number(axis, name)
