"""Checkpoints: the tensors of safetensors files.

A checkpoint may be larger than the memory of the machine: tensors that are needed at once are
copied to a temporary file, which nobody else can write to, and that file is mapped.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any, BinaryIO

import numpy as np

from swiftforce.adapters import Candidate, Decision, Patterns, Reason, choose
from swiftforce.errors import CheckpointError, UnsupportedTypeError
from swiftforce.files.atomic import is_encodable
from swiftforce.files.checks import shown
from swiftforce.files.dtypes import PRUNABLE_DTYPES, dtype_of
from swiftforce.files.headers import LONGEST, TensorInfo, read_header
from swiftforce.files.reading import FileState, StableFile, open_regular, stable_file
from swiftforce.inputs import Array

#: Names of buffers, which lie beside parameters in checkpoints of torch.
_BUFFERS = {"running_mean", "running_var", "num_batches_tracked", "inv_freq"}

#: Bytes copied at a time, and those of a cache line.
_PIECE, _LINE = 1 << 20, 64


class Checkpoint:
    """The tensors of one or more files, by name.

    Only headers are read until `arrays` is called.

    Parameters
    ----------
    paths : sequence of Path
        Safetensors files, which may be shards of one checkpoint, and indices of shards as Hugging
        Face writes them (``model.safetensors.index.json``), which stand for the files they name.
        If several of these files hold a tensor of the same name, the one that the index names
        counts.
    origins : mapping of Path to Path, optional
        What files were converted from.

    Raises
    ------
    CheckpointError
        If a file is damaged or of another kind, two files hold a tensor of the same name, or a
        tensor is not in the file that an index names.
    OSError
        If a file cannot be read, or is no regular file.

    Attributes
    ----------
    files : tuple of Path
        The safetensors files.
    indices : tuple of Path
        The indices.
    sources : tuple of Path
        The files that were given, and those that indices stand for. If a file was converted, what
        it was converted from.
    tensors : dict of str to TensorInfo
        Sorted by name, with numbers compared as numbers, so that the order does not depend on how
        a checkpoint is split into files.
    metadata : dict of str to str
        What the files say of themselves; what the first one says counts.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, safetensors.numpy
    >>> from swiftforce.files import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     tensors = {"10.weight": np.float32([[1, 2]]), "9.weight": np.float32([[3]])}
    ...     safetensors.numpy.save_file(tensors, path)
    ...     checkpoint = Checkpoint([path])
    ...     list(checkpoint.tensors), checkpoint.array("10.weight")
    (['9.weight', '10.weight'], array([[1., 2.]], dtype=float32))
    """

    def __init__(self, paths: Sequence[Path], origins: Mapping[Path, Path] | None = None) -> None:
        self.indices = tuple(path for path in paths if path.suffix == ".json")
        self._states: dict[Path, FileState] = {}
        self.metadata: dict[str, str] = {}
        files: list[Path] = []
        found: dict[str, TensorInfo] = {}
        for path in paths:
            if path in self.indices:
                weight_map = _weight_map(path)
                shards = _shards(path, weight_map)
                tensors = self._indexed(path, shards, weight_map)
            else:
                shards, tensors = [path], self._tensors_in(path)
            files += shards
            _merge(found, tensors)
        self.files = tuple(files)
        self.sources = tuple((origins or {}).get(path, path) for path in (*files, *self.indices))
        self.tensors = {name: found[name] for name in sorted(found, key=_natural_order)}

    def __str__(self) -> str:
        """The names of the first files, and how many more there are."""
        named = [path for path in self.sources if path not in self.indices]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return ", ".join(map(str, named[:3])) + more

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
                _known(name, info),
                floating=info.dtype in PRUNABLE_DTYPES and not _is_buffer(name),
            )
            for name, info in self.tensors.items()
        ]
        nothing = f"no tensor of {self} is prunable; of floating-point numbers there are"
        return choose(candidates, include, exclude, nothing=nothing)

    def arrays(self, names: Iterable[str]) -> dict[str, Array]:
        """Tensors as read-only arrays in a temporary file, which is deleted with the last of them.

        The temporary file is in the folder that the environment variable TMPDIR names, or in /tmp.

        Raises
        ------
        UnsupportedTypeError
            If a tensor is of a type that cannot be pruned.
        CheckpointError
            If a tensor has a shape that no array can have, or a file was changed meanwhile.
        ImportError
            If one is bfloat16 and ml_dtypes is not installed.
        OSError
            If a file cannot be read, or there is no space for the temporary file.
        """
        infos = {name: self.tensors[name] for name in names}
        dtypes = {name: _dtype_in_file(name, info) for name, info in infos.items()}
        places, total = {}, 0
        for name, info in infos.items():
            places[name] = total
            total += -(-(info.stop - info.start) // _LINE) * _LINE
        if not total:  # which cannot be mapped
            return {name: np.empty(info.shape, dtypes[name]) for name, info in infos.items()}
        with _temporary_file(total) as copy:
            for file in dict.fromkeys(info.file for info in infos.values()):
                with self.open(file) as source:
                    for name, info in infos.items():
                        if info.file == file:
                            _copy(source, info.start, info.stop, copy, places[name])
            mapped = mmap.mmap(copy.fileno(), total, prot=mmap.PROT_READ)
        return {
            name: np.frombuffer(mapped, dtypes[name], math.prod(info.shape), places[name]).reshape(
                info.shape
            )
            for name, info in infos.items()
        }

    def array(self, name: str) -> Array:
        """One tensor: see `arrays`."""
        return self.arrays([name])[name]

    @contextmanager
    def open(self, file: Path) -> Iterator[StableFile]:
        """One of the files, which must be as it was when its header was read.

        Raises
        ------
        CheckpointError
            If it was changed, or is changed before the block ends.
        OSError
        """
        with stable_file(file, CheckpointError, self._states[file]) as source:
            yield source

    def _tensors_in(self, file: Path) -> dict[str, TensorInfo]:
        if not is_encodable(file):
            raise CheckpointError(f"{str(file)!r} is not a path")
        if file.exists() and not file.is_file():
            raise CheckpointError(f"{file} is not a file")
        with stable_file(file, CheckpointError) as source:
            try:
                tensors, metadata = read_header(source)
            except ValueError as error:
                raise CheckpointError(
                    f"{file} is damaged, or no safetensors file: {error}"
                ) from None
            self._states[file] = source.state
        self.metadata = {**metadata, **self.metadata}
        return tensors

    def _indexed(
        self, index: Path, shards: Sequence[Path], weight_map: Mapping[str, str]
    ) -> dict[str, TensorInfo]:
        """The tensors of the files of an index, which decides where several have one name."""
        within = {file: self._tensors_in(file) for file in shards}
        found = {}
        for name, shard in weight_map.items():
            tensors = within[index.with_name(shard)]
            if name not in tensors:
                raise CheckpointError(f"{index} says that {name!r} is in {shard}, and it is not")
            found[name] = tensors[name]
        for tensors in within.values():
            _merge(found, {n: info for n, info in tensors.items() if n not in weight_map})
        return found


def _is_buffer(name: str) -> bool:
    """Whether a name is that of a buffer of torch's layers, or of statistics of flax's."""
    parts = re.split("[./]", name)
    return parts[-1] in _BUFFERS or "batch_stats" in parts


def _known(name: str, info: TensorInfo) -> Reason | None:
    """What the name and the dtype of a tensor say; None for one that may be pruned."""
    dtype = info.dtype
    if _is_buffer(name):
        return Reason.BUFFER
    if dtype in PRUNABLE_DTYPES:
        return None
    if dtype.startswith("C"):
        return Reason.COMPLEX
    is_quantised = dtype != "BOOL" and not dtype.endswith(("16", "32", "64"))
    return Reason.QUANTISED if is_quantised and len(info.shape) > 1 else Reason.NOT_FLOATING


def _merge(found: dict[str, TensorInfo], tensors: Mapping[str, TensorInfo]) -> None:
    """Add tensors to others that have none of their names."""
    for name, info in tensors.items():
        if name in found:
            raise CheckpointError(
                f"{name!r} is in two files: {found[name].file} and {info.file}; give one of them, "
                "or an index that says which counts"
            )
        found[name] = info


def _dtype_in_file(name: str, info: TensorInfo) -> np.dtype[Any]:
    """The dtype of an array with the content of a tensor."""
    if info.dtype not in PRUNABLE_DTYPES:
        raise UnsupportedTypeError(
            f"{name!r} in {info.file} is {info.dtype}, not one of {', '.join(PRUNABLE_DTYPES)}"
        )
    dtype = dtype_of(PRUNABLE_DTYPES[info.dtype])
    check_shape(name, info, dtype)
    return dtype


def check_shape(name: str, info: TensorInfo, dtype: np.dtype[Any]) -> None:
    """Refuse a tensor whose shape no array of this type can have.

    Raises
    ------
    CheckpointError
    """
    try:
        np.broadcast_to(np.zeros((), dtype), info.shape)
    except (OverflowError, ValueError):
        raise CheckpointError(
            f"{name!r} in {info.file} has a shape that no array can have"
        ) from None


@contextmanager
def _temporary_file(size: int) -> Iterator[BinaryIO]:
    """A file without a name; errors say how large it was to be."""
    try:
        with TemporaryFile() as file:
            os.ftruncate(file.fileno(), size)
            yield file
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno,
            f"no space for a copy of the tensors, {size:,} bytes: set TMPDIR to a folder with more",
            gettempdir(),
        ) from None


def _copy(source: StableFile, start: int, stop: int, target: BinaryIO, place: int) -> None:
    """Copy a range of bytes to a place in another file."""
    for begin in range(start, stop, _PIECE):
        data = memoryview(source.read(begin, min(_PIECE, stop - begin)))
        at = place + begin - start
        while data:
            # Written, not mapped, so that a full disk is an error and no signal.
            count = os.pwrite(target.fileno(), data, at)
            data, at = data[count:], at + count


def _weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor according to an index."""
    try:
        with open_regular(index) as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise ValueError("too long")
        weight_map = json.loads(content.decode())["weight_map"]
        shards = set(weight_map.values())
        if not shards:
            raise ValueError("no files")
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise CheckpointError(f"{index} is not an index of safetensors files") from None
    for shard in shards:
        # Shards are in the folder of their index; outputs have the same names.
        if not isinstance(shard, str) or shard in ("", "..") or Path(shard).name != shard:
            raise CheckpointError(f"{index} names {shown(shard)}, which is no file beside it")
    return dict(weight_map)


def _shards(index: Path, weight_map: Mapping[str, str]) -> list[Path]:
    return [index.with_name(shard) for shard in sorted(set(weight_map.values()))]


def _natural_order(name: str) -> tuple[list[str | Decimal], str]:
    """A sort key that puts layer 2 before layer 10."""
    parts = re.split(r"(\d+)", name)
    # Python makes no integers of more than 4,300 digits.
    return [Decimal(part) if place % 2 else part for place, part in enumerate(parts)], name
