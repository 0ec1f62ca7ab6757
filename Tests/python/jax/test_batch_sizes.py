"""How many samples a batch has, which weighs it in a mean over batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from swiftforce.jax.batch_sizes import BatchSizes

X = {size: np.ones((size, 5), np.float32) for size in (0, 1, 2, 3, 7)}
KEYS = {
    "typed": jax.random.key(0),
    "raw": jax.random.PRNGKey(0),
    "rbg": np.zeros(4, np.uint32),
    "typed, per layer": jax.random.split(jax.random.key(0), 6),
    "raw, per layer": jax.random.split(jax.random.PRNGKey(0), 6),
}


def sizes(*batches: Any, given: Any = None) -> list[int]:
    of = BatchSizes(given)
    return [of.of(batch) for batch in batches]


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_keys_are_no_samples(key: Any) -> None:
    for first, last in ((7, 3), (1, 7), (7, 1)):
        batches = [{"a_key": key, "x": X[size], "y": X[size][:, 0]} for size in (first, last)]
        assert sizes(*batches) == [first, last]


@pytest.mark.parametrize(
    "other", [3, 2.5, np.float32(1), np.ones(()), jnp.ones(()), X[1], None, jnp.array(True)]
)
def test_what_has_no_leading_axis_or_one_of_length_one_is_no_sample(other: Any) -> None:
    assert sizes((other, X[7]), (other, X[2])) == [7, 2]


def test_arrays_that_differ_weigh_the_same_in_batches_of_one_shape() -> None:
    batch = {"classes": np.ones(10), "x": X[7]}
    assert sizes(batch, batch, batch) == [1, 1, 1]


@pytest.mark.parametrize("order", [(7, 3), (3, 7)])
def test_arrays_that_differ_are_refused_where_it_matters(order: tuple[int, int]) -> None:
    batches = [{"classes": np.ones(3), "x": X[size]} for size in order]
    message = r"3 \(batch\['classes'\]\), 7 \(batch\['x'\]\); .*batch: len\(batch\['classes'\]\)$"
    with pytest.raises(sf.BatchesError, match=message):
        sizes(*batches)
    assert sizes(*batches, given=lambda batch: len(batch["x"])) == list(order)
    assert sizes(*batches, given=4) == [4, 4]


@pytest.mark.parametrize("batch", [2.0, (), jax.random.key(0), X[0], {"x": X[0], "y": X[1]}])
def test_batches_without_samples(batch: Any) -> None:
    with pytest.raises(sf.BatchesError, match="no samples"):
        sizes(batch)
    assert sizes(batch, given=1) == [1]


@pytest.mark.parametrize("given", [0, -1, 1.5, lambda batch: 0, lambda batch: "7"])
def test_sizes_that_are_none(given: Any) -> None:
    with pytest.raises(sf.BatchesError, match="batch_size"):
        sizes(X[7], given=given)


def test_sizes_matter_only_for_means() -> None:
    params = {"w": jnp.array([[1.0, 2.0]])}

    def loss(params: Any, scale: Any) -> jax.Array:
        return scale * jnp.sum(params["w"] ** 2)

    assert sfj.force(params, loss, [2.0], keep=1, steps=1).keep == 1
    with pytest.raises(sf.BatchesError, match="no samples"):
        sfj.force(params, loss, [2.0], keep=1, steps=1, batches_per_step=2)
    options = {"keep": 1, "steps": 1, "batches_per_step": 2}
    assert sfj.force(params, loss, [2.0], batch_size=1, **options).keep == 1


def test_a_size_weighs_a_batch() -> None:
    """The second batch decides only if it counts more."""
    batches = [np.float32([[9, 1, 1]]), np.float32([[0, 1, 1.05]])]

    def kept(size: Any) -> list[bool]:
        found = sfj.prune(
            {"w": jnp.ones((3, 1))},
            lambda params, x: (x @ params["w"]).mean(),
            batches,
            method="snip",
            keep=1,
            batches_per_step=2,
            batch_size=size,
        )
        return found.masks["w"].ravel().tolist()

    assert kept(None) == [True, False, False]
    assert kept(lambda x: 1 if x[0, 0] else 99) == [False, False, True]
