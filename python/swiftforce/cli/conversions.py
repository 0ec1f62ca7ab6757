"""Files of torch and numpy as safetensors files, and back: what the commands read and write."""

from __future__ import annotations

import shutil
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
    tensors = list(_READERS[kind](source))
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

    ``.pt``, ``.pth`` and ``.bin`` are files of `torch.save`, ``.npz`` is one of numpy, and all else
    is safetensors. The target is replaced as a whole or not at all.

    Raises
    ------
    CheckpointError
        If the kind of file does not have a type.
    ImportError, OSError
    """
    write = _WRITERS.get(target.suffix.lower())
    with atomic_write(target) as temporary:
        if write is None:
            yield temporary
        else:
            plain = temporary.with_name("plain.safetensors")
            yield plain
            temporary.touch()
            shutil.copymode(plain, temporary)
            write(plain, temporary)
            plain.unlink()


def _read_torch(path: Path) -> Iterable[Tensor]:
    from swiftforce.torch import read_state

    return read_state(path)


def _read_npz(path: Path) -> Iterable[Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [_tensor(path, name, archive[name]) for name in archive.files]
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None


def _read_npy(path: Path) -> Iterable[Tensor]:
    try:
        return [_tensor(path, "weight", np.load(path, allow_pickle=False))]
    except (ValueError, EOFError) as error:
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
    with zipfile.ZipFile(target, "w") as archive:
        for name, info in _infos(checkpoint):
            known = numpy_name(info.dtype)
            if known is None or dtype_of(known).kind == "V":
                raise CheckpointError(f"{name!r} is {info.dtype}, which npz files do not have")
            elements = _bits(checkpoint, info).view(dtype_of(known))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, elements, allow_pickle=False)


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
    **dict.fromkeys((".pt", ".pth", ".bin"), _write_torch),
}
