"""Arrays and a text about them in one safetensors file, under one digest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from swiftforce.errors import SwiftForceError
from swiftforce.files.atomic import atomic_write
from swiftforce.inputs import Array
from swiftforce.version import __version__

#: Bytes at the beginning of a file that tell the length of its header, and the most it may have.
_LENGTH, _LONGEST = 8, 100_000_000


@dataclass(frozen=True)
class FileFormat:
    """A kind of file.

    Attributes
    ----------
    name : str
        Under which the metadata hold what is said about the arrays.
    version : int
        Of the format; other versions are not read.
    content : str
        What errors say that the file holds.
    error : type
        What is raised for a file of another kind, or a damaged one.
    """

    name: str
    version: int
    content: str
    error: type[SwiftForceError]

    def write(
        self,
        path: str | os.PathLike[str],
        arrays: Mapping[str, Array],
        about: Mapping[str, Any],
    ) -> None:
        """Write a file aside and then rename it, so a half-written one never has its name.

        It says which swiftforce wrote it.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        numpy_format = _safetensors(self.content)
        written_by = {"format_version": self.version, "swiftforce": __version__}
        text = json.dumps({**written_by, **about})
        envelope = json.dumps({"about": text, "digest": _digest(text, arrays)})
        content = numpy_format.save(dict(arrays), {self.name: envelope})
        with atomic_write(path) as aside:
            aside.write_bytes(content)

    def read(self, path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
        """Read a file: its arrays, and what it says about them.

        Raises
        ------
        SwiftForceError
            `error`, if the file is damaged or of another kind.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be read.
        """
        numpy_format = _safetensors(self.content)
        with Path(path).open("rb") as file:
            envelope = self._envelope(file, path)
            file.seek(0)
            content = file.read()
        try:
            arrays: dict[str, Array] = numpy_format.load(content)
            text, digest = envelope["about"], envelope["digest"]
            is_whole = _digest(text, arrays) == digest
        except Exception as error:
            raise self.error(f"{path} is damaged: {error}") from None
        if not is_whole:
            raise self.error(f"{path} is damaged: its contents do not match their digest")
        try:
            about: dict[str, Any] = json.loads(text)
            version = about["format_version"]
        except (LookupError, TypeError, ValueError) as error:
            raise self.error(f"{path} is damaged: {error}") from None
        if version != self.version:
            raise self.error(f"{path} has format version {version}, not {self.version}")
        return arrays, about

    def _envelope(self, file: BinaryIO, path: str | os.PathLike[str]) -> dict[str, str]:
        """What the header says of the contents: a file of another kind is not read any further."""
        length = int.from_bytes(file.read(_LENGTH), "little")
        try:
            if length > _LONGEST:
                raise ValueError(f"a header of {length} bytes")
            envelope: dict[str, str] = json.loads(
                json.loads(file.read(length))["__metadata__"][self.name]
            )
        except (LookupError, RecursionError, TypeError, ValueError):
            raise self.error(f"{path} is not a file of {self.content}") from None
        return envelope


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    """Of all that a file says, so that no flipped bit goes unnoticed."""
    import hashlib  # where it is used: it takes a tenth of the time of `import swiftforce`

    total = hashlib.sha256(text.encode())
    for entry in sorted(arrays):
        total.update(f"{entry} {arrays[entry].dtype} {arrays[entry].shape}".encode())
        total.update(arrays[entry].tobytes())
    return total.hexdigest()


def _safetensors(content: str) -> Any:  # noqa: ANN401 - a module
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            f"files of {content} need safetensors: pip install 'swiftforce[files]'"
        ) from None
    return safetensors.numpy


def packed_masks(masks: Sequence[Array]) -> dict[str, Array]:
    """Masks as files hold them, a bit per weight.

    Names of tensors may be any text, so they stand in what is said about the arrays.
    """
    return {
        f"mask.{position}": np.packbits(mask, bitorder="little")
        for position, mask in enumerate(masks)
    }


def unpacked_mask(
    packed: Mapping[str, Array], position: int, name: str, shape: tuple[int, ...], kept: int
) -> Array:
    """The mask of the tensor at a position, which keeps so many weights.

    Raises
    ------
    KeyError, ValueError
        If it is not there, or another one is.
    """
    size = int(np.prod(shape, dtype=np.int64))
    bits = packed[f"mask.{position}"]
    if bits.dtype != np.uint8 or bits.shape != ((size + 7) // 8,):
        raise ValueError(f"{name} has {bits.shape} bytes of mask for {size} weights")
    mask = np.unpackbits(bits, count=size, bitorder="little").astype(bool).reshape(shape)
    if int(np.count_nonzero(mask)) != kept:
        raise ValueError(f"{name} keeps {np.count_nonzero(mask)} weights, not {kept}")
    return mask
