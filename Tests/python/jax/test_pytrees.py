"""Pytrees: paths, prunable leaves, and results in the structure that came in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import Params, mlp, names_pruned, normal
from swiftforce.jax import pytrees


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
def test_no_leaf_is_prunable(params: Params, options: dict[str, Any]) -> None:
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


def test_two_paths_that_are_equal_as_text() -> None:
    params = {"a": {"b": jnp.ones((2, 2))}, "a/b": jnp.ones((2, 2))}
    with pytest.raises(sf.StructureError, match=r"two leaves .* 'a/b'"):
        names_pruned(params)


def test_a_type_that_is_not_supported() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"weights\['w'\] has dtype float8"):
        names_pruned({"w": jnp.ones((2, 2), jnp.float8_e4m3fn)})


# ------------------------------------------------------------------------------ boxes


@jax.tree_util.register_pytree_with_keys_class
class Box:
    """As nn.Partitioned and the variables of flax.nnx: one leaf, which is called value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tree_flatten_with_keys(self) -> Any:
        return ((jax.tree_util.GetAttrKey("value"), self.value),), None

    @classmethod
    def tree_unflatten(cls, _: Any, children: Any) -> Box:
        return cls(*children)


def boxed() -> Params:
    return {
        "fc": {"kernel": Box(normal(0, 4, 3)), "bias": Box(jnp.zeros(3))},
        "out": {"kernel": normal(1, 3, 2)},
        "attention": {"query": normal(2, 3, 3), "value": normal(3, 3, 3)},
    }


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["attention/query", "attention/value", "fc/kernel", "out/kernel"]),
        ({"include": "*/kernel"}, ["fc/kernel", "out/kernel"]),
        ({"include": "*/kernel/value"}, ["fc/kernel"]),
        ({"exclude": ["attention/value", "fc/*"]}, ["attention/query", "out/kernel"]),
    ],
)
def test_names_and_patterns_see_through_boxes(options: dict[str, Any], names: list[str]) -> None:
    assert names_pruned(boxed(), **options) == names
    assert list(sfj.prunable(boxed(), **options)) == names


def test_masks_come_back_in_boxes_also_from_files_with_their_old_names(tmp_path: Any) -> None:
    pytest.importorskip("safetensors")
    params = boxed()
    pruning = sfj.prune(params, method="magnitude", sparsity=0.5)
    assert isinstance(pruning.masks["fc"]["kernel"], Box)
    pruning.save(tmp_path / "new")
    masks = dict(sf.load(tmp_path / "new").masks)
    kernel = masks.pop("fc/kernel")
    old = {"fc/kernel/value": kernel.astype(np.float32)}
    sf.magnitude(old, keep=int(kernel.sum())).save(tmp_path / "old")
    for name in ("new", "old"):
        again = sfj.load(tmp_path / name, params)
        np.testing.assert_array_equal(again.masks["fc"]["kernel"].value, kernel)
        assert "fc/kernel" in [layer.name for layer in again.layers]
    assert sfj.load(tmp_path / "new", params).scope == pruning.scope


# ------------------------------------------------------------------------------ the table


def test_the_table_of_leaves() -> None:
    params = {
        "embed": {"embedding": jnp.ones((9, 4))},
        "stack": {"fc": {"w": jnp.ones((3, 4, 4)), "b": jnp.ones((3, 4))}},
        "steps": jnp.ones((2, 2), jnp.int32),
        "small": jnp.ones((4, 4), jnp.float8_e4m3fn),
        "name": "net",
    }
    found = sfj.prunable(params)
    assert list(found) == ["stack/fc/w"]
    assert found["stack/fc/w"] is params["stack"]["fc"]["w"]
    reasons = {one.name: one.why for one in found.decisions}
    assert reasons == {
        "embed/embedding": "an embedding or a table",
        "name": "not floating-point",
        "small": "quantised",
        "stack/fc/b": "a bias",
        "stack/fc/w": "a weight by its name and shape",
        "steps": "not floating-point",
    }
    assert "1 of 6 arrays are prunable: 48 of 112 numbers, 75 %" in repr(found)


def test_a_result_says_what_was_searched() -> None:
    params = {"fc": {"kernel": normal(0, 4, 4)}, "embed": {"embedding": normal(1, 9, 4)}}
    pruning = sfj.prune(params, method="magnitude", sparsity=0.5)
    assert pruning.scope == sf.Scope(16, 16, 0, 52)
    params["codes"] = {"kernel": jnp.ones((9, 9), jnp.float8_e4m3fn)}
    with pytest.warns(sf.PartlySearchedWarning, match=r"codes/kernel \(81\): quantised"):
        sfj.prune(params, method="magnitude", sparsity=0.5)
