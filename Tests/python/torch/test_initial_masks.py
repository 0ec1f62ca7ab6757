"""Searches of a model that begin at masks: as if a step had ended with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch")
import swiftforce as sf  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")

LOSS = nn.CrossEntropyLoss()


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def batches() -> list[Any]:
    torch.manual_seed(1)
    return [(torch.randn(8, 1, 4, 4), torch.randint(3, (8,)))]


def kept(masks: Any) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


@pytest.mark.parametrize(
    ("method", "steps", "layout"),
    [
        ("force", 1, "contiguous"),
        ("force", 3, "channels_last"),
        ("iterative_snip", 1, "channels_last"),
        ("iterative_snip", 3, "contiguous"),
        ("grasp_it", 1, "contiguous"),
        ("grasp_it", 3, "channels_last"),
        ("synflow", 1, "channels_last"),
        ("synflow", 3, "contiguous"),
    ],
)
def test_the_rest_of_a_search(method: str, steps: int, layout: str) -> None:
    net = model()
    if layout == "channels_last":
        net = net.to(memory_format=torch.channels_last)
    keeps = [60, 40, 30, 20, 10]
    whole = sft.prune(net, batches(), LOSS, method=method, schedule=keeps)
    first = sft.prune(net, batches(), LOSS, method=method, schedule=keeps[:-steps])
    before = {name: one.clone() for name, one in net.state_dict().items()}
    rest = sft.prune(
        net, batches(), LOSS, method=method, schedule=keeps[-steps:], initial_masks=first
    )
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert all(torch.equal(rest.masks[name], mask) for name, mask in whole.masks.items())
    assert [step.keep for step in rest.history] == keeps[-steps:]
    again = sft.prune(
        net, batches(), LOSS, method=method, schedule=keeps[-steps:], initial_masks=first.masks
    )
    assert again.history == rest.history


def test_each_function_passes_them_on(tmp_path: Path) -> None:
    net = model()
    first = sft.prune(net, method="magnitude", keep=50)
    first.save(tmp_path / "masks")
    for function in (sft.force, sft.iterative_snip):
        found = function(
            net, batches(), LOSS, keep=9, steps=2, initial_masks=sf.load(tmp_path / "masks")
        )
        assert found.history[0].keep == sf.schedule_keeps("exponential", 50, 9, 2)[0]
    assert all(bool((found.masks[name] <= mask).all()) for name, mask in first.masks.items()), (
        "iterative_snip brought weights back"
    )


def test_a_checkpoint_is_of_one_beginning(tmp_path: Path) -> None:
    net = model()
    path = tmp_path / "search"
    first, other = (sft.prune(net, method="random", keep=50, seed=seed).masks for seed in range(2))
    options: dict[str, Any] = {"keep": 9, "steps": 3, "checkpoint": path}
    found = sft.force(net, batches(), LOSS, initial_masks=first, **options)
    again = sft.force(net, batches(), LOSS, initial_masks=first, **options)
    assert again.history == found.history
    for masks, now in ((other, "'from the masks .*'"), (None, "nothing")):
        text = f"it says 'from the masks [^,]*' where this one says {now}; remove the file to start"
        with pytest.raises(sf.SearchFileError, match=text):
            sft.force(net, batches(), LOSS, initial_masks=masks, **options)


@pytest.mark.parametrize("method", ["snip", "grasp", "magnitude", "random"])
def test_methods_of_one_step_do_not_begin_at_masks(method: str) -> None:
    net = model()
    first = sft.prune(net, method="magnitude", keep=50)
    with pytest.raises(sf.StepsError, match=f"^{method} .* cannot begin at initial_masks"):
        sft.prune(net, batches(), LOSS, method=method, keep=9, initial_masks=first)


def test_what_is_refused() -> None:
    net = model()
    masks = sft.prune(net, method="magnitude", keep=50).masks
    for wrong, options, error, text in (
        ({"3.weight": masks["3.weight"]}, {}, sf.StructureError, "initial_masks lack '0.weight'"),
        (masks, {"exclude": "0.*"}, sf.StructureError, "remove weights of '0.weight'"),
        ({**masks, "x": masks["0.weight"]}, {}, sf.StructureError, "has no parameter 'x'"),
        ({**masks, "0.weight": masks["3.weight"]}, {}, sf.ShapeError, "has shape"),
        ({name: mask.float() for name, mask in masks.items()}, {}, sf.UnsupportedTypeError, "bool"),
        ([*masks.values()], {}, sf.StructureError, "mapping of names"),
        (masks, {"keep": 51}, sf.KeepError, "initial_masks keep 50"),
    ):
        with pytest.raises(error, match=text):
            sft.force(
                net, batches(), LOSS, **{"keep": 9, "steps": 2} | options, initial_masks=wrong
            )
    # A mask that removes nothing of what is not searched does not matter.
    whole = {**masks, "0.weight": torch.ones(4, 1, 3, 3, dtype=torch.bool)}
    options = {"keep": 9, "steps": 2, "exclude": "0.*"}
    found = sft.force(net, batches(), LOSS, initial_masks=whole, **options)
    assert kept(found.masks) == 9
