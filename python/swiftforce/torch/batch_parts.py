"""The parts of a batch: its tensors, other tensors in their places, its number of samples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

from swiftforce.errors import BatchesError
from swiftforce.torch.arguments import check_batch_part

#: Attributes in which batches of graphs and tensordicts say how many samples they have.
_COUNTS = ("num_graphs", "batch_size")
#: As many tensors of one shape in a list may be samples as well as inputs.
_MANY = 4
_HOW_TO_SAY = "return (loss, number of samples) from batch_loss"


def named_parts(value: Any) -> Mapping[Any, Any] | None:  # noqa: ANN401 - the caller's
    """What a mapping, a dataclass or another object with attributes holds; None for others."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (torch.Tensor, type)) or is_sequence(value) or hasattr(value, "dtype"):
        return None
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return getattr(value, "__dict__", None)


def is_sequence(value: object) -> bool:
    """Whether a value is a list, a tuple or the like, and not a text."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def leaves(batch: Any) -> Iterator[Any]:  # noqa: ANN401
    """All that a batch holds, in order, out of its containers."""
    parts = named_parts(batch)
    if parts is not None or is_sequence(batch):
        for part in batch if parts is None else parts.values():
            yield from leaves(part)
    else:
        yield batch


def with_tensors(batch: Any, by: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401
    """A batch of the same types, each tensor replaced by what a function makes of it."""
    if isinstance(batch, torch.Tensor):
        return by(batch)
    if is_sequence(batch):
        parts = [with_tensors(part, by) for part in batch]
        if hasattr(batch, "_fields"):
            return type(batch)(*parts)
        return tuple(parts) if isinstance(batch, tuple) else parts
    named = named_parts(batch)
    if not named:
        return batch
    changed = {name: with_tensors(part, by) for name, part in named.items()}
    if type(batch) is dict:
        return changed
    made = copy.copy(batch)
    for name, part in changed.items():
        if isinstance(batch, Mapping):
            made[name] = part
        else:
            object.__setattr__(made, name, part)
    return made


def size_of(batch: Any) -> int:  # noqa: ANN401 - the caller's
    """The number of samples in a batch, its weight in a mean.

    It is the length of the batch's first part: of a tensor along its first dimension, or of a list
    of samples. Where that list may also be one of several inputs, the other parts decide.

    Raises
    ------
    BatchesError
        If the batch has no samples, or their number is unknown.
    UnsupportedTypeError
        If there is an array of another framework and no tensor.
    """
    found = _sizes(batch, outer=True)
    if len(found) == 2 and 1 in found:
        found.discard(1)  # A list of one tensor is more often an input than a sample.
    if len(found) == 1 and (size := found.pop()) > 0:
        return size
    what = described(batch)
    if found:
        raise BatchesError(
            f"a batch ({what}) may have {' or '.join(map(str, sorted(found)))} samples: "
            f"{_HOW_TO_SAY}"
        )
    for part in leaves(batch):
        if isinstance(part, torch.Tensor) and part.dim() and not len(part):
            raise BatchesError(f"a batch has no samples ({described(part)}): leave it out")
        check_batch_part(part, "input")
    if any(isinstance(part, torch.Tensor) for part in leaves(batch)):
        raise BatchesError(f"the number of samples in a batch ({what}) is unknown: {_HOW_TO_SAY}")
    raise BatchesError(
        f"there is no tensor in a batch ({what}), so its number of samples is unknown: "
        f"{_HOW_TO_SAY}"
    )


def _sizes(batch: Any, *, outer: bool = False) -> set[int]:  # noqa: ANN401, PLR0911 - by type
    """The numbers of samples that a batch or a part of it may have; none if it does not tell."""
    if isinstance(batch, torch.Tensor):
        return {len(batch)} if batch.dim() else set()
    for name in _COUNTS:
        count = getattr(batch, name, None)
        if isinstance(count, int):
            return {count}
        if isinstance(count, torch.Size) and count:
            return {count[0]}
    if (parts := named_parts(batch)) is not None:
        return _first(_sizes(part) for part in parts.values())
    if not is_sequence(batch) or not batch:
        return set()
    if isinstance(batch[0], (int, float, str)) and not (outer and isinstance(batch, tuple)):
        return {len(batch)}
    each = [_sizes(part) for part in batch]
    if outer:
        return _of_parts(batch, each)
    if named_parts(batch[0]) is not None:
        return {len(batch)}
    return set.intersection(*each) | {len(batch)}


def _of_parts(batch: Sequence[Any], each: list[set[int]]) -> set[int]:
    """The sizes of a whole batch, from those of its parts: ``(input, target)``."""
    if not isinstance(batch, list):
        return _first(each)
    kinds = {type(part) for part in batch}
    if kinds == {tuple} or named_parts(batch[0]) is not None:
        return {len(batch)}  # Samples that were not put together.
    if all(isinstance(part, torch.Tensor) for part in batch) and len(batch) > 1:
        common = set.intersection(*each)
        if not common:
            return {len(batch)}  # Samples of several lengths.
        if len(batch) >= _MANY and len({(part.shape, part.dtype) for part in batch}) == 1:
            return common | {len(batch)}
    return _first(each)


def _first(sizes: Any) -> set[int]:  # noqa: ANN401 - an iterable of sets
    """What the first part says that says something, as far as the others agree."""
    said = [one for one in sizes if one]
    if not said:
        return set()
    found: set[int] = set(said[0])
    for one in said[1:]:
        found = found & one or found
    return found


def described(value: object) -> str:
    """A value in a few words, for messages."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Sequence):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
