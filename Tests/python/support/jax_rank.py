"""One process of the tests of jax.distributed; it saves its results in a folder.

python jax_rank.py FOLDER RANK SIZE PORT
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
import optax
import swiftforce as sf
import swiftforce.jax as sfj
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

#: By axes of processes (p) and of devices of a process (d).
SPECS = {
    "rows": P(("p", "d"), None),
    "rows_of_every_second": P(("d", "p"), None),
    "columns": P(None, ("p", "d")),
    "columns_of_every_second": P(None, ("d", "p")),
    "blocks": P("d", "p"),
    "copied_over_processes": P(None, "d"),
    "copied_over_devices": P("p", None),
    "copied_everywhere": P(),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "magnitude": {"sparsity": 0.5},
    "random": {"sparsity": 0.7, "seed": 3},
    "given": {"sparsity": 0.7, "steps": 3},
    "force": {"sparsity": 0.8, "steps": 4, "batches_per_step": 2},
    "iterative_snip": {"sparsity": 0.6, "steps": 3},
    "force erk": {"sparsity": 0.8, "steps": 2, "allocation": "erk"},
    "force amounts": {"steps": 2, "allocation": {"cube": 20, "*": 0.3}},
}


def numbers() -> dict[str, Any]:
    """Weights of few values, so that many scores are equal."""
    rng = np.random.default_rng(0)
    shapes = {**dict.fromkeys(SPECS, (8, 12)), "cube": (4, 6, 8), "host": (5, 7), "bias": (8,)}
    return {name: rng.integers(-3, 4, shape).astype("f4") for name, shape in shapes.items()}


def loss(params: Any, batch: Any) -> Any:
    """Its gradient is exact whatever the order of sums."""
    return sum(jnp.sum((one + batch.mean()) ** 2) for one in params.values()) / 2


def scores(params: Any) -> Any:
    """In parameters of which this process has parts; some are below zero."""
    return {name: one * one - 3 for name, one in params.items()}


def batches() -> list[Any]:
    return [np.full((2, 2), value, np.float32) for value in (1, 3, 2, 4)]


def search(params: Any, method: Any) -> sfj.PytreePruning:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "given":
            return sfj.prune(params, saliency="given", scores=scores, **OPTIONS[method])
        name = method.split()[0]
        return sfj.prune(params, loss, batches(), method=name, **OPTIONS[method])


def shared(params: dict[str, Any], mesh: Any) -> dict[str, Any]:
    """The same parameters in their shardings; one stays an array of numpy on each process."""
    specs = {**SPECS, "cube": P(None, "p", "d"), "bias": P("p")}
    return {
        name: array
        if name == "host"
        else jax.make_array_from_callback(
            array.shape, NamedSharding(mesh, specs[name]), lambda index, array=array: array[index]
        )
        for name, array in params.items()
    }


def check_masks(params: Any, pruning: sfj.PytreePruning, wanted: dict[str, Any]) -> None:
    """The shards of the masks are those of the wanted ones, in the sharding of the parameters."""
    for name, mask in pruning.masks.items():
        if name != "host":
            assert mask.sharding == params[name].sharding, name
        for shard in mask.addressable_shards:
            assert np.array_equal(np.asarray(shard.data), wanted[name][shard.index]), name


def zeros_left(params: Any, wanted: dict[str, Any]) -> int:
    """How many removed weights on this process are not zero."""
    return sum(
        int(np.count_nonzero(np.asarray(shard.data)[~wanted[name][shard.index]]))
        for name, leaf in params.items()
        for shard in leaf.addressable_shards
    )


def main(folder: str, rank: str, size: str, port: str) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", int(size), int(rank))
    devices = np.array(jax.devices()).reshape(int(size), 2)
    mesh = jax.sharding.Mesh(devices, ("p", "d"), axis_types=(AxisType.Auto,) * 2)
    whole = numbers()
    params = shared(whole, mesh)
    for method in OPTIONS:
        wanted = {name: np.asarray(mask) for name, mask in search(whole, method).masks.items()}
        pruning = search(params, method)
        check_masks(params, pruning, wanted)
        assert [(one.name, one.shape, one.kept) for one in pruning.layers] == [
            (name, array.shape, int(wanted[name].sum()))
            for name, array in sorted(whole.items())
            if array.ndim > 1
        ]
    # Any process alone may save, and a file is loaded into the shardings of parameters.
    if int(rank) == 1:
        pruning.save(Path(folder) / "masks")
    communicator = sf.distributed.JaxCommunicator()
    facts = told(communicator)
    loaded = sfj.load(Path(folder) / "masks", params)
    check_masks(params, loaded, wanted)
    optimizer = optax.chain(optax.adamw(0.1), sfj.keep_removed_zero(pruning))
    params["host"] = jnp.asarray(params["host"])
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    for batch in batches()[:2]:
        params, state = step(params, state, batch)
    facts["left"] = zeros_left(params, wanted)
    facts["applied"] = zeros_left(
        sfj.apply(shared(whole, mesh) | {"host": params["host"]}, pruning), wanted
    )
    try:
        jax.jit(optimizer.init)(params)
    except sf.StructureError as error:
        facts["in jit"] = str(error)
    (Path(folder) / f"{rank}.json").write_text(json.dumps(facts))


def told(communicator: Any) -> dict[str, Any]:
    """What the communicator says."""
    rank = communicator.rank
    integers = np.array([rank, -1, 2**62 - 5, -(2**40)], np.int64)
    communicator.sum_integers(integers)
    doubles = np.array([0.5, rank], np.float64)
    communicator.sum_floats(doubles)
    singles = np.full(3, 0.25, np.float32)
    communicator.sum_floats(singles)
    return {
        "rank": rank,
        "size": communicator.size,
        "offset": communicator.offset(rank + 3),
        "integers": integers.tolist(),
        "doubles": doubles.tolist(),
        "singles": singles.tolist(),
        "is": isinstance(communicator, sf.distributed.Communicator),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
