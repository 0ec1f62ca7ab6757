"""Positions of kept weights in files: a bit for each weight, or a byte for each gap.

Kept weights of a sparse tensor are far apart. ``gaps`` writes how many removed weights lie before
each of them, in bytes: 255 stands for 255 removed weights, after which the gap goes on. At 99 %
removed that is 1.1 bytes for each kept weight; ``bits`` take 12.5. The shorter one is written.
"""

from __future__ import annotations

import numpy as np

from swiftforce.inputs import Array

#: The codings, by name.
BITS, GAPS = "bits", "gaps"
#: A byte of a gap that goes on.
_MORE = 255


def encoded(mask: Array) -> tuple[str, Array]:
    """The shorter coding of a mask, and its bytes.

    Parameters
    ----------
    mask : array of bool
        Of any shape; True where a weight is kept.

    Examples
    --------
    >>> mask = np.zeros(1000, bool)
    >>> mask[[0, 3, 600]] = True
    >>> encoded(mask)
    ('gaps', array([  0,   2, 255, 255,  86], dtype=uint8))
    """
    flat = mask.reshape(-1)
    limit = (flat.size + 7) // 8
    # Positions take eight bytes each, and those of dense tensors are not needed.
    if np.count_nonzero(flat) < limit:
        gaps = np.diff(np.flatnonzero(flat), prepend=-1) - 1
        whole = gaps // _MORE
        length = gaps.size + int(whole.sum())
        if length < limit:
            code = np.full(length, _MORE, np.uint8)
            code[np.cumsum(whole + 1) - 1] = gaps - _MORE * whole
            return GAPS, code
    return BITS, np.packbits(flat, bitorder="little")


def decoded(coding: str, code: Array, size: int, kept: int) -> Array:
    """The positions of kept weights, in ascending order.

    Parameters
    ----------
    coding : str
    code : array of uint8
    size : int
        Number of weights.
    kept : int
        How many of them are kept.

    Raises
    ------
    ValueError
        If there is no such coding, or the bytes do not tell `kept` positions below `size`.
    """
    if code.dtype != np.uint8 or code.ndim != 1:
        raise ValueError(f"positions are of type {code.dtype} and shape {code.shape}")
    if coding == GAPS:
        steps = code.astype(np.int64)
        ends = code != _MORE
        steps[ends] += 1
        places: Array = np.cumsum(steps)[ends] - 1
        is_whole = bool(ends[-1:].all())
    elif coding == BITS:
        places = np.flatnonzero(np.unpackbits(code, bitorder="little"))
        is_whole = code.size == (size + 7) // 8
    else:
        raise ValueError(f"there is no coding {coding!r}")
    if not is_whole or places.size != kept or (places.size and places[-1] >= size):
        raise ValueError(f"{places.size} positions in {code.size} bytes, not {kept} of {size}")
    return places
