"""States in files of `torch.save`: as bits, for programs that work on the tensors of any format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from swiftforce.errors import CheckpointError
from swiftforce.inputs import Array
from swiftforce.torch.packed import DTYPES, bits_of_tensor, name_of_dtype


def read_state(path: Path) -> Iterator[tuple[str, str, Array]]:
    """The tensors of a saved ``state_dict``: name, type as in safetensors files, and bits.

    Raises
    ------
    CheckpointError
        If the file is damaged, needs code to be run, or holds anything but tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except (MemoryError, OSError):
        raise
    except Exception as error:  # torch raises whatever a damaged file leads it to
        raise CheckpointError(
            f"{path} cannot be read by torch.load(weights_only=True): {str(error).split('. ')[0]}"
        ) from None
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not a state_dict")
    if others := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        inside = [name for name in others if _is_state(state[name])]
        advice = f"save its entry {inside[0]!r} alone" if inside else "save the tensors alone"
        raise CheckpointError(f"{path} holds more than tensors, such as {others[0]!r}: {advice}")
    names: dict[tuple[int, int], str] = {}
    for name, tensor in state.items():
        dtype = name_of_dtype(str(name), tensor)
        size = tensor.numel() * tensor.itemsize
        if size > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{name!r} in {path} repeats its elements: save a plain copy")
        first = names.setdefault((tensor.data_ptr(), size), str(name))
        if size and first != str(name):
            raise CheckpointError(
                f"{first!r} and {name!r} in {path} are one tensor, which a mask of one of them "
                "would not show: save it by one name"
            )
        yield str(name), dtype, bits_of_tensor(tensor)


def write_state(path: Path, tensors: Mapping[str, tuple[str, Array]]) -> None:
    """Write tensors, given as types and bits, as a ``state_dict``.

    Raises
    ------
    CheckpointError
        If torch does not have a type.
    OSError
    """
    state = {}
    for name, (dtype, elements) in tensors.items():
        if dtype not in DTYPES:
            raise CheckpointError(f"{name!r} is {dtype}, which torch does not have")
        bits = torch.from_numpy(elements.view(f"i{elements.itemsize}"))
        state[name] = bits.view(DTYPES[dtype])
    with path.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # of a full disk, for example
            raise OSError(f"{str(path)!r} cannot be written: {error}") from None


def _is_state(value: Any) -> bool:  # noqa: ANN401 - of a file
    return isinstance(value, Mapping) and any(
        isinstance(one, torch.Tensor) for one in value.values()
    )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"
