"""The torch benchmark runs with small sizes, and its tables have every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import swiftforce as sf
from benchmarking import measured, run_quick

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

PAGE = "before\n<!-- begin torch -->\n<!-- end torch -->\nafter\n"
PLACES = {"output": "out.jsonl", "document": "page.md"}
REFERENCE = "FORCE's own algorithm on torch"


def run(folder: Path, *options: str) -> str:
    return run_quick("benchmarks.torch_force", folder, PLACES, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory, PAGE, run)


@pytest.mark.slow
def test_every_row_is_there(folder: Path) -> None:
    text = (folder / "page.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ResNet20")]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in lines]
    case = "ResNet20, batch of 4"
    search, training = f"{case}, 3 steps to 90 % removed", f"{case}, 90 % removed"
    assert {(row[0], row[1]): re.sub(" (met|missed)$", "", row[7]) for row in rows} == {
        (search, "forward and backward"): "",
        (search, "forward and backward, once more"): "",
        (search, "a step of sft.prune"): "<= 3%",
        (search, "sft.prune"): "",
        (search, REFERENCE): ">= 1.25",
        (case, "forward and backward"): "",
        (case, "masks that sft.prune returns"): "",
        (case, "sft.prune, beyond both"): "<= 1.0",
        (case, f"masks that {REFERENCE} returns"): "",
        (case, f"{REFERENCE}, beyond both"): "",
        (training, "without masks"): "",
        (training, "without masks, another model"): "",
        (training, "with masks"): "<= 2%",
    }
    for row in rows:
        assert re.fullmatch(r"[\d.]+ (us|ms|s|MB)", row[2]), row
        in_percent = row[4] in ("forward and backward", "without masks")
        assert re.fullmatch(r"-?[\d.]+ %" if in_percent else r"[\d.]*", row[5]), row
    assert text.startswith("before\n<!-- begin torch -->\n\nMeasured on: CPU ")
    assert text.endswith("<!-- end torch -->\nafter\n")


@pytest.mark.usefixtures("_benchmarks")
def test_calls_take_turns_with_the_steps_of_a_loop() -> None:
    from benchmarks.measure import BetweenSteps

    order: list[object] = []
    between = BetweenSteps(
        "ab", {"first": lambda: order.append(1), "again": lambda: order.append(2)}
    )
    for batch in between:
        order.append(batch)
        if len(order) == 9:
            break
    assert order == [1, 2, "a", 1, 2, "b", 1, 2, "a"]
    # The time of the last step is not known.
    assert len(between.steps.all) == len(between.times("first").all) == 2
    assert between.total("again") > sum(between.times("again").all)


@pytest.mark.usefixtures("_benchmarks")
def test_ratios_are_those_of_turns() -> None:
    from benchmarks.measure import Times

    assert Times((2.0, 9.0, 4.0)).ratio_to(Times((1.0, 3.0, 8.0))) == 2.0
    with pytest.raises(ValueError, match="zip"):
        Times((2.0,)).ratio_to(Times((1.0, 3.0)))


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 30 * 30, 10),
    )


@pytest.mark.usefixtures("_benchmarks")
@pytest.mark.slow
def test_the_reference_finds_the_same_masks_step_by_step(model: torch.nn.Module) -> None:
    from benchmarks import torch_models

    size = torch_models.size_of(model)
    assert size == 216 + 72_000
    batches = torch_models.batches_of(3, 6)
    keeps = sf.schedule_keeps("exponential", size, 700, 5)
    step = torch_models.reference_steps(model, batches, keeps)
    for _ in keeps:
        found = step()
    ours = sft.force(model, batches, loss=cross_entropy, keep=700, steps=5)
    assert sum(step.revived for step in ours.history) > 0
    for name, mask in found.masks.items():
        assert torch.equal(mask.bool(), ours.masks[name])


@pytest.mark.usefixtures("_benchmarks")
@pytest.mark.slow
def test_what_differs_from_the_reference_stops_the_benchmark(model: torch.nn.Module) -> None:
    from benchmarks import reference, torch_models

    batches = torch_models.batches_of(2, 6)
    torch_models.check_searches(model, batches, 2000)
    search = torch_models.reference_steps(model, batches, [2000])()
    masks = sft.force(model, batches, loss=cross_entropy, keep=2000, steps=1).masks
    reference.check_agreement(masks, search, 2000)
    with pytest.raises(RuntimeError, match="keep 1999"):
        reference.check_agreement(masks, search, 1999)
    rolled = {name: mask.roll(1, 0) for name, mask in masks.items()}
    with pytest.raises(RuntimeError, match="differ"):
        reference.check_agreement(rolled, search, 2000)


@pytest.mark.usefixtures("_benchmarks")
def test_ties_may_go_either_way(model: torch.nn.Module) -> None:
    from benchmarks import reference, torch_models

    (x, y) = torch_models.batches_of(1, 6)[0]
    model[0].weight.data.zero_()  # every score is 0: the published algorithm keeps them all
    search = reference.Reference(model, ["0.weight"])
    assert all(mask.all() for mask in search.step(x, y, 10).values())
    ours = torch.arange(216).view(8, 3, 3, 3) < 10
    reference.check_agreement({"0.weight": ours}, search, 10)


@pytest.mark.slow
@pytest.mark.usefixtures("_benchmarks")
def test_a_weight_that_comes_back_stops_the_benchmark() -> None:
    from benchmarks import torch_models
    from benchmarks.classifiers import Kind

    (batch,) = torch_models.batches_of(1, 4)
    trained = torch_models.training_step(Kind("resnet", 20), batch, 0.9)()
    torch_models.check_removed(trained, 0.9)
    dense = torch_models.training_step(Kind("resnet", 20), batch)()
    with pytest.raises(RuntimeError, match="are zero"):
        torch_models.check_removed(dense, 0.9)
