"""The ranks of the tests with several processes; each saves its results in a folder.

python torch_rank.py WHAT FOLDER SIZE
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import swiftforce as sf
import torch
from processes import fork_ranks
from swiftforce import torch as sft
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)
from torch.nn import functional

#: Numbers of rows that the number of ranks does not divide.
WIDTHS = (20, 31, 17, 3)
#: Sides that two ranks halve in tensor parallelism, but that four do not divide.
EVEN = (20, 30, 18, 2 * 3)
METHODS = {"force": 5, "iterative_snip": 5, "grasp_it": 3, "snip": 1, "magnitude": 1, "random": 1}
#: Allocations by a name that follows that of a method.
ALLOCATIONS: dict[str, Any] = {
    "erk": "erk",
    "floors": sf.Allocation(floor={"4.weight": 0.5}, cap={"0.*": 20}),
    "costs": sf.Allocation(cost={"0.weight": 9, "*": 1}),
}
METHODS |= {"force erk": 3, "iterative_snip floors": 3, "force costs": 2}


def model(widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """In float64, so that the order of sums over ranks does not change a mask."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(24, WIDTHS[0], generator=generator, dtype=torch.float64),
            torch.randint(WIDTHS[-1], (24,), generator=generator),
        )
        for _ in range(4)
    ]


def share(rank: int, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A rank's part of each batch; the last rank has the rest."""
    each = 24 // size - 1
    end = None if rank == size - 1 else (rank + 1) * each
    return [(x[rank * each : end], y[rank * each : end]) for x, y in batches()]


def search(net: nn.Module, method: str, own: list[Any]) -> sft.ModelPruning:
    name, _, allocation = method.partition(" ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sft.prune(
            net,
            own,
            loss=functional.cross_entropy,
            method=name,
            sparsity=0.8,
            steps=METHODS[method],
            allocation=ALLOCATIONS.get(allocation),
        )


def train(net: nn.Module, pruning: sft.ModelPruning, own: list[Any]) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    sft.apply(net, pruning, optimizer)
    for x, y in own:
        optimizer.zero_grad()
        functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor.detach()


def masks_and_weights(net: nn.Module, own: list[Any]) -> dict[str, Any]:
    """The masks by each method, and the weights after training with those of FORCE."""
    found: dict[str, Any] = {}
    prunings = {method: search(net, method, own) for method in METHODS}
    for method, pruning in prunings.items():
        found[method] = {name: full(mask) for name, mask in pruning.masks.items()}
        found[f"layers of {method}"] = [(one.name, one.shape, one.kept) for one in pruning.layers]
    found["restored"] = {name: full(one).clone() for name, one in net.named_parameters()}
    train(net, prunings["force"], own)
    found["trained"] = {name: full(one) for name, one in net.named_parameters()}
    return found


def parallel(rank: int, size: int) -> dict[str, Any]:
    """Copies of a model in DistributedDataParallel, each with batches of its own."""
    return masks_and_weights(nn.parallel.DistributedDataParallel(model()), share(rank, size))


def sharded(rank: int, size: int) -> dict[str, Any]:
    """A sharded model; all ranks have the same batches."""
    return masks_and_weights(shards(size), batches())


def bounded(rank: int, size: int) -> dict[str, Any]:
    """How a sharded model refuses what needs whole tensors, and whether it is as before."""
    net = shards(size)
    before = {name: full(one).clone() for name, one in net.named_parameters()}
    found: dict[str, Any] = {}
    calls: dict[str, dict[str, Any]] = {
        "floors": {"allocation": sf.Allocation(floor_per_output=1)},
        "pattern": {"pattern": "outputs"},
    }
    for name, options in calls.items():
        try:
            sft.prune(net, batches(), functional.cross_entropy, sparsity=0.8, steps=2, **options)
        except sf.SwiftForceError as error:
            found[name] = f"{type(error).__name__}: {error}"
    same = [torch.equal(full(one), before[name]) for name, one in net.named_parameters()]
    return {**found, "same": all(same)}


def uneven(rank: int, size: int) -> dict[str, Any]:
    """A sharded model, batches of different sizes, two per step; then a loss that fails."""
    net = shards(size)
    own = [(x[:20], y[:20]) if rank == 0 else (x[20:], y[20:]) for x, y in batches()]
    options: dict[str, Any] = {"sparsity": 0.8, "steps": 3, "batches_per_step": 2}
    pruning = sft.prune(net, own, loss=functional.cross_entropy, **options)
    error = ""
    try:
        sft.prune(
            net,
            own,
            loss=lambda output, target: functional.cross_entropy(output, target) / (1 - rank),
            **options,
        )
    except sf.SwiftForceError as caught:
        error = type(caught).__name__
    return {"masks": {name: full(mask) for name, mask in pruning.masks.items()}, "error": error}


def shards(size: int) -> nn.Module:
    """The sharded model."""
    net = model()
    mesh = init_device_mesh("cpu", (size,))
    for layer in net:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def tensor_parallel(rank: int, size: int) -> dict[str, Any]:
    """Columns of one layer and rows of the next on each rank; all ranks have the same batches."""
    mesh = init_device_mesh("cpu", (size,))
    return masks_and_weights(parallelized(mesh), batches())


def both(rank: int, size: int) -> dict[str, Any]:
    """Tensor parallelism over two ranks, and `fully_shard` over pairs of them."""
    mesh = init_device_mesh("cpu", (size // 2, 2), mesh_dim_names=("data", "tensor"))
    net = parallelized(mesh["tensor"])
    for layer in net:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh["data"])
    fully_shard(net, mesh=mesh["data"])
    return masks_and_weights(net, share(rank // 2, size // 2))


def parallelized(mesh: Any) -> nn.Module:
    """The model of `model` whose layers have sides that two ranks can halve."""
    plan = {
        "0": ColwiseParallel(),
        "2": RowwiseParallel(),
        "4": ColwiseParallel(output_layouts=Replicate()),
    }
    return parallelize_module(model(EVEN), mesh, plan)


def kept(rank: int, size: int) -> dict[str, Any]:
    """Files: a result that the first rank saves alone, and searches that are interrupted."""
    folder = Path(sys.argv[2])
    sharded_net, copy = shards(size), nn.parallel.DistributedDataParallel(model())
    pruning = search(sharded_net, "force", batches())
    if rank == 0:
        pruning.save(folder / "alone")
    pruning.save(folder / "together")
    distributed.barrier()
    again = sft.load(folder / "alone", sharded_net)
    again.save(folder / "again")
    distributed.barrier()
    found: dict[str, Any] = {
        "whole": rank != 0 or [one.nbytes for one in pruning.masks.packed],
        "read": {name: full(mask) for name, mask in again.masks.items()},
        "expected": {name: full(mask) for name, mask in pruning.masks.items()},
    }
    for name, net, own in (
        ("sharded", sharded_net, batches()),
        ("parallel", copy, share(rank, size)),
    ):
        checkpoint = folder / f"{name}.search"
        options = {"method": "force", "sparsity": 0.8, "steps": 5, "checkpoint": checkpoint}
        calls = []

        def loss(output: Any, target: Any, calls: list[int] = calls) -> Any:
            calls.append(1)
            if len(calls) == 4 and rank == 1:
                raise KeyboardInterrupt
            return functional.cross_entropy(output, target)

        try:
            sft.prune(net, own, loss=loss, **options)
        except (KeyboardInterrupt, sf.RankFailedError) as error:
            found[f"error of {name}"] = type(error).__name__
        resumed = sft.prune(net, own, loss=functional.cross_entropy, **options)
        found[name] = {key: full(mask) for key, mask in resumed.masks.items()}
    return found


WORK: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "both": both,
    "bounded": bounded,
    "kept": kept,
    "parallel": parallel,
    "sharded": sharded,
    "tensor_parallel": tensor_parallel,
    "uneven": uneven,
}


def main(what: str, folder: str, size: int, rank: int) -> None:
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    try:
        found = {one: WORK[one](rank, size) for one in what.split(",")}
        torch.save(found, Path(folder) / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    what, folder, size = sys.argv[1:]
    fork_ranks(int(size), partial(main, what, folder, int(size)))
