"""Gradients of a pytree: dense, at the masked weights, and averaged over batches."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import Params, Read, by_path, mlp, mlp_batches, mlp_loss


def test_gradients_are_dense_and_taken_at_the_masked_weights(
    gradients_read: Read,
) -> None:
    """A loss whose gradient is known exactly: of 0.5 * sum((w + c)^2), it is w + c."""
    params, offset = {"w": jnp.array([[4.0, -3.0, 2.0, 1.0]])}, jnp.array([[8.0, 8.0, 8.0, 8.0]])
    sfj.prune(
        params,
        lambda p, c: 0.5 * jnp.sum((p["w"] + c) ** 2),
        [offset],
        method="iterative_snip",
        schedule=[2, 1],
    )
    assert [step["w"].tolist() for step in gradients_read] == [[[12, 5, 10, 9]], [[12, 8, 10, 8]]]


def linear(params: Params, batch: Any) -> jax.Array:
    """A loss whose gradient is the mean of the batch's samples."""
    return jnp.sum(params["w"] * jnp.mean(batch, axis=0))


ROWS = np.arange(1, 29, dtype=np.float32).reshape(14, 1, 2)


def means(gradients_read: Read) -> list[list[float]]:
    return [step["w"].ravel().tolist() for step in gradients_read]


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_each_batch_is_used_once_in_order_and_then_again(
    gradients_read: Read,
) -> None:
    params = {"w": jnp.ones((1, 2))}
    batches = [ROWS[i : i + 1] for i in range(5)]
    sfj.force(params, linear, batches, keep=1, steps=4, batches_per_step=2)
    expected = [ROWS[[0, 1]], ROWS[[2, 3]], ROWS[[4, 0]], ROWS[[1, 2]]]
    assert means(gradients_read) == [list(rows.mean(0).ravel()) for rows in expected]


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_a_batch_is_weighted_by_its_size(gradients_read: Read) -> None:
    params = {"w": jnp.ones((1, 2))}
    batches = [ROWS[:8], ROWS[8:12], ROWS[12:14]]
    sfj.force(params, linear, batches, keep=1, steps=1, batches_per_step=3)
    np.testing.assert_allclose(means(gradients_read)[0], ROWS.mean(0).ravel(), rtol=1e-6)


def test_gradients_are_averaged_before_they_are_multiplied() -> None:
    """The first weight's gradients cancel out; the mean of absolute values would keep it."""
    params = {"w": jnp.ones((1, 2))}
    batches = [np.float32([[[100, 1]]]), np.float32([[[-100, 1]]])]
    pruning = sfj.force(params, linear, batches, keep=1, steps=1, batches_per_step=2)
    assert pruning.masks["w"].tolist() == [[False, True]]


def test_half_precision_is_averaged_in_single(gradients_read: Read) -> None:
    params = {"w": jnp.ones((1, 2), jnp.float16)}
    batches = [np.full((1, 1, 2), value, np.float16) for value in (60000, 60000, 30000)]
    sfj.force(params, linear, batches, sparsity=0, steps=1, batches_per_step=3)
    assert gradients_read[0]["w"].dtype == np.float32
    np.testing.assert_allclose(means(gradients_read)[0], 50000, rtol=1e-6)


@pytest.mark.slow
def test_a_generator_with_enough_batches() -> None:
    wanted = sfj.force(mlp(), mlp_loss, mlp_batches(4), keep=9, steps=4).masks
    found = sfj.force(mlp(), mlp_loss, iter(mlp_batches(4)), keep=9, steps=4).masks
    oracle.assert_same_masks(by_path(found), by_path(wanted))


@pytest.mark.parametrize(
    ("batches", "count", "message"),
    [
        (lambda: iter(mlp_batches(3)), 1, "more than the 3 batches"),
        (lambda: iter(mlp_batches(3)), 2, "more than the 3 batches"),
        (lambda: [], 1, "there are no batches"),
        (lambda: mlp_batches(3), 0, "at least 1, not 0"),
        (lambda: mlp_batches(3), 1.0, "must be an integer"),
        (lambda: mlp_batches(3, size=0), 2, "no samples"),
    ],
)
@pytest.mark.slow
def test_unusable_batches_are_refused(batches: Callable[[], Any], count: int, message: str) -> None:
    with pytest.raises(sf.BatchesError, match=message):
        sfj.force(mlp(), mlp_loss, batches(), keep=9, steps=4, batches_per_step=count)


def test_batches_that_the_caller_overwrites_were_read_before(gradients_read: Read) -> None:
    buffer = np.empty((4, 1, 2), np.float32)

    def loader() -> Any:
        for value in (1, 3):
            buffer[:] = value
            yield buffer

    params = {"w": jnp.ones((1, 2))}
    sfj.force(params, linear, loader(), sparsity=0, steps=1, batches_per_step=2)
    assert means(gradients_read) == [[2, 2]]


@pytest.mark.parametrize("as_numpy", [True, False])
def test_a_guard_against_implicit_transfers(as_numpy: bool) -> None:
    """All that this package moves between host and devices is moved by name."""
    params, batches = mlp(), mlp_batches()
    if as_numpy:
        params, batches = jax.tree.map(np.asarray, (params, batches))

    def loss(params: Params, batch: Any) -> jax.Array:
        return jnp.sum(jnp.square(batch[0] @ params["hidden"]["kernel"]))

    def search() -> Any:
        options = {"include": "hidden/kernel", "keep": 9, "steps": 2, "batches_per_step": 2}
        return sfj.force(params, loss, batches, **options)

    wanted = search()
    with jax.transfer_guard("disallow"):
        found = search()
        sfj.shuffle(found)
        sfj.invert(found)
        sfj.apply(params, found)
    oracle.assert_same_masks(by_path(found.masks), by_path(wanted.masks))


def test_nothing_is_kept_that_is_not_read() -> None:
    """Two masks of a byte per weight: no masked weights in host memory."""
    params = {"kernel": jnp.arange(1.0, 1 + (1 << 20)).reshape(1 << 10, 1 << 10)}
    tracemalloc.start()
    try:
        sfj.force(
            params, lambda p, _: jnp.sum((p["kernel"] + 1) ** 2), [0.0], sparsity=0.5, steps=3
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20
