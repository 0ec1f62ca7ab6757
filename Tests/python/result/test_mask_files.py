"""Masks in files: what is read is what was written, and fits the weights or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import network
from saved_masks import assert_same, described, example, read_or_refused, rewritten, saved_bytes

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("structure", ["mapping", "list", "tuple", "array"])
def test_what_is_read_is_what_was_written(structure: str, tmp_path: Path) -> None:
    pruning = example(structure)
    pruning.save(tmp_path / "masks.safetensors")
    assert_same(sf.load(tmp_path / "masks.safetensors"), pruning)
    pruning.save(str(tmp_path / "again"))
    assert_same(sf.load(str(tmp_path / "again")), pruning)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "masks.safetensors").read_bytes()


@given(st.integers(1, 70), st.data())
def test_any_mask(n: int, data: st.DataObject) -> None:
    import tempfile

    keep = data.draw(st.integers(1, n))
    pruning = sf.random(np.ones(n, np.float32), keep=keep, seed=data.draw(st.integers(0, 99)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        pruning.save(path)
        assert_same(sf.load(path), pruning)


def test_a_bit_per_weight(tmp_path: Path) -> None:
    sf.random(np.ones(80_000, np.float32), sparsity=0.5).save(tmp_path / "m")
    assert 10_000 < (tmp_path / "m").stat().st_size < 12_000


def test_a_seed_of_64_bits(tmp_path: Path) -> None:
    pruning = sf.random(np.ones(8, np.float32), keep=3, seed=2**64 - 1)
    pruning.save(tmp_path / "m")
    assert sf.load(tmp_path / "m").seed == 2**64 - 1


def test_masks_read_can_be_applied_and_written_to(tmp_path: Path) -> None:
    weights = {"a": floats(1, -2, 3)}
    sf.magnitude(weights, keep=2).save(tmp_path / "m")
    masks = sf.load(tmp_path / "m").masks
    assert sf.apply_masks(weights, masks)["a"].tolist() == [0, -2, 3]
    masks["a"][0] = True


def test_names_are_strings_after_reading(tmp_path: Path) -> None:
    sf.magnitude({1: floats(1, 2), ("x", 2): floats(3)}, keep=2).save(tmp_path / "m")
    assert list(sf.load(tmp_path / "m").masks) == ["1", "('x', 2)"]


def test_names_that_are_equal_as_text_are_refused() -> None:
    with pytest.raises(sf.StructureError, match="equal as text: '1'"):
        sf.magnitude({1: floats(1, 2), "1": floats(3, 4)}, keep=3)


def test_a_result_on_the_way_can_be_saved(tmp_path: Path) -> None:
    weights, gradients = network(32)
    search = sf.MaskSearch(weights, keep=5, steps=3)
    search.step(gradients(search.masked_weights))
    search.result().save(tmp_path / "m")
    assert_same(sf.load(tmp_path / "m"), search.result())


# ------------------------------------------------------------------------- what a file says


def test_a_file_says_who_wrote_it_and_what_it_holds(tmp_path: Path) -> None:
    pruning = example()
    about = described(saved_bytes(pruning, tmp_path))
    assert about["swiftforce"] == sf.__version__
    assert about["sparsity"] == pruning.sparsity
    assert about["steps"] == 4
    assert about["format_version"] == 5


def test_few_kept_weights_are_a_small_file(tmp_path: Path) -> None:
    found = sf.random({"w": np.zeros((1000, 1000))}, sparsity=0.995)
    found.save(tmp_path / "m")
    assert (tmp_path / "m").stat().st_size < 0.075 * 1_000_000 / 8 + 3000
    assert_same(sf.load(tmp_path / "m"), found)


def test_files_from_before_that_can_be_read(tmp_path: Path) -> None:
    def strip(about: dict, masks: dict) -> None:
        for name in ("swiftforce", "sparsity", "steps"):
            del about[name]

    pruning = example()
    found = read_or_refused(rewritten(pruning, tmp_path, strip), tmp_path)
    assert found is not None
    assert_same(found, pruning)


@pytest.mark.parametrize("order", [1, -1])
def test_weights_that_the_masks_fit(order: int, tmp_path: Path) -> None:
    weights = {"a": floats(1, 2, 3), "b": np.ones((2, 3), np.float32)}
    sf.magnitude(weights, keep=4).save(tmp_path / "m")
    others = {name: w.astype(np.float64) for name, w in list(weights.items())[::order]}
    assert sf.load(tmp_path / "m", others).keep == 4


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ({"a": floats(1, 2, 3)}, "'b' missing$"),
        ({"a": floats(1, 2, 3), "b": np.ones((3, 2), np.float32)}, r"'b' has shape \(3, 2\), not"),
        (
            {"a": floats(1), "b": np.ones((2, 3), np.float32), "c": floats(1)},
            r"'c' unknown; 'a' has shape \(1,\), not \(3,\)$",
        ),
        ([floats(1, 2, 3), floats(3)], "'a', 'b' missing; '0', '1' unknown$"),
    ],
)
def test_weights_that_the_masks_do_not_fit(weights: Any, text: str, tmp_path: Path) -> None:
    sf.magnitude({"a": floats(1, 2, 3), "b": np.ones((2, 3), np.float32)}, keep=4).save(
        tmp_path / "m"
    )
    with pytest.raises(sf.WeightsDifferError, match=text) as caught:
        sf.load(tmp_path / "m", weights)
    assert str(tmp_path / "m") in str(caught.value)
