"""Floating-point environments that a thread may have, set through the C library."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import struct
from collections.abc import Iterator

import pytest

LIBM = ctypes.CDLL(None)
IS_X86 = platform.machine() == "x86_64"
FLUSHED, TRAPS = 0x8040, 0x1F80
#: MXCSR with these bits: name -> (bits to set, bits to clear).
ENVIRONMENTS = {
    "flushed": (FLUSHED, 0),
    "downward": (0x2000, 0x4000),
    "upward": (0x4000, 0x2000),
    "to zero": (0x6000, 0),
    "flushed to zero": (0x6000 | FLUSHED, 0),
}
needs_mxcsr = pytest.mark.skipif(not IS_X86, reason="sets the register MXCSR of x86-64")


def _state() -> ctypes.Array[ctypes.c_char]:
    """The registers as the C library stores them: those of the x87, then MXCSR."""
    state = ctypes.create_string_buffer(32)
    assert LIBM.fegetenv(state) == 0
    return state


def mxcsr() -> int:
    """The register MXCSR of this thread, with its status flags."""
    number: int = struct.unpack_from("<I", _state(), 28)[0]
    return number


def x87_control() -> int:
    number: int = struct.unpack_from("<H", _state(), 0)[0]
    return number


def set_bits(bits: int, cleared: int) -> None:
    """Set and clear bits of MXCSR in this thread."""
    state = _state()
    struct.pack_into("<I", state, 28, (mxcsr() & ~cleared) | bits)
    assert LIBM.fesetenv(state) == 0


@contextlib.contextmanager
def environment(bits: int, cleared: int = 0) -> Iterator[None]:
    """Set and clear bits of MXCSR, and put the registers back at the end."""
    before = _state()
    set_bits(bits, cleared)
    try:
        yield
    finally:
        assert LIBM.fesetenv(before) == 0
