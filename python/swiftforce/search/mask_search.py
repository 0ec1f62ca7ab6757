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

import os
import threading
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from swiftforce import _core
from swiftforce.distributed import Communicator
from swiftforce.errors import (
    KeepError,
    MissingGradientsError,
    OverlapError,
    ScheduleError,
    SearchDoneError,
    SearchFileError,
    SeedError,
    StepsError,
    StructureError,
    UnknownNameError,
    UnsupportedTypeError,
)
from swiftforce.inputs import (
    MASK,
    Array,
    Arrays,
    Tensors,
    check_distinct,
    check_seed,
    lies_in,
    method_info,
    number,
    read_only,
    spans,
)
from swiftforce.native import native_call, public_error
from swiftforce.result import Layer, Pruning, Step, layers_of, step_of, warn_about
from swiftforce.search.saved_search import SavedSearch, digests
from swiftforce.search.schedule import Schedule, plan
from swiftforce.search.shards import Agreement, Piece, Shard

#: The caller's function from masked weights to dense gradients, both in the weights' structure.
Gradients = Callable[[Arrays], Arrays]


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
    communicator : Communicator, optional
        The way to the other ranks, where several hold the weights: each passes its own part,
        which may be empty, and the same other arguments. `sparsity`, `keep` and `schedule` are of
        the weights of all, and so is a `Step`, but for `layer_kept`.
    pieces : sequence of Piece, optional
        With a communicator: where the arrays lie in tensors that all ranks name in the same order.
        Without it each rank has tensors of its own, which follow those of the rank before.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, UnknownNameError
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
    RankFailedError
        If another rank raised.

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

    With a communicator, to make a search and to take a step are for all ranks at once. They find
    the masks that one process would find in all weights, bit for bit; what a rank sends for a step
    is some 50 KB for float32, 100 for float64 and, where scores are equal, 50 more, whatever the
    number of weights, tensors and ranks; pieces add 8 bytes for each tensor. What is wrong
    with the arguments of one rank is its own error, and a `RankFailedError` on the others. A rank
    that never comes, because it raised elsewhere, cannot be told from a slow one.

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
        communicator: Communicator | None = None,
        pieces: Sequence[Piece] | None = None,
    ) -> None:
        if communicator is not None and not isinstance(communicator, Communicator):
            raise UnsupportedTypeError(f"{communicator!r} is no communicator")
        with Agreement(communicator) as agreement:
            self.method = method
            self._info = method_info(method)
            self._seed = check_seed(seed)
            self._tensors = Tensors(weights, "weights", may_be_empty=communicator is not None)
            check_distinct(self._tensors)
            self._shard = _shard(communicator, self._tensors, pieces)
            if self._shard is not None:
                agreement.settings = self._shard.settings
        if self._shard is not None:
            self._shard.place()
        with Agreement(communicator) as agreement:
            self._schedule = schedule if isinstance(schedule, str) else "custom"
            size = self._tensors.size if self._shard is None else self._shard.total
            self._keeps = plan(schedule, size, sparsity, keep, steps, method=method)
            self._search = self._native()
            # Of the last step and of the one before, by the parity of the step: a step never
            # writes over the masks it starts from, so that it can fail.
            self._masks: dict[int, tuple[Array, ...]] = {}
            # A single step needs no masked weights to go on with.
            self._masked = self._room(masked_weights) if len(self._keeps) > 1 else None
            self._written = [] if self._masked is None else spans(self._masked)
            agreement.settings = (method, self._seed, self._keeps)
        self._known: dict[int, Step] = {}
        self._digests: tuple[str, ...] | None = None
        self._wholes: dict[int, tuple[Layer, ...]] = {}
        self._turn = threading.RLock()

    def _native(self, taken: int = 0) -> object:
        """A search of the core, which goes on after so many steps."""
        try:
            return _core.search_create(
                number("method", self.method),
                0,
                self._keeps[-1],
                len(self._keeps),
                self._keeps,
                self._tensors.sizes,
                self._seed,
                0 if self._shard is None else self._shard.total,
                taken,
            )
        except _core.NativeError as error:
            raise public_error(error, self._tensors.label) from None

    @property
    def steps(self) -> int:
        """Number of steps of the whole search."""
        return len(self._keeps)

    @property
    def taken(self) -> int:
        """Number of steps taken."""
        with native_call():
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
            with native_call():
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
        RankFailedError
            Likewise, if another rank raised one of these.
        Exception
            What a communicator raises goes through. The search is as it was, unless the sum of the
            kept weights of pieces failed, which is the last.
        """
        shard = self._shard
        with self._turn:
            with Agreement(None if shard is None else shard.communicator):
                taken = self.taken
                if taken == len(self._keeps):
                    raise SearchDoneError(f"the search has taken all of its {self.steps} steps")
                given = self._gradients(grads)
                before = self._masks_of(taken) if taken else None
                after = self._masks_of(taken + 1)
            try:
                report = _core.search_step(
                    self._search,
                    self._tensors.arrays,
                    given,
                    before,
                    after,
                    self._masked,
                    None if shard is None else shard.sum,
                    None if shard is None else shard.starts,
                )
            except _core.NativeError as error:
                raise public_error(error, self._tensors.label) from None
            step = self._known[taken + 1] = step_of(report)
            if shard is not None:
                # Now, when all ranks are here: a result may be asked for by one of them alone.
                self._layers(step)
            return step

    def _layers(self, step: Step) -> tuple[Layer, ...]:
        """What a step left of each tensor; where there are pieces, of each whole one."""
        if self._shard is None or self._shard.pieces is None:
            return layers_of(self._tensors, step)
        if step.step not in self._wholes:
            self._wholes = {step.step: self._shard.layers(step.layer_kept)}
        return self._wholes[step.step]

    def _masks_of(self, step: int) -> tuple[Array, ...]:
        """The masks of a step: those of two steps in a row are never the same memory."""
        if step % 2 not in self._masks:
            self._masks[step % 2] = self._tensors.empty(MASK)
        return self._masks[step % 2]

    def _forget_previous(self) -> None:
        """Give back the memory of the masks before the last step's, until the next step."""
        self._masks.pop((self.taken + 1) % 2, None)

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

    def save(self, path: str | os.PathLike[str], *, label: str = "") -> None:
        """Write the search as it is to a safetensors file, to go on from with `resume`.

        A bit per weight for the masks, what the steps did, and a digest of the weights, which are
        not in the file.

        Parameters
        ----------
        path : path
            The file.
        label : str
            What else must be the same to go on: `resume` must be given it, too.

        Raises
        ------
        StructureError
            If other ranks take part: each would have to go on from the same step.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import numpy as np, swiftforce as sf
        >>> weights, grads = np.float32([3, 1, 2, 4]), np.float32([1, 1, 1, 1])
        >>> search = sf.MaskSearch(weights, keep=1, steps=2)
        >>> search.step(grads).keep
        2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "search.safetensors")
        ...     search.save(path)
        ...     search = sf.MaskSearch.resume(path, weights)
        >>> search.taken, search.step(grads).keep, search.done
        (1, 1, True)
        """
        if self._shard is not None:
            raise StructureError("a search that several ranks share cannot be saved")
        with self._turn:
            taken = self.taken
            saved = SavedSearch(
                method=self.method,
                seed=self._seed,
                schedule=self._schedule,
                keeps=self._keeps,
                history=self.history,
                masks=self._masks_of(taken) if taken else (),
                label=label,
            )
            if self._digests is None:
                self._digests = digests(self._tensors)
            saved.write(path, self._tensors, self._digests)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        weights: Arrays,
        *,
        masked_weights: Arrays | None = None,
        label: str = "",
    ) -> Self:
        """Go on with a search that `save` wrote: the rest of it is the same, bit for bit.

        Parameters
        ----------
        path : path
            The file.
        weights : mapping, sequence or array
            The dense weights that the search began with.
        masked_weights : structure of the weights, optional
            As of `MaskSearch`; written at once.
        label : str
            That which it was saved with.

        Raises
        ------
        WeightsDifferError
            If they are others: the message says whether names, shapes, types or values differ.
        SearchFileError
            If the file is damaged, is not one of a search, or has another label.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be read.
        """
        saved = SavedSearch.read(path, Tensors(weights, "weights"))
        if saved.label != label:
            raise SearchFileError(
                f"{path} is of another search: it is labelled {saved.label!r}, not {label!r}"
            )
        try:
            search = cls(
                weights,
                method=saved.method,
                schedule=saved.keeps,
                seed=saved.seed,
                masked_weights=masked_weights,
            )
        except (KeepError, ScheduleError, SeedError, StepsError, UnknownNameError) as error:
            raise SearchFileError(f"{path} is damaged: {error}") from None
        search._go_on(saved)
        return search

    def _go_on(self, saved: SavedSearch) -> None:
        """Become what was saved."""
        taken = len(saved.history)
        self._schedule = saved.schedule
        self._known = {step.step: step for step in saved.history}
        self._search = self._native(taken)
        if taken:
            self._masks = {taken % 2: saved.masks}
        for weight, masked in zip(self._tensors.arrays, self._masked or (), strict=False):
            np.copyto(masked, weight)
        for mask, masked in zip(saved.masks, self._masked or (), strict=False):
            np.copyto(masked, masked.dtype.type(0), where=~mask)

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
        layers = self._layers(history[-1])
        warn_about(layers, history, free=self._info["free"], stacklevel=stacklevel + 1)
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


def _shard(
    communicator: Communicator | None, tensors: Tensors, pieces: Sequence[Piece] | None
) -> Shard | None:
    """A rank's place among others; None where there are none."""
    if communicator is not None:
        return Shard(communicator, tensors, pieces)
    if pieces is not None:
        raise StructureError("pieces are of tensors that several ranks hold: pass a communicator")
    return None
