"""Checkpoints: the tensors of safetensors files.

Files are mapped into memory, not loaded, so a checkpoint may be larger than the memory of the
machine. Nothing here writes.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from swiftforce.adapters import Candidate, Decision, Patterns, Reason, choose
from swiftforce.errors import CheckpointError, UnsupportedTypeError
from swiftforce.inputs import BFLOAT16, Array

#: The dtypes of weights that can be pruned: their names in safetensors files and in numpy.
PRUNABLE_DTYPES = {"F16": "float16", "BF16": BFLOAT16, "F32": "float32", "F64": "float64"}

#: Bytes at the beginning of a file that hold the length of its header.
_LENGTH = 8


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


class Checkpoint:
    """The tensors of one or more files, by name.

    Only headers are read until `array` is called.

    Parameters
    ----------
    paths : sequence of Path
        Safetensors files, which may be shards of one checkpoint, and indices of shards as Hugging
        Face writes them (``model.safetensors.index.json``), which stand for the files they name.

    Raises
    ------
    CheckpointError
        If a file is damaged or of another kind, two files hold a tensor of the same name, or a
        tensor is not in the file that an index names.
    ImportError
        If safetensors is not installed.
    OSError
        If a file cannot be read.

    Attributes
    ----------
    files : tuple of Path
        The safetensors files.
    indices : tuple of Path
        The indices.
    tensors : dict of str to TensorInfo
        Sorted by name, with numbers compared as numbers, so that the order does not depend on how
        a checkpoint is split into files.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, safetensors.numpy
    >>> from swiftforce.files.checkpoints import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     tensors = {"10.weight": np.float32([[1, 2]]), "9.weight": np.float32([[3]])}
    ...     safetensors.numpy.save_file(tensors, path)
    ...     checkpoint = Checkpoint([path])
    ...     list(checkpoint.tensors), checkpoint.array("10.weight")
    (['9.weight', '10.weight'], array([[1., 2.]], dtype=float32))
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.indices = tuple(path for path in paths if path.suffix == ".json")
        named = {path: _weight_map(path) for path in self.indices}
        self.files = tuple(
            file
            for path in paths
            for file in (_shards(path, named[path]) if path in named else [path])
        )
        found: dict[str, TensorInfo] = {}
        for file in self.files:
            for name, info in _tensors_in(file).items():
                if name in found:
                    raise CheckpointError(
                        f"{name!r} is in two files: {found[name].file} and {file}"
                    )
                found[name] = info
        for path, weight_map in named.items():
            _check_index(path, weight_map, found)
        self.tensors = {name: found[name] for name in sorted(found, key=_natural_order)}
        self._maps: dict[Path, Array] = {}

    def __str__(self) -> str:
        """The names of the first files, and how many more there are."""
        more = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        return ", ".join(map(str, self.files[:3])) + more

    def prunable(self, include: Patterns | None = None, exclude: Patterns = ()) -> list[str]:
        """Names of the tensors to prune, in order; the errors are those of `decisions`."""
        return [one.name for one in self.decisions(include, exclude) if one.chosen]

    def decisions(self, include: Patterns | None = None, exclude: Patterns = ()) -> list[Decision]:
        """For each tensor, whether it is pruned and why: see `swiftforce.adapters.choose`.

        Raises
        ------
        UnknownNameError
            If a pattern matches no tensor, or a pattern of `include` none of a type that can be
            pruned.
        StructureError
            If no tensor is left.
        """
        candidates = [
            Candidate(
                name,
                info.shape,
                _known(info.dtype, len(info.shape)),
                floating=info.dtype in PRUNABLE_DTYPES,
            )
            for name, info in self.tensors.items()
        ]
        nothing = f"no tensor of {self} is prunable; of floating-point numbers there are"
        return choose(candidates, include, exclude, nothing=nothing)

    def array(self, name: str) -> Array:
        """A tensor, as a read-only array in the mapped file.

        The format does not guarantee alignment, and the core needs it: an unaligned tensor is
        copied.

        Raises
        ------
        UnsupportedTypeError
            If the tensor is of a type that cannot be pruned.
        ImportError
            If it is bfloat16 and ml_dtypes is not installed.
        """
        info = self.tensors[name]
        if info.dtype not in PRUNABLE_DTYPES:
            raise UnsupportedTypeError(
                f"{name!r} in {info.file} is {info.dtype}, not one of {', '.join(PRUNABLE_DTYPES)}"
            )
        raw = self.raw(info.file)[info.start : info.stop]
        array: Array = raw.view(dtype_of(PRUNABLE_DTYPES[info.dtype])).reshape(info.shape)
        return array if array.flags.aligned else array.copy()

    def raw(self, file: Path) -> Array:
        """All bytes of one of the files, mapped into memory."""
        if file not in self._maps:
            # One map per file, not per tensor: each map holds a file descriptor.
            self._maps[file] = np.asarray(np.memmap(file, np.uint8, "r"))
        return self._maps[file]


def _known(dtype: str, dimensions: int) -> Reason | None:
    """What the dtype of a tensor says; None for one that may be pruned."""
    if dtype in PRUNABLE_DTYPES:
        return None
    if dtype.startswith("C"):
        return Reason.COMPLEX
    is_quantised = dtype != "BOOL" and not dtype.endswith(("16", "32", "64"))
    return Reason.QUANTISED if is_quantised and dimensions > 1 else Reason.NOT_FLOATING


def _tensors_in(file: Path) -> dict[str, TensorInfo]:
    """The tensors of a file, after safetensors has checked its header."""
    safetensors = _safetensors()
    try:
        mode = file.stat().st_mode
    except ValueError as error:  # a null byte in the path
        raise CheckpointError(f"{str(file)!r} is not a path: {error}") from None
    # Opening a pipe would block.
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{file} is not a file")
    try:
        with safetensors.safe_open(file, framework="numpy"):
            pass
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{file} is damaged, or no safetensors file: {error}") from None
    with file.open("rb") as content:
        length = int.from_bytes(content.read(_LENGTH), "little")
        header: dict[str, Any] = json.loads(content.read(length))
    header.pop("__metadata__", None)
    data = _LENGTH + length
    return {
        name: TensorInfo(
            file,
            entry["dtype"],
            tuple(entry["shape"]),
            *(data + offset for offset in entry["data_offsets"]),
        )
        for name, entry in header.items()
    }


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor according to an index."""
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        weight_map = content["weight_map"]
        shards = set(weight_map.values())
        if not shards:
            raise ValueError("no files")
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise CheckpointError(f"{index} is not an index of safetensors files") from None
    for shard in shards:
        # Shards are in the folder of their index; outputs have the same names.
        if not isinstance(shard, str) or not shard or Path(shard).name != shard:
            raise CheckpointError(f"{index} names {shard!r}, which is no file beside it")
    return dict(weight_map)


def _shards(index: Path, weight_map: Mapping[str, str]) -> Iterable[Path]:
    return [index.with_name(shard) for shard in sorted(set(weight_map.values()))]


def _check_index(
    index: Path, weight_map: Mapping[str, str], found: Mapping[str, TensorInfo]
) -> None:
    for name, shard in weight_map.items():
        if name not in found or found[name].file != index.with_name(shard):
            raise CheckpointError(f"{index} says that {name!r} is in {shard}, and it is not")


def _natural_order(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts layer 2 before layer 10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


@cache
def dtype_of(name: str) -> np.dtype[Any]:
    """The numpy dtype of a name; bfloat16 is that of ml_dtypes.

    Raises
    ------
    ImportError
        If the name is bfloat16 and ml_dtypes is not installed.
    """
    if name != BFLOAT16:
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            "arrays of bfloat16 need ml_dtypes: pip install 'swiftforce[files]'"
        ) from None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def _safetensors() -> Any:  # noqa: ANN401 - a module
    try:
        import safetensors
    except ImportError:
        raise ImportError("checkpoints need safetensors: pip install 'swiftforce[files]'") from None
    return safetensors
