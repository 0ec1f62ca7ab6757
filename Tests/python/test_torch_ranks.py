"""Models of several processes: copies that find one mask together, and one that is sharded."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import torch_rank  # noqa: E402
from processes import run_all  # noqa: E402
from ranks import Group, Member  # noqa: E402
from swiftforce import torch as sft  # noqa: E402
from torch.nn import functional  # noqa: E402


def found_by(what: str, size: int, folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, torch_rank.__file__, what, str(folder)]
    run_all([[*command, str(rank), str(size)] for rank in range(size)])
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name.removeprefix("module.")], tensor), name


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process finds in all batches."""
    return torch_rank.masks_and_weights(torch_rank.model(), torch_rank.batches())


@pytest.mark.parametrize("size", [2, 3])
def test_copies_find_the_mask_of_one_process(
    size: int, alone: dict[str, Any], tmp_path: Path
) -> None:
    for rank in found_by("parallel", size, tmp_path):
        for method in torch_rank.METHODS:
            check_same(rank[method], alone[method])
        for name, weight in rank["trained"].items():
            mask = alone["force"].get(name.removeprefix("module."))
            assert mask is None or torch.equal(weight != 0, mask)


def test_a_sharded_model_finds_the_mask_of_a_whole_one(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    for rank in found_by("sharded", 2, tmp_path):
        for method in torch_rank.METHODS:
            check_same(rank[method], alone[method])
            assert rank[f"layers of {method}"] == alone[f"layers of {method}"]
        check_same(rank["restored"], alone["restored"])
        for name, weight in rank["trained"].items():
            torch.testing.assert_close(weight, alone["trained"][name])
            mask = alone["force"].get(name)
            assert mask is None or torch.equal(weight != 0, mask)


def models(size: int) -> list[Any]:
    """Equal ones; made here, since threads share the generator of random numbers."""
    return [torch_rank.model() for _ in range(size)]


def prune(member: Member, nets: list[Any], **changes: Any) -> sft.ModelPruning:
    options: dict[str, Any] = {
        "loss": functional.cross_entropy,
        "method": "force",
        "sparsity": 0.8,
        "steps": 5,
        "communicator": member,
    }
    own = torch_rank.share(member.rank, member.size)
    return sft.prune(nets[member.rank], own, **options | changes)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_any_communicator_serves(alone: dict[str, Any]) -> None:
    nets = models(3)
    for pruning in Group(3).run(lambda member: prune(member, nets)):
        check_same(pruning.masks, alone["force"])


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_a_rank_that_fails_leaves_none_waiting() -> None:
    nets, calls = models(3), []

    def loss(output: Any, target: Any) -> Any:
        calls.append(len(output))
        if len(calls) == 4:
            raise RuntimeError("out of luck")
        return functional.cross_entropy(output, target)

    outcomes = Group(3).run(
        lambda member: prune(
            member, nets, loss=loss if member.rank == 1 else functional.cross_entropy
        )
    )
    assert [type(outcome) for outcome in outcomes] == [
        sf.RankFailedError,
        RuntimeError,
        sf.RankFailedError,
    ]


def test_ranks_that_start_from_other_weights_are_refused() -> None:
    nets = models(3)
    with torch.no_grad():
        nets[2][0].weight[0, 0] += 1e-3
    outcomes = Group(3).run(lambda member: prune(member, nets))
    assert all(isinstance(outcome, sf.RanksDifferError) for outcome in outcomes)
    assert str(outcomes[0]) == "weights of rank 2 differ from those of rank 0"
