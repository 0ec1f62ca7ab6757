"""Saved searches: what a search needs to continue, in a file, and for which weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
from swiftforce.files import FileFormat, packed_masks, unpacked_mask
from swiftforce.inputs import Array, Tensors, differences
from swiftforce.result import Step, saved_step

_FORMAT = FileFormat("swiftforce-search", 1, "a search", SearchFileError)


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
        about = {
            "method": self.method,
            "seed": self.seed,
            "schedule": self.schedule,
            "keeps": list(self.keeps),
            "history": [asdict(step) for step in self.history],
            "label": self.label,
            "kept": [int(np.count_nonzero(mask)) for mask in self.masks],
            "weights": [
                [name, list(array.shape), array.dtype.name, digest]
                for name, array, digest in zip(weights.names, weights.arrays, digests, strict=True)
            ],
        }
        _FORMAT.write(path, packed_masks(self.masks), about)

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
        packed, about = _FORMAT.read(path)
        try:
            _check_weights(path, about["weights"], weights)
            saved = cls._of(packed, about)
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
    def _of(cls, packed: dict[str, Array], about: dict[str, Any]) -> SavedSearch:
        history = tuple(saved_step(step) for step in about["history"])
        keeps = tuple(about["keeps"])
        if [step.step for step in history] != list(range(1, len(history) + 1)):
            raise ValueError("steps are missing")
        if tuple(step.keep for step in history) != keeps[: len(history)]:
            raise ValueError("the steps did not follow the schedule")
        counts = history[-1].layer_kept if history else tuple(about.get("kept", ()))
        masks = tuple(
            unpacked_mask(packed, position, name, tuple(shape), kept)
            for position, ((name, shape, *_), kept) in enumerate(
                zip(about["weights"], counts, strict=False)
            )
        )
        if counts and len(masks) != len(about["weights"]):
            raise ValueError("masks are missing")
        return cls(
            method=about["method"],
            seed=about["seed"],
            schedule=about["schedule"],
            keeps=keeps,
            history=history,
            masks=masks,
            label=about.get("label", ""),
        )


def _check_weights(path: str | os.PathLike[str], saved: list[Any], weights: Tensors) -> None:
    """Refuse weights that are not those of the file; the message says what differs."""
    found = differences({name: tuple(shape) for name, shape, *_ in saved}, weights)
    if not found:
        arrays = dict(zip(weights.names, weights.arrays, strict=True))
        if tuple(arrays) != tuple(name for name, *_ in saved):
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
