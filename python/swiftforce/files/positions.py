"""Positions of kept weights in files: a bit for each weight, or a byte for each gap.

Kept weights of a sparse tensor are far apart. ``gaps`` writes how many removed weights lie before
each of them, and after the last, in bytes: 255 stands for 255 removed weights, after which the gap
goes on. At 99 % removed that is 1.1 bytes for each kept weight; ``bits`` take 12.5. The shorter one
is written.
"""

from __future__ import annotations

import numpy as np

from swiftforce.inputs import Array

#: The codings, by name.
BITS = "bits"
GAPS = "gaps"
#: A byte of a gap that goes on.
_MORE = 255
#: Weights whose positions are in memory at a time.
_CHUNK = 1 << 18


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
    ('gaps', array([  0,   2, 255, 255,  86, 255, 144], dtype=uint8))
    """
    flat = mask.reshape(-1)
    shortest = (flat.size + 7) // 8
    parts: list[Array] = []
    last = -1
    length = 0
    for start in range(0, flat.size + 1, _CHUNK):
        places = np.flatnonzero(flat[start : start + _CHUNK]) + start
        if start + _CHUNK > flat.size:
            # The last gap leads to the end, so that the bytes tell the number of weights.
            places = np.append(places, flat.size)
        if places.size:
            parts.append(_gaps(places, last))
            last = places[-1]
            length += parts[-1].size
        if length >= shortest:
            return BITS, np.packbits(flat, bitorder="little")
    return GAPS, np.concatenate(parts)


def _gaps(places: Array, last: int) -> Array:
    """The bytes of the gaps before some positions, the first after `last`."""
    gaps = np.diff(places, prepend=last) - 1
    whole = gaps // _MORE
    ends = np.cumsum(whole + 1) - 1
    code = np.full(ends[-1] + 1, _MORE, np.uint8)
    code[ends] = gaps - _MORE * whole
    return code


def decoded(coding: str, code: Array, size: int, kept: int | None = None) -> Array:
    """The positions of kept weights, in ascending order.

    Parameters
    ----------
    coding : str
    code : array of uint8
    size : int
        Number of weights.
    kept : int, optional
        How many of them are kept, if it is known.

    Raises
    ------
    ValueError
        If there is no such coding, or the bytes are not those of `kept` positions of `size`.
    """
    if code.dtype != np.uint8 or code.ndim != 1:
        raise ValueError(f"positions are of type {code.dtype} and shape {code.shape}")
    places: Array
    if coding == GAPS:
        steps = code.astype(np.int64)
        ends = code != _MORE
        steps[ends] += 1
        places = np.cumsum(steps)[ends] - 1
        is_whole = bool(ends[-1:].all()) and places[-1:].tolist() == [size]
        places = places[:-1]
    elif coding == BITS:
        places = np.flatnonzero(np.unpackbits(code, bitorder="little"))
        is_whole = code.size == (size + 7) // 8
    else:
        raise ValueError(f"there is no coding {coding!r}")
    # Bits beyond the end are no positions.
    is_whole = is_whole and not (places.size and places[-1] >= size)
    if not is_whole or kept not in (None, places.size):
        expected = f"{size} weights" if kept is None else f"{kept} of {size} weights"
        raise ValueError(f"{code.size} bytes tell {places.size} positions, not {expected}")
    return places


def decoded_mask(coding: str, code: Array, size: int, kept: int | None = None) -> Array:
    """The same positions as a flat mask, True where a weight is kept; the errors are alike."""
    mask = np.zeros(size, bool)
    mask[decoded(coding, code, size, kept)] = True
    return mask
