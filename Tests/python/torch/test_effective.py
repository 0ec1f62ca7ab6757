"""Effective density of a model: equal to the native count, for all forms of inputs and masks."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
import torch_twin  # noqa: E402
from path_models import Function, linear, normal, random_masks  # noqa: E402
from swiftforce import checks  # noqa: E402
from swiftforce import nn as native  # noqa: E402
from tiny_networks import TINY, drawn  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


# ------------------------------------------------------------------------- as the native one


@pytest.mark.parametrize("density", [0.1, 0.3, 0.6, 1])
@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.slow
def test_as_of_the_native_network(kind: str, density: float) -> None:
    net = TINY[kind]()
    model = torch_twin.twin(net)
    for seed in range(5):
        masks = drawn(net, density, seed)
        expected = checks.effective_density(net, masks)
        found = sft.effective_density(model, masks, inputs=(1, *net.input_shape))
        assert str(found) == str(expected)
        for name, mask in expected.masks.items():
            assert np.array_equal(found.masks[name].numpy(), mask)


@pytest.mark.parametrize("sparsity", [0.95, 0.99, 0.999])
@pytest.mark.parametrize(
    "net",
    [native.resnet(20, (3, 16, 16)), native.small_vgg(), native.lenet5()],
    ids=["ResNet20", "VGG", "LeNet-5"],
)
@pytest.mark.slow
def test_as_of_a_network_of_the_literature(net: native.Network, sparsity: float) -> None:
    pruning = sf.random(net.weights, sparsity=sparsity, seed=1)
    expected = checks.effective_density(net, pruning)
    found = sft.effective_density(
        torch_twin.twin(net), pruning, inputs=torch.zeros(2, *net.input_shape)
    )
    assert str(found) == str(expected)
    assert 0 <= found.effective < found.kept


def test_channels_that_are_empty() -> None:
    net = native.resnet(20, (3, 8, 8))
    masks = drawn(net, 0.5, 0)
    for mask in list(masks.values())[1:6]:
        mask[::3] = False
        mask[:, 1::4] = False
    expected = checks.effective_density(net, masks)
    found = sft.effective_density(torch_twin.twin(net), masks, inputs=(1, 3, 8, 8))
    assert str(found) == str(expected)


# ------------------------------------------------------------------------- the caller's model


def test_the_model_is_left_as_it_was() -> None:
    model = torch_models.resnet18()
    pruning = sft.prune(model, method="random", sparsity=0.9)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sft.apply(model, pruning, optimizer)
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[3].conv1.weight.grad = torch.ones_like(model[3].conv1.weight)
    before = [
        *(torch_models.bits(one) for one in model.state_dict().values()),
        *((module.training) for module in model.modules()),
        *((id(one), id(one.grad), one.requires_grad) for one in model.parameters()),
        torch.get_rng_state().tolist(),
    ]
    found = sft.effective_density(model, inputs=(2, 3, 16, 16))
    assert found.kept == pruning.keep
    after = [
        *(torch_models.bits(one) for one in model.state_dict().values()),
        *((module.training) for module in model.modules()),
        *((id(one), id(one.grad), one.requires_grad) for one in model.parameters()),
        torch.get_rng_state().tolist(),
    ]
    assert before == after


def test_masks_are_a_result_those_applied_or_all() -> None:
    model = torch_models.mlp()
    pruning = sft.prune(model, method="random", sparsity=0.7)
    expected = str(sft.effective_density(model, pruning, inputs=(1, 6)))
    assert sft.effective_density(model, inputs=(1, 6)).density == 1
    arrays = {name: mask.numpy() for name, mask in pruning.masks.items()}
    assert str(sft.effective_density(model, arrays, inputs=(1, 6))) == expected
    sft.apply(model, pruning)
    assert str(sft.effective_density(model, inputs=(1, 6))) == expected
    found = sft.effective_density(model, inputs=(1, 6))
    x = normal(5, 6)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.bias.zero_()
        before = model(x)
        sft.apply(model, found.masks)
        assert torch.equal(model(x), before)


def test_inputs_are_what_the_model_takes() -> None:
    model = Function(lambda m, x, scale=None: m.a(x), a=linear(3, 2))
    counts = [
        sft.effective_density(model, inputs=inputs).effective
        for inputs in (
            *(torch.zeros(1, 3), (1, 3), [1, 3], (torch.zeros(1, 3), None)),
            *(torch.Size([1, 3]), tuple(np.array([1, 3]))),
        )
    ]
    assert counts == [6] * 6
    named = Function(lambda m, x: m.a(x), a=linear(3, 2))
    named.forward = lambda *, x: {"logits": [named.a(x)], "other": 3}
    assert sft.effective_density(named, inputs={"x": torch.zeros(1, 3)}).effective == 6
    half = linear(3, 2).half()
    assert sft.effective_density(half, inputs=torch.zeros(1, 3).half()).effective == 6


def test_an_output_that_does_not_depend_on_the_input_has_no_path() -> None:
    model = Function(lambda m, x: m.a.weight.sum(0), a=linear(3, 2))
    found = sft.effective_density(model, inputs=(1, 3))
    assert (found.kept, found.effective) == (6, 0)


def test_other_memory_formats() -> None:
    model = torch_models.resnet18()
    masks = random_masks(model, 0.2, 0)
    expected = str(sft.effective_density(model, masks, inputs=(1, 3, 16, 16)))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    assert str(sft.effective_density(last, masks, inputs=(1, 3, 16, 16))) == expected


def test_bad_masks_and_inputs_are_refused() -> None:
    model = torch_models.mlp()
    with pytest.raises(sf.StructureError, match="no parameter 'x'"):
        sft.effective_density(model, {"x": torch.ones(1).bool()}, inputs=(1, 6))
    with pytest.raises(sf.ShapeError, match=r"masks\['0.weight'\]"):
        sft.effective_density(model, {"0.weight": torch.ones(1).bool()}, inputs=(1, 6))
    with pytest.raises(sf.StructureError, match="no masks"):
        sft.effective_density(model, {}, inputs=(1, 6))
    with pytest.raises(sf.StructureError, match=r"inputs must be a tensor.* not NoneType"):
        sft.effective_density(model, inputs=None)
    with pytest.raises(sf.StructureError, match="not ndarray"):
        sft.effective_density(model, inputs=np.ones((1, 6), np.float32))
    with pytest.raises(sf.ShapeError, match=r"empty tensor, of shape \(0, 6\)"):
        sft.effective_density(model, inputs=(0, 6))
    with pytest.raises(sf.ShapeError, match="empty tensor"):
        sft.effective_density(model, inputs=torch.zeros(0, dtype=torch.int64))
    with pytest.raises(sf.UnsupportedTypeError, match="Module, not function"):
        sft.effective_density(lambda x: x, inputs=(1, 6))
    with pytest.raises(sf.UnsupportedTypeError, match="inputs=ids, a tensor of integers"):
        sft.effective_density(nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 3)), inputs=(1, 6))
    with pytest.raises(sf.StructureError, match="returns no tensor, but NoneType"):
        sft.effective_density(Function(lambda m, x: None, a=linear(2, 2)), inputs=(1, 2))
