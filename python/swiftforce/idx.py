"""The IDX format, in which MNIST and its relatives come: read, and believed only once checked."""

from __future__ import annotations

import gzip
import io
import math
import os
import stat
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swiftforce.errors import DatasetError

_ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_RANK = 32  # of an array in numpy 1; numpy 2 allows 64
_MAX_BYTES = 2**63 - 1
_CHUNK = 1 << 20
# 258 bytes from a length and a distance code of one bit each: deflate cannot pack more tightly.
_DEFLATE_RATIO = 258 * 8 // 2


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an array from an IDX file, the format of MNIST and its relatives.

    Whether the file is gzipped is seen from its first bytes, whatever its name. What the header
    claims is checked before memory is taken for it: against the length of the file, or, where it
    is gzipped, against what so many bytes can hold at most; of that no more than the claimed
    length and one byte is ever unpacked.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        uint8, int8, int16, int32, float32 or float64, as the file says, in the byte order of the
        machine and with the file's dimensions (1 to 32 of them). Writable, C-contiguous.

    Raises
    ------
    DatasetError
        Where the file is missing, cannot be read, is not in IDX format, is damaged, or is
        shorter or longer than its header says.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits": the format
    is described at the end of the page.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    path = Path(path)
    size = _file_size(path)
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not is_packed:
                return _read_array(path, file, least=size, most=size)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_array(path, unpacked, least=0, most=size * _DEFLATE_RATIO)
    except (OSError, EOFError, zlib.error) as error:
        raise file_error(path, f"cannot be read: {error}") from None


def file_error(path: Path, problem: str) -> DatasetError:
    """The error that says what is wrong with a file."""
    return DatasetError(f"{str(path)!r}: {problem}")


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        problem = "no such file; pass the path of an IDX file, gzipped or not"
        raise file_error(path, problem) from None
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the path
        raise file_error(path, f"not a path: {error}") from None
    if stat.S_ISDIR(status.st_mode):
        raise file_error(path, "is a folder; pass the path of one IDX file")
    if not stat.S_ISREG(status.st_mode):
        raise file_error(path, "is not a regular file")
    return status.st_size


def _read_array(path: Path, stream: io.BufferedIOBase, *, least: int, most: int) -> NDArray[Any]:
    """Read header and elements of a file that has `least` to `most` bytes in all."""
    dtype, shape = _read_header(path, stream)
    header_bytes = 4 + 4 * len(shape)
    claimed = math.prod(shape) * dtype.itemsize
    dimensions = " x ".join(map(str, shape))
    claim = f"the header says {dimensions} {dtype.newbyteorder('=').name} = {claimed} bytes"
    # An empty dimension makes the product 0 whatever the others are; numpy multiplies them.
    if math.prod(filter(None, shape)) * dtype.itemsize > _MAX_BYTES:
        raise file_error(path, f"{claim}: too large for this machine")
    if header_bytes + claimed < least:
        raise file_error(path, f"{claim}, but {least - header_bytes} bytes follow it")
    if header_bytes + claimed > most:
        limit = "" if least == most else "at most "
        raise file_error(path, f"{claim}, but {limit}{most - header_bytes} bytes follow it")
    elements = _read_bytes(stream, claimed + 1)
    if len(elements) != claimed:
        found = "more" if len(elements) > claimed else f"{len(elements)} bytes"
        raise file_error(path, f"{claim}, but {found} follow it")
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=elements)
    if dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = _read_bytes(stream, 4)
    if not magic:
        raise file_error(path, "is empty, expected an IDX file")
    if magic[:2] != bytes(min(2, len(magic))):
        raise file_error(
            path,
            f"starts with bytes {magic.hex(' ')}; an IDX file starts with 00 00, "
            "its element type and its number of dimensions",
        )
    if len(magic) < 4:
        raise file_error(path, f"ends after {len(magic)} of the 4 first bytes of an IDX header")
    code, rank = magic[2], magic[3]
    if code not in _ELEMENT_TYPES:
        known = ", ".join(f"{number:#04x} {dtype.name}" for number, dtype in _ELEMENT_TYPES.items())
        raise file_error(path, f"has the unknown element type {code:#04x}; IDX has {known}")
    if not 1 <= rank <= _MAX_RANK:
        raise file_error(path, f"has {rank} dimensions, expected 1 to {_MAX_RANK}")
    dimensions = _read_bytes(stream, 4 * rank)
    if len(dimensions) < 4 * rank:
        found, needed = 4 + len(dimensions), 4 + 4 * rank
        raise file_error(path, f"ends after {found} of the {needed} bytes of its IDX header")
    shape = tuple(int.from_bytes(dimensions[i : i + 4], "big") for i in range(0, 4 * rank, 4))
    return _ELEMENT_TYPES[code], shape


def _read_bytes(stream: io.BufferedIOBase, count: int) -> bytearray:
    """Read `count` bytes, or all there are: memory grows with what arrives, not with `count`."""
    found = bytearray()
    while len(found) < count:
        chunk = stream.read(min(_CHUNK, count - len(found)))
        if not chunk:
            break
        found += chunk
    return found
