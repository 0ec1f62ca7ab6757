"""Damaged archives of CIFAR: each is an error that names the file."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest
from cifar_files import (
    archive_bytes,
    check,
    failure,
    few_records,
    write_archive,
)
from swiftforce.datasets import cifar10, cifar100
from swiftforce.datasets.cifar import CIFAR100
from swiftforce.errors import DatasetError


@pytest.mark.parametrize(
    "data", [b"", b"x", b"x" * 2000, b"\x1f\x8b", gzip.compress(b"x" * 2000, mtime=0)]
)
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "archive").write_bytes(data)
    assert "archive': cannot be read: " in failure(cifar10, tmp_path / "archive")


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    records = few_records(CIFAR100)
    data = write_archive(tmp_path / "whole", records).read_bytes()
    members = [(file, rows.tobytes()) for file, rows in records.items()]
    plain = archive_bytes(members)
    for length in range(0, len(data), 97):
        (tmp_path / "cut").write_bytes(data[:length])
        failure(cifar100, tmp_path / "cut")
    for length in range(0, 512 * 3 + records["train.bin"].size, 97):
        (tmp_path / "cut").write_bytes(plain[:length])
        failure(cifar100, tmp_path / "cut")


@pytest.mark.slow
def test_one_bit_flipped_in_an_archive(tmp_path: Path) -> None:
    """Either the bit is found, at the latest by the checksum, or it has no effect."""
    records = few_records(CIFAR100)
    data = write_archive(tmp_path / "whole", records).read_bytes()
    path = tmp_path / "flipped"
    for position in [*range(160), *range(160, 8 * len(data), 701), *range(-160, 0)]:
        flipped = bytearray(data)
        at = position % (8 * len(data))
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            found = cifar100(path)
        except DatasetError:
            continue
        check(found, CIFAR100, records)
        # Padding, a time stamp, an unused code.
        assert gzip.decompress(flipped) == gzip.decompress(data)


def test_a_file_that_is_there_twice(tmp_path: Path) -> None:
    rows = few_records(CIFAR100)["test.bin"].tobytes()
    members = [("train.bin", rows), ("test.bin", rows), ("old/train.bin", rows)]
    (tmp_path / "archive").write_bytes(archive_bytes(members))
    message = failure(cifar100, tmp_path / "archive")
    assert "archive/cifar/old/train.bin': the archive has more than one train.bin" in message


def test_a_link_in_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        link = tarfile.TarInfo("train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert "archive/train.bin': is not a regular file" in failure(cifar100, tmp_path / "archive")


def patched(archive: bytes, at: int, fields: dict[int, bytes]) -> bytes:
    """The archive with bytes of the header at `at` replaced, and a correct checksum."""
    header = bytearray(archive[at : at + 512])
    for offset, field in fields.items():
        header[offset : offset + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive[:at] + header + archive[at + 512 :]


def test_an_archive_that_goes_backwards(tmp_path: Path) -> None:
    """A length of -512 would make tarfile read the same member forever."""
    negative = {124: b"\xff" * 10 + b"\xfe\x00"}
    archive = patched(archive_bytes([("else.bin", b"")]), 512, negative)
    (tmp_path / "archive").write_bytes(archive)
    assert "is damaged: it has a member of -512 bytes" in failure(cifar100, tmp_path / "archive")


def test_a_sparse_file_in_an_archive(tmp_path: Path) -> None:
    """A sparse file of gigabytes is refused without reading it."""
    sparse = {156: b"S", 483: b"%011o\0" % (3074 * 2**20)}
    archive = patched(archive_bytes([("train.bin", b""), ("test.bin", b"")]), 512, sparse)
    (tmp_path / "archive").write_bytes(archive)
    assert "train.bin': is not a regular file" in failure(cifar100, tmp_path / "archive")
