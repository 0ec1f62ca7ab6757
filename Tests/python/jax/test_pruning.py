"""Pytrees: the masks that the oracle finds from the same gradients, where and as JAX has them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import oracle
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from swiftforce.jax import pytrees

Params = Any


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


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, np.ndarray]]:
    """The gradients that searches read, step by step."""
    seen: list[dict[str, np.ndarray]] = []
    step = sf.MaskSearch.step

    def noted(self: sf.MaskSearch, grads: Any = None) -> sf.Step:
        if grads is not None:
            seen.append({name: grad.copy() for name, grad in grads.items()})
        return step(self, grads)

    monkeypatch.setattr(sf.MaskSearch, "step", noted)
    return seen


def by_path(tree: Params) -> dict[str, np.ndarray]:
    """All leaves as numpy arrays."""
    return {name: np.asarray(leaf) for name, leaf in pytrees.Leaves(tree).by_name.items()}


def assert_masks(pruning: sf.Pruning, params: Params, expected: dict[str, np.ndarray]) -> None:
    """The expected masks, everything kept elsewhere; structure and types as they must be."""
    assert jax.tree.structure(pruning.masks) == jax.tree.structure(params)
    assert all(isinstance(mask, jax.Array) for mask in jax.tree.leaves(pruning.masks))
    found = by_path(pruning.masks)
    full = {name: np.ones(leaf.shape, bool) for name, leaf in by_path(params).items()}
    oracle.assert_same_masks(found, {**full, **expected})
    assert [layer.name for layer in pruning.layers] == list(expected)
    assert [layer.kept for layer in pruning.layers] == [m.sum() for m in expected.values()]


# ------------------------------------------------------------------------- as the oracle


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", oracle.METHODS)
def test_masks_of_the_oracle(
    method: str, network: str, jit: bool, read: list[dict[str, np.ndarray]]
) -> None:
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
        """Those of the search, which are those that JAX finds at the oracle's masked weights."""
        step = next(position)
        at = pytrees.Leaves(params)
        batch = batches()[step % len(batches())]
        there = at.restore({**at.by_name, **dict(zip(names, masked, strict=True))})
        true = by_path(jax.grad(loss)(there, batch))
        for name in names:
            np.testing.assert_allclose(read[step][name], true[name], rtol=1e-4, atol=1e-6)
        return [read[step][name] for name in names]

    masks, history = oracle.search(weights, gradients, method, keeps, seed=3)
    assert_masks(pruning, params, dict(zip(names, masks[-1], strict=True)))
    assert [step.layer_kept for step in pruning.history] == [step.layer_kept for step in history]
    assert [step.revived for step in pruning.history] == [step.revived for step in history]
    assert (pruning.method, pruning.schedule, pruning.seed) == (method, "cubic", 3)


@pytest.mark.slow
def test_force_is_prune_by_its_name() -> None:
    options: dict[str, Any] = {"sparsity": 0.8, "steps": 5, "batches_per_step": 2}
    pruning = sfj.force(mlp(), mlp_loss, mlp_batches(), **options)
    again = sfj.prune(mlp(), mlp_loss, mlp_batches(), method="force", **options)
    oracle.assert_same_masks(by_path(pruning.masks), by_path(again.masks))
    assert pruning.method == "force"
    assert sum(step.revived for step in pruning.history) > 0
    assert isinstance(pruning, sf.Pruning)


def test_gradients_are_dense_and_taken_at_the_masked_weights(
    read: list[dict[str, np.ndarray]],
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
    assert [step["w"].tolist() for step in read] == [[[12, 5, 10, 9]], [[12, 8, 10, 8]]]


# ------------------------------------------------------------------------- batches


def linear(params: Params, batch: Any) -> jax.Array:
    """A loss whose gradient is the mean of the batch's samples."""
    return jnp.sum(params["w"] * jnp.mean(batch, axis=0))


ROWS = np.arange(1, 29, dtype=np.float32).reshape(14, 1, 2)


def means(read: list[dict[str, np.ndarray]]) -> list[list[float]]:
    return [step["w"].ravel().tolist() for step in read]


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_each_batch_is_used_once_in_order_and_begun_again(
    read: list[dict[str, np.ndarray]],
) -> None:
    params = {"w": jnp.ones((1, 2))}
    batches = [ROWS[i : i + 1] for i in range(5)]
    sfj.force(params, linear, batches, keep=1, steps=4, batches_per_step=2)
    expected = [ROWS[[0, 1]], ROWS[[2, 3]], ROWS[[4, 0]], ROWS[[1, 2]]]
    assert means(read) == [list(rows.mean(0).ravel()) for rows in expected]


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
def test_a_batch_weighs_by_its_size(read: list[dict[str, np.ndarray]]) -> None:
    params = {"w": jnp.ones((1, 2))}
    batches = [ROWS[:8], ROWS[8:12], ROWS[12:14]]
    sfj.force(params, linear, batches, keep=1, steps=1, batches_per_step=3)
    np.testing.assert_allclose(means(read)[0], ROWS.mean(0).ravel(), rtol=1e-6)


def test_the_size_is_that_of_the_first_array_with_an_axis(
    read: list[dict[str, np.ndarray]],
) -> None:
    params = {"w": jnp.ones((1, 2))}
    batches = [{"a": 1.0, "b": ROWS[:3], "c": ROWS[:1]}, {"a": 1.0, "b": ROWS[3:4], "c": ROWS[:1]}]

    def loss(params: Params, batch: Any) -> jax.Array:
        return linear(params, batch["b"]) * batch["a"]

    sfj.force(params, loss, batches, keep=1, steps=1, batches_per_step=2)
    np.testing.assert_allclose(means(read)[0], ROWS[:4].mean(0).ravel(), rtol=1e-6)


def test_gradients_are_averaged_before_they_are_multiplied() -> None:
    """The first weight's gradients cancel out; the mean of absolute values would keep it."""
    params = {"w": jnp.ones((1, 2))}
    batches = [np.float32([[[100, 1]]]), np.float32([[[-100, 1]]])]
    pruning = sfj.force(params, linear, batches, keep=1, steps=1, batches_per_step=2)
    assert pruning.masks["w"].tolist() == [[False, True]]


def test_half_precision_is_averaged_in_single(read: list[dict[str, np.ndarray]]) -> None:
    params = {"w": jnp.ones((1, 2), jnp.float16)}
    batches = [np.full((1, 1, 2), value, np.float16) for value in (60000, 60000, 30000)]
    sfj.force(params, linear, batches, sparsity=0, steps=1, batches_per_step=3)
    assert read[0]["w"].dtype == np.float32
    np.testing.assert_allclose(means(read)[0], 50000, rtol=1e-6)


@pytest.mark.slow
def test_a_generator_is_enough_if_it_lasts() -> None:
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
def test_batches_that_do_not_do(batches: Callable[[], Any], count: int, message: str) -> None:
    with pytest.raises(sf.BatchesError, match=message):
        sfj.force(mlp(), mlp_loss, batches(), keep=9, steps=4, batches_per_step=count)


def test_a_size_is_needed_only_to_average() -> None:
    params = {"w": jnp.array([[1.0, 2.0]])}

    def loss(params: Params, scale: float) -> jax.Array:
        return scale * jnp.sum(params["w"] ** 2)

    assert sfj.force(params, loss, [2.0], keep=1, steps=1).keep == 1
    with pytest.raises(sf.BatchesError, match="no samples"):
        sfj.force(params, loss, [2.0], keep=1, steps=1, batches_per_step=2)


def test_methods_without_gradients_need_no_loss() -> None:
    params = {"w": jnp.array([[1.0, -3.0, 2.0]])}
    assert sfj.prune(params, method="magnitude", keep=2).masks["w"].tolist() == [
        [False, True, True]
    ]
    with pytest.raises(sf.MissingGradientsError, match="pass loss_fn and batches"):
        sfj.prune(params, method="snip", keep=2)


# ------------------------------------------------------------------------- which leaves


def names_pruned(params: Params, **options: Any) -> list[str]:
    found = sfj.prune(params, method="magnitude", sparsity=0.5, **options)
    return [layer.name for layer in found.layers]


@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
@pytest.mark.slow
def test_what_is_prunable_by_default() -> None:
    matrix = np.ones((4, 3), np.float32)
    params = {
        "Conv_0": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.ones(4)},
        "Embed_0": {"embedding": matrix},
        "attention": {"kernel": jnp.ones((2, 3, 4)), "bias": jnp.ones((2, 3))},
        "embed": {"embeddings": matrix, "w": matrix},
        "embedding": {"kernel": matrix, "weight": matrix},
        "image_embedder": {"Conv_0": {"kernel": matrix}},
        "nnx": {"kernel": {"value": matrix}, "embedding": {"value": matrix}},
        "norm": {"scale": jnp.ones((2, 4))},
        "pos_embedding": matrix,
        "steps": jnp.ones((2, 2), jnp.int32),
        "temperature": jnp.ones(()),
        "value": {"kernel": matrix},
        "w": np.ones((2, 2), np.float32),
    }
    apart = jax.tree.map(lambda leaf: leaf.copy(), params)
    assert names_pruned(apart) == [
        "Conv_0/kernel",
        "attention/kernel",
        "embedding/kernel",
        "image_embedder/Conv_0/kernel",
        "nnx/kernel/value",
        "value/kernel",
        "w",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["hidden/kernel", "output/kernel"]),
        ({"include": "*/bias"}, ["hidden/bias", "output/bias"]),
        ({"include": ["output/*", "*/bias"]}, ["hidden/bias", "output/bias", "output/kernel"]),
        ({"exclude": "output/*"}, ["hidden/kernel"]),
        ({"exclude": "*/bias"}, ["hidden/kernel", "output/kernel"]),
        ({"include": "output/*", "exclude": ["*/bias"]}, ["output/kernel"]),
    ],
)
@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
def test_include_and_exclude(options: dict[str, Any], names: list[str]) -> None:
    assert names_pruned(mlp(), **options) == names


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_a_pattern_that_matches_nothing(argument: str) -> None:
    with pytest.raises(sf.UnknownNameError, match=f"{argument} .*'ouput/\\*'.*output/kernel"):
        names_pruned(mlp(), **{argument: ["hidden/*", "ouput/*"]})


def test_leaves_of_integers_cannot_be_included() -> None:
    params = {"w": jnp.ones((2, 2)), "step": jnp.ones((2, 2), jnp.int32)}
    with pytest.raises(sf.UnknownNameError, match="'step'"):
        names_pruned(params, include=["w", "step"])
    assert names_pruned(params, include="*") == ["w"]


@pytest.mark.parametrize(
    ("params", "options"), [({}, {}), ({"b": jnp.ones(3)}, {}), (mlp(), {"exclude": "*"})]
)
def test_nothing_is_prunable(params: Params, options: dict[str, Any]) -> None:
    with pytest.raises(sf.StructureError, match="no leaf of params is prunable"):
        names_pruned(params, **options)


def test_one_array_in_two_places_is_refused() -> None:
    shared = normal(0, 4, 4)
    params = {"decoder": {"kernel": shared}, "encoder": {"kernel": shared}}
    with pytest.raises(
        sf.OverlapError, match=r"encoder/kernel.*shares.*decoder.*exclude its other"
    ):
        names_pruned(params)
    assert names_pruned(params, exclude="encoder/*") == ["decoder/kernel"]


# ------------------------------------------------------------------------- structure and types


class Layer(NamedTuple):
    kernel: Any
    bias: Any


@jax.tree_util.register_pytree_with_keys_class
class Registered:
    """A class that names its children by a kind of key of its own."""

    class Key(NamedTuple):
        text: str

        def __str__(self) -> str:
            return self.text

    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def tree_flatten_with_keys(self) -> tuple[Any, None]:
        return ((self.Key("weight"), self.weight),), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> Registered:
        return cls(*children)


STRUCTURES = {
    "array": (lambda w: w, "params"),
    "list": (lambda w: [jnp.ones(2), w], "1"),
    "tuple": (lambda w: (w, (None, jnp.ones(2))), "0"),
    "nested": (lambda w: {"a": [{"b": (jnp.ones(1), w)}]}, "a/0/b/1"),
    "named tuple": (lambda w: {"fc": Layer(w, jnp.ones(3))}, "fc/kernel"),
    "registered": (lambda w: {"fc": Registered(w)}, "fc/weight"),
    "numbers": (lambda w: {1: w, 2: jnp.ones(2)}, "1"),
    "what is no array": (lambda w: {"act": jnp.tanh, "eps": 1e-6, "name": "x", "w": w}, "w"),
    "keys": (lambda w: {"key": jax.random.key(0), "w": w}, "w"),
}


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES)
def test_structures(structure: str) -> None:
    make, name = STRUCTURES[structure]
    weight = normal(7, 5, 4)
    params = make(weight)
    seen = []

    def loss(params: Params, batch: jax.Array) -> jax.Array:
        leaves = pytrees.Leaves(params).by_name
        seen.append({key: type(leaf) for key, leaf in leaves.items()})
        return jnp.mean((batch @ leaves[name]) ** 2)

    pruning = sfj.force(params, loss, [normal(8, 6, 5)], sparsity=0.5, steps=3)
    assert jax.tree.structure(pruning.masks) == jax.tree.structure(params)
    assert [layer.name for layer in pruning.layers] == [name]
    masks = pytrees.Leaves(pruning.masks).by_name
    assert {key: bool(mask.all()) for key, mask in masks.items() if key != name} == dict.fromkeys(
        masks.keys() - {name}, True
    )
    assert int(masks[name].sum()) == 10
    applied = pytrees.Leaves(sfj.apply(params, pruning.masks)).by_name
    assert np.array_equal(applied[name], np.where(masks[name], weight, 0))
    for key, leaf in pytrees.Leaves(params).by_name.items():
        if not isinstance(leaf, jax.Array):
            assert applied[key] is leaf
            assert seen[0][key] is type(leaf)  # not traced


def test_paths_that_are_equal_as_text() -> None:
    params = {"a": {"b": jnp.ones((2, 2))}, "a/b": jnp.ones((2, 2))}
    with pytest.raises(sf.StructureError, match=r"two leaves .* 'a/b'"):
        names_pruned(params)


def test_a_module_of_flax(tmp_path: Path) -> None:
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
def test_types(dtype: str, read: list[dict[str, np.ndarray]]) -> None:
    params = {"w": normal(0, 30, 20).astype(dtype), "b": jnp.zeros(20, dtype)}
    before = np.asarray(params["w"]).tobytes()

    def loss(params: Params, x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.tanh(x.astype(dtype) @ params["w"] + params["b"]) ** 2)

    pruning = sfj.force(params, loss, [normal(1, 9, 30)], sparsity=0.9, steps=5)
    assert {step["w"].dtype for step in read} == {params["w"].dtype}
    wide = np.float64 if dtype == "float64" else np.float32
    gradients = iter([[step["w"].astype(wide)] for step in read])
    keeps = tuple(step.keep for step in pruning.history)
    weights = [np.asarray(params["w"]).astype(wide)]
    masks, _ = oracle.search(weights, lambda _: next(gradients), "force", keeps)
    assert_masks(pruning, params, {"w": masks[-1][0]})
    assert sfj.apply(params, pruning.masks)["w"].dtype == dtype
    assert np.asarray(params["w"]).tobytes() == before
    assert pytrees.on_cpu(params["w"]).ctypes.data == params["w"].unsafe_buffer_pointer()


def test_a_type_that_is_not_supported() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"weights\['w'\] has dtype float8"):
        names_pruned({"w": jnp.ones((2, 2), jnp.float8_e4m3fn)})


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
if hasattr(w, "committed"):  # by which JAX tells what may follow a batch to its device
    cases.append((here, jax.device_put(x, devices[1])))
for params, batch in cases:
    found = masks(params, batch)
    for name in params:
        assert found[name].sharding == params[name].sharding, found[name].sharding
        assert found[name].tolist() == wanted[name].tolist()
    jax.jit(sfj.apply)(params, found)
"""


@pytest.mark.slow
def test_masks_are_where_their_weights_are() -> None:
    """Two devices, which only a process of its own can have."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", SHARDED],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------- what goes wrong


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
def test_what_the_loss_raises_changes_nothing(error: type[BaseException]) -> None:
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
def test_the_parameters_are_as_they_were() -> None:
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
        call(params, loss, [None], schedule=[keep, keep])
    line = sys._getframe().f_lineno - 1
    places = {(w.category, w.filename, w.lineno) for w in caught}
    assert (warning, __file__, line) in places
    assert {place[1:] for place in places} == {(__file__, line)}


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    sfj.force(mlp(), mlp_loss, mlp_batches(), keep=9, steps=4, progress=True)
    assert "force" in capsys.readouterr().err


# ------------------------------------------------------------------------- files


def test_masks_are_saved_and_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    params, path = mlp(), tmp_path / "masks.safetensors"
    pruning = sfj.force(params, mlp_loss, mlp_batches(), keep=9, steps=4)
    pruning.save(path)
    found = sfj.load(path, params)
    assert_masks(found, params, {n: by_path(pruning.masks)[n] for n in sf.load(path).masks})
    assert (found.history, found.layers) == (pruning.history, pruning.layers)
    assert str(found) == str(pruning)
    found.save(path)
    plain = sf.load(path)
    assert list(plain.masks) == ["hidden/kernel", "output/kernel"]
    assert plain.keep == 9
    with pytest.raises(sf.StructureError, match="mask of 'hidden/kernel', which params lack"):
        sfj.load(path, {"output": params["output"]})
    params["output"]["kernel"] = params["output"]["kernel"].T
    with pytest.raises(sf.ShapeError, match=r"shape \(20, 3\) for 'output/kernel' .* \(3, 20\)"):
        sfj.load(path, params)


def test_masks_that_numpy_found_are_loaded(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    weights = [np.float32([[1, 4]]), np.float32([[2], [3]])]
    sf.magnitude(weights, keep=2).save(tmp_path / "masks")
    found = sfj.load(tmp_path / "masks", [jnp.asarray(weight) for weight in weights]).masks
    assert jax.tree.map(lambda mask: mask.tolist(), found) == [[[False, True]], [[False], [True]]]


# ------------------------------------------------------------------------- masks at work


def test_apply_chooses_and_never_multiplies() -> None:
    params = {"w": jnp.array([jnp.nan, -jnp.inf, -1.0, -2.0]), "n": jnp.arange(2)}
    masks = {"w": jnp.array([False, False, False, True]), "n": jnp.ones(2, bool)}
    for applied in (sfj.apply(params, masks), jax.jit(sfj.apply)(params, masks)):
        assert np.asarray(applied["w"]).tobytes() == np.float32([0, 0, 0, -2]).tobytes()
        assert applied["n"].tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (6,)])
def test_apply_broadcasts_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(sf.ShapeError, match=r"^a/w has shape \(3, 2\) and its mask"):
        sfj.apply({"a": {"w": jnp.ones((3, 2))}}, {"a": {"w": jnp.ones(shape, bool)}})


def test_apply_needs_the_same_structure() -> None:
    with pytest.raises(ValueError, match=r"structure|key"):
        sfj.apply({"a": jnp.ones(2)}, {"b": jnp.ones(2, bool)})


OPTIMIZERS = {
    "momentum": lambda optax: optax.sgd(0.1, momentum=0.9),
    "nesterov": lambda optax: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda optax: optax.adam(0.01),
    "adamw": lambda optax: optax.adamw(0.01, weight_decay=0.1),
    "decayed": lambda optax: optax.chain(optax.add_decayed_weights(0.1), optax.rmsprop(0.01)),
}


def trained(optimizer: Any, params: Params, after: Callable[[Params], Params]) -> Params:
    import optax

    state = optimizer.init(params)
    for batch in mlp_batches(8):
        updates, state = optimizer.update(jax.grad(mlp_loss)(params, batch), state, params)
        params = after(optax.apply_updates(params, updates))
    return params


@pytest.fixture
def masks() -> Params:
    return sfj.force(mlp(), mlp_loss, mlp_batches(), sparsity=0.7, steps=4).masks


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_removed_weights_stay_zero_and_others_train_as_by_hand(name: str, masks: Params) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    optimizer, start = OPTIMIZERS[name](optax), sfj.apply(mlp(), masks)
    kept = trained(optax.chain(optimizer, sfj.keep_removed_zero(masks)), start, lambda p: p)
    by_hand = trained(optimizer, start, lambda p: jax.tree.map(jnp.where, masks, p, zeros(p)))
    moved = trained(optimizer, start, lambda p: p)
    for layer in ("hidden", "output"):
        removed = ~np.asarray(masks[layer]["kernel"])
        assert not np.asarray(kept[layer]["kernel"])[removed].any()
        assert np.asarray(moved[layer]["kernel"])[removed].any()  # without masks, they move
    same = jax.tree.map(np.array_equal, kept, by_hand)
    assert all(jax.tree.leaves(same)), same


def zeros(tree: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, tree)


@pytest.mark.slow
def test_a_compiled_step_may_donate_its_buffers(masks: Params) -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    optimizer = optax.chain(optax.adamw(0.01, weight_decay=0.1), sfj.keep_removed_zero(masks))
    params = sfj.apply(mlp(), masks)
    by_hand = trained(optimizer, params, lambda p: p)

    def step(params: Params, state: Any, batch: Any) -> tuple[Params, Any]:
        updates, state = optimizer.update(jax.grad(mlp_loss)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    state = jax.jit(optimizer.init)(params)
    for batch in mlp_batches(8):
        params, state = compiled(params, state, batch)
    for leaf, hand, mask in zip(*map(jax.tree.leaves, (params, by_hand, masks)), strict=True):
        assert not np.asarray(leaf)[~np.asarray(mask)].any()  # the masks were not donated
        np.testing.assert_allclose(leaf, hand, rtol=1e-4, atol=1e-6)


def test_masks_in_the_state_are_copies(masks: Params) -> None:
    pytest.importorskip("optax", reason="optax is not installed")
    state = sfj.keep_removed_zero(masks).init(mlp())
    for leaf in jax.tree.leaves(state):
        leaf.delete()
    assert not any(mask.is_deleted() for mask in jax.tree.leaves(masks))


def test_updates_of_another_shape_are_refused(masks: Params) -> None:
    pytest.importorskip("optax", reason="optax is not installed")
    keeping = sfj.keep_removed_zero(masks)
    updates = mlp()
    updates["output"]["kernel"] = updates["output"]["kernel"].T
    with pytest.raises(sf.ShapeError, match="output/kernel"):
        keeping.update(updates, keeping.init(updates))


def test_without_optax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match="keep_removed_zero needs optax"):
        sfj.keep_removed_zero({})


@pytest.mark.slow
def test_nobody_imports_jax_but_the_adapter() -> None:
    code = "import sys, swiftforce; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, swiftforce.jax; assert 'optax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_result_serves_as_its_masks() -> None:
    params = {"w": jnp.arange(4.0).reshape(2, 2)}
    pruning = sfj.prune(params, method="magnitude", sparsity=0.5)
    assert sfj.apply(params, pruning)["w"].tolist() == [[0, 0], [2, 3]]
    update = sfj.keep_removed_zero(pruning)
    assert update.update(params, update.init(params))[0]["w"].tolist() == [[0, 0], [2, 3]]


def test_masks_are_of_bools() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="mask of w has dtype float32"):
        sfj.apply({"w": jnp.ones(2)}, {"w": jnp.ones(2)})
