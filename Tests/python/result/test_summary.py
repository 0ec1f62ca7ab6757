"""A result in words: percentages, the scale of densities, what the kept weights have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.result import summary, table
from swiftforce.result.summary import DensityScale, percent, search_summary

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

WEIGHTS = np.arange(1, 1001, dtype=np.float32)


@pytest.mark.parametrize(
    ("kept", "decades"), [(1000, 1), (101, 1), (100, 2), (99, 2), (10, 3), (2, 3), (1, 4)]
)
def test_the_scale_begins_below_the_least_density(kept: int, decades: int) -> None:
    scale = DensityScale(sf.magnitude({"a": WEIGHTS}, keep=kept))
    assert scale.decades == decades
    assert len(scale.ticks) == decades + 1
    assert scale.ticks[0] == pytest.approx(10.0**-decades)
    assert 0 < scale.place(kept / 1000) <= 1
    assert (scale.place(0), scale.place(1)) == (0, 1)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.9, "90 %"),
        (0.071666, "7.17 %"),
        (0.99995, "99.995 %"),
        (1 - 1e-9, "99.9999999 %"),
        (1 - 1e-15, "99.9999999999999 %"),
        (1e-7, "1e-05 %"),
    ],
)
def test_percent_tells_much_from_all(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_scores_have_words() -> None:
    assert list(summary._SCORE_NAMES) == [*sf.saliencies(), "given"]


@pytest.mark.parametrize("method", sf.methods())
def test_every_method_says_what_the_kept_weights_have(method: str) -> None:
    found = sf.prune(WEIGHTS, lambda w: w, method=method, keep=10)
    last = found.history[-1]
    share = percent(last.saliency / last.total_saliency)
    assert search_summary(found)[-1].startswith(f"kept weights have {share} of the sum of all ")
    assert len(search_summary(found)) == (1 if found.steps == 1 else 2)


def test_all_is_all_though_sums_are_rounded() -> None:
    rng = np.random.default_rng(0)
    for n in (1000, 30_001, 199_999):
        weights = [rng.standard_normal(n, np.float32) for _ in range(3)]
        assert search_summary(sf.magnitude(weights, sparsity=0))[0].startswith(
            "kept weights have 100 % of"
        )


def test_a_sparsity_below_one_is_never_told_as_one() -> None:
    found = sf.magnitude(np.arange(1, 2_000_001, dtype=np.float32), keep=3)
    assert summary.headline(found).endswith("(sparsity 0.999999), 1 step")
    found = sf.magnitude(np.arange(1, 2_000_001, dtype=np.float32), keep=1_999_997)
    assert table.row_of(found.layers[0])[-1] == "0.999999"


def test_the_scale_holds_the_density_of_all() -> None:
    weights = {"small": np.full(2, 2, np.float32), "large": np.ones(100_000, np.float32)}
    scale = DensityScale(sf.magnitude(weights, keep=2))
    assert scale.ticks[0] < 2 / 100_002


def test_scores_that_mean_nothing_in_sum_are_not_summed() -> None:
    found = sf.snip(WEIGHTS, WEIGHTS, keep=10)
    assert search_summary(replace(found, method="grasp")) == []
    assert search_summary(sf.snip(WEIGHTS, 0 * WEIGHTS, keep=10)) == []
