"""The search for masks: step by step with `MaskSearch`, or in one call.

FORCE looks for the mask c that keeps k weights and maximises the connection sensitivity *after*
pruning,

    S(c) = sum over kept i of | w_i dL/dw_i (w * c) |,

by taking gradients at the masked weights and choosing again, in T steps that keep fewer and fewer
weights. Iterative SNIP does the same and never gives a removed weight another chance.

References
----------
De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, "Progressive Skeletonization: Trimming more fat
from a network at initialization", ICLR 2021, arXiv 2006.09081.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from swiftforce import _core
from swiftforce.errors import (
    MissingGradientsError,
    OverlapError,
    SearchDoneError,
    StepsError,
    public_error,
)
from swiftforce.report import Pruning, Step, layers_of, step_of, warn_of
from swiftforce.schedule import (
    Schedule,
    check_seed,
    integer,
    named_keeps,
    require_keep,
    resolve_keep,
    schedule_keeps,
)
from swiftforce.tensors import (
    MASK,
    Array,
    Arrays,
    Tensors,
    check_distinct,
    lies_in,
    read_only,
    spans,
)
from swiftforce.vocabulary import method_info, number

#: The caller's function from masked weights to dense gradients, both in the weights' structure.
Gradients = Callable[[Arrays], Arrays]

#: Steps of a progressive search where the caller names none: those of the paper's experiments.
DEFAULT_STEPS = 60


class MaskSearch:
    """A search for masks whose loop the caller owns.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights: float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, any shapes. Read in place at every step, never written;
        do not change them during the search.
    method : str
        One of `methods`.
    sparsity : float
        Share of all weights to remove, in [0, 1).
    keep : int
        Or the number of weights to keep.
    steps : int, optional
        Number of steps; 60 by default, 1 for the one-shot methods.
    schedule : str or sequence
        One of `schedules`, or a list of your own: see `schedule_keeps`.
    seed : int
        For the method ``random``.
    masked_weights : structure of the weights, of their types, optional
        Where a search of several steps writes the masked weights, from its first step on; memory
        of its own by default. Pass the arrays that a model computes with, and a copy of them as
        `weights`, and the model is masked in place.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, UnknownNameError
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError

    Attributes
    ----------
    method : str

    Notes
    -----
    Pass the weights that may be removed and no others: leave out biases and the parameters of
    normalisation layers. Calls from several threads take turns.

    Extra memory: the masks (a byte per weight) and, for searches of several steps, the masks of
    the step before and one copy of the weights, with the removed ones replaced by zero. `masks`
    and `masked_weights` are views that later steps write: copy what you want to keep.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"w": np.float32([[3, -1], [2, 4]])}
    >>> search = sf.MaskSearch(weights, method="force", keep=1, steps=2)
    >>> while not search.done:
    ...     step = search.step({"w": search.masked_weights["w"] - 1})
    >>> search.result().masks["w"]
    array([[False, False],
           [False,  True]])
    """

    def __init__(
        self,
        weights: Arrays,
        *,
        method: str = "force",
        sparsity: float | None = None,
        keep: int | None = None,
        steps: int | None = None,
        schedule: Schedule = "exponential",
        seed: int = 0,
        masked_weights: Arrays | None = None,
    ) -> None:
        self.method = method
        self._info = method_info(method)
        self._seed = check_seed(seed)
        self._tensors = Tensors(weights, "weights")
        check_distinct(self._tensors)
        self._schedule = schedule if isinstance(schedule, str) else "custom"
        self._keeps = self._plan(schedule, sparsity, keep, steps)
        try:
            self._search = _core.search_create(
                number("method", method),
                0,
                self._keeps[-1],
                len(self._keeps),
                self._keeps,
                self._tensors.sizes,
                self._seed,
            )
        except _core.NativeError as error:
            raise public_error(error, self._tensors.label) from None
        # Of the last step and of the one before, by the parity of the step: a step never writes
        # over the masks it starts from, so that it can fail.
        self._masks: dict[int, tuple[Array, ...]] = {}
        # A single step needs no masked weights to go on with.
        self._masked = self._room(masked_weights) if len(self._keeps) > 1 else None
        self._written = [] if self._masked is None else spans(self._masked)
        self._known: dict[int, Step] = {}
        self._turn = threading.RLock()

    @property
    def steps(self) -> int:
        """Number of steps of the whole search."""
        return len(self._keeps)

    @property
    def taken(self) -> int:
        """Number of steps taken."""
        return _core.search_taken(self._search)

    @property
    def history(self) -> tuple[Step, ...]:
        """What each step taken did."""
        # The native search keeps the record: a step that an interrupt made us miss is in it, too.
        with self._turn:
            return tuple([self._step(position) for position in range(1, self.taken + 1)])

    def _step(self, position: int) -> Step:
        """What the step at a position did; 1 is the first."""
        if position not in self._known:
            report = _core.search_report(self._search, position, len(self._tensors.arrays))
            self._known[position] = step_of(report)
        return self._known[position]

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.taken == self.steps

    @property
    def needs_gradients(self) -> bool:
        """Whether a step needs gradients."""
        return self._info["needs_gradients"]

    @property
    def keeps(self) -> tuple[int, ...]:
        """Number of weights kept after each step."""
        return self._keeps

    @property
    def masks(self) -> Arrays:
        """The masks so far, as read-only views; all True before the first step."""
        taken = self.taken
        if not taken:
            ones = tuple(np.ones(array.shape, MASK) for array in self._tensors.arrays)
            return self._tensors.restore(read_only(mask) for mask in ones)
        return self._tensors.restore(read_only(mask) for mask in self._masks_of(taken))

    @property
    def masked_weights(self) -> Arrays:
        """The weights with the removed ones replaced by zero, as read-only views.

        Before the first step, the weights themselves. Compute the next gradients at these.
        """
        if not self.taken:
            arrays = self._tensors.arrays
        elif self._masked is not None:
            arrays = self._masked
        else:
            arrays = tuple(
                np.where(mask, weight, weight.dtype.type(0))
                for mask, weight in zip(
                    self._masks_of(self.taken), self._tensors.arrays, strict=True
                )
            )
        return self._tensors.restore(read_only(array) for array in arrays)

    def step(self, grads: Arrays | None = None) -> Step:
        """Take one step.

        Parameters
        ----------
        grads : structure of the weights, of any of their types
            Gradients of the loss at `masked_weights`, averaged over the batches of the step.
            Dense: also where a weight is removed, since that is what lets FORCE bring it back.

        Returns
        -------
        Step

        Raises
        ------
        SearchDoneError
            If all steps were taken.
        MissingGradientsError
            If the method scores by gradients and none are passed.
        NonFiniteError, ShapeError, StructureError, UnsupportedTypeError, LayoutError
            The search is as it was before the call, and the step may be tried again.
        """
        with self._turn:
            taken = self.taken
            if taken == len(self._keeps):
                raise SearchDoneError(f"the search has taken all of its {self.steps} steps")
            given = self._gradients(grads)
            try:
                report = _core.search_step(
                    self._search,
                    self._tensors.arrays,
                    given,
                    self._masks_of(taken) if taken else None,
                    self._masks_of(taken + 1),
                    self._masked,
                )
            except _core.NativeError as error:
                raise public_error(error, self._tensors.label) from None
            step = self._known[taken + 1] = step_of(report)
            return step

    def _masks_of(self, step: int) -> tuple[Array, ...]:
        """The masks of a step: those of two steps in a row are never the same memory."""
        if step % 2 not in self._masks:
            self._masks[step % 2] = self._tensors.empty(MASK)
        return self._masks[step % 2]

    def _gradients(self, grads: Arrays | None) -> tuple[Array, ...] | None:
        if not self._info["needs_gradients"]:
            return None
        if grads is None:
            raise MissingGradientsError(
                f"the method {self.method!r} scores weights by their gradients: pass grads"
            )
        given = self._tensors.matching(grads, "gradients")
        if not self._written:
            return given
        # A function may hand back what it was given; that is written while gradients are read.
        return tuple(
            gradient.copy() if lies_in(gradient, self._written) else gradient for gradient in given
        )

    def result(self, *, stacklevel: int = 2) -> Pruning:
        """Return what was found so far; complete once `done`.

        Parameters
        ----------
        stacklevel : int
            Whom the warnings point to, as in `warnings.warn`: 2 is the caller.

        Raises
        ------
        SearchDoneError
            Before the first step.

        Warns
        -----
        DegenerateSaliencyWarning
            If in some step positions, not scores, chose some of the kept weights.
        LayerCollapseWarning
            If a tensor keeps nothing.
        MaskedGradientsWarning
            If removed weights could return but never had a gradient.
        """
        return self._result(stacklevel + 1, copies=True)

    def _result(self, stacklevel: int, *, copies: bool) -> Pruning:
        with self._turn:
            history = self.history
            if not history:
                raise SearchDoneError("the search has taken no step yet, so there is no result")
            masks = self._masks_of(len(history))
            if copies:
                masks = tuple(mask.copy() for mask in masks)
        layers = layers_of(self._tensors, history[-1])
        warn_of(layers, history, free=self._info["free"], stacklevel=stacklevel + 1)
        return Pruning(
            masks=self._tensors.restore(masks),
            method=self.method,
            layers=layers,
            history=history,
            seed=self._seed,
            schedule=self._schedule,
        )

    def _room(self, masked_weights: Arrays | None) -> tuple[Array, ...]:
        """Where the masked weights are written."""
        if masked_weights is None:
            return self._tensors.empty()
        room = self._tensors.matching(masked_weights, "masked weights", writable=True)
        places = spans(self._tensors.arrays)
        for position, array in enumerate(room):
            if lies_in(array, places):
                raise OverlapError(
                    f"{self._tensors.label('masked weights', position)} shares memory with weights"
                )
        return room

    def _plan(
        self,
        schedule: Schedule,
        sparsity: float | None,
        keep: int | None,
        steps: int | None,
    ) -> tuple[int, ...]:
        """Number of weights kept after each step."""
        n = self._tensors.size
        one_shot = self._info["one_shot"]
        if isinstance(schedule, str):
            if steps is None:
                steps = 1 if one_shot else DEFAULT_STEPS
            steps = integer(steps, "steps", StepsError)
            self._check_steps(steps)
            return named_keeps(schedule, n, require_keep(n, sparsity, keep), steps)
        keeps = schedule_keeps(schedule, n, resolve_keep(n, sparsity, keep), steps)
        self._check_steps(len(keeps))
        return keeps

    def _check_steps(self, steps: int) -> None:
        if steps < 1:
            raise StepsError(f"a search takes at least one step, not {steps}")
        if steps != 1 and self._info["one_shot"]:
            raise StepsError(f"{self.method} takes exactly one step, not {steps}")
