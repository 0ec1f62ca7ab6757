"""The selection on a device finds the core's masks, reports and errors, bit for bit.

No device is needed: the same operations run on tensors of the CPU, and those of a device that is
pretended show that nothing but counts and sums reaches the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, cuts

torch = pytest.importorskip("torch")

from device_steps import Both, named  # noqa: E402
from pretended_device import OnDevice, PretendedDevice  # noqa: E402
from swiftforce.torch import device_scores  # noqa: E402
from swiftforce.torch.device_choice import computes_as_core  # noqa: E402
from swiftforce.torch.device_contest import Previous  # noqa: E402
from swiftforce.torch.device_damping import DeviceDamping  # noqa: E402
from swiftforce.torch.device_scores import SIGNED_PRODUCT, DeviceScores  # noqa: E402
from swiftforce.torch.device_selection import kept_sum, select  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
#: Methods, and a step from which removed weights stay removed.
METHODS = [
    *(("force", None), ("force", 2), ("force", 1), ("force_nested", None)),
    *(("iterative_snip", None), ("grasp_it", None)),
]
ONE_SHOT = ("snip", "magnitude", "random")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few hundred weights have several parts."""
    monkeypatch.setattr(device_scores, "PART", 64)


def of_kind(kind: str, sizes: Sequence[int], seed: int, *types: Any) -> list[torch.Tensor]:
    """Flat tensors with numbers of a kind; their types take turns."""
    values = KINDS[kind](sum(sizes), np.random.default_rng(seed))
    parts = np.split(values, np.cumsum(sizes)[:-1])
    found = [torch.from_numpy(one.copy()).to(types[i % len(types)]) for i, one in enumerate(parts)]
    return [torch.nan_to_num(one, posinf=1, neginf=-1) for one in found]


SIZES = (200, 0, 1, 131)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [(one,) for one in TYPES] + [TYPES], ids=str)
@pytest.mark.parametrize(("method", "nested_from"), METHODS)
def test_every_step_is_the_core_s(
    method: str, nested_from: int | None, types: tuple[Any, ...], kind: str
) -> None:
    both = Both(method, of_kind(kind, SIZES, 1, *types), (250, 90, 90, 3), nested_from=nested_from)
    for step in range(4):
        both.step(of_kind(kind if step % 2 else "random", SIZES, step, *reversed(types)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [(one,) for one in TYPES] + [TYPES], ids=str)
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("force", {"momentum": 0.9}),
        ("force", {"removed_factor": 0.3}),
        ("force", {"removed_factor": 0.0, "momentum": 0.1}),
        ("force_nested", {"removed_factor": 0.7, "momentum": 0.6}),
        ("grasp_it", {"momentum": 1 / 3}),
    ],
)
def test_damped_steps(
    method: str, options: dict[str, Any], types: tuple[Any, ...], kind: str
) -> None:
    both = Both(method, of_kind(kind, SIZES, 1, *types), (250, 90, 90, 3), **options)
    for step in range(4):
        both.step(of_kind(kind if step % 2 else "random", SIZES, step, *reversed(types)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [(one,) for one in TYPES] + [TYPES], ids=str)
@pytest.mark.parametrize("method", ONE_SHOT)
def test_methods_of_one_step(method: str, types: tuple[Any, ...], kind: str) -> None:
    for keep in (1, 57, 332):
        both = Both(method, of_kind(kind, SIZES, 1, *types), (keep,), seed=2**64 - 3)
        both.step(of_kind("random", SIZES, 2, *types))


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_a_search_that_begins_at_masks(method: str) -> None:
    initial = [one > 0 for one in of_kind("random", SIZES, 5, torch.float32)]
    weights = of_kind("random", SIZES, 1, *TYPES)
    kept = sum(int(one.sum()) for one in initial)
    both = Both(method, weights, (kept - 20, 60), initial=initial)
    for step in range(2):
        both.step(of_kind("few values", SIZES, step, torch.float32))


@given(data=st.data())
def test_any_numbers_of_any_types(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    places = sorted(data.draw(cuts(size)))
    sizes = np.diff([0, *places, size]).tolist()
    kinds, seeds = st.sampled_from(sorted(KINDS)), st.integers(0, 99)
    types = st.lists(st.sampled_from(TYPES), min_size=1, max_size=3)
    keeps = sorted(data.draw(st.lists(st.integers(1, size), min_size=1, max_size=3)), reverse=True)
    method, nested_from = data.draw(st.sampled_from(METHODS))
    nested_from = None if nested_from is None else min(nested_from, len(keeps))
    weights = of_kind(data.draw(kinds), sizes, data.draw(seeds), *data.draw(types))
    both = Both(method, weights, keeps, nested_from=nested_from)
    for _ in keeps:
        both.step(of_kind(data.draw(kinds), sizes, data.draw(seeds), *data.draw(types)))


@given(
    bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200),
    share=st.floats(0, 1),
    part=st.integers(1, 70),
)
def test_masks_do_not_depend_on_parts(bits: list[int], share: float, part: int) -> None:
    values = np.array(bits, np.uint32).view(np.float32)
    weights = [torch.from_numpy(np.where(np.isfinite(values), values, np.float32(0)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_scores, "PART", part)
        Both("magnitude", weights, (max(1, round(share * len(bits))),)).step(None)


def test_a_broken_selection_does_not_pass() -> None:
    """The comparison of these tests tells masks apart that differ in one tie."""
    both = Both("magnitude", [torch.ones(100)], (70,))
    both.search.step()
    both.on_device(None, 1)
    both.masks[0][[69, 70]] = both.masks[0][[70, 69]]
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(both.masks[0].numpy(), both.search.masks["t0"])


# ------------------------------------------------------------------------------ signed products


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("types", [(one,) for one in TYPES] + [TYPES], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_signed_products_are_selected_as_by_select(kind: str, types: tuple[Any, ...]) -> None:
    weights, factors = of_kind(kind, SIZES, 1, *types), of_kind("random", SIZES, 2, *types[::-1])
    products = []
    for a, b in zip(weights, factors, strict=True):
        wide = torch.float64 if torch.float64 in {a.dtype, b.dtype} else torch.float32
        products.append(a.to(wide) * b.to(wide))
    masks = [torch.zeros(one.shape, dtype=torch.bool) for one in weights]
    for keep in (1, 100, 331):
        scores = DeviceScores(SIGNED_PRODUCT, [""] * 4, weights, factors)
        report = select(scores, keep, masks, previous=None, nested=False, masked=None)
        wanted = sf.select(list(named(products).values()), keep=keep)
        for mask, one in zip(masks, wanted, strict=True):
            np.testing.assert_array_equal(mask.numpy(), one)
        kept = [one[mask] for one, mask in zip(products, masks, strict=True)]
        assert report["threshold"] == min(float(one.min()) for one in kept if one.numel())
        assert report["gradient_norm"] == 0


# ------------------------------------------------------------------------------ scores


def test_there_is_a_formula_of_each_saliency() -> None:
    assert (*sf.saliencies(), SIGNED_PRODUCT) == device_scores.SALIENCIES
    with pytest.raises(sf.UnknownNameError, match="no formula of 'given'"):
        DeviceScores("given", ["a"], [torch.ones(3)], [torch.ones(3)])


def test_random_scores_are_the_core_s() -> None:
    weights = [torch.zeros(100), torch.zeros(31)]
    for seed in (0, 1, 2**63, 2**64 - 1):
        scores = DeviceScores("random", ["a", "b"], weights, None, seed=seed)
        found = torch.cat([scores.of(part)[0] for part in scores.parts])
        wanted = (oracle.random_bits(seed, 131) >> np.uint64(40)).astype(np.float32) * 2.0**-24
        np.testing.assert_array_equal(found.numpy(), wanted.astype(np.float32))


# ------------------------------------------------------------------------------ not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("where", ["weights", "gradients", "both"])
@pytest.mark.parametrize("method", ["force", "grasp_it", "iterative_snip", "magnitude", "random"])
def test_values_that_are_not_finite_are_named(
    method: str, where: str, dtype: Any, value: float
) -> None:
    weights, gradients = (of_kind("random", SIZES, seed, dtype) for seed in (1, 2))
    for tensors in {"weights": [weights], "gradients": [gradients]}.get(
        where, [weights, gradients]
    ):
        tensors[3][100], tensors[3][130] = value, np.nan
    both = Both(method, weights, (30,))
    if where == "gradients" and method in {"magnitude", "random"}:
        both.step(gradients)  # They are not read.
        return
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.in_core(gradients)
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device(gradients, 1)
    assert str(found.value) == str(wanted.value)
    assert repr(vars(found.value)) == repr(vars(wanted.value))
    assert not any(mask.any() for mask in both.masks)  # Nothing was written.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("method", ["iterative_snip", "force", "grasp_it"])
def test_products_that_overflow(method: str, dtype: Any) -> None:
    """They are named where their weights compete; the others may overflow."""
    huge = torch.finfo(dtype).max / 2
    weights, small = torch.arange(1.0, 201.0).to(dtype), torch.ones(200, dtype=dtype)
    both = Both(method, [weights], (150, 100))
    falling = torch.arange(200.0, 0.0, -1.0).to(dtype) if method == "grasp_it" else small
    both.step([falling])
    removed = int((~both.masks[0]).nonzero()[9])
    gradients = falling.clone()
    gradients[removed] = huge
    if method != "force":
        both.step([gradients])
        return
    with pytest.raises(sf.NonFiniteError, match=r"scores\['t0'\] has 1 value that is") as wanted:
        both.in_core([gradients])
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device([gradients], 2)
    assert str(found.value) == str(wanted.value)


@pytest.mark.parametrize("gradient", [torch.float32, torch.float64], ids=str)
def test_sums_over_steps_that_overflow(gradient: Any) -> None:
    """Also those of float64 that overflow where they are stored, in float32."""
    weights = torch.arange(1.0, 201.0)
    both = Both("force", [weights], (150, 100), momentum=0.9)
    gradients = torch.ones(200, dtype=gradient)
    gradients[5] = torch.finfo(torch.float32).max / 6
    both.step([gradients])
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.in_core([gradients])
    with pytest.raises(sf.NonFiniteError) as found:
        both.on_device([gradients], 2)
    assert str(found.value) == str(wanted.value)


def test_the_objective_is_the_core_s() -> None:
    both = Both("force", of_kind("random", SIZES, 1, *TYPES), (100,))
    both.step(of_kind("random", SIZES, 2, torch.float32))
    gradients = of_kind("random", SIZES, 3, torch.bfloat16)
    found = kept_sum(both.scores(gradients), both.masks)
    assert found == pytest.approx(both.search.objective(named(gradients)), rel=2**-21)
    gradients[3][7] = torch.nan
    with pytest.raises(sf.NonFiniteError) as wanted:
        both.search.objective(named(gradients))
    with pytest.raises(sf.NonFiniteError) as raised:
        kept_sum(both.scores(gradients), both.masks)
    assert str(raised.value) == str(wanted.value)


# ------------------------------------------------------------------------------ what moves


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["random", "constant"])
@pytest.mark.parametrize("wide", [torch.float32, torch.float64], ids=str)
def test_counts_and_sums_alone_reach_the_host(wide: Any, kind: str, nested: bool) -> None:
    sizes = (5000, 70_000, 300)
    weights = of_kind(kind, sizes, 1, torch.bfloat16, torch.float32)
    gradients = of_kind(kind, sizes, 2, wide, torch.float16)
    there = [[OnDevice(one) for one in tensors] for tensors in (weights, gradients)]
    masks = [OnDevice(torch.ones(size, dtype=torch.bool)) for size in sizes]
    with pytest.MonkeyPatch.context() as patch, PretendedDevice() as device:
        patch.setattr(device_scores, "PART", 1 << 15)
        scores = DeviceScores("connection_sensitivity", ("", "", ""), *there)
        previous = Previous(masks, sum(sizes))
        masked = [torch.empty_like(one) for one in there[0]]
        report = select(scores, 1000, masks, previous=previous, nested=nested, masked=masked)
        kept_sum(scores, masks)
        parts = len(scores.parts)
    assert report["keep"] == 1000
    assert sum(int(one.host.sum()) for one in masks) == 1000
    # Once when the threshold is known, once at the end; and once for the objective.
    assert len(device.copied) == 3
    assert {dtype for dtype, _ in device.copied} == {torch.int64}
    assert sum(count for _, count in device.copied) <= 20 + 2 * parts
    # Besides masks and masked weights, nothing has more elements than a part or a digit has values.
    assert device.largest <= 70_000
    assert all(one.host.isfinite().all() for one in masked)


@pytest.mark.parametrize(("wide", "most"), [(torch.float32, 34), (torch.float64, 62)], ids=str)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_memory_is_that_of_a_part(
    momentum: float, wide: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = 1 << 19
    monkeypatch.setattr(device_scores, "PART", part)
    size = 2 * part
    weights = [OnDevice(torch.randn(size).to(torch.bfloat16))]
    gradients = [OnDevice(torch.randn(size).to(wide))]
    masks = [OnDevice(torch.ones(size, dtype=torch.bool))]
    sums = [OnDevice(torch.ones(size))] if momentum else None
    damping = DeviceDamping(sums, momentum, 0.5)
    with PretendedDevice() as device:
        scores = DeviceScores("connection_sensitivity", ("",), weights, gradients)
        previous = Previous(masks, size)
        select(
            scores,
            size // 2,
            masks,
            previous=previous,
            nested=False,
            masked=None,
            damping=damping,
        )
    assert device.largest == part
    # Sums of float32 convert numbers to float64, which takes memory inside of one operation. What
    # digits are counted in takes 4 bytes per weight here, and less of larger parts.
    inside = 8 if wide == torch.float32 else 0
    assert device.peak + inside * part <= most * part


def test_mixing_host_and_device_would_be_seen() -> None:
    with PretendedDevice(), pytest.raises(AssertionError, match="mixes"):
        OnDevice(torch.ones(3)) + torch.ones(3)
    with PretendedDevice(), pytest.raises(AssertionError, match="waits for the device"):
        OnDevice(torch.ones(3)).sum().item()


# ------------------------------------------------------------------------------ a real device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [(one,) for one in TYPES] + [TYPES], ids=str)
@pytest.mark.parametrize("method", ["force", "force_nested", "grasp_it", "magnitude", "random"])
def test_a_gpu_finds_the_core_s_masks(method: str, types: tuple[Any, ...], kind: str) -> None:
    assert computes_as_core("cuda:0")
    keeps = (200, 60, 60) if method in {"force", "force_nested", "grasp_it"} else (60,)
    weights = of_kind(kind, SIZES, 1, *types)
    here, there = Both(method, weights, keeps), Both(method, weights, keeps)
    for name in ("weights", "masks", "masked"):
        setattr(there, name, [one.cuda() for one in getattr(there, name)])
    for step in range(len(keeps)):
        gradients = of_kind("random", SIZES, step, *reversed(types))
        here.step(gradients)
        there.on_device([one.cuda() for one in gradients], step + 1)
        for mine, other in zip(there.masks + there.masked, here.masks + here.masked, strict=True):
            assert torch.equal(mine.cpu(), other)
