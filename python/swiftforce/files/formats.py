"""swiftforce's file formats: arrays and JSON about them in a safetensors file, with a digest."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from swiftforce.errors import SwiftForceError
from swiftforce.files.atomic import atomic_write
from swiftforce.files.checks import shown
from swiftforce.files.headers import LENGTH, LONGEST
from swiftforce.files.positions import BITS, GAPS, decoded_mask, encoded
from swiftforce.files.reading import open_regular
from swiftforce.inputs import Array
from swiftforce.version import __version__

#: What the names of swiftforce's formats begin with.
_OWN = "swiftforce-"

#: What the entries of masks are called, by their coding.
_ENTRIES = {BITS: "mask", GAPS: "mask_gaps"}
#: Bits of a mask that are counted at a time.
_CHUNK = 1 << 23


@dataclass(frozen=True)
class FileFormat:
    """A file format.

    Attributes
    ----------
    name : str
        The key of the metadata that holds the JSON.
    version : int
        Of the format, as files are written.
    content : str
        What the file holds, for messages.
    error : type
        The class of errors about files that are damaged or of another format.
    oldest : int, optional
        The oldest version that is read; by default `version`.
    """

    name: str
    version: int
    content: str
    error: type[SwiftForceError]
    oldest: int | None = None

    def write(
        self,
        path: str | os.PathLike[str],
        arrays: Mapping[str, Array],
        about: Mapping[str, Any],
    ) -> None:
        """Write a file, as a whole or not at all, with the version of swiftforce.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        safetensors = _safetensors(self.content)
        written_by = {"format_version": self.version, "swiftforce": __version__}
        text = json.dumps({**written_by, **about})
        envelope = json.dumps({"about": text, "digest": _digest(text, arrays)})
        try:
            content = safetensors.numpy.save(dict(arrays), {self.name: envelope})
        except safetensors.SafetensorError as error:  # a header above the limit of the format
            raise OSError(f"{str(path)!r} cannot be written: {error}") from None
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)

    def read(self, path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
        """Read the arrays of a file and the JSON about them.

        Raises
        ------
        SwiftForceError
            `error`, if the file is damaged or of another format.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be read, or is no regular file.
        """
        safetensors = _safetensors(self.content)
        with open_regular(path) as file:
            envelope = self._envelope(file, path)
            file.seek(0)
            content = file.read()
        try:
            arrays: dict[str, Array] = safetensors.numpy.load(content)
            text, digest = envelope["about"], envelope["digest"]
            is_whole = _digest(text, arrays) == digest
        except MemoryError:
            raise
        except Exception as error:
            raise self.error(f"{path} is damaged: {error}") from None
        if not is_whole:
            raise self.error(f"{path} is damaged: its contents do not match their digest")
        try:
            about: dict[str, Any] = json.loads(text)
            version = about["format_version"]
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise self.error(f"{path} is damaged: {error}") from None
        oldest = self.version if self.oldest is None else self.oldest
        if type(version) is not int or not oldest <= version <= self.version:
            known = f"{oldest} to {self.version}" if oldest < self.version else self.version
            raise self.error(f"{path} has format version {shown(version)}, not {known}")
        return arrays, about

    def _envelope(self, file: BinaryIO, path: str | os.PathLike[str]) -> dict[str, str]:
        """The metadata in the header, so that files of other formats are not read any further."""
        try:
            metadata = _metadata(file)
            if metadata is None or self.name not in metadata:
                raise self.error(f"{path} is not a file of {self.content}")
            envelope: dict[str, str] = json.loads(metadata[self.name])
        except (RecursionError, TypeError, ValueError) as error:
            raise self.error(f"{path} is damaged: {error}") from None
        return envelope


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a safetensors file does that swiftforce did not write.

    Raises
    ------
    OSError
        If the file cannot be read, or is no regular file.
    """
    try:
        with open_regular(path) as file:
            metadata = _metadata(file)
    except (RecursionError, ValueError):
        return False
    return metadata is not None and not any(name.startswith(_OWN) for name in metadata)


def _metadata(file: BinaryIO) -> dict[str, Any] | None:
    """The metadata of a safetensors file; None if the file is of another kind.

    Raises
    ------
    RecursionError, ValueError
        If the header is damaged.
    """
    length = int.from_bytes(file.read(LENGTH), "little")
    header = file.read(length) if length <= LONGEST else b""
    if not header.startswith(b"{"):
        return None
    if len(header) < length:
        raise ValueError("it ends within its header")
    metadata = json.loads(header).get("__metadata__")
    return metadata if isinstance(metadata, dict) else {}


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    """A digest of everything in a file, so that a flipped bit is detected."""
    import hashlib  # here, since it takes a tenth of the time of `import swiftforce`

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
    return safetensors


def packed_masks(masks: Sequence[Array]) -> dict[str, Array]:
    """Pack masks for a file: a bit per weight, or the gaps between kept ones if that is shorter.

    The arrays have positions for names: names of tensors may be any text, and are in the JSON.
    """
    codes = map(encoded, masks)
    return {f"{_ENTRIES[coding]}.{place}": code for place, (coding, code) in enumerate(codes)}


def unpacked_mask(
    packed: Mapping[str, Array], position: int, name: str, shape: tuple[int, ...], kept: int
) -> Array:
    """Unpack the mask of the tensor at a position, and check how many weights it keeps.

    Raises
    ------
    KeyError, ValueError
        If the mask is missing, or has another size or count.
    """
    size = int(np.prod(shape, dtype=np.int64))
    entry = f"{_ENTRIES[GAPS]}.{position}"
    if entry not in packed:
        bits = checked_bits(packed, position, name, size, kept)
        return np.unpackbits(bits, count=size, bitorder="little").astype(bool).reshape(shape)
    try:
        return decoded_mask(GAPS, packed[entry], size, kept).reshape(shape)
    except ValueError as error:
        raise ValueError(f"the mask of {name}: {error}") from None


def checked_bits(
    packed: Mapping[str, Array], position: int, name: str, size: int, kept: int
) -> Array:
    """The packed mask of the tensor at a position, of which the number of weights kept is checked.

    Raises
    ------
    KeyError, ValueError
        If the mask is missing, or has another size or count.
    """
    bits = packed[f"mask.{position}"]
    if bits.dtype != np.uint8 or bits.shape != ((size + 7) // 8,):
        raise ValueError(f"{name} has {bits.shape} bytes of mask for {size} weights")
    found = 0
    for first in range(0, size, _CHUNK):
        part = bits[first // 8 : (first + _CHUNK) // 8]
        found += int(np.unpackbits(part, count=min(_CHUNK, size - first), bitorder="little").sum())
    if found != kept:
        raise ValueError(f"{name} keeps {found} weights, not {kept}")
    return bits
