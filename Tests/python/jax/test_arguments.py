"""Mistakes in the arguments of a search: each is an error of one line that says what to do."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import jax
import jax.numpy as jnp
import swiftforce.jax as sfj
from pytree_models import Params, mlp, mlp_batches, mlp_loss, normal

CALLS = [sfj.prune, sfj.force, sfj.iterative_snip]


def foreign(library: str, name: str) -> type:
    """A subclass of a class that another library seems to define."""
    return type("Users", (type(name, (), {"__module__": f"{library}.inner"}),), {})


class CrossEntropy:
    def __call__(self, params: Params, batch: Any) -> jax.Array:
        return mlp_loss(params, batch)


def refused(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    """The call raises an error of one line that matches."""
    with pytest.raises(kind) as caught:
        call()
    # JAX adds a note about its tracebacks, which `match` would see.
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------ loss


@pytest.mark.parametrize("call", CALLS)
def test_loss_and_batches_that_are_swapped(call: Any) -> None:
    refused(
        lambda: call(mlp(), mlp_batches(), mlp_loss, keep=9),
        sf.UnsupportedTypeError,
        "loss and batches are swapped: the order is params, loss, batches",
    )


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        ("cross_entropy", "the name 'cross_entropy'"),
        (CrossEntropy, "the class CrossEntropy"),
        (3.0, "float"),
        (foreign("torch", "Module")(), r"a module \(Users\)"),
        (foreign("flax", "Module")(), r"a module \(Users\)"),
        (type("CrossEntropyLoss", (), {"__module__": "torch.nn"}), "CrossEntropyLoss of torch"),
    ],
)
def test_a_loss_that_is_not_a_function_of_jax(loss: Any, what: str) -> None:
    refused(
        lambda: sfj.prune(mlp(), loss, mlp_batches(), keep=9),
        sf.UnsupportedTypeError,
        rf"^loss must be a function loss\(params, batch\) that .*, not {what}$",
    )


def test_functions_and_optimizers_of_optax_are_not_losses() -> None:
    optax = pytest.importorskip("optax", reason="optax is not installed")
    for loss, name in [
        (optax.adam(1e-3), "GradientTransformation.*"),
        (optax.adam, "adam"),
        (optax.softmax_cross_entropy, "softmax_cross_entropy"),
    ]:
        refused(
            lambda loss=loss: sfj.force(mlp(), loss, mlp_batches(), keep=9),
            sf.UnsupportedTypeError,
            rf"^loss must be a function loss\(params, batch\) that .*, not {name} of optax$",
        )


def test_functions_of_every_kind_are_losses() -> None:
    expected = sfj.force(mlp(), mlp_loss, mlp_batches(), keep=9, steps=2).layers
    for loss in (CrossEntropy(), jax.jit(mlp_loss), functools.partial(mlp_loss)):
        assert sfj.force(mlp(), loss, mlp_batches(), keep=9, steps=2).layers == expected


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (lambda w: (jnp.sum(w), w), sf.ShapeError, "return only the mean loss .*, not tuple$"),
        (lambda w: {"loss": jnp.sum(w)}, sf.ShapeError, "return only the mean loss .*, not dict$"),
        (lambda _: None, sf.ShapeError, "return only the mean .*, not NoneType$"),
        (lambda w: w.sum(0), sf.ShapeError, r"array of shape \(2,\): return its mean over the ba"),
        (lambda w: w.sum(keepdims=True), sf.ShapeError, r"array of shape \(1, 1\): return its"),
        (lambda w: jnp.sum(w > 0), sf.UnsupportedTypeError, "dtype int32: return a real floating"),
        (lambda w: jnp.sum(w) * 1j, sf.UnsupportedTypeError, "dtype complex64: return a real flo"),
    ],
)
def test_a_loss_that_does_not_return_a_real_scalar(
    value: Any, kind: Any, message: str, jit: bool
) -> None:
    params = {"w": jnp.ones((2, 2))}
    options: dict[str, Any] = {"keep": 1, "jit": jit}
    refused(lambda: sfj.force(params, lambda p, _: value(p["w"]), [0], **options), kind, message)


# ------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("given", [{}, {"loss": mlp_loss}, {"batches": mlp_batches()}])
def test_loss_and_batches_are_needed_for_gradients(given: dict[str, Any]) -> None:
    refused(
        lambda: sfj.prune(mlp(), method="snip", keep=2, **given),
        sf.MissingGradientsError,
        "'snip' scores weights by their gradients: pass loss and batches",
    )


def test_methods_without_gradients_need_no_loss() -> None:
    params = {"w": jnp.array([[1.0, -3.0, 2.0]])}
    found = sfj.prune(params, method="magnitude", keep=2)
    assert found.masks["w"].tolist() == [[False, True, True]]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (mlp_batches, "of batches, not function: call it and pass what it returns$"),
        (3, "batches must be an iterable of batches, not int$"),
    ],
)
def test_batches_that_are_not_iterable(batches: Any, message: str) -> None:
    refused(lambda: sfj.force(mlp(), mlp_loss, batches, keep=9), sf.UnsupportedTypeError, message)


def test_batches_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    data = [(torch.ones(6), torch.tensor(1)), (torch.zeros(6), torch.tensor(0))]
    loader = torch.utils.data.DataLoader(data, batch_size=2)
    refused(
        lambda: sfj.force(mlp(), mlp_loss, loader, keep=9),
        sf.UnsupportedTypeError,
        r"a batch holds torch tensors: pass numpy arrays, .*tensor\.numpy\(\), batch\)",
    )
    converted = [jax.tree.map(lambda tensor: tensor.numpy(), batch) for batch in loader]
    expected = sfj.force(mlp(), mlp_loss, converted, keep=9, steps=2).layers

    def loss(params: Params, batch: Any) -> jax.Array:
        return mlp_loss(params, tuple(jnp.asarray(tensor.numpy()) for tensor in batch))

    # A loss that is not compiled may convert the tensors itself.
    assert sfj.force(mlp(), loss, loader, keep=9, steps=2, jit=False).layers == expected


# ------------------------------------------------------------------------------ params


@pytest.mark.parametrize(
    ("library", "name", "message"),
    [
        ("torch", "Module", "is a torch module: swiftforce.torch.prune finds masks for it"),
        ("torch", "Tensor", "is a torch tensor: swiftforce.torch.prune finds masks for"),
        ("flax", "Module", "is a flax module: pass its parameters, .*model.init.*nnx.state"),
    ],
)
def test_params_of_other_frameworks(library: str, name: str, message: str) -> None:
    leaf = foreign(library, name)()
    for params, path in ((leaf, "params"), ({"fc": [leaf]}, "fc/0")):
        for call in CALLS:
            refused(
                lambda call=call, params=params: call(params, mlp_loss, mlp_batches(), keep=9),
                sf.UnsupportedTypeError,
                rf"^{path} \(Users\) {message}",
            )


def test_a_model_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = torch.nn.Linear(3, 2)
    for params, message in (
        (model, r"^params \(Linear\) is a torch module"),
        (model.state_dict(), r"^weight \(Tensor\) is a torch tensor"),
        (dict(model.named_parameters()), r"^bias \(Parameter\) is a torch tensor"),
    ):
        refused(
            lambda params=params: sfj.prune(params, method="magnitude", keep=1),
            sf.UnsupportedTypeError,
            message,
        )


def test_a_module_beside_the_weights() -> None:
    params = {"model": foreign("flax", "Module")(), "w": jnp.array([[1.0, 2.0]])}
    found = sfj.prune(params, method="magnitude", keep=1)
    assert [layer.name for layer in found.layers] == ["w"]


def test_modules_of_flax() -> None:
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    model = linen.Dense(3)
    refused(
        lambda: sfj.force(model, mlp_loss, mlp_batches(), keep=1),
        sf.UnsupportedTypeError,
        r"^params \(Dense\) is a flax module",
    )
    layer = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    graph, _ = nnx.split(layer)

    def loss(params: Params, x: jax.Array) -> jax.Array:
        return jnp.mean(nnx.merge(graph, params)(x) ** 2)

    params = nnx.state(layer, nnx.Param)
    found = sfj.force(params, loss, [normal(0, 4, 3)], keep=3, steps=2)
    assert [layer.name for layer in found.layers] == ["kernel/value"]


@pytest.mark.parametrize("options", [{}, {"include": "dense/*"}, {"include": ["bias", "dense/*"]}])
def test_complex_weights(options: dict[str, Any]) -> None:
    params = {"dense": {"kernel": np.ones((2, 2), np.complex64)}, "bias": jnp.ones(2)}
    with pytest.raises(sf.UnsupportedTypeError) as caught:
        sfj.prune(params, method="magnitude", keep=1, **options)
    assert str(caught.value) == (
        "dense/kernel has dtype complex64, and complex weights cannot be pruned: "
        "store the real and the imaginary part as two leaves, or exclude it"
    )


def test_complex_leaves_beside_weights_are_not_prunable() -> None:
    params = {"spectrum": jnp.ones((2, 2), jnp.complex64), "w": jnp.array([[1.0, 2.0]])}
    for include in (None, "*"):
        found = sfj.prune(params, method="magnitude", keep=1, include=include)
        assert [layer.name for layer in found.layers] == ["w"]
        assert found.masks["spectrum"].all()


# ------------------------------------------------------------------------------ names and steps


def test_a_misspelt_method_is_refused_before_anything_else() -> None:
    with pytest.raises(sf.UnknownNameError, match="'forse'"):
        sfj.prune(object(), method="forse")
    with pytest.raises(sf.UnknownNameError, match="'exponent'"):
        sfj.force(mlp(), mlp_loss, mlp_batches(), keep=9, schedule="exponent")


@pytest.mark.parametrize(
    ("spelling", "name"), [("FORCE", "force"), ("iterative-snip", "iterative_snip")]
)
def test_spellings_of_a_method(spelling: str, name: str) -> None:
    found = sfj.prune(mlp(), mlp_loss, mlp_batches(), method=spelling, keep=9, steps=2)
    assert found.method == name


def test_steps_of_a_one_shot_method_are_ignored() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = sfj.prune(mlp(), mlp_loss, mlp_batches(), method="snip", keep=40, steps=60)
    line = sys._getframe().f_lineno - 1
    assert [(w.category, w.filename, w.lineno) for w in caught] == [
        (sf.StepsIgnoredWarning, __file__, line)
    ]
    assert str(caught[0].message) == "snip takes one step: steps=60 is ignored"
    assert found.steps == 1


# ------------------------------------------------------------------------------ values that are not


@pytest.mark.parametrize(
    "transformed", [jax.jit, jax.vmap, jax.make_jaxpr, lambda call: lambda p: jax.vjp(call, p)]
)
def test_traced_params(transformed: Any) -> None:
    refused(
        lambda: transformed(lambda params: sfj.prune(params, method="magnitude", keep=9).masks)(
            {"hidden": jnp.ones((2, 3, 4))}
        ),
        sf.UnsupportedTypeError,
        "hidden is traced: .* call it outside jax.jit",
    )


def test_traced_batches() -> None:
    params = mlp()
    refused(
        lambda: jax.jit(lambda x: sfj.force(params, mlp_loss, [x], keep=9).masks)(jnp.ones(3)),
        sf.UnsupportedTypeError,
        "batches are traced: call the search outside jax.jit",
    )


def test_arrays_that_were_donated() -> None:
    params, (batch, *_) = mlp(), mlp_batches()
    params["output"]["kernel"].delete()
    message = "output/kernel is deleted: it was donated to a compiled function"
    refused(lambda: sfj.prune(params, method="magnitude", keep=9), sf.StructureError, message)
    batch[0].delete()
    message = r"batch\[0\] is deleted"
    refused(lambda: sfj.force(mlp(), mlp_loss, [batch], keep=9), sf.StructureError, message)


def test_shapes_without_values() -> None:
    refused(
        lambda: sfj.prune(jax.eval_shape(mlp), method="magnitude", keep=9),
        sf.UnsupportedTypeError,
        "hidden/bias is a ShapeDtypeStruct, which has no values",
    )


@pytest.mark.parametrize("leaf", ["a text", b"bytes", np.array(["a"]), object()])
def test_batches_that_jit_does_not_take(leaf: Any) -> None:
    def loss(params: Params, batch: Any) -> jax.Array:
        return mlp_loss(params, batch["xy"])

    batches = [{"id": leaf, "xy": mlp_batches(1)[0]}]
    refused(
        lambda: sfj.force(mlp(), loss, batches, keep=9),
        sf.UnsupportedTypeError,
        r"batch\['id'\] is a \w+, which jax.jit does not take: leave it out, or pass jit=False",
    )
    assert sfj.force(mlp(), loss, batches, keep=9, steps=1, jit=False).keep == 9


def test_a_mapping_as_batches() -> None:
    refused(
        lambda: sfj.force(mlp(), mlp_loss, {"x": 1}, keep=9),
        sf.UnsupportedTypeError,
        r"batches is a mapping: .* \[batch\] for a single one",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value if value > 0 else -value, "pass jit=False"),
        (lambda value: value * float(value), "pass jit=False"),
        (lambda value: value * np.asarray(value), "pass jit=False"),
        (lambda value: value * [1.0, 2.0][value.astype(int)], "pass jit=False"),
        (lambda value: value * jnp.ones(3)[jnp.ones(3) > value].sum(), "pass jit=False"),
    ],
)
def test_losses_that_cannot_be_compiled(change: Any, message: str) -> None:
    def loss(params: Params, batch: Any) -> jax.Array:
        return change(mlp_loss(params, batch))

    refused(lambda: sfj.force(mlp(), loss, mlp_batches(), keep=9), sf.UnsupportedTypeError, message)


def test_a_loss_with_an_array_of_another_trace() -> None:
    left: list[Any] = []
    jax.jit(lambda x: left.append(x) or x)(1.0)
    refused(
        lambda: sfj.force(mlp(), lambda p, b: mlp_loss(p, b) * left[0], mlp_batches(), keep=9),
        sf.UnsupportedTypeError,
        "loss uses an array that another traced function left behind",
    )
