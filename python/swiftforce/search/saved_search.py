"""Saved searches: what a search needs to continue, in a file, and for which weights."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from swiftforce.errors import (
    BoundsError,
    HyperparameterError,
    KeepError,
    ScheduleError,
    SearchFileError,
    SeedError,
    StepsError,
    UnknownNameError,
    WeightsDifferError,
)
from swiftforce.files import FileFormat, checked_bits, checks
from swiftforce.inputs import Array, Tensors, differences
from swiftforce.result import (
    UNDAMPED,
    Damping,
    Step,
    axes_from,
    damping_from,
    packed_steps,
    saved_axes,
    unpacked_steps,
)
from swiftforce.search.buffers import accumulated_dtype
from swiftforce.search.limits import Limits

_FORMAT = FileFormat("swiftforce-search", 4, "a search", SearchFileError, oldest=1)
#: What arguments from a damaged file may raise.
_REFUSALS = (
    BoundsError,
    HyperparameterError,
    KeepError,
    ScheduleError,
    SeedError,
    StepsError,
    UnknownNameError,
)
#: Digits of the SHA-256 of earlier versions, which needs the whole tensor in one process.
_SHA256 = 64


@dataclass(frozen=True)
class Weights:
    """The whole tensors of a search, as its file describes them.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
    dtypes : tuple of str
    digests : tuple of str
        By which other values are noticed.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, tensors: Tensors, digests: Sequence[int]) -> Weights:
        """Those of one process."""
        return cls(
            tensors.names,
            tuple(array.shape for array in tensors.arrays),
            tuple(array.dtype.name for array in tensors.arrays),
            tuple(map(shown_digest, digests)),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each."""
        return tuple(math.prod(shape) for shape in self.shapes)


@dataclass(frozen=True, eq=False)
class SavedSearch:
    """A search between two of its steps.

    Attributes
    ----------
    method : str
    seed : int
    schedule : str
        The schedule's name; ``custom`` for a list of the caller's.
    keeps : tuple of int
        Weights kept after each step, those still to come included.
    history : tuple of Step
        What the steps taken did, to whole tensors.
    weights : Weights
    kept : tuple of int
        Weights that the masks keep of each whole tensor; none without masks.
    masks : tuple of array
        The masks of the last step taken, a bit per weight; before the first, those that the
        search begins at, if it begins at masks.
    label : str
        The caller's text, which must be the same to continue.
    damping : Damping
    accumulated : tuple of array
        The accumulated scores after the last step taken, flat; none if scores are not accumulated.
    saliency, rule : str
        In place of those of the method; empty: those.
    limits : Limits, optional
        How many weights tensors must and may keep.
    """

    method: str
    seed: int
    schedule: str
    keeps: tuple[int, ...]
    history: tuple[Step, ...]
    weights: Weights
    kept: tuple[int, ...]
    masks: tuple[Array, ...]
    label: str = ""
    damping: Damping = UNDAMPED
    accumulated: tuple[Array, ...] = ()
    saliency: str = ""
    rule: str = ""
    limits: Limits | None = None

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file that fits only weights with these digests.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        counts, history = packed_steps(self.history)
        weights = self.weights
        described = zip(weights.names, weights.shapes, weights.dtypes, weights.digests, strict=True)
        about = {
            "method": self.method,
            "seed": self.seed,
            "schedule": self.schedule,
            "keeps": list(self.keeps),
            "history": history,
            "label": self.label,
            "kept": list(self.kept),
            "damping": asdict(self.damping),
            **saved_axes(
                self.saliency,
                self.rule,
                None if self.limits is None else self.limits.allocation,
                None if self.limits is None else self.limits.pattern,
            ),
            "weights": [[name, list(shape), *others] for name, shape, *others in described],
        }
        masks = {f"mask.{position}": bits for position, bits in enumerate(self.masks)}
        accumulated = {
            f"accumulated.{position}": array for position, array in enumerate(self.accumulated)
        }
        limits = {} if self.limits is None else self.limits.arrays
        _FORMAT.write(path, {**masks, **accumulated, **counts, **limits}, about)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, label: str = "") -> SavedSearch:
        """Read what `write` wrote.

        Raises
        ------
        SearchFileError
            If the file is damaged, does not hold a search, or has another label.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be read.
        """
        arrays, about = _FORMAT.read(path)
        try:
            saved = cls._of(arrays, about)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise SearchFileError(f"{path} is damaged: {error}") from None
        if saved.label != label:
            was, now = _differing_parts(saved.label, label)
            raise SearchFileError(
                f"{path} is of another search: it says {was} where this one says {now}; remove the "
                "file to start a new search"
            )
        return saved

    @contextmanager
    def made_from(self, path: str | os.PathLike[str]) -> Iterator[None]:
        """Make the search in this block: arguments that it refuses are damage of the file."""
        try:
            yield
        except _REFUSALS as error:
            raise SearchFileError(f"{path} is damaged: {error}") from None

    @property
    def settings(self) -> object:
        """What must be the same in the files that ranks read."""
        about = (self.method, self.saliency, self.rule, self.seed, self.keeps, self.damping)
        return (*about, self.history, self.weights, self.kept)

    @property
    def has_old_digests(self) -> bool:
        """Whether an earlier version wrote the file."""
        return any(len(digest) == _SHA256 for digest in self.weights.digests)

    def check_weights(self, path: str | os.PathLike[str], weights: Weights) -> None:
        """Refuse weights that are not those of the file; the message says what differs.

        Raises
        ------
        WeightsDifferError
        """
        saved = self.weights
        shapes = dict(zip(saved.names, saved.shapes, strict=True))
        now = dict(zip(weights.names, weights.shapes, strict=True))
        # Flat weights are those of a tensor in the order of its memory: shards are not flat.
        flat = {name for name, shape in now.items() if _is_flattened(shape, shapes.get(name))}
        found = differences({**shapes, **{name: now[name] for name in flat}}, now)
        if not found and saved.names != weights.names:
            found = ["the order of the tensors"]
        if not found:
            rest = zip(saved.names, saved.dtypes, saved.digests, strict=True)
            for (name, dtype, digest), own in zip(
                rest, zip(weights.dtypes, weights.digests, strict=True), strict=True
            ):
                if own[0] != dtype:
                    found.append(f"{name!r} holds {own[0]} where it held {dtype}")
                elif own[1] != digest:
                    found.append(f"{name!r} holds other values")
        if found:
            listed = tuple(map(str, range(len(saved.names))))
            advice = ""
            if (saved.names == listed) != (weights.names == listed):
                advice = (
                    "; if ranks had tensors of their own, without pieces, the file has a list of "
                    "all, in the order of the ranks: pass them as a list"
                )
            raise WeightsDifferError(
                f"{path} is of a search over other weights: {'; '.join(found)}{advice}"
            )

    @classmethod
    def _of(cls, arrays: dict[str, Array], about: dict[str, Any]) -> SavedSearch:
        described = [
            _weight(entry) for entry in checks.items(about["weights"], "the list of weights")
        ]
        weights = Weights(*(tuple(column) for column in zip(*described, strict=True)))
        checks.distinct(weights.names, "weights")
        history = unpacked_steps(arrays, about["history"], weights.sizes)
        keeps = tuple(
            checks.whole(keep, "a number of weights to keep")
            for keep in checks.items(about["keeps"], "the schedule")
        )
        damping, axes = damping_from(about), axes_from(about)
        limits = Limits.read(arrays, axes["allocation"], axes["pattern"], weights.sizes)
        for step, keep in zip(history, keeps, strict=False):
            if step.keep != keep and (limits is None or not limits.may_keep(step.layer_kept, keep)):
                raise ValueError("the steps did not follow the schedule")
        if len(history) > len(keeps):
            raise ValueError("there are more steps than the schedule has")
        for step in history:
            if sum(step.layer_kept) != step.keep:
                raise ValueError(f"step {step.step} keeps {sum(step.layer_kept)} weights")
        # Without a step, masks are those that the search begins at, if it begins at masks.
        kept = history[-1].layer_kept if history else _initial_counts(about)
        named = zip(weights.names, weights.sizes, kept, strict=True) if kept else ()
        masks = tuple(
            checked_bits(arrays, position, name, size, count)
            for position, (name, size, count) in enumerate(named)
        )
        accumulated = tuple(
            _accumulated(arrays[f"accumulated.{position}"], name, size, dtype)
            for position, (name, size, dtype) in enumerate(
                zip(weights.names, weights.sizes, weights.dtypes, strict=True)
            )
            if damping.momentum > 0
        )
        return cls(
            method=checks.text(about["method"], "the method"),
            seed=checks.whole(about["seed"], "the seed", most=2**64 - 1),
            schedule=checks.text(about["schedule"], "the schedule"),
            keeps=keeps,
            history=history,
            weights=weights,
            kept=kept,
            masks=masks,
            label=checks.text(about.get("label", ""), "the label"),
            damping=damping,
            accumulated=accumulated,
            saliency=axes["saliency"],
            rule=axes["rule"],
            limits=limits,
        )


def _differing_parts(label: str, other: str) -> tuple[str, str]:
    """The parts of two labels, between commas, that are not the same, each side for a message."""
    pairs = zip_longest(label.split(", "), other.split(", "), fillvalue=None)
    was, now = zip(*(pair for pair in pairs if pair[0] != pair[1]), strict=True)
    return _quoted(was), _quoted(now)


def _quoted(parts: Sequence[str | None]) -> str:
    text = ", ".join(part for part in parts if part)
    return repr(text) if text else "nothing"


def _is_flattened(shape: tuple[int, ...], saved: tuple[int, ...] | None) -> bool:
    """Whether one of two shapes is that of the other tensor, flat."""
    return (
        saved is not None and 1 in {len(shape), len(saved)} and math.prod(shape) == math.prod(saved)
    )


def _initial_counts(about: dict[str, Any]) -> tuple[int, ...]:
    """How many weights the masks keep that a search begins at; none if it begins with all."""
    kept = checks.items(about.get("kept", []), "the counts of kept weights")
    return tuple(checks.whole(count, "a count of kept weights") for count in kept)


def _accumulated(array: Array, name: str, size: int, dtype: str) -> Array:
    """The accumulated scores of a tensor, of weights of this type."""
    expected = accumulated_dtype(np.dtype(np.float64 if dtype == "float64" else np.float32))
    if array.dtype != expected or array.shape != (size,):
        raise ValueError(
            f"the accumulated scores of {name} are {array.dtype} of shape {array.shape}"
        )
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(f"the accumulated scores of {name} are not all finite and not negative")
    return array


def _weight(entry: object) -> tuple[str, tuple[int, ...], str, str]:
    """Name, shape, dtype and digest of a tensor of weights."""
    name, shape, dtype, digest = checks.items(entry, "a tensor of weights", 4)
    return (
        checks.text(name, "the name of a tensor"),
        checks.shape(shape, "a tensor of weights"),
        checks.text(dtype, "the type of a tensor"),
        checks.text(digest, "the digest of a tensor"),
    )


def shown_digest(digest: int) -> str:
    """A digest as a file has it."""
    return f"{digest:016x}"


def old_digest(array: Array) -> str:
    """The digest of a whole tensor in files of earlier versions."""
    import hashlib  # here, because not every program uses it

    return hashlib.sha256(np.reshape(array, -1).view(np.uint8).data).hexdigest()
