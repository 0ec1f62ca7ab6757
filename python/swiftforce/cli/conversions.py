"""Files of torch and numpy as safetensors files, and back: what the commands read and write."""

from __future__ import annotations

import functools
import operator
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from swiftforce.errors import CheckpointError
from swiftforce.files import (
    Checkpoint,
    TensorInfo,
    atomic_write,
    bits_of,
    dtype_of,
    header_of,
    name_in_file,
    numpy_name,
    write_npz,
)
from swiftforce.inputs import Array

#: A tensor: its name, its type as in safetensors files, and its elements of any type of that size.
Tensor = tuple[str, str, Array]


def to_safetensors(source: Path, kind: str, target: Path) -> None:
    """Write the tensors of a file of ``torch``, ``npz`` or ``npy`` as a safetensors file.

    Raises
    ------
    CheckpointError
        If the file is damaged, or holds something else than tensors.
    ImportError
        If it is a file of torch, and torch is not installed.
    OSError
    """
    # Each tensor begins at a multiple of its elements' size, as readers that map files need.
    tensors = sorted(_READERS[kind](source), key=lambda tensor: -bits_of(tensor[1]))
    infos = {name: (dtype, elements.shape) for name, dtype, elements in tensors}
    if len(infos) < len(tensors):
        raise CheckpointError(f"{source} holds two tensors of one name")
    with target.open("wb") as file:
        shutil.copymode(source, target)
        file.write(header_of(infos, {}))
        for _, _, elements in tensors:
            file.write(np.ascontiguousarray(elements).reshape(-1).view(np.uint8).data)


@contextmanager
def written_as(target: Path) -> Iterator[Path]:
    """Yield a path for a safetensors file, which becomes a file of the kind that a name ends in.

    ``.pt``, ``.pth``, ``.bin`` and ``.ckpt`` are files of `torch.save`, ``.npz`` is one of numpy,
    and all else is safetensors. The target is replaced as a whole or not at all.

    Raises
    ------
    CheckpointError
        If the kind of file does not have a type.
    ImportError, OSError
    """
    write = _WRITERS.get(target.suffix.lower())
    check_suffix(target)
    with atomic_write(target) as temporary:
        if write is None:
            yield temporary
        else:
            plain = temporary.with_name("plain.safetensors")
            yield plain
            temporary.touch(0o600)
            write(plain, temporary)
            shutil.copymode(plain, temporary)
            plain.unlink()


@contextmanager
def as_private_as(sources: Iterable[Path]) -> Iterator[None]:
    """New files can be read by nobody who cannot read all of the sources."""
    modes = [stat.S_IMODE(path.stat().st_mode) for path in sources]
    before = os.umask(0)
    os.umask(before | (0o077 & ~functools.reduce(operator.and_, modes)))
    try:
        yield
    finally:
        os.umask(before)


def check_suffix(target: Path, *, own: bool = False) -> None:
    """Refuse an output whose name ends in that of a kind of file that it will not be.

    Parameters
    ----------
    target : Path
    own : bool
        Whether it is a file of swiftforce's own, which is safetensors.

    Raises
    ------
    CheckpointError
    """
    suffix = target.suffix.lower()
    if suffix == ".npy" or (own and suffix in _WRITERS):
        kinds = "" if own else ", or .npz or .pt"
        raise CheckpointError(f"{target} would be no {suffix} file: name it .safetensors{kinds}")


def _read_torch(path: Path) -> Iterable[Tensor]:
    from swiftforce.torch import read_state

    return read_state(path)


def _read_npz(path: Path) -> Iterable[Tensor]:
    arrays: dict[str, Array] = {}
    with _damage_of(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                arrays[member.removesuffix(".npy")] = np.lib.format.read_array(file)
    return [_tensor(path, name, array) for name, array in arrays.items()]


def _read_npy(path: Path) -> Iterable[Tensor]:
    with _damage_of(path), path.open("rb") as file:
        array = np.lib.format.read_array(file)
    return [_tensor(path, "weight", array)]


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Whatever reading a damaged file raises, as an error that names it."""
    try:
        yield
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def _tensor(path: Path, name: str, array: Array) -> Tensor:
    dtype = name_in_file(array.dtype)
    if dtype is None:
        raise CheckpointError(f"{name!r} in {path} is of {array.dtype}: convert it to numbers")
    return name, dtype, array.astype(array.dtype.newbyteorder("="), copy=False)


def _write_torch(source: Path, target: Path) -> None:
    from swiftforce.torch import write_state

    checkpoint = Checkpoint([source])
    tensors = {name: (info.dtype, _bits(checkpoint, info)) for name, info in _infos(checkpoint)}
    write_state(target, tensors)


def _write_npz(source: Path, target: Path) -> None:
    checkpoint = Checkpoint([source])
    write_npz(target, ((name, array_of(checkpoint, name)) for name in checkpoint.tensors))


def array_of(checkpoint: Checkpoint, name: str) -> Array:
    """A tensor as an array of numpy's own types.

    Raises
    ------
    CheckpointError
        If numpy does not have its type.
    OSError
    """
    info = checkpoint.tensors[name]
    known = numpy_name(info.dtype)
    if known is None or dtype_of(known).kind == "V":
        raise CheckpointError(f"{name!r} is {info.dtype}, which npz files do not have")
    return _bits(checkpoint, info).view(dtype_of(known))


def _infos(checkpoint: Checkpoint) -> Iterable[tuple[str, TensorInfo]]:
    return checkpoint.tensors.items()


def _bits(checkpoint: Checkpoint, info: TensorInfo) -> Array:
    """The elements of a tensor as unsigned integers; those of less than a byte as bytes."""
    with checkpoint.open(info.file) as file:
        data = np.frombuffer(file.read(info.start, info.stop - info.start), np.uint8)
    width = bits_of(info.dtype) // 8
    return data.view(f"u{width}").reshape(info.shape) if width else data


_READERS: Mapping[str, Callable[[Path], Iterable[Tensor]]] = {
    "torch": _read_torch,
    "npz": _read_npz,
    "npy": _read_npy,
}
_WRITERS: Mapping[str, Callable[[Path, Path], None]] = {
    ".npz": _write_npz,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _write_torch),
}
