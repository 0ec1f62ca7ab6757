"""The search for masks whose loop the caller owns: step by step, saved and resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack, cast, overload

from swiftforce.distributed import Communicator
from swiftforce.inputs import (
    Array,
    Arrays,
    Mask,
    MethodName,
    Patterned,
    RuleName,
    SaliencyName,
)
from swiftforce.result import Masks_co, Pruning, PruningRecord, Step
from swiftforce.search.agreement import Watch
from swiftforce.search.options import Key, SearchOptions
from swiftforce.search.pieces import Piece
from swiftforce.search.saving import read
from swiftforce.search.schedule import Schedule
from swiftforce.search.search_state import SearchState
from swiftforce.search.tensor_limits import Allocating


class MaskSearch(SearchState[Masks_co]):
    """A search for masks whose loop the caller owns.

    Parameters
    ----------
    weights : mapping, sequence or array
        The dense weights that may be removed: leave out biases and the parameters of
        normalisation layers. float16, bfloat16 (of ml_dtypes), float32 or float64, freely mixed;
        C-contiguous, of any shapes; may be nested. They are read in place and never written.
    method : str
        One of `methods`. The default is FORCE whose mask settles in the second half of the steps;
        ``force`` is the paper's.
    sparsity : float, optional
        Share of all weights to remove, in [0, 1). Give either this or `keep`.
    keep : int, optional
        Number of weights to keep, at least 1. Give either this or `sparsity`.
    allocation : Allocation, str or mapping, optional
        How the kept weights are shared out: ``global``, ``uniform``, ``erk``, a mapping of names or
        patterns to densities or numbers of weights, or an `Allocation`, which also has floors and
        caps. By default scores alone decide.
    pattern : Pattern, str or (int, int), optional
        Which weights live or die together: ``outputs``, ``inputs``, ``kernels``, blocks (r, c), or
        a `Pattern`. By default each weight alone.
    steps : int, optional
        Number of steps. By default 60; the one-shot methods always take 1.
    schedule : str or sequence
        How the number of kept weights falls from step to step: one of `schedules`, or a list of
        your own (see `schedule_keeps`).
    saliency : str, optional
        How weights are scored, in place of the method's way: one of `saliencies`, or ``given``:
        each step is passed scores of your own.
    rule : str, optional
        Which weights compete in the next step, in place of the method's rule: ``nested`` (those
        that are kept), ``free`` (all), or ``free_then_nested``.
    seed : int
        Seed of random scores, in 0 ... 2**64 - 1. The same seed gives the same scores on every
        machine.
    momentum : float
        Factor, in [0, 1), of the scores accumulated over the steps so far: weights compete by
        ``sum = momentum * sum + score``. It takes 4 bytes per weight, 8 for float64. By
        default by the scores of the step alone.
    nested_from : int or float, optional
        The step, counted from 1, from which removed weights stay removed; or a share of the steps,
        in (0, 1), after which they do. By default they may return in every step, and by
        ``force_nested`` in the first half of them.
    removed_factor : float
        Factor, in [0, 1], of the scores of removed weights: 1 as in the paper; 0 and they stay
        removed, as by ``iterative_snip``.
    masked_weights : structure of the weights or False, optional
        Where a search of several steps writes the masked weights, from its first step on; arrays
        of its own by default. Pass the arrays that a model computes with, and a copy of them as
        `weights`, and the model is masked in place. With `initial_masks` they are written at once.
        Pass False if you mask weights yourself: the search then keeps no masked weights, and
        computes them when they are read.
    initial_masks : Pruning, or structure of the weights, of bool, optional
        Masks to begin at, True where a weight is kept, as if a step had found them: the first
        gradients are those of the masked weights, and a named schedule falls from as many weights
        as they keep. `sparsity` and `keep` are still of all weights. Not for methods of one step.
    communicator : Communicator, optional
        The way to the other ranks, if several hold the weights: each passes its own part, which
        may be empty, and the same other arguments, and all take each step together. `sparsity`,
        `keep` and `schedule` are of the weights of all ranks, and so is a `Step`, except for
        `layer_kept` without pieces. See `swiftforce.distributed`.
    pieces : sequence of Piece, optional
        With a communicator: where the arrays lie in tensors that all ranks name in the same order.
        By default each rank has tensors of its own, which follow those of the rank before.

    Raises
    ------
    SparsityError, KeepError, StepsError, ScheduleError, SeedError, UnknownNameError
        If an argument is out of range, or a name is not known: the message says what there is.
        Also if more weights were to be kept than `initial_masks` keep.
    HyperparameterError
        If one of `momentum`, `nested_from` and `removed_factor` is out of range, or is not for the
        method.
    BoundsError
        If no masks respect the allocation: the message has the numbers.
    WeightsDifferError
        If `initial_masks` is a result for other weights.
    ShapeError, StructureError, UnsupportedTypeError, LayoutError, OverlapError
        If an array does not fit: the message names it and says what to do.
    RankFailedError
        If another rank raised.

    Warns
    -----
    StepsIgnoredWarning
        If a one-shot method is given a number of steps.

    Attributes
    ----------
    method : str
        The name of the method.

    Notes
    -----
    Do not change the weights during the search. Calls from several threads take turns. Extra
    memory: masks (a byte per weight) and, for searches of several steps, the masks of the step
    before and a copy of the weights, masked; with momentum, a sum for each weight, float64 for
    weights of that type, else float32. Later steps overwrite `masks` and `masked_weights`.

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

    @overload
    def __init__(
        self: MaskSearch[dict[Key, Mask]],
        weights: Mapping[Key, Array],
        **options: Unpack[SearchOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: MaskSearch[list[Mask]], weights: list[Array], **options: Unpack[SearchOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: MaskSearch[tuple[Mask, ...]],
        weights: tuple[Array, ...],
        **options: Unpack[SearchOptions],
    ) -> None: ...
    @overload
    def __init__(
        self: MaskSearch[Mask], weights: Array, **options: Unpack[SearchOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: MaskSearch[Any],
        weights: Arrays,
        *,
        method: MethodName = ...,
        sparsity: float | None = None,
        keep: int | None = None,
        allocation: Allocating | None = None,
        pattern: Patterned | None = None,
        steps: int | None = None,
        schedule: Schedule = ...,
        saliency: SaliencyName | None = None,
        rule: RuleName | None = None,
        seed: int = 0,
        momentum: float = 0.0,
        nested_from: float | None = None,
        removed_factor: float = 1.0,
        masked_weights: Arrays | Literal[False] | None = None,
        initial_masks: PruningRecord[Any] | Arrays | None = None,
        communicator: Communicator | None = None,
        pieces: Sequence[Piece] | None = None,
    ) -> None: ...

    def __init__(
        self,
        weights: Arrays,
        *,
        method: MethodName = "force_nested",
        sparsity: float | None = None,
        keep: int | None = None,
        allocation: Allocating | None = None,
        pattern: Patterned | None = None,
        steps: int | None = None,
        schedule: Schedule = "exponential",
        saliency: SaliencyName | None = None,
        rule: RuleName | None = None,
        seed: int = 0,
        momentum: float = 0.0,
        nested_from: float | None = None,
        removed_factor: float = 1.0,
        masked_weights: Arrays | Literal[False] | None = None,
        initial_masks: PruningRecord[Any] | Arrays | None = None,
        communicator: Communicator | None = None,
        pieces: Sequence[Piece] | None = None,
    ) -> None:
        self._begin(
            weights,
            method=method,
            sparsity=sparsity,
            keep=keep,
            allocation=allocation,
            pattern=pattern,
            steps=steps,
            schedule=schedule,
            saliency=saliency,
            rule=rule,
            seed=seed,
            momentum=momentum,
            nested_from=nested_from,
            removed_factor=removed_factor,
            masked_weights=masked_weights,
            initial_masks=initial_masks,
            communicator=communicator,
            pieces=pieces,
        )

    @property
    def steps(self) -> int:
        """Number of steps of the whole search."""
        return len(self._keeps)

    @property
    def taken(self) -> int:
        """Number of steps taken."""
        self._turns.check()
        return self._native.taken

    @property
    def history(self) -> tuple[Step, ...]:
        """What each step taken did."""
        return self._turns.take(self._reports)

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
    def masks(self) -> Masks_co:
        """The masks so far, as read-only views; before the first step, those it begins at."""
        return self._restored(self._buffers.shown_masks(self.taken))

    @property
    def masked_weights(self) -> Arrays:
        """The weights with the removed ones replaced by zero, as read-only views.

        Before the first step, the weights themselves, unless the search begins at masks. Compute
        the next gradients at these.
        """
        return self._tensors.restore(self._buffers.shown_weights(self.taken))

    def step(self, grads: Arrays | None = None, *, scores: Arrays | None = None) -> Step:
        """Take one step.

        Parameters
        ----------
        grads : structure of the weights, of any of their types
            Gradients of the loss at `masked_weights`, averaged over the batches of the step.
            Dense: also where a weight is removed, since that is what lets FORCE bring it back.
            Arrays that are not C-contiguous are copied.

        scores : structure of the weights, of any of their types
            With the saliency ``given``, in place of gradients: the scores of all weights, of either
            sign; the largest are kept.

        Returns
        -------
        Step

        Raises
        ------
        SearchDoneError
            If all steps were taken.
        MissingGradientsError
            If the method scores by gradients and none are passed.
        NonFiniteError, ShapeError, StructureError, UnsupportedTypeError
            The search is as it was before the call, and the step may be tried again.
        RankFailedError
            Likewise, if another rank raised one of these.
        InUseError
            If a communicator or a signal handler takes a step within a step. Nothing is done.
        Exception
            Whatever a communicator raises. The search is as it was before the call.
        """
        return self._turns.take(lambda: self._step(grads, scores))

    def objective(self, grads: Arrays | None = None) -> float:
        """Measure the objective of FORCE at the masks so far: ``S(c)``, which it maximises.

        The sum of ``| w_i dL/dw_i (w * c) |`` over the kept weights, with w the dense weights and c
        the masks. For ``grasp_it`` the sum of squared gradients instead. A step measures it by its
        own gradients for the step before (`Step.objective`); this is for the last step. The search
        takes no step, and `history` has the number.

        Parameters
        ----------
        grads : structure of the weights, of any of their types
            Gradients of the loss at `masked_weights`, averaged over the batches of the step.
            Dense: also where a weight is removed, since that is what lets FORCE bring it back.
            Arrays that are not C-contiguous are copied.

        Returns
        -------
        float

        Raises
        ------
        SearchDoneError
            Before the first step.
        HyperparameterError
            If the method scores without gradients.
        MissingGradientsError
            If no gradients are passed.
        NonFiniteError, ShapeError, StructureError, UnsupportedTypeError, RankFailedError
            As for `step`.

        Examples
        --------
        >>> import numpy as np, swiftforce as sf
        >>> weights = np.float32([3, -1, 2, 4])
        >>> search = sf.MaskSearch(weights, keep=2, steps=1)
        >>> search.step(weights).saliency  # by the gradients at all weights
        25.0
        >>> search.objective(weights - 1), search.history[-1].objective  # at those that are kept
        (18.0, 18.0)
        """
        return self._turns.take(lambda: self._objective(grads))

    def save(self, path: str | os.PathLike[str], *, label: str = "") -> None:
        """Write the search as it is to a safetensors file; `resume` continues it from there.

        The file has a bit per weight for the masks, accumulated scores if the search has momentum,
        what the steps did, and a digest of the weights, which it does not have. If several ranks
        share the search, all call this, and the first one writes a single file, of whole tensors.
        Any number of ranks can continue.

        Parameters
        ----------
        path : path
            The file.
        label : str
            A text that must be the same to continue: `resume` must be given it, too.

        Raises
        ------
        ImportError, OSError
            If safetensors is not installed, or the file cannot be written.
        RankFailedError
            If another rank raised.

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
        self._turns.take(lambda: self._save(path, label))

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        weights: Arrays,
        *,
        masked_weights: Arrays | Literal[False] | None = None,
        communicator: Communicator | None = None,
        pieces: Sequence[Piece] | None = None,
        label: str = "",
    ) -> MaskSearch[Any]:
        """Continue a search that `save` wrote: the rest of it is the same, bit for bit.

        Parameters
        ----------
        path : path
            The file.
        weights : mapping, sequence or array
            The dense weights that the search began with.
        masked_weights : structure of the weights or False, optional
            As for `MaskSearch`; written at once.
        communicator : Communicator, optional
            The way to the other ranks, if several hold the weights: each passes its own part, which
            may be empty, and the same other arguments, and all take each step together. `sparsity`,
            `keep` and `schedule` are of the weights of all ranks, and so is a `Step`, except for
            `layer_kept` without pieces. See `swiftforce.distributed`.
        pieces : sequence of Piece, optional
            With a communicator: where the arrays lie in tensors that all ranks name in the same
            order. By default each rank has tensors of its own, which follow those of the rank
            before.
        label : str
            The label that the search was saved with.

        Raises
        ------
        WeightsDifferError
            If the weights are others: the message says whether names, shapes, types or values
            differ.
        SearchFileError
            If the file is damaged, does not hold a search, or has another label.
        ImportError, OSError
            If safetensors is not installed, or the file cannot be read.
        RankFailedError
            If another rank raised.

        Notes
        -----
        Any number of ranks continues what any other number saved, or one process, and with other
        pieces. Without pieces, ranks may hand whole tensors to each other, but not parts of them.
        All ranks must be able to read the file.
        """
        search: MaskSearch[Any] = cls.__new__(cls)
        with Watch(communicator):
            found = read(path, weights, communicator, pieces, label)
            saved = found.saved
            with saved.made_from(path):
                search._begin(
                    weights,
                    method=cast(MethodName, saved.method),
                    schedule=saved.keeps,
                    seed=saved.seed,
                    allocation=saved.limits,
                    saliency=saved.saliency or None,
                    rule=saved.rule or None,
                    momentum=saved.damping.momentum,
                    nested_from=saved.damping.nested_from,
                    removed_factor=saved.damping.removed_factor,
                    masked_weights=masked_weights,
                    communicator=communicator,
                    pieces=pieces,
                    resumed=found,
                )
        search._schedule = saved.schedule
        return search

    def result(self, *, stacklevel: int = 2) -> Pruning[Masks_co]:
        """Return what was found so far; complete once `done`.

        Parameters
        ----------
        stacklevel : int
            Which caller the warnings point to, as in `warnings.warn`: 2 is the direct one.

        Raises
        ------
        SearchDoneError
            Before the first step.

        Warns
        -----
        DegenerateSaliencyWarning
            If in some step positions, not scores, chose some of the kept weights.
        LayerCollapseWarning
            If a tensor keeps no weight.
        MaskedGradientsWarning
            If removed weights could return but never had a gradient.
        """
        return self._result(stacklevel + 1, copies=True)
