"""Mistakes in arguments: one line each that says what to do, and a model that is left unchanged."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from swiftforce import nn as native  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import assert_same, batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def message(error: type[Exception], call: Any) -> str:
    """The message of the error that a call raises, which is one line."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


# ------------------------------------------------------------------------------ the loss


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (
            nn.CrossEntropyLoss,
            "loss is the class CrossEntropyLoss: pass an instance, CrossEntropyLoss()",
        ),
        (
            "cross_entropy",
            "loss is the name 'cross_entropy': pass the function torch.nn.functional.cross_entropy",
        ),
        ("ce", "loss is the name 'ce': pass a function loss(output, target)"),
        (3, "loss must be a function loss(output, target), not int"),
    ],
)
@pytest.mark.parametrize("method", ["force", "snip", "grasp"])
def test_a_loss_that_is_not_a_function(loss: Any, text: str, method: str) -> None:
    call = lambda: sft.prune(mlp(), batches(), loss, method=method, sparsity=0.5)  # noqa: E731
    assert message(sf.UnsupportedTypeError, call) == text


def test_a_batch_loss_that_is_not_a_function() -> None:
    call = lambda: sft.prune(mlp(), batches(), batch_loss=nn.MSELoss, sparsity=0.5)  # noqa: E731
    expected = "batch_loss is the class MSELoss: pass an instance, MSELoss()"
    assert message(sf.UnsupportedTypeError, call) == expected


@pytest.mark.parametrize("loss", [cross_entropy, nn.CrossEntropyLoss()])
def test_loss_and_batches_that_are_swapped(loss: Any) -> None:
    text = message(sf.UnsupportedTypeError, lambda: sft.prune(mlp(), loss, batches(), sparsity=0.5))
    assert text == "loss and batches are swapped: the order is (model, batches, loss)"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            (cross_entropy,),
            "batches is the function cross_entropy, not an iterable of batches: the order is "
            "(model, batches, loss)",
        ),
        ((3, cross_entropy), "batches must be an iterable such as a DataLoader, not int"),
    ],
)
def test_batches_that_are_not_iterable(given: Any, text: str) -> None:
    found = message(sf.UnsupportedTypeError, lambda: sft.prune(mlp(), *given, sparsity=0.5))
    assert found == text


def test_a_missing_loss_or_batches() -> None:
    text = message(sf.MissingGradientsError, lambda: sft.prune(mlp(), batches(), sparsity=0.5))
    assert text.startswith("pass either loss(output, target)")
    text = message(sf.MissingGradientsError, lambda: sft.prune(mlp(), sparsity=0.5))
    assert text == "the method 'force_nested' needs batches: pass a DataLoader"
    text = message(
        sf.MissingGradientsError, lambda: sft.prune(mlp(), method="synflow", sparsity=0.5)
    )
    assert text.startswith("synflow needs batches for the shape of an input")


# ------------------------------------------------------------------------------ outputs


class ModelOutput(OrderedDict):
    """What models of Hugging Face return."""

    @property
    def logits(self) -> torch.Tensor:
        return self["logits"]

    @property
    def loss(self) -> torch.Tensor | None:
        return self.get("loss")


class Wrapped(nn.Module):
    """Returns its output in another form."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.body = mlp()
        self.wrap = wrap

    def forward(self, x: torch.Tensor, labels: Any = None) -> Any:
        output = self.wrap(self.body(x))
        if labels is not None:
            output["loss"] = cross_entropy(output["logits"], labels)
        return output


@pytest.mark.parametrize("loss", [cross_entropy, lambda output, target: output.sum()])
@pytest.mark.parametrize("wrap", [lambda x: ModelOutput(logits=x), lambda x: {"logits": x}])
def test_an_output_with_logits_and_a_loss_for_tensors(wrap: Any, loss: Any) -> None:
    model = Wrapped(wrap)
    text = message(sf.StructureError, lambda: sft.prune(model, batches(), loss, sparsity=0.5))
    assert text.startswith(f"the model returns a {type(wrap(0)).__name__}, which loss(output, ")
    assert text.endswith("pass batch_loss, such as batch_loss=lambda model, batch: "
                         "model(**batch).loss")  # fmt: skip


def test_what_the_message_about_outputs_suggests_works() -> None:
    model = Wrapped(lambda x: ModelOutput(logits=x))
    named = [{"x": x, "labels": y} for x, y in batches()]
    found = sft.prune(
        model, named, batch_loss=lambda model, batch: model(**batch).loss, sparsity=0.5, steps=3
    )
    other = sft.prune(
        model, batches(), lambda output, y: cross_entropy(output.logits, y), sparsity=0.5, steps=3
    )
    assert_same(found.masks, other.masks)


def test_other_errors_of_a_loss_pass_through() -> None:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise TypeError("mine")

    assert message(TypeError, lambda: sft.prune(mlp(), batches(), loss, sparsity=0.5)) == "mine"


@pytest.mark.parametrize("error", [TypeError("mine"), AttributeError("mine"), ValueError("mine")])
def test_errors_of_forward_pass_through(error: Exception) -> None:
    def fail(x: torch.Tensor) -> None:
        raise error

    with pytest.raises(type(error), match="mine") as caught:
        sft.prune(Wrapped(fail), batches(), cross_entropy, sparsity=0.5)
    assert caught.value is error


# ------------------------------------------------------------------------------ batches


def test_batches_of_numpy_arrays() -> None:
    arrays = [(x.numpy(), y) for x, y in batches()]
    text = message(
        sf.UnsupportedTypeError, lambda: sft.prune(mlp(), arrays, cross_entropy, sparsity=0.5)
    )
    assert text == ("the input of a batch is a numpy ndarray: convert it with torch.as_tensor")
    arrays = [(x, y.numpy()) for x, y in batches()]
    text = message(
        sf.UnsupportedTypeError, lambda: sft.prune(mlp(), arrays, cross_entropy, sparsity=0.5)
    )
    assert text.startswith("the target of a batch is a numpy ndarray")
    arrays = [np.ones((2, 6), np.float32)]
    text = message(
        sf.UnsupportedTypeError, lambda: sft.prune(mlp(), arrays, method="synflow", sparsity=0.5)
    )
    assert text.startswith("the input of a batch is a numpy ndarray")


def test_batches_of_jax_arrays() -> None:
    jnp = pytest.importorskip("jax.numpy")
    arrays = [(jnp.ones((2, 6)), jnp.zeros(2, int))]
    text = message(
        sf.UnsupportedTypeError, lambda: sft.prune(mlp(), arrays, cross_entropy, sparsity=0.5)
    )
    assert text == (
        "the input of a batch is a JAX array: convert it with torch.from_numpy(numpy.array(array))"
    )
    assert torch.from_numpy(np.array(arrays[0][0])).shape == (2, 6)


# ------------------------------------------------------------------------------ models


def flax_module() -> Any:
    """An object whose class inherits from one of flax, which need not be installed."""
    base = type("Module", (), {"__module__": "flax.linen.module"})
    return type("MLP", (base,), {"__module__": "__main__"})()


CALLS: dict[str, Any] = {
    "prune": lambda model: sft.prune(model, batches(), cross_entropy, sparsity=0.5),
    "prunable": sft.prunable,
    "apply": lambda model: sft.apply(model, {}),
    "masks": sft.masks,
    "remove": sft.remove,
    "to_torch_prune": sft.to_torch_prune,
    "load": lambda model: sft.load("nowhere", model),
    "effective_density": lambda model: sft.effective_density(model, inputs=(1, 6)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.ReLU, "model is the class ReLU: pass an instance, ReLU(...)"),
        (
            flax_module(),
            "model is a MLP of JAX: call swiftforce.jax.prune(params, loss, batches) with its "
            "parameters",
        ),
        (
            native.lenet5(),
            "model is a swiftforce.nn.Network: call swiftforce.prune(net.weights, gradients)",
        ),
        (len, "model must be a torch.nn.Module, not builtin_function_or_method"),
        (None, "model must be a torch.nn.Module, not NoneType"),
    ],
    ids=["class", "flax", "native", "function", "None"],
)
def test_what_is_not_a_module(call: str, model: Any, text: str) -> None:
    assert message(sf.UnsupportedTypeError, lambda: CALLS[call](model)) == text


@pytest.mark.filterwarnings("ignore:`?torch.jit:DeprecationWarning")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("compiled", ["script", "trace"])
def test_a_model_of_torchscript(call: str, compiled: str) -> None:
    model = mlp()
    model = (
        torch.jit.script(model) if compiled == "script" else torch.jit.trace(model, batches()[0][0])
    )
    text = message(sf.UnsupportedTypeError, lambda: CALLS[call](model))
    assert text.startswith("model is a module of TorchScript: prune it before torch.jit.script")


def test_a_model_without_prunable_weights_names_its_parameters() -> None:
    text = message(sf.StructureError, lambda: sft.prunable(nn.Embedding(2, 2)))
    assert text.startswith("Embedding has no weight to prune")
    assert "choose others with include, of: weight" in text


@pytest.mark.parametrize("call", ["prune", "prunable"])
def test_a_frozen_model_is_named_as_such(call: str) -> None:
    model = mlp().requires_grad_(False)
    text = message(sf.StructureError, lambda: CALLS[call](model))
    assert text == (
        "Sequential has no weight to prune: no parameter is trained (requires_grad is False); "
        "call requires_grad_(True) before, or choose frozen parameters with include"
    )
    assert list(sft.prunable(model, include="0.*")) == ["0.weight", "0.bias"]


def test_a_complex_weight_is_not_cast() -> None:
    model = nn.Linear(3, 2, dtype=torch.complex64)
    for call in (lambda: sft.prunable(model), lambda: sft.prunable(model, include="weight")):
        text = message(sf.UnsupportedTypeError, call)
        assert text == (
            "weight has dtype torch.complex64, and complex weights cannot be pruned: exclude it, "
            "or keep its real and imaginary parts in two real parameters"
        )


# ------------------------------------------------------------------------------ optimizers


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (
            torch.optim.SGD,
            "optimizer is the class SGD: pass an instance, SGD(model.parameters())",
        ),
        (
            [torch.optim.AdamW],
            "optimizer is the class AdamW: pass an instance, AdamW(model.parameters())",
        ),
        (3, "optimizer must be a torch.optim.Optimizer, not int"),
        ("sgd", "optimizer must be a torch.optim.Optimizer, not str"),
    ],
)
def test_what_is_not_an_optimizer(optimizer: Any, text: str) -> None:
    model = mlp()
    masks = torch_models.random_masks(model)
    before = [torch_models.bits(one) for one in model.parameters()]
    found = message(sf.UnsupportedTypeError, lambda: sft.apply(model, masks, optimizer))
    assert found == text
    assert [torch_models.bits(one) for one in model.parameters()] == before
    assert not sft.masks(model)


# ------------------------------------------------------------------------------ names and steps


@pytest.mark.parametrize("name", ["FORCE", "Force", "force"])
def test_a_method_may_be_spelled_in_upper_case(name: str) -> None:
    found = sft.prune(mlp(), batches(), cross_entropy, method=name, sparsity=0.5, steps=2)
    assert found.method == "force"


@pytest.mark.parametrize("name", ["iterative-snip", "Iterative SNIP", "SynFlow", "GraSP"])
def test_a_method_may_be_spelled_as_in_its_paper(name: str) -> None:
    steps = 1 if name == "GraSP" else 2
    found = sft.prune(mlp(), batches(), cross_entropy, method=name, sparsity=0.5, steps=steps)
    assert found.method == name.lower().replace("-", "_").replace(" ", "_")


@pytest.mark.parametrize(
    ("name", "meant"), [("froce", "force"), ("synflo", "synflow"), ("grap", "grasp")]
)
def test_a_misspelt_method_is_corrected(name: str, meant: str) -> None:
    text = message(
        sf.UnknownNameError,
        lambda: sft.prune(mlp(), batches(), cross_entropy, method=name, sparsity=0.5),
    )
    assert f"did you mean {meant!r}?" in text
    assert text.endswith("grasp, synflow")


def test_a_misspelt_mode_is_corrected() -> None:
    text = message(
        sf.UnknownNameError,
        lambda: sft.prune(mlp(), batches(), cross_entropy, mode="evla", sparsity=0.5),
    )
    assert "did you mean 'eval'?" in text


@pytest.mark.parametrize("method", ["snip", "magnitude", "random", "grasp"])
def test_steps_of_a_one_shot_method_are_ignored_with_a_warning(method: str) -> None:
    options = {"method": method, "sparsity": 0.5}
    with pytest.warns(
        sf.StepsIgnoredWarning, match=f"^{method} takes one step: steps=60 is ignored$"
    ) as caught:
        found = sft.prune(mlp(), batches(), cross_entropy, steps=60, **options)
    assert {warning.filename for warning in caught} == {__file__}
    assert found.steps == 1
    assert_same(found.masks, sft.prune(mlp(), batches(), cross_entropy, steps=1, **options).masks)


@pytest.mark.parametrize(
    ("method", "error"), [("snip", sf.StepsError), ("grasp", sf.ScheduleError)]
)
def test_a_list_of_several_steps_for_a_one_shot_method(method: str, error: Any) -> None:
    with pytest.raises(error, match="one step"):
        sft.prune(mlp(), batches(), cross_entropy, method=method, schedule=[60, 40])
