"""Reading data sets: every file that is right is read, every file that is wrong is named."""

from __future__ import annotations

import doctest
import gzip
import math
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from swiftforce.datasets import fashion_mnist, mnist, sources
from swiftforce.datasets.idx import idx_dataset, read_idx
from swiftforce.datasets.images import Dataset
from swiftforce.errors import DatasetError, SwiftForceError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")

needs_fashion_mnist = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="needs the files of Debian's dataset-fashion-mnist"
)


def header(code: int, *dimensions: int) -> bytes:
    return struct.pack(f">BBBB{len(dimensions)}I", 0, 0, code, len(dimensions), *dimensions)


def idx_bytes(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    return header(code, *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


def plain(data: bytes) -> bytes:
    return data


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


either_way = pytest.mark.parametrize("pack", [plain, packed])


def failure(path: Path) -> str:
    """The message of the one error that reading the file raises."""
    with pytest.raises(DatasetError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def test_errors_are_value_errors() -> None:
    assert issubclass(DatasetError, ValueError)
    assert issubclass(DatasetError, SwiftForceError)


def test_examples_in_the_docstrings() -> None:
    results = doctest.testmod(sources)
    assert results.attempted > 0
    assert results.failed == 0


# ---------------------------------------------------------------------------------- read_idx


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
    """Either it is found, or it does not matter: a time stamp, a flag, padding."""
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


def peak_memory(call: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


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
    """A megabyte of gzip might hold the gigabyte that the header says, but does not."""
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
    """Root may read everything, so the refusal is played."""
    path = tmp_path / "secret"
    path.write_bytes(idx_bytes(np.zeros(3, "u1")))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be read: [Errno 13] Permission denied" in failure(path)


def test_not_a_path() -> None:
    with pytest.raises(DatasetError, match=r"not a path: .*embedded null"):
        read_idx("a\0b")
    with pytest.raises(TypeError):
        read_idx(3)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------- idx_dataset

TRAIN_X = np.array([[[0, 51], [102, 255]], [[0, 0], [255, 255]], [[1, 2], [3, 4]]], np.uint8)
TRAIN_Y = np.array([2, 0, 1], np.uint8)
TEST_X = np.array([[[9, 8], [7, 6]]], np.uint8)
TEST_Y = np.array([3], np.uint8)
ARRAYS = {
    "train-images-idx3-ubyte": TRAIN_X,
    "train-labels-idx1-ubyte": TRAIN_Y,
    "t10k-images-idx3-ubyte": TEST_X,
    "t10k-labels-idx1-ubyte": TEST_Y,
}


def write_files(folder: Path, pack: Callable[[bytes], bytes] = plain, **parts: np.ndarray) -> Path:
    """The four files; `parts` replaces arrays, named train_images and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ARRAYS.items():
        part = "_".join(name.split("-")[:2])
        suffix = ".gz" if pack is packed else ""
        (folder / (name + suffix)).write_bytes(pack(idx_bytes(parts.get(part, array))))
    return folder


@either_way
def test_idx_dataset(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    data = idx_dataset(write_files(tmp_path, pack), name="tiny")
    pixels = TRAIN_X.astype(np.float64) / 255
    assert data.name == "tiny"
    assert data.classes == 4
    (mean,), (std,) = data.mean, data.std
    assert math.isclose(mean, pixels.mean(), rel_tol=1e-14)
    assert math.isclose(std, pixels.std(), rel_tol=1e-14)
    for found, raw in (data.train_x, TRAIN_X), (data.test_x, TEST_X):
        expected = (raw[:, None] / 255 - mean) / std
        assert found.dtype == np.float32
        assert found.shape == (len(raw), 1, 2, 2)
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    for found, raw in (data.train_y, TRAIN_Y), (data.test_y, TEST_Y):
        assert found.dtype == np.int64
        assert found.tolist() == raw.tolist()


def test_not_normalised(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny", normalise=False)
    assert np.array_equal(data.train_x[:, 0], TRAIN_X.astype(np.float32) / np.float32(255))
    assert np.array_equal(data.test_x[:, 0], TEST_X.astype(np.float32) / np.float32(255))
    assert math.isclose(*data.mean, (TRAIN_X / 255).mean())
    assert math.isclose(*data.std, (TRAIN_X / 255).std())


def test_the_unpacked_file_is_read_where_both_are_there(tmp_path: Path) -> None:
    write_files(tmp_path, packed)
    write_files(tmp_path, plain, train_labels=np.array([1, 1, 1], np.uint8))
    assert idx_dataset(tmp_path, name="tiny").train_y.tolist() == [1, 1, 1]


@pytest.mark.parametrize("missing", ARRAYS)
def test_a_file_is_missing(tmp_path: Path, missing: str) -> None:
    (write_files(tmp_path) / missing).unlink()
    with pytest.raises(DatasetError, match=f"no {missing} or {missing}.gz in it; pass the folder"):
        idx_dataset(tmp_path, name="tiny")


def test_the_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder; pass the folder"):
        idx_dataset(tmp_path / "missing", name="tiny")


@pytest.mark.parametrize("damaged", ARRAYS)
def test_a_file_is_damaged(tmp_path: Path, damaged: str) -> None:
    path = write_files(tmp_path) / damaged
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=rf"{damaged}.* bytes follow it"):
        idx_dataset(tmp_path, name="tiny")


@pytest.mark.parametrize(
    ("part", "array", "problem"),
    [
        ("train_images", TRAIN_X[:2], "2 images, but there are 3 labels"),
        ("t10k_images", TRAIN_X, "3 images, but there are 1 labels"),
        ("t10k_labels", TRAIN_Y, "1 images, but there are 3 labels"),
        ("train_images", TRAIN_X.astype("i4"), "int32 with 3 dimensions, images are uint8 with 3"),
        ("train_images", TRAIN_X[0], "uint8 with 2 dimensions, images are uint8 with 3"),
        ("train_labels", TRAIN_Y.astype("f4"), "float32 with 1 dimensions, labels are uint8 wi"),
        ("t10k_labels", TEST_Y[:, None], "uint8 with 2 dimensions, labels are uint8 with 1 dim"),
        ("t10k_labels", TEST_Y[:0], "has no labels: its dimensions are (0,)"),
        ("train_images", TRAIN_X[:, :0], "has no images: its dimensions are (3, 0, 2)"),
        ("t10k_images", TEST_X[:, :, :1], "images of 2 x 1 pixels, those to train on have 2 x 2"),
        (
            "train_images",
            TRAIN_X * 0 + 7,
            "every pixel of channel 0 is 7: normalising would divide by",
        ),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, part: str, array: np.ndarray, problem: str) -> None:
    write_files(tmp_path, **{part: array})
    with pytest.raises(DatasetError) as caught:
        idx_dataset(tmp_path, name="tiny")
    assert f"/{part.partition('_')[0]}-" in str(caught.value)
    assert problem in str(caught.value)


def test_equal_pixels_are_fine_when_not_normalised(tmp_path: Path) -> None:
    write_files(tmp_path, train_images=TRAIN_X * 0 + 255)
    data = idx_dataset(tmp_path, name="tiny", normalise=False)
    assert (data.mean, data.std) == ((1.0,), (0.0,))
    assert (data.train_x == 1).all()


def test_memory(tmp_path: Path) -> None:
    """Both parts as float32 once, the bytes of one file once, and no more."""
    images = np.random.default_rng(0).integers(0, 256, (20_000, 28, 28), dtype=np.uint8)
    labels = np.zeros(20_000, np.uint8)
    parts = {"train_images": images, "t10k_images": images}
    write_files(tmp_path, **parts, train_labels=labels, t10k_labels=labels)
    del parts
    peak = peak_memory(lambda: idx_dataset(tmp_path, name="tiny"))
    # A byte array takes up to an eighth more than it holds as it grows.
    assert peak < (4 + 4 + 1.125) * images.nbytes + (4 << 20)


# ----------------------------------------------------------------------------------- Dataset


def test_subset(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    small = data.subset(train=2)
    assert (len(small.train_x), len(small.train_y)) == (2, 2)
    assert (len(small.test_x), len(small.test_y)) == (1, 1)
    assert (small.classes, small.name) == (data.classes, data.name)
    assert (small.mean, small.std) == (data.mean, data.std)
    assert np.array_equal(small.train_x, data.train_x[:2])
    assert np.array_equal(small.train_y, data.train_y[:2])
    assert np.shares_memory(small.train_x, data.train_x)
    assert len(data.subset(train=np.int64(1), test=1).train_y) == 1  # type: ignore[arg-type]
    assert len(data.subset().train_y) == 3


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"train": 4}, "subset(train=4): 'tiny' has 3 train samples, ask for 1 to 3"),
        ({"test": 2}, "subset(test=2): 'tiny' has 1 test samples, ask for 1 to 1"),
        ({"train": 0}, "subset(train=0)"),
        ({"test": -1}, "subset(test=-1)"),
    ],
)
def test_subset_out_of_range(tmp_path: Path, sizes: dict[str, int], problem: str) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(DatasetError) as caught:
        data.subset(**sizes)
    assert problem in str(caught.value)


def test_subset_of_a_fraction(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(TypeError):
        data.subset(train=0.5)  # type: ignore[arg-type]


def test_a_dataset_is_frozen(tmp_path: Path) -> None:
    data = idx_dataset(write_files(tmp_path), name="tiny")
    with pytest.raises(AttributeError):
        data.classes = 3  # type: ignore[misc]
    assert repr(data) == "Dataset('tiny', train=3, test=1, shape=(1, 2, 2), classes=4)"
    assert data != data.subset()  # by identity: arrays have no one answer to ==
    assert isinstance(hash(data), int)


# --------------------------------------------------------------------------- where to look


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any data set."""
    monkeypatch.delenv("SWIFTFORCE_DATA", raising=False)
    monkeypatch.setattr(sources, "_DEBIAN_FASHION_MNIST", tmp_path / "debian")
    return tmp_path


def labelled(folder: Path, label: int) -> Path:
    """A data set that can be told by its first label."""
    return write_files(folder, packed, train_labels=np.array([label, 0, 0], np.uint8))


def test_fashion_mnist_looks_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    assert fashion_mnist().train_y[0] == 1
    monkeypatch.setenv("SWIFTFORCE_DATA", "")  # not the folder that one happens to be in
    monkeypatch.chdir(labelled(nowhere / "here", 5))
    assert fashion_mnist().train_y[0] == 1
    monkeypatch.setenv("SWIFTFORCE_DATA", str(nowhere / "data"))
    assert fashion_mnist().train_y[0] == 1
    labelled(nowhere / "data", 2)
    assert fashion_mnist().train_y[0] == 2
    labelled(nowhere / "data" / "fashion-mnist", 3)
    assert fashion_mnist().train_y[0] == 3
    labelled(nowhere / "mine", 4)
    assert fashion_mnist(nowhere / "mine").train_y[0] == 4
    assert fashion_mnist(str(nowhere / "mine")).name == "fashion-mnist"


def test_mnist_looks_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(labelled(nowhere / "data", 2)))
    with pytest.raises(DatasetError, match=r"^mnist not found in '.*mnist'"):
        mnist()
    labelled(nowhere / "data" / "mnist", 3)
    assert mnist().train_y[0] == 3
    labelled(nowhere / "mine", 4)
    assert mnist(nowhere / "mine").train_y[0] == 4
    assert mnist().name == "mnist"


def test_no_data_set_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        fashion_mnist()
    assert str(caught.value) == (
        f"fashion-mnist not found in '{nowhere}/debian': apt-get install dataset-fashion-mnist, "
        "pass the folder that holds the four files, or name it in SWIFTFORCE_DATA"
    )
    with pytest.raises(DatasetError) as caught:
        mnist()
    assert str(caught.value) == (
        "mnist not found (SWIFTFORCE_DATA is not set): pass the folder that holds the files, "
        "or put them in mnist in $SWIFTFORCE_DATA"
    )


def test_a_folder_that_is_passed_is_the_only_one(nowhere: Path) -> None:
    """Other data than what was asked for would be worse than none."""
    labelled(nowhere / "debian", 1)
    with pytest.raises(
        DatasetError, match=r"fashion-mnist not found in '.*/mine': apt-get install"
    ):
        fashion_mnist(nowhere / "mine")


def test_half_a_data_set_is_not_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(nowhere / "debian", 1)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(labelled(nowhere / "data", 2)))
    (nowhere / "data" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DatasetError, match="no t10k-labels-idx1-ubyte or "):
        fashion_mnist()


@pytest.mark.slow
@needs_fashion_mnist
def test_the_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWIFTFORCE_DATA", raising=False)
    data = fashion_mnist()
    assert isinstance(data, Dataset)
    assert data.train_x.shape == (60_000, 1, 28, 28)
    assert data.test_x.shape == (10_000, 1, 28, 28)
    assert data.train_x.dtype == data.test_x.dtype == np.float32
    assert data.classes == 10
    assert np.bincount(data.train_y).tolist() == [6000] * 10
    assert np.bincount(data.test_y).tolist() == [1000] * 10
    (mean,), (std,) = data.mean, data.std
    assert round(mean, 3) == 0.286
    assert round(std, 3) == 0.353
    assert abs(data.train_x.mean(dtype=np.float64)) < 1e-6
    assert abs(data.train_x.std(dtype=np.float64) - 1) < 1e-6
    pixels = np.rint((data.train_x * std + mean) * 255)
    assert np.array_equal(pixels[:, 0], read_idx(DEBIAN / "train-images-idx3-ubyte.gz"))
