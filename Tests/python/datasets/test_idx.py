"""The IDX format: every correct file is read, every wrong one is named."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import (
    CODES,
    either_way,
    header,
    idx_bytes,
    packed,
    peak_memory,
    plain,
)
from swiftforce.datasets.idx import read_idx
from swiftforce.errors import DatasetError


def failure(path: Path) -> str:
    """The message of the error that reading the file raises."""
    with pytest.raises(DatasetError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


@either_way
@pytest.mark.parametrize("kind", CODES)
def test_every_element_type(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    values = np.array([[0, 1, 2], [100, 3, 127]], kind)
    if values.dtype.kind != "u":
        values[0, 1] = -128
    if values.dtype.kind == "f":
        values[1] = [-0.0, np.inf, 1e-40]
    path = tmp_path / "array"
    path.write_bytes(pack(idx_bytes(values)))
    found = read_idx(path)
    assert found.dtype == values.dtype
    assert found.dtype.isnative
    assert found.shape == values.shape
    assert found.tobytes() == values.tobytes()
    assert found.flags.writeable
    assert found.flags.c_contiguous
    assert found.flags.aligned


def test_bytes_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "array"
    path.write_bytes(bytes.fromhex("00000b02 00000002 00000001 0102 fffe"))
    assert read_idx(path).tolist() == [[0x0102], [-2]]


@pytest.mark.parametrize(("name", "pack"), [("array.gz", plain), ("array", packed)])
def test_content_decides_not_the_suffix(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(idx_bytes(np.arange(5, dtype="i4"))))
    assert read_idx(str(tmp_path / name)).tolist() == [0, 1, 2, 3, 4]


def test_gzip_of_several_members(tmp_path: Path) -> None:
    data = idx_bytes(np.arange(50, dtype="i2"))
    path = tmp_path / "array"
    path.write_bytes(packed(data[:9]) + packed(data[9:]))
    assert read_idx(path).tolist() == list(range(50))


@given(
    st.sampled_from(sorted(CODES)).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(max_dims=5, min_side=0, max_side=4))
    ),
    st.sampled_from([plain, packed]),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(pack(idx_bytes(array)))
    found = read_idx(path)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


def test_larger_than_one_chunk(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 1 << 20), dtype=np.uint8)
    for pack in plain, packed:
        path = tmp_path / pack.__name__
        path.write_bytes(pack(idx_bytes(array)))
        assert np.array_equal(read_idx(path), array)


@either_way
@pytest.mark.parametrize("kind", ["u1", "f8"])
def test_cut_at_every_byte(tmp_path: Path, kind: str, pack: Callable[[bytes], bytes]) -> None:
    data = pack(idx_bytes(np.arange(6, dtype=kind).reshape(2, 3)))
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        failure(path)
    path.write_bytes(data)
    assert read_idx(path).sum() == 15


@either_way
def test_truncated_before_packing(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = idx_bytes(np.arange(6, dtype="i4").reshape(2, 3))
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(pack(data[:length]))
        failure(path)


@either_way
@pytest.mark.parametrize("extra", [b"\0", b"\1\2\3", bytes(1 << 21)])
def test_trailing_bytes(tmp_path: Path, extra: bytes, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "long"
    path.write_bytes(pack(idx_bytes(np.zeros((2, 3), "u1")) + extra))
    found = f"{6 + len(extra)} bytes" if pack is plain else "more"
    assert f"the header says 2 x 3 uint8 = 6 bytes, but {found} follow it" in failure(path)


def test_rubbish_behind_the_gzip_data(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(packed(idx_bytes(np.zeros(3, "u1"))) + b"rubbish")
    assert "Not a gzipped file" in failure(path)


@pytest.mark.slow
def test_one_bit_flipped_in_a_gzip_file(tmp_path: Path) -> None:
    """Either the bit is found, or it has no effect: a time stamp, a flag, padding."""
    array = np.arange(40, dtype="u1")
    data = packed(idx_bytes(array))
    path = tmp_path / "flipped"
    harmless = set()
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        try:
            found = read_idx(path)
        except DatasetError:
            continue
        assert np.array_equal(found, array)
        harmless.add(position // 8)
    # Flags, time stamp and system at the start, and where the last code ends before the checksum.
    assert harmless <= {3, 4, 5, 6, 7, 8, 9, len(data) - 9}


@either_way
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty, expected an IDX file"),
        (b"\0", "ends after 1 of the 4 first bytes of an IDX header"),
        (b"\0\0\x08", "ends after 3 of the 4 first bytes of an IDX header"),
        (b"P", "starts with bytes 50"),
        (b"PK\3\4 and so on", "starts with bytes 50 4b 03 04; an IDX file starts with 00 00"),
        (b"\0\1\x08\1\0\0\0\0", "starts with bytes 00 01 08 01"),
        (b"\1\0\x08\1\0\0\0\0", "starts with bytes 01 00 08 01"),
        (header(0x0A, 0), "has the unknown element type 0x0a; IDX has 0x08 uint8, 0x09 int8, "),
        (header(0x00, 0), "has the unknown element type 0x00"),
        (header(0x08) + b"\0", "has 0 dimensions, expected 1 to 32"),
        (header(0x08, *[1] * 33) + b"\0", "has 33 dimensions, expected 1 to 32"),
        (header(0x08, 2, 3)[:-1], "ends after 11 of the 12 bytes of its IDX header"),
        (header(0x0C, 2, 3) + b"\0" * 6, "2 x 3 int32 = 24 bytes, but 6 bytes follow it"),
        (header(0x08, 0) + b"\0", "the header says 0 uint8 = 0 bytes, but "),
        (header(0x0E, *[2**32 - 1] * 2), f"float64 = {8 * (2**32 - 1) ** 2} bytes: too large"),
        (header(0x08, 0, *[2**32 - 1] * 3), "= 0 bytes: too large for this machine"),
        (header(0x08, *[2**32 - 1] * 32), "too large for this machine"),
    ],
)
def test_wrong_content(
    tmp_path: Path, data: bytes, problem: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "wrong"
    path.write_bytes(pack(data))
    assert problem in failure(path)


@either_way
def test_32_dimensions(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "deep"
    path.write_bytes(pack(header(0x08, *[1] * 32) + b"\7"))
    assert read_idx(path).shape == (1,) * 32


def test_packed_twice(tmp_path: Path) -> None:
    path = tmp_path / "twice"
    path.write_bytes(packed(packed(idx_bytes(np.zeros(3, "u1")))))
    assert "starts with bytes 1f 8b" in failure(path)


@either_way
def test_a_header_that_claims_terabytes_costs_nothing(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "huge"
    path.write_bytes(pack(header(0x08, 2**22, 2**20) + b"few"))
    message = ""

    def read() -> None:
        nonlocal message
        message = failure(path)

    assert peak_memory(read) < 4 << 20
    found = "3 bytes" if pack is plain else "at most "
    assert f"4194304 x 1048576 uint8 = {2**42} bytes, but {found}" in message


def test_memory_grows_with_what_arrives(tmp_path: Path) -> None:
    """A megabyte of gzip could hold the gigabyte that the header says, but does not."""
    path = tmp_path / "incompressible"
    noise = np.random.default_rng(0).bytes(1 << 20)
    path.write_bytes(packed(header(0x08, 10**9) + noise))
    assert peak_memory(lambda: failure(path)) < 8 << 20
    assert f"= {10**9} bytes, but {1 << 20} bytes follow it" in failure(path)


def test_a_gzip_bomb_is_left_packed(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with gzip.open(path, "wb") as file:
        file.write(header(0x08, 1000))
        for _ in range(64):
            file.write(bytes(1 << 20))
    assert peak_memory(lambda: failure(path)) < 4 << 20


def test_as_tightly_packed_as_gzip_can(tmp_path: Path) -> None:
    array = np.zeros(10**7, np.uint8)
    path = tmp_path / "zeros"
    path.write_bytes(gzip.compress(idx_bytes(array), 9))
    assert np.array_equal(read_idx(path), array)


def test_missing_file(tmp_path: Path) -> None:
    assert "no such file; pass the path of an IDX file" in failure(tmp_path / "missing")


def test_folder(tmp_path: Path) -> None:
    assert "is a folder; pass the path of an IDX file" in failure(tmp_path)


def test_file_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in failure(tmp_path / "file" / "array")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in failure(tmp_path / "pipe")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every file, so the error is simulated."""
    path = tmp_path / "secret"
    path.write_bytes(idx_bytes(np.zeros(3, "u1")))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "cannot be read: Permission denied" in failure(path)


def test_not_a_path() -> None:
    with pytest.raises(DatasetError, match=r"not a path: .*embedded null"):
        read_idx("a\0b")
    with pytest.raises(TypeError):
        read_idx(3)  # type: ignore[arg-type]
