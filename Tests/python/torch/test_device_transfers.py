"""The selection on a device moves counts and sums alone to the host, and needs little memory.

The device is pretended: an operation that would wait for a real one is seen.
"""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from device_steps import of_kind  # noqa: E402
from pretended_device import OnDevice, PretendedDevice  # noqa: E402
from swiftforce.torch.device import scores as device_scores  # noqa: E402
from swiftforce.torch.device.contest import Previous  # noqa: E402
from swiftforce.torch.device.damping import DeviceDamping  # noqa: E402
from swiftforce.torch.device.scores import DeviceScores  # noqa: E402
from swiftforce.torch.device.selection import kept_sum, select  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
