"""Models on several processes: copies that find one mask together, and a sharded model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import torch_rank  # noqa: E402
from processes import run_all  # noqa: E402
from ranks import Group, Member, results  # noqa: E402
from swiftforce import torch as sft  # noqa: E402
from swiftforce.torch import ranks  # noqa: E402
from swiftforce.torch.ranks import Ranks  # noqa: E402
from torch.nn import functional  # noqa: E402


def found_by(what: str, size: int, folder: Path) -> list[dict[str, Any]]:
    """What each rank finds, by the names of the work, which commas separate."""
    command = [sys.executable, torch_rank.__file__, what, str(folder)]
    run_all([[*command, str(size)]])
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name.removeprefix("module.")], tensor), name


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What one process finds with all batches."""
    return torch_rank.masks_and_weights(torch_rank.model(), torch_rank.batches())


@pytest.mark.slow
def test_copies_find_the_mask_of_one_process(alone: dict[str, Any], tmp_path: Path) -> None:
    for found in found_by("parallel", 3, tmp_path):
        rank = found["parallel"]
        for method in torch_rank.METHODS:
            check_same(rank[method], alone[method])
        for name, weight in rank["trained"].items():
            mask = alone["force"].get(name.removeprefix("module."))
            assert mask is None or torch.equal(weight != 0, mask)


@pytest.mark.slow
def test_a_sharded_model_is_searched_as_a_whole_one(alone: dict[str, Any], tmp_path: Path) -> None:
    """In one group of processes, since each takes seconds to begin."""
    found = found_by("sharded,uneven,bounded", 2, tmp_path)
    for rank in found:
        check_sharded(rank["sharded"], alone)
        check_refusals(rank["bounded"])
    check_uneven([rank["uneven"] for rank in found])


def check_sharded(rank: dict[str, Any], alone: dict[str, Any]) -> None:
    for method in torch_rank.METHODS:
        check_same(rank[method], alone[method])
        assert rank[f"layers of {method}"] == alone[f"layers of {method}"]
    check_same(rank["restored"], alone["restored"])
    for name, weight in rank["trained"].items():
        torch.testing.assert_close(weight, alone["trained"][name])
        mask = alone["force"].get(name)
        assert mask is None or torch.equal(weight != 0, mask)


def check_uneven(found: list[dict[str, Any]]) -> None:
    """Batches of different sizes are weighed, and one rank that fails makes all raise."""
    alone = sft.prune(
        torch_rank.model(),
        torch_rank.batches(),
        loss=functional.cross_entropy,
        sparsity=0.8,
        steps=3,
        batches_per_step=2,
    )
    for rank in found:
        check_same(rank["masks"], alone.masks)
    assert [rank["error"] for rank in found] == ["RankFailedError", "NonFiniteError"]


def check_refusals(found: dict[str, Any]) -> None:
    """What needs whole tensors is refused for a sharded model."""
    assert found.pop("same")
    assert found.keys() == {"floors", "pattern"}
    assert "weights['0.weight'] is in pieces, and floors" in found["floors"]
    assert found["pattern"].startswith("BoundsError: the pattern outputs is for weights in one")


@pytest.mark.slow
@pytest.mark.parametrize(("what", "size"), [("tensor_parallel", 2), ("both", 4)])
def test_any_shards_find_the_mask_of_a_whole_model(what: str, size: int, tmp_path: Path) -> None:
    alone = torch_rank.masks_and_weights(torch_rank.model(torch_rank.EVEN), torch_rank.batches())
    for found in found_by(what, size, tmp_path):
        rank = found[what]
        for method in torch_rank.METHODS:
            check_same(rank[method], alone[method])
            assert rank[f"layers of {method}"] == alone[f"layers of {method}"]
        check_same(rank["restored"], alone["restored"])
        for name, mask in alone["force"].items():
            assert torch.equal(rank["trained"][name] != 0, mask)


@pytest.mark.slow
def test_files_of_results_and_searches(alone: dict[str, Any], tmp_path: Path) -> None:
    """An interrupt on one rank stops both, which continue from their files."""
    pytest.importorskip("safetensors")
    found = [rank["kept"] for rank in found_by("kept", 2, tmp_path)]
    contents = {(tmp_path / name).read_bytes() for name in ("alone", "together", "again")}
    assert len(contents) == 1
    assert sf.load(tmp_path / "alone").method == "force"
    assert [rank["whole"] for rank in found] == [[78, 66, 7], True]
    for rank, error in zip(found, ["RankFailedError", "KeyboardInterrupt"], strict=True):
        check_same(rank["read"], rank["expected"])
        for kind in ("sharded", "parallel"):
            assert rank[f"error of {kind}"] == error
            check_same(rank[kind], alone["force"])


def models(size: int) -> list[Any]:
    """Equal models. They are not made in threads, which share a random number generator."""
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
def test_a_rank_that_fails_makes_all_raise() -> None:
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
    assert str(outcomes[0]).startswith("weights of rank 2 differ from those of rank 0: ")


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize(
    "changes",
    [
        lambda rank: {"sparsity": 0.8 + 0.01 * rank},
        lambda rank: {"steps": 5 + rank},
        lambda rank: {"method": "random", "steps": None, "seed": rank},
        lambda rank: {"exclude": "0.*" if rank else ()},
    ],
    ids=["sparsity", "steps", "seed", "exclude"],
)
def test_ranks_that_ask_for_different_things_are_refused(changes: Any) -> None:
    nets = models(2)
    outcomes = Group(2).run(lambda member: prune(member, nets, **changes(member.rank)))
    assert [type(outcome) for outcome in outcomes] == [sf.StructureError] * 2


@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_a_rank_whose_batches_fail_makes_all_raise(method: str) -> None:
    def broken() -> Any:
        yield torch_rank.batches()[0]
        raise OSError("no such batch")

    def work(member: Member) -> Any:
        batches = broken() if member.rank else torch_rank.share(0, 2)
        return sft.prune(
            nets[member.rank],
            batches,
            loss=functional.cross_entropy,
            method=method,
            sparsity=0.8,
            batches_per_step=2,
            communicator=member,
        )

    nets = models(2)
    assert [type(one) for one in Group(2).run(work)] == [sf.RankFailedError, OSError]


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_batches_of_different_sizes_weigh_by_them() -> None:
    data = torch_rank.batches()
    parts = [[(x[:20], y[:20]) for x, y in data], [(x[20:], y[20:]) for x, y in data]]
    nets = models(2)

    def work(member: Member) -> Any:
        return sft.prune(
            nets[member.rank],
            parts[member.rank],
            loss=functional.cross_entropy,
            sparsity=0.8,
            steps=3,
            communicator=member,
        )

    alone = sft.prune(
        torch_rank.model(), data, loss=functional.cross_entropy, sparsity=0.8, steps=3
    )
    for pruning in Group(2).run(work):
        check_same(pruning.masks, alone.masks)
        assert pruning.history[-1].gradient_norm == pytest.approx(alone.history[-1].gradient_norm)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_gradients_are_averaged_in_buckets() -> None:
    """Of one dtype each; a parameter that fills a bucket is summed in place."""
    torch.manual_seed(0)
    small = [torch.randn(3, size) for size in range(20)]
    mixed = [*small, torch.randn(5, dtype=torch.float64), torch.randn(4, 3).t(), torch.randn(8, 9)]
    whole = [one.clone() for one in mixed]
    calls: list[int] = []

    def work(member: Member) -> list[Any]:
        own = [one.clone() * (member.rank + 1) for one in mixed]

        class Counted(Member):
            def sum_floats(self, values: Any) -> None:
                calls.append(values.size)
                super().sum_floats(values)

        Ranks(Counted(member._group, member.rank)).average(own, samples=3 * member.rank + 1)
        return own

    ranks.BUCKET, before = 72 * 4, ranks.BUCKET
    try:
        outcomes = results(Group(2).run(work))
    finally:
        ranks.BUCKET = before
    for own in outcomes:
        for found, expected in zip(own, whole, strict=True):
            torch.testing.assert_close(found, expected * (1 * 1 + 2 * 4) / 5)
    assert sum(calls) == 2 * sum(one.numel() for one in mixed)
    assert len(calls) <= 2 * 14
    assert max(calls) <= 72
