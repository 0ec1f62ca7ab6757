"""Saved searches: what a search needs to continue, in a file, and for which weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from swiftforce.errors import (
    KeepError,
    ScheduleError,
    SearchFileError,
    SeedError,
    StepsError,
    UnknownNameError,
    WeightsDifferError,
)
from swiftforce.files import FileFormat, checks, packed_masks, unpacked_mask
from swiftforce.inputs import Array, Tensors, differences
from swiftforce.result import Step, packed_steps, unpacked_steps

_FORMAT = FileFormat("swiftforce-search", 2, "a search", SearchFileError, oldest=1)


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
        What the steps taken did.
    masks : tuple of array
        The masks of the last step taken; before the first, those that the search begins at, if
        it begins at masks.
    label : str
        The caller's text, which must be the same to continue.
    """

    method: str
    seed: int
    schedule: str
    keeps: tuple[int, ...]
    history: tuple[Step, ...]
    masks: tuple[Array, ...]
    label: str = ""

    def write(self, path: str | os.PathLike[str], weights: Tensors, digests: Sequence[str]) -> None:
        """Write it to a file that fits only the weights with these digests.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        counts, history = packed_steps(self.history)
        about = {
            "method": self.method,
            "seed": self.seed,
            "schedule": self.schedule,
            "keeps": list(self.keeps),
            "history": history,
            "label": self.label,
            "kept": [int(np.count_nonzero(mask)) for mask in self.masks],
            "weights": [
                [name, list(array.shape), array.dtype.name, digest]
                for name, array, digest in zip(weights.names, weights.arrays, digests, strict=True)
            ],
        }
        _FORMAT.write(path, {**packed_masks(self.masks), **counts}, about)

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], weights: Tensors, *, label: str = ""
    ) -> SavedSearch:
        """Read what `write` wrote for these weights.

        Raises
        ------
        WeightsDifferError
            If it was written for others.
        SearchFileError
            If the file is damaged, does not hold a search, or has another label.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be read.
        """
        arrays, about = _FORMAT.read(path)
        try:
            described = checks.items(about["weights"], "the list of weights")
            _check_weights(path, [_weight(entry) for entry in described], weights)
            saved = cls._of(arrays, about, weights)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, WeightsDifferError):
                raise
            raise SearchFileError(f"{path} is damaged: {error}") from None
        if saved.label != label:
            raise SearchFileError(
                f"{path} is of another search: it is labelled {saved.label!r}, not {label!r}"
            )
        return saved

    @contextmanager
    def made_from(self, path: str | os.PathLike[str]) -> Iterator[None]:
        """Make the search in this block: arguments that it refuses are damage of the file."""
        try:
            yield
        except (KeepError, ScheduleError, SeedError, StepsError, UnknownNameError) as error:
            raise SearchFileError(f"{path} is damaged: {error}") from None

    @classmethod
    def _of(cls, arrays: dict[str, Array], about: dict[str, Any], weights: Tensors) -> SavedSearch:
        history = unpacked_steps(arrays, about["history"], weights.sizes)
        keeps = tuple(
            checks.whole(keep, "a number of weights to keep")
            for keep in checks.items(about["keeps"], "the schedule")
        )
        if tuple(step.keep for step in history) != keeps[: len(history)]:
            raise ValueError("the steps did not follow the schedule")
        for step in history:
            if sum(step.layer_kept) != step.keep:
                raise ValueError(f"step {step.step} keeps {sum(step.layer_kept)} weights")
        # Without a step, masks are those that the search begins at, if it begins at masks.
        counts = history[-1].layer_kept if history else _initial_counts(about)
        named = zip(weights.names, weights.arrays, counts, strict=True) if counts else ()
        masks = tuple(
            unpacked_mask(arrays, position, name, array.shape, kept)
            for position, (name, array, kept) in enumerate(named)
        )
        return cls(
            method=checks.text(about["method"], "the method"),
            seed=checks.whole(about["seed"], "the seed", most=2**64 - 1),
            schedule=checks.text(about["schedule"], "the schedule"),
            keeps=keeps,
            history=history,
            masks=masks,
            label=checks.text(about.get("label", ""), "the label"),
        )


def _initial_counts(about: dict[str, Any]) -> tuple[int, ...]:
    """How many weights the masks keep that a search begins at; none if it begins with all."""
    kept = checks.items(about.get("kept", []), "the counts of kept weights")
    return tuple(checks.whole(count, "a count of kept weights") for count in kept)


def _weight(entry: object) -> tuple[str, tuple[int, ...], str, str]:
    """Name, shape, dtype and digest of a tensor of weights."""
    name, shape, dtype, digest = checks.items(entry, "a tensor of weights", 4)
    return (
        checks.text(name, "the name of a tensor"),
        checks.shape(shape, "a tensor of weights"),
        checks.text(dtype, "the type of a tensor"),
        checks.text(digest, "the digest of a tensor"),
    )


def _check_weights(
    path: str | os.PathLike[str],
    saved: Sequence[tuple[str, tuple[int, ...], str, str]],
    weights: Tensors,
) -> None:
    """Refuse weights that are not those of the file; the message says what differs."""
    names = [name for name, *_ in saved]
    checks.distinct(names, "weights")
    found = differences({name: shape for name, shape, *_ in saved}, weights)
    if not found:
        arrays = dict(zip(weights.names, weights.arrays, strict=True))
        if list(arrays) != names:
            found = ["the order of the tensors"]
        for name, _, dtype, digest in saved:
            if arrays[name].dtype.name != dtype:
                found.append(f"{name!r} holds {arrays[name].dtype.name} where it held {dtype}")
            elif _digest(arrays[name]) != digest:
                found.append(f"{name!r} holds other values")
    if found:
        raise WeightsDifferError(f"{path} is of a search over other weights: {'; '.join(found)}")


def digests(weights: Tensors) -> tuple[str, ...]:
    """A digest of each tensor, by which other weights are noticed."""
    return tuple(_digest(array) for array in weights.arrays)


def _digest(array: Array) -> str:
    """A digest of the bits of an array, whatever its type."""
    import hashlib  # here, because not every program uses it

    return hashlib.sha256(np.reshape(array, -1).view(np.uint8).data).hexdigest()
