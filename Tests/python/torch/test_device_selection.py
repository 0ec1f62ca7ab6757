"""The selection on a device finds the core's masks, reports and errors, bit for bit.

No device is needed: the same operations run on tensors of the CPU.
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

from device_steps import SIZES, TYPES, Both, named, of_kind  # noqa: E402
from swiftforce.torch.device import scores as device_scores  # noqa: E402
from swiftforce.torch.device.choice import computes_as_core  # noqa: E402
from swiftforce.torch.device.scores import SIGNED_PRODUCT, DeviceScores  # noqa: E402
from swiftforce.torch.device.selection import select  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

#: Methods, and a step from which removed weights stay removed.
METHODS = [
    *(("force", None), ("force", 2), ("force", 1), ("force_nested", None)),
    *(("iterative_snip", None), ("grasp_it", None)),
]
ONE_SHOT = ("snip", "magnitude", "random")
TYPE_SETS = (*((one,) for one in TYPES), TYPES)


def in_turn(cases: Sequence[Any]) -> list[Any]:
    """Arguments (case, types, kind): each kind with each set of types, and with the next case.

    So each case comes with each set of types, and with nearly every kind.
    """
    return [
        pytest.param(cases[(place + turn) % len(cases)], types, kind, id=f"{kind}-{types}")
        for place, kind in enumerate(KINDS)
        for turn, types in enumerate(TYPE_SETS)
    ]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few hundred weights have several parts."""
    monkeypatch.setattr(device_scores, "PART", 64)


@pytest.mark.parametrize(("case", "types", "kind"), in_turn(METHODS))
def test_every_step_is_the_core_s(
    case: tuple[str, int | None], types: tuple[Any, ...], kind: str
) -> None:
    method, nested_from = case
    both = Both(method, of_kind(kind, SIZES, 1, *types), (250, 90, 90, 3), nested_from=nested_from)
    for step in range(4):
        both.step(of_kind(kind if step % 2 else "random", SIZES, step, *reversed(types)))


DAMPED = [
    ("force", {"momentum": 0.9}),
    ("force", {"removed_factor": 0.3}),
    ("force", {"removed_factor": 0.0, "momentum": 0.1}),
    ("force_nested", {"removed_factor": 0.7, "momentum": 0.6}),
    ("grasp_it", {"momentum": 1 / 3}),
]


@pytest.mark.parametrize(("case", "types", "kind"), in_turn(DAMPED))
def test_damped_steps(case: tuple[str, dict[str, Any]], types: tuple[Any, ...], kind: str) -> None:
    method, options = case
    both = Both(method, of_kind(kind, SIZES, 1, *types), (250, 90, 90, 3), **options)
    for step in range(4):
        both.step(of_kind(kind if step % 2 else "random", SIZES, step, *reversed(types)))


@pytest.mark.parametrize(("method", "types", "kind"), in_turn(ONE_SHOT))
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
@pytest.mark.parametrize("types", TYPE_SETS, ids=str)
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


# ------------------------------------------------------------------------------ a real device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("method", "types", "kind"),
    in_turn(["force", "force_nested", "grasp_it", "magnitude", "random"]),
)
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
