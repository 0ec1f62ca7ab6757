"""Masks of pytrees in one call: those that the oracle finds from the same gradients."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import (
    NETWORKS,
    Params,
    Read,
    assert_masks,
    by_path,
    cross_entropy,
    mlp,
    mlp_batches,
    mlp_loss,
    normal,
)
from swiftforce.jax import pytrees


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", oracle.METHODS)
def test_masks_of_the_oracle(method: str, network: str, jit: bool, gradients_read: Read) -> None:
    make, loss, batches = NETWORKS[network]
    params, one_shot = make(), oracle.METHODS[method][2]
    names = [name for name in by_path(params) if name.endswith("kernel")]
    weights = [by_path(params)[name] for name in names]
    steps = 1 if one_shot else 6
    n = sum(weight.size for weight in weights)
    keeps = oracle.schedule_keeps("cubic", n, oracle.keep_count(n, 0.9), steps)
    options: dict[str, Any] = {"schedule": "cubic", "sparsity": 0.9, "steps": steps, "seed": 3}
    pruning = sfj.prune(params, loss, batches(), method=method, jit=jit, **options)

    position = iter(range(steps))

    def gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        """The gradients that the search read; JAX finds them at the oracle's masked weights."""
        step = next(position)
        at = pytrees.Leaves(params)
        batch = batches()[step % len(batches())]
        there = at.restore({**at.by_name, **dict(zip(names, masked, strict=True))})
        true = by_path(jax.grad(loss)(there, batch))
        for name in names:
            np.testing.assert_allclose(gradients_read[step][name], true[name], rtol=1e-4, atol=1e-6)
        return [gradients_read[step][name] for name in names]

    masks, history = oracle.search(weights, gradients, method, keeps, seed=3)
    assert_masks(pruning, params, dict(zip(names, masks[-1], strict=True)))
    assert [step.layer_kept for step in pruning.history] == [step.layer_kept for step in history]
    assert [step.revived for step in pruning.history] == [step.revived for step in history]
    assert (pruning.method, pruning.schedule, pruning.seed) == (method, "cubic", 3)


@pytest.mark.slow
@pytest.mark.parametrize("call", [sfj.force, sfj.iterative_snip])
def test_a_method_by_its_own_name_is_prune(call: Callable[..., sf.Pruning]) -> None:
    method = call.__name__
    options: dict[str, Any] = {"sparsity": 0.8, "steps": 5, "batches_per_step": 2}
    pruning = call(mlp(), mlp_loss, mlp_batches(), **options)
    again = sfj.prune(mlp(), mlp_loss, mlp_batches(), method=method, **options)
    oracle.assert_same_masks(by_path(pruning.masks), by_path(again.masks))
    assert pruning.method == method
    assert (sum(step.revived for step in pruning.history) > 0) == (method == "force")
    assert isinstance(pruning, sf.Pruning)


@pytest.mark.parametrize("call", [sfj.force, sfj.iterative_snip])
def test_methods_take_the_arguments_of_prune(call: Callable[..., sf.Pruning]) -> None:
    own, all_of = (dict(inspect.signature(each).parameters) for each in (call, sfj.prune))
    # `seed` is for the method "random" alone, and by Iterative SNIP no weight returns.
    others = ["method", "saliency", "rule", "scores", "seed"]
    if call is sfj.iterative_snip:
        others += ["nested_from", "removed_factor"]
    assert list(own) == [name for name in all_of if name not in others]
    # `prune` has methods that need neither of these.
    for name in ("loss", "batches"):
        optional = all_of.pop(name)
        assert optional.annotation == f"{own.pop(name).annotation} | None"
    assert own.items() <= all_of.items()


def test_a_module_of_flax() -> None:
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")

    class Classifier(linen.Module):
        @linen.compact
        def __call__(self, tokens: Any) -> Any:
            x = linen.Embed(11, 8)(tokens)
            x = linen.LayerNorm()(x + linen.MultiHeadDotProductAttention(2)(x))
            return linen.Dense(3)(x.mean(1))

    model, tokens = Classifier(), jnp.arange(20).reshape(4, 5) % 11
    params = model.init(jax.random.key(0), tokens)

    def loss(params: Params, batch: Any) -> jax.Array:
        return cross_entropy(model.apply(params, batch[0]), batch[1])

    pruning = sfj.force(params, loss, [(tokens, jnp.arange(4) % 3)], sparsity=0.5, steps=4)
    attention = "params/MultiHeadDotProductAttention_0"
    assert [layer.name for layer in pruning.layers] == [
        "params/Dense_0/kernel",
        *(f"{attention}/{name}/kernel" for name in ("key", "out", "query", "value")),
    ]
    assert jax.tree.structure(pruning.masks) == jax.tree.structure(params)
    assert pruning.sparsity == 0.5


@pytest.fixture
def x64() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types(dtype: str, gradients_read: Read) -> None:
    params = {"w": normal(0, 30, 20).astype(dtype), "b": jnp.zeros(20, dtype)}
    before = np.asarray(params["w"]).tobytes()

    def loss(params: Params, x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.tanh(x.astype(dtype) @ params["w"] + params["b"]) ** 2)

    pruning = sfj.force(params, loss, [normal(1, 9, 30)], sparsity=0.9, steps=5)
    assert {step["w"].dtype for step in gradients_read} == {params["w"].dtype}
    wide = np.float64 if dtype == "float64" else np.float32
    gradients = iter([[step["w"].astype(wide)] for step in gradients_read])
    keeps = tuple(step.keep for step in pruning.history)
    weights = [np.asarray(params["w"]).astype(wide)]
    masks, _ = oracle.search(weights, lambda _: next(gradients), "force", keeps)
    assert_masks(pruning, params, {"w": masks[-1][0]})
    assert sfj.apply(params, pruning.masks)["w"].dtype == dtype
    assert np.asarray(params["w"]).tobytes() == before
    assert pytrees.to_numpy(params["w"]).ctypes.data == params["w"].unsafe_buffer_pointer()


@pytest.mark.slow
def test_parameters_of_numpy() -> None:
    params = jax.tree.map(np.asarray, mlp())
    found = sfj.force(params, mlp_loss, mlp_batches(), keep=9, steps=4).masks
    wanted = sfj.force(mlp(), mlp_loss, mlp_batches(), keep=9, steps=4).masks
    oracle.assert_same_masks(by_path(found), by_path(wanted))
    assert all(isinstance(mask, jax.Array) for mask in jax.tree.leaves(found))


SHARDED = """
import warnings
import jax, jax.numpy as jnp, numpy as np
import swiftforce.jax as sfj
from jax.sharding import Mesh, NamedSharding, PartitionSpec

warnings.simplefilter("error")
devices = jax.devices()
assert len(devices) == 2
w = jax.random.normal(jax.random.key(0), (8, 6))
x = jax.random.normal(jax.random.key(1), (4, 8))

def loss(params, x):
    return jnp.mean((x @ params["w"] + params["b"]) ** 2)

def masks(params, x):
    return sfj.force(params, loss, [x], sparsity=0.5, steps=3, batches_per_step=2).masks

here = {"w": w, "b": jnp.ones(6)}
wanted = masks(here, x)
rows = NamedSharding(Mesh(np.array(devices), ("rows",)), PartitionSpec("rows"))
whole = NamedSharding(rows.mesh, PartitionSpec())
cases = [
    ({"w": jax.device_put(w, rows), "b": jax.device_put(here["b"], whole)}, x),
    (jax.device_put(here, devices[1]), x),
]
if hasattr(w, "committed"):  # which says whether it may follow a batch to its device
    cases.append((here, jax.device_put(x, devices[1])))
for params, batch in cases:
    found = masks(params, batch)
    for name in params:
        assert found[name].sharding == params[name].sharding, found[name].sharding
        assert found[name].tolist() == wanted[name].tolist()
    jax.jit(sfj.apply)(params, found)
"""


@pytest.mark.slow
def test_masks_are_on_the_devices_of_their_weights() -> None:
    """Two devices: JAX needs a process of its own for them."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", SHARDED],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_that_are_not_finite(value: float, count: int) -> None:
    def loss(params: Params, batch: Any) -> jax.Array:
        return mlp_loss(params, batch) + value * params["output"]["kernel"][4, 1]

    with pytest.raises(sf.NonFiniteError) as caught:
        sfj.force(mlp(), loss, mlp_batches(), keep=9, steps=4, batches_per_step=count)
    assert caught.value.tensor == "gradients['output/kernel']"
    assert (caught.value.count, caught.value.first_index) == (1, 4 * 3 + 1)


def test_weights_that_are_not_finite() -> None:
    params = {"w": jnp.array([[1.0, jnp.nan]])}
    with pytest.raises(sf.NonFiniteError, match=r"weights\['w'\] has 1 value"):
        sfj.prune(params, method="magnitude", keep=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.slow
def test_an_error_in_the_loss_changes_nothing(error: type[BaseException]) -> None:
    params, calls = mlp(), iter(range(100))
    before = {name: leaf.tobytes() for name, leaf in by_path(params).items()}

    def loss(params: Params, batch: Any) -> jax.Array:
        if next(calls) == 2:
            raise error
        return mlp_loss(params, batch)

    with pytest.raises(error):
        sfj.force(params, loss, mlp_batches(), keep=9, steps=4, jit=False)
    assert next(calls) == 3
    assert {name: leaf.tobytes() for name, leaf in by_path(params).items()} == before


@pytest.mark.slow
def test_parameters_are_not_changed() -> None:
    params = mlp()
    before = {name: leaf.tobytes() for name, leaf in by_path(params).items()}
    masks = sfj.force(params, mlp_loss, mlp_batches(), sparsity=0.9, steps=4).masks
    sfj.apply(params, masks)
    assert {name: leaf.tobytes() for name, leaf in by_path(params).items()} == before


def constant(params: Params, batch: Any) -> jax.Array:
    return jnp.sum(params["w"] * 0) + jnp.sum(params["v"])


def dead_where_removed(params: Params, batch: Any) -> jax.Array:
    return jnp.sum(params["w"] ** 2 + params["v"] ** 2)


@pytest.mark.parametrize(
    ("loss", "keep", "warning"),
    [
        (constant, 7, sf.DegenerateSaliencyWarning),
        (constant, 2, sf.LayerCollapseWarning),
        (dead_where_removed, 3, sf.MaskedGradientsWarning),
    ],
)
@pytest.mark.parametrize("call", [sfj.force, sfj.prune])
def test_warnings_point_at_the_caller(
    call: Callable[..., sf.Pruning], loss: sfj.Loss, keep: int, warning: type[Warning]
) -> None:
    params = {"v": jnp.full((2, 2), 2.0), "w": jnp.full((2, 2), 3.0)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(params, loss, [None], schedule=[keep] * 4)
    line = sys._getframe().f_lineno - 1
    places = {(w.category, w.filename, w.lineno) for w in caught}
    assert (warning, __file__, line) in places
    assert {place[1:] for place in places} == {(__file__, line)}


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    sfj.force(mlp(), mlp_loss, mlp_batches(), keep=9, steps=4, progress=True)
    assert "force" in capsys.readouterr().err
