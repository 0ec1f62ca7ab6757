"""Networks as pytrees of JAX arrays, with losses and batches, and how their masks are compared."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import swiftforce as sf
import swiftforce.jax as sfj
from swiftforce.jax import pytrees

Params = Any
#: The gradients that a search read, by leaf, for each step.
Read = list[dict[str, np.ndarray]]


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def mlp() -> Params:
    return {
        "hidden": {"kernel": normal(0, 6, 20), "bias": normal(1, 20)},
        "output": {"kernel": normal(2, 20, 3), "bias": normal(3, 3)},
    }


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)
    return -chosen.mean()


def mlp_loss(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, y = batch
    x = jax.nn.relu(x @ params["hidden"]["kernel"] + params["hidden"]["bias"])
    return cross_entropy(x @ params["output"]["kernel"] + params["output"]["bias"], y)


def mlp_batches(count: int = 3, size: int = 8) -> list[tuple[jax.Array, jax.Array]]:
    return [(normal(10 + i, size, 6), (jnp.arange(size) + i) % 3) for i in range(count)]


def convnet() -> Params:
    return [
        {"kernel": normal(4, 3, 3, 1, 8), "bias": jnp.zeros(8)},
        {"kernel": normal(5, 3, 3, 8, 8), "bias": jnp.zeros(8)},
        {"kernel": normal(6, 8, 4), "bias": jnp.zeros(4)},
    ]


def convnet_loss(params: Params, batch: dict[str, jax.Array]) -> jax.Array:
    x = batch["image"]
    for layer in params[:2]:
        x = jax.lax.conv_general_dilated(
            x, layer["kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + layer["bias"])
    x = x.mean((1, 2))
    return cross_entropy(x @ params[2]["kernel"] + params[2]["bias"], batch["label"])


def convnet_batches() -> list[dict[str, jax.Array]]:
    return [{"image": normal(20 + i, 5, 9, 9, 1), "label": jnp.arange(5) % 4} for i in range(2)]


NETWORKS = {
    "mlp": (mlp, mlp_loss, mlp_batches),
    "convnet": (convnet, convnet_loss, convnet_batches),
}


def by_path(tree: Params) -> dict[str, np.ndarray]:
    """All leaves as numpy arrays."""
    return {name: np.asarray(leaf) for name, leaf in pytrees.Leaves(tree).by_name.items()}


def assert_masks(pruning: sf.Pruning, params: Params, expected: dict[str, np.ndarray]) -> None:
    """The masks are the expected ones and True elsewhere, in the structure of the parameters."""
    assert jax.tree.structure(pruning.masks) == jax.tree.structure(params)
    assert all(isinstance(mask, jax.Array) for mask in jax.tree.leaves(pruning.masks))
    found = by_path(pruning.masks)
    full = {name: np.ones(leaf.shape, bool) for name, leaf in by_path(params).items()}
    oracle.assert_same_masks(found, {**full, **expected})
    assert [layer.name for layer in pruning.layers] == list(expected)
    assert [layer.kept for layer in pruning.layers] == [m.sum() for m in expected.values()]


def names_pruned(params: Params, **options: Any) -> list[str]:
    found = sfj.prune(params, method="magnitude", sparsity=0.5, **options)
    return [layer.name for layer in found.layers]
