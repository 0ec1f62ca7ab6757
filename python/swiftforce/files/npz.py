"""Files of numpy (``.npz``): plain arrays, and sparse ones in compressed rows (CSR).

Rows of a matrix are its first axis; the others together are its columns, as convolutions read them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from swiftforce.errors import CheckpointError
from swiftforce.inputs import Array

#: The largest number that an index of four bytes holds.
_MOST = 2**31 - 1


def write_npz(path: Path, arrays: Iterable[tuple[str, Array]]) -> None:
    """Write arrays, one after the other: no two need be in memory at a time.

    Raises
    ------
    CheckpointError
        If a name cannot be one in such a file, or two arrays have one name.
    OSError
    """
    import zipfile  # here, since it adds to the time of `import swiftforce`

    names: set[str] = set()
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays:
            if "\0" in name or name.endswith(".npy") or ".." in name or name.startswith("/"):
                raise CheckpointError(f"{name!r} cannot be the name of an array in an npz file")
            if name in names:
                raise CheckpointError(f"two arrays of an npz file would have the name {name!r}")
            names.add(name)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def compressed_rows(mask: Array) -> tuple[Array, Array]:
    """The columns of kept weights, row by row, and where each row begins among them.

    Parameters
    ----------
    mask : array of bool
        True where a weight is kept. The first axis has the rows; a vector is one row.

    Returns
    -------
    indices, indptr : array of int32 or int64
        As in `scipy.sparse.csr_matrix`: of shapes ``(kept,)`` and ``(rows + 1,)``.

    Examples
    --------
    >>> compressed_rows(np.array([[True, False, True], [False, False, False]]))
    (array([0, 2], dtype=int32), array([0, 2, 2], dtype=int32))
    """
    rows = mask.shape[0] if mask.ndim > 1 else 1
    matrix = mask.reshape(rows, math.prod(mask.shape) // max(rows, 1))
    ends = np.cumsum(np.count_nonzero(matrix, axis=1), dtype=np.int64)
    kind = np.int32 if max(matrix.shape[1], *ends[-1:], 0) <= _MOST else np.int64
    indices = (np.flatnonzero(matrix) % matrix.shape[1]).astype(kind)
    return indices, np.concatenate([[0], ends]).astype(kind)


def csr_arrays(name: str, elements: Array, mask: Array) -> Iterator[tuple[str, Array]]:
    """What a file has of a sparse tensor: its kept weights, in rows, and its shape.

    Parameters
    ----------
    name : str
    elements : array
        Of any type and shape. What the mask removes is left out, whatever it is.
    mask : array of bool
        In the same shape.
    """
    indices, indptr = compressed_rows(mask)
    yield f"{name}.data", elements[mask]
    yield f"{name}.indices", indices
    yield f"{name}.indptr", indptr
    yield f"{name}.shape", np.array(elements.shape, np.int64)
