"""Objects of torch and JAX that are passed to the functions for numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce.inputs import frameworks

GRADS = np.float32([1, 2])


def refusal(weights: Any, gradients: Any = GRADS) -> str:
    """The message for weights or gradients that are refused."""
    with pytest.raises(sf.UnsupportedTypeError) as caught:
        sf.snip(weights, gradients, keep=1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs torch")


def test_a_parameter(torch: Any) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    text = ": call swiftforce.torch.prune(model, batches, loss), or pass its .detach().cpu()"
    assert refusal({"w": parameter}, {"w": GRADS}) == (
        f"weights['w'] is a Parameter that numpy cannot read{text}.numpy()"
    )
    assert refusal(GRADS, parameter).startswith("gradients is a Parameter that numpy cannot read")
    found = sf.snip(parameter.detach().cpu().numpy(), GRADS, keep=1)
    assert found.masks.tolist() == [False, True]


def test_a_tensor_of_a_type_that_numpy_lacks(torch: Any) -> None:
    tensor = torch.ones(2, dtype=torch.bfloat16)
    assert refusal(tensor).endswith("or pass its .detach().cpu().float().numpy()")
    found = sf.snip(tensor.detach().cpu().float().numpy(), GRADS, keep=1)
    assert found.masks.tolist() == [False, True]


def test_a_tensor_that_numpy_reads_is_used(torch: Any) -> None:
    found = sf.snip(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]), keep=1)
    assert found.masks.tolist() == [True, False]


def test_a_model(torch: Any) -> None:
    class Model(torch.nn.Module):
        """Of a class that is not torch's own."""

    for model in (torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2)), Model()):
        text = refusal(model)
        assert text.startswith("weights must be an array, a sequence of arrays or a mapping")
        assert text.endswith(
            f"not {type(model).__name__}: call swiftforce.torch.prune(model, batches, loss) instead"
        )
    assert "call swiftforce.torch.prune" in refusal({"fc": torch.nn.Linear(2, 2)}, {"fc": GRADS})


def test_arrays_of_jax() -> None:
    jax = pytest.importorskip("jax", reason="needs jax")
    found = sf.snip(jax.numpy.array([1.0, 2.0]), jax.numpy.array([3.0, 1.0]), keep=1)
    assert found.masks.tolist() == [True, False]

    @jax.jit
    def traced(weights: Any) -> Any:
        messages.append(refusal(weights))
        return weights

    messages: list[str] = []
    traced(jax.numpy.ones(2))
    assert messages[0].endswith(
        "that numpy cannot read: call swiftforce.jax.prune(params, loss, batches), "
        "or convert it outside of jax.jit with np.asarray"
    )


def test_an_object_of_no_framework_that_does_not_convert() -> None:
    class Broken:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise RuntimeError("no\nnumbers")

    assert refusal(Broken()) == "weights is a Broken that numpy cannot read: convert it to a " + (
        "numpy array"
    )


@pytest.mark.parametrize("value", [object(), np.ones(1), "torch", None, int])
def test_what_is_of_no_framework(value: object) -> None:
    assert frameworks.framework_of(value) is None
    assert frameworks.hint_for(value) == ""
