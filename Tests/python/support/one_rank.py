"""Ranks of the tests with real processes: what each finds, it leaves in a folder.

python one_rank.py gloo FOLDER SIZE for all ranks, or for one, under mpiexec:
python one_rank.py mpi FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import swiftforce as sf
from processes import fork_ranks

SHAPES = {"a": (40, 30), "b": (0,), "c": (3001,), "d": (7, 8, 9)}
KEEPS = {"force": (3000, 1200, 700), "iterative_snip": (2500, 700), "random": (1000,)}


def numbers(step: int) -> dict[str, Any]:
    """Weights (step 0) or gradients: of few values, so that many scores are equal."""
    rng = np.random.default_rng(step)
    return {name: rng.integers(-3, 4, shape).astype("f4") for name, shape in SHAPES.items()}


def part(whole: dict[str, Any], rank: int, size: int) -> tuple[dict[str, Any], list[sf.Piece]]:
    """A rank's run of each tensor."""
    parts, pieces = {}, []
    for name, array in whole.items():
        start, end = array.size * rank // size, array.size * (rank + 1) // size
        parts[name] = array.reshape(-1)[start:end].copy()
        pieces.append(sf.Piece(array.shape, start))
    return parts, pieces


def masks(communicator: Any) -> dict[str, Any]:
    """The masks of this rank's pieces, by method and name."""
    rank, size = communicator.rank, communicator.size
    found = {}
    for method, keeps in KEEPS.items():
        weights, pieces = part(numbers(0), rank, size)
        search = sf.MaskSearch(
            weights, method=method, schedule=keeps, communicator=communicator, pieces=pieces
        )
        while not search.done:
            search.step(part(numbers(search.taken + 1), rank, size)[0])
        pruning = search.result()
        assert pruning.keep == keeps[-1]
        found |= {f"{method}.{name}": mask for name, mask in pruning.masks.items()}
    return found


def facts(communicator: Any) -> dict[str, Any]:
    """What the communicator says, and what a gradient that is not finite leads to."""
    rank, size = communicator.rank, communicator.size
    floats = np.array([0.5, rank], np.float64)
    communicator.sum_floats(floats)
    singles = np.full(3, 0.25, np.float32)
    communicator.sum_floats(singles)
    ones = {"w": np.ones(5, np.float32)}
    search = sf.MaskSearch(ones, method="snip", keep=7, communicator=communicator)
    error = ""
    try:
        search.step({"w": np.full(5, np.nan if rank == size - 1 else 1, np.float32)})
    except sf.SwiftForceError as caught:
        error = type(caught).__name__
    again = search.step(ones)
    return {
        "rank": rank,
        "size": size,
        "offset": communicator.offset(rank + 1),
        "floats": floats.tolist(),
        "singles": singles.tolist(),
        "error": error,
        "kept": list(again.layer_kept),
        "is": isinstance(communicator, sf.distributed.Communicator),
    }


def leave(folder: Path, communicator: Any) -> None:
    np.savez(folder / f"masks{communicator.rank}.npz", **masks(communicator))
    said = json.dumps(facts(communicator))
    (folder / f"facts{communicator.rank}.json").write_text(said)


def by_gloo(folder: Path, size: int) -> None:
    from torch import distributed

    def work(rank: int) -> None:
        store = f"file://{folder}/store"
        distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        try:
            leave(folder, sf.distributed.TorchCommunicator())
        finally:
            distributed.destroy_process_group()

    fork_ranks(size, work)


if __name__ == "__main__":
    kind, place, *rest = sys.argv[1:]
    if kind == "mpi":
        leave(Path(place), sf.distributed.MPICommunicator())
    else:
        by_gloo(Path(place), int(rest[0]))
