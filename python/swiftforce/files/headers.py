"""Headers of safetensors files: where each tensor lies, checked before anything else is read.

The library would map the file to check its header, and a file that becomes shorter meanwhile would
end the process.

References
----------
https://github.com/huggingface/safetensors: the section "Format".
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swiftforce.errors import StructureError
from swiftforce.files.checks import items, shown, text, whole
from swiftforce.files.reading import StableFile

#: Bytes at the beginning of a file that hold the length of its header, and the greatest length.
LENGTH, LONGEST = 8, 100_000_000

#: Bits of an element.
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8"), 8),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file.

    Attributes
    ----------
    file : Path
    dtype : str
        Its name in safetensors files, for example ``BF16``.
    shape : tuple of int
    start, stop : int
        The range of its bytes in the file.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def bits_of(dtype: str) -> int:
    """The bits of an element.

    Raises
    ------
    ValueError
        If there is no such dtype.
    """
    if dtype not in _BITS:
        raise ValueError(f"there is no dtype {shown(dtype)}")
    return _BITS[dtype]


def check_name(name: str) -> None:
    """Refuse a name that no tensor in a file can have.

    Raises
    ------
    StructureError
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StructureError(f"{name!r} is no text that files can hold: rename it") from None
    if name == "__metadata__":
        raise StructureError(f"no tensor in a safetensors file can be named {name!r}: rename it")


def header_of(
    tensors: Mapping[str, tuple[str, Sequence[int]]], metadata: Mapping[str, str]
) -> bytes:
    """The beginning of a file whose tensors follow in this order: its length and its header.

    Parameters
    ----------
    tensors : mapping of str to (str, sequence of int)
        Dtypes and shapes, by name.
    metadata : mapping of str to str

    Raises
    ------
    StructureError
        If a tensor cannot have its name.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, (dtype, shape) in tensors.items():
        check_name(name)
        size = math.prod(shape) * bits_of(dtype) // 8
        offsets = [place, place + size]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        place += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    # The data begin at a multiple of eight bytes.
    content = text.ljust(-(-len(text) // LENGTH) * LENGTH)
    return len(content).to_bytes(LENGTH, "little") + content


def read_header(file: StableFile) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """The tensors of a file, by name, and its metadata.

    Raises
    ------
    ValueError
        If the file is damaged, or no safetensors file.
    OSError
    """
    size = file.state.size
    if size < LENGTH:
        raise ValueError(f"it has {size} bytes")
    length = int.from_bytes(file.read(0, LENGTH), "little")
    if length > min(LONGEST, size - LENGTH):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    header = _parsed(file.read(LENGTH, length).decode())
    metadata = _metadata(header.pop("__metadata__", None))
    data = LENGTH + length
    found = {name: _tensor(name, about, file.path, data) for name, about in header.items()}
    _check_ranges(found, data, size)
    return found, metadata


def _parsed(content: str) -> dict[str, Any]:
    try:
        header = json.loads(content, object_pairs_hook=_pairs, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. The format allows no name twice, since readers would disagree."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{shown(twice)} is in its header twice")
    for name in found:
        name.encode()  # half of a surrogate pair is no text
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} in its header")


def _metadata(metadata: object) -> dict[str, str]:
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are no texts by name")
    return metadata


def _tensor(name: str, about: object, file: Path, data: int) -> TensorInfo:
    what = shown(name)
    if not isinstance(about, dict) or not {"dtype", "shape", "data_offsets"} <= about.keys():
        raise ValueError(f"{what} has no dtype, shape and data_offsets")
    shape = tuple(
        whole(side, f"a side of {what}", most=2**64 - 1)
        for side in items(about["shape"], f"the shape of {what}")
    )
    start, stop = (
        whole(offset, f"an offset of {what}")
        for offset in items(about["data_offsets"], f"the offsets of {what}", 2)
    )
    dtype = text(about["dtype"], f"the dtype of {what}")
    if dtype not in _BITS:
        raise ValueError(f"{what} has the unknown dtype {shown(dtype)}")
    if _product(shape) * _BITS[dtype] != 8 * (stop - start):
        raise ValueError(f"{what} has {stop - start} bytes, which are not its shape of {dtype}")
    return TensorInfo(file, dtype, shape, data + start, data + stop)


def _product(shape: tuple[int, ...]) -> int:
    # Thousands of sides would make a number of many thousands of digits.
    sides = [side for side in shape if side != 1]
    if 0 in sides:
        return 0
    return math.prod(sides) if len(sides) <= 64 else -1


def _check_ranges(tensors: dict[str, TensorInfo], data: int, size: int) -> None:
    """Tensors follow each other without gaps, up to the end of the file."""
    place = data
    for name, entry in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start != place or entry.stop < place:
            raise ValueError(f"{shown(name)} does not follow the tensor before it")
        place = entry.stop
    if place != size:
        raise ValueError(f"{size - place} bytes do not belong to a tensor")
