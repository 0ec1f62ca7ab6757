"""Sparse layers compute what the masked dense ones do: outputs, gradients, training, states."""

from __future__ import annotations

import copy
import gc
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce as sf  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")
Model = nn.Module


def sparse_pair(
    model: Model, example: Any, density: float = 0.2, optimizer: Any = None
) -> tuple[Model, Model, Any]:
    """A masked model, its sparse copy, and the plan of that."""
    generator = torch.Generator().manual_seed(3)
    masks = {
        name: torch.rand(one.shape, generator=generator) < density
        for name, one in model.named_parameters()
        if one.dim() > 1
    }
    sft.apply(model, masks, optimizer)
    other = copy.deepcopy(model)
    return model, other, sft.sparsify(other, example)


def assert_close(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    found, expected = found.detach(), expected.detach()
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * (float(expected.abs().max()) + 1e-6)


def dense_gradient(model: Model, name: str) -> Any:
    """The gradient of a parameter, in the shape of the dense one."""
    parameter = model.get_parameter(name)
    gradient = parameter.grad
    mask = sft.masks(model).get(name)
    if mask is None or gradient.shape == mask.shape:
        return gradient
    module = model.get_submodule(name.rpartition(".")[0])
    return module._swiftforce_sparse.dense(gradient)


LAYERS: dict[str, tuple[Callable[[], Model], tuple[int, ...]]] = {
    "conv2d": (lambda: nn.Conv2d(8, 12, 3, padding=1), (8, 8, 8)),
    "stride": (lambda: nn.Conv2d(6, 10, 3, stride=2, padding=1, bias=False), (6, 9, 7)),
    "one tap": (lambda: nn.Conv2d(16, 8, 1), (16, 5, 5)),
    "not square": (lambda: nn.Conv2d(4, 8, (3, 5), (2, 1), (0, 2)), (4, 11, 6)),
    "same": (lambda: nn.Conv2d(4, 6, 3, padding="same"), (4, 6, 6)),
    "valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid"), (4, 6, 6)),
    "one position": (lambda: nn.Conv2d(8, 8, 3, padding=1), (8, 1, 1)),
    "conv1d": (lambda: nn.Conv1d(6, 9, 5, stride=2, padding=2), (6, 17)),
    "linear": (lambda: nn.Linear(40, 24), (40,)),
    "tokens": (lambda: nn.Linear(40, 24, bias=False), (5, 40)),
}


@pytest.mark.parametrize("samples", [1, 7, 16, 33, 64])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_of_a_layer(name: str, samples: int) -> None:
    make, shape = LAYERS[name]
    masked, sparse, plan = sparse_pair(nn.Sequential(make()), torch.randn(16, *shape))
    assert [layer.kernels for layer in plan] == ["sparse"]
    first = torch.randn(samples, *shape, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    expected, found = masked(first), sparse(second)
    assert type(found) is torch.Tensor
    assert_close(found, expected)
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    found.backward(gradient)
    assert_close(second.grad, first.grad)
    for key, parameter in masked.named_parameters():
        assert_close(dense_gradient(sparse, key), parameter.grad)
    with torch.no_grad():  # Few samples have kernels of their own.
        assert_close(sparse(second), expected)


def test_a_sample_without_a_batch() -> None:
    masked, sparse, _ = sparse_pair(nn.Conv2d(4, 8, 3), torch.randn(2, 4, 9, 9))
    one = torch.randn(4, 9, 9)
    assert_close(sparse(one), masked(one))
    masked, sparse, _ = sparse_pair(nn.Linear(30, 20), torch.randn(2, 30))
    assert_close(sparse(torch.ones(30)), masked(torch.ones(30)))
    assert sparse(torch.ones(0, 30)).shape == (0, 20)


class Residual(nn.Module):
    """Functions of torch between layers, a projection, a grouped convolution, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.first = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1)
        self.short = nn.Conv2d(16, 32, 1, stride=2)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.last = nn.Conv2d(64, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = functional.relu(self.norm(self.stem(x)), inplace=True)
        y = functional.gelu(self.first(x))
        y = self.second(y) + self.short(x)
        y *= torch.sigmoid(y.mean((2, 3), keepdim=True))
        y = torch.cat([y, functional.silu(self.depthwise(y))], 1)
        y = functional.dropout(functional.avg_pool2d(self.last(y), 2), 0.0)
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(y, 1), 1))


def vgg() -> Model:
    layers: list[Model] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.0), nn.Linear(32, 10))


MODELS: dict[str, Callable[[], Model]] = {
    "vgg": vgg,
    "residual": Residual,
    "mlp": lambda: nn.Sequential(
        nn.Flatten(),
        nn.Linear(192, 64, bias=False),
        nn.BatchNorm1d(64),
        nn.Tanh(),
        nn.Linear(64, 10),
    ),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-3),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-4, momentum=0.5),
    "adagrad": lambda p: torch.optim.Adagrad(p, 1e-3),
}


def train(
    model: Model, optimizer: Any, steps: int, seed: int = 0, samples: int = 32
) -> list[float]:
    torch.manual_seed(seed)
    losses = []
    for step in range(steps):
        x, y = torch.randn(samples, 3, 8, 8), torch.randint(0, 10, (samples,))
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        if step % 2:  # Accumulated over two batches.
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [*(("vgg", optimizer) for optimizer in OPTIMIZERS), ("residual", "adamw"), ("mlp", "sgd")],
)
def test_training_follows_that_of_the_masked_model(name: str, optimizer: str) -> None:
    torch.manual_seed(1)
    masked, sparse, plan = sparse_pair(MODELS[name](), torch.randn(32, 3, 8, 8))
    assert any(layer.kernels == "sparse" for layer in plan)
    expected = train(masked, OPTIMIZERS[optimizer](masked.parameters()), 12)
    found = train(sparse, OPTIMIZERS[optimizer](sparse.parameters()), 12)
    assert found == pytest.approx(expected, rel=1e-4)
    for key, value in masked.state_dict().items():
        if value.is_floating_point():
            assert_close(sparse.state_dict()[key], value, 1e-3)
    assert train(sparse, OPTIMIZERS[optimizer](sparse.parameters()), 4, 5, 20) == pytest.approx(
        train(masked, OPTIMIZERS[optimizer](masked.parameters()), 4, 5, 20), rel=1e-3
    )
    for samples in (3, 32, 50):
        batch = torch.randn(samples, 3, 8, 8)
        masked.eval(), sparse.eval()
        assert_close(sparse(batch), masked(batch), 1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_of_an_optimizer_goes_on_both_ways(optimizer: str) -> None:
    torch.manual_seed(1)
    masked, other = vgg(), vgg()
    other.load_state_dict(masked.state_dict())
    masks = {"4.weight": torch.rand(32, 16, 3, 3) < 0.1, "8.weight": torch.rand(32, 32, 3, 3) < 0.2}
    first, second = (OPTIMIZERS[optimizer](one.parameters()) for one in (masked, other))
    sft.apply(masked, masks, first)
    sft.apply(other, masks, second)
    assert train(other, second, 4) == train(masked, first, 4)
    sft.sparsify(other, torch.randn(32, 3, 8, 8))
    assert other[4].weight.dim() == 1
    assert train(other, second, 6, 1) == pytest.approx(train(masked, first, 6, 1), rel=1e-4)
    sft.desparsify(other)
    assert type(other[4]) is nn.Conv2d
    assert train(other, second, 6, 2) == pytest.approx(train(masked, first, 6, 2), rel=1e-4)
    for name, mask in masks.items():
        assert int((other.get_parameter(name) != 0).sum()) == int(mask.sum())
        assert torch.equal(sft.masks(other)[name], mask)


def test_it_can_be_called_while_a_graph_is_alive() -> None:
    model = nn.Linear(16, 8)
    sft.apply(model, {"weight": torch.rand(8, 16) < 0.2})
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    loss = model(torch.ones(4, 16)).sum()
    loss.backward()
    gradient = model.weight.grad.clone()
    alive = model(torch.ones(4, 16)).sum()
    for _ in range(2):
        sft.sparsify(model, (4, 16))
        assert model.weight.grad.shape == model.weight.shape
        model(torch.ones(4, 16)).sum().backward()
        optimizer.step()
        sft.desparsify(model)
        model(torch.ones(4, 16)).sum().backward()
        optimizer.step()
    torch.testing.assert_close(model.weight.grad, 5 * gradient)
    del alive, loss


def test_lbfgs_forgets_its_history() -> None:
    model = nn.Linear(20, 4)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
    sft.apply(model, {"weight": torch.rand(4, 20) < 0.3}, optimizer)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = model(torch.ones(16, 20)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    sft.sparsify(model, torch.ones(16, 20))
    losses = [optimizer.step(closure).item() for _ in range(2)]
    assert losses[1] <= losses[0]


def test_desparsify_brings_back_every_bit() -> None:
    masked, sparse, _ = sparse_pair(vgg().eval(), torch.randn(16, 3, 8, 8))
    sparse(torch.randn(16, 3, 8, 8)).sum().backward()
    gradient = sparse[4].weight.grad.clone()
    sft.desparsify(sparse)
    mask = sft.masks(sparse)["4.weight"]
    assert torch.equal(sparse[4].weight.grad[mask], gradient)
    assert not sparse._forward_hooks
    for key, value in masked.state_dict().items():
        assert torch.equal(sparse.state_dict()[key], value)
    sft.desparsify(sparse)  # It has nothing to do.


def test_states_are_those_of_the_dense_model(tmp_path: Path) -> None:
    masked, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    assert sft.masks(sparse).keys() == sft.masks(masked).keys()
    for key, value in masked.state_dict().items():
        assert torch.equal(sparse.state_dict()[key], value)
    plain = vgg()
    plain.load_state_dict(sparse.state_dict())
    sft.save_packed(sparse, tmp_path / "p")
    packed = sft.load_packed(tmp_path / "p")
    assert torch.equal(packed.state["4.weight"], masked[4].weight)
    changed = {
        key: value + 1.0 if key == "4.weight" else value
        for key, value in plain.state_dict().items()
    }
    with pytest.warns(sf.RemovedWeightsWarning):
        sparse.load_state_dict(changed)
    mask = sft.masks(masked)["4.weight"]
    assert torch.equal(sparse.state_dict()["4.weight"], changed["4.weight"] * mask)


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_sparse_models_of_their_own(way: str) -> None:
    _, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    if way == "deepcopy":
        copied = copy.deepcopy(sparse)
    elif way == "pickle":
        copied = pickle.loads(pickle.dumps(sparse))
    else:
        file = io.BytesIO()
        torch.save(sparse, file)
        file.seek(0)
        copied = torch.load(file, weights_only=False)
    batch = torch.randn(20, 3, 8, 8)
    sparse.eval(), copied.eval()
    before = sparse(batch)
    assert torch.equal(copied(batch), before)
    train(copied.train(), torch.optim.SGD(copied.parameters(), 0.1), 4)
    assert torch.equal(sparse(batch), before)
    sft.desparsify(copied)
    for name, mask in sft.masks(copied).items():
        assert not copied.get_parameter(name)[~mask].any()


def test_what_the_kernels_are_not_for_is_computed_densely() -> None:
    masked, sparse, _ = sparse_pair(nn.Conv2d(4, 8, 3), torch.randn(16, 4, 8, 8))
    batch = torch.randn(16, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        expected = masked(batch)
        with pytest.warns(sf.DenseLayerWarning, match="autocast computes in another type"):
            found = sparse(batch)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    found.float().sum().backward()
    expected.float().sum().backward()
    assert_close(dense_gradient(sparse, "weight"), masked.weight.grad * (masked.weight != 0))
    masked.double(), sparse.double()
    with pytest.warns(sf.DenseLayerWarning, match="float64"):
        assert torch.equal(sparse(batch.double()), masked(batch.double()))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(8, 8, 3, groups=2), "it has groups"),
        (nn.Conv2d(8, 8, 3, dilation=2), "it is dilated"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "its padding is 'reflect'"),
        pytest.param(
            nn.Conv2d(8, 8, 2, padding="same"),
            "its padding is not symmetric",
            marks=pytest.mark.filterwarnings("ignore:Using padding='same'"),
        ),
        (nn.Conv2d(8, 8, 1, padding=1), "its padding is as large as its kernel"),
        (nn.ConvTranspose2d(8, 8, 3), "no sparse kernels for ConvTranspose2d"),
        (type("Own", (nn.Conv2d,), {})(8, 8, 3), "no sparse kernels for Own"),
    ],
)
def test_what_stays_dense_is_named(layer: Model, reason: str) -> None:
    _, sparse, plan = sparse_pair(nn.Sequential(layer), torch.randn(2, 8, 8, 8), density=0.01)
    assert (plan[0].kernels, plan[0].reason, plan.conversions) == ("dense", reason, 0)
    assert reason in repr(plan)
    assert sparse[0].weight.dim() == 4


def test_dense_masks_and_shared_weights_stay_dense() -> None:
    _, _, plan = sparse_pair(nn.Linear(32, 32), torch.randn(4, 32), density=0.9)
    assert plan[0].kernels == "dense"
    assert plan[0].reason.startswith("more than ")
    model = nn.Sequential(nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False))
    model[1].weight = model[0].weight
    sft.apply(model, {"0.weight": torch.eye(16, dtype=torch.bool)})
    assert sft.sparsify(model, torch.ones(2, 16))[0].reason == "several modules share its weight"


def test_what_an_encoder_multiplies_by_itself_stays_dense() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    masked, sparse, plan = sparse_pair(layer, torch.randn(4, 6, 16))
    assert {one.name: one.reason for one in plan if "linear" in one.name} == dict.fromkeys(
        ("linear1.weight", "linear2.weight"),
        "TransformerEncoderLayer multiplies by its weight itself",
    )
    assert_close(sparse(torch.ones(4, 6, 16)), masked(torch.ones(4, 6, 16)))


class Scaled(nn.Module):
    """A quotient between sparse layers, which has no gradient at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, bias=False)
        self.scale = nn.Parameter(torch.ones(16, 1, 1))
        self.second = nn.Conv2d(16, 8, 3)

    def forward(self, x: Any) -> Any:
        y = self.scale * self.first(x)
        return self.second(y / y.std(1, keepdim=True))


@pytest.mark.parametrize("samples", [1, 17, 20, 32])
def test_lanes_without_a_sample_have_no_gradient(samples: int) -> None:
    masked, sparse, _ = sparse_pair(Scaled(), torch.randn(16, 3, 8, 8), density=0.4)
    batch = torch.randn(samples, 3, 8, 8)
    for one in (masked, sparse):
        one(batch).sum().backward()
    assert_close(sparse.scale.grad, masked.scale.grad, 1e-4)
    assert_close(dense_gradient(sparse, "first.weight"), masked.first.weight.grad, 1e-4)


class Rounded(torch.autograd.Function):
    """Rounds, and passes gradients of small numbers on."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.round(decimals=1)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 1)


class WithFunction(Scaled):
    def forward(self, x: Any) -> Any:
        return self.second(Rounded.apply(self.first(x)))


def hooked() -> Model:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Tanh(), nn.Conv2d(16, 8, 3))
    model[1].register_full_backward_hook(lambda *_: None)
    return model


class Checkpointed(Scaled):
    def forward(self, x: Any) -> Any:
        y = torch.utils.checkpoint.checkpoint(self.first, x, use_reentrant=True)
        return self.second(torch.utils.checkpoint.checkpoint(torch.tanh, y, use_reentrant=True))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("make", [WithFunction, Checkpointed, hooked])
def test_functions_that_see_memory_get_the_layout_of_torch(make: Callable[[], Model]) -> None:
    masked, sparse, _ = sparse_pair(make(), torch.randn(32, 3, 8, 8), density=0.4)
    batch = torch.randn(32, 3, 8, 8, requires_grad=True)
    for one in (masked.eval(), sparse.eval()):
        one(batch).square().sum().backward()
    for name, parameter in masked.named_parameters():
        if parameter.grad is not None:
            assert_close(dense_gradient(sparse, name), parameter.grad, 1e-4)


class Noisy(Scaled):
    def forward(self, x: Any) -> Any:
        return self.second(functional.dropout(self.first(x), 0.5))


def test_random_numbers_are_drawn_as_before_where_outputs_tell() -> None:
    masked, sparse, plan = sparse_pair(Noisy(), torch.randn(32, 3, 8, 8), density=0.4)
    assert plan.conversions > 2
    batch = torch.randn(32, 3, 8, 8)
    torch.manual_seed(0)
    expected = masked(batch)
    torch.manual_seed(0)
    assert_close(sparse(batch), expected)


def test_outputs_that_cannot_be_compared_are_refused() -> None:
    class Silent(Scaled):
        def forward(self, x: Any) -> Any:
            return SimpleNamespace(y=self.second(self.first(x)))

    with pytest.raises(sf.StructureError, match="returns no floating-point tensors"):
        sparse_pair(Silent(), torch.randn(16, 3, 8, 8))


def test_assigned_states_and_parameters_keep_the_masks() -> None:
    masked, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    sparse.load_state_dict(masked.state_dict(), assign=True)
    assert sparse[4].weight.dim() == 1
    assert sft.masks(sparse).keys() == sft.masks(masked).keys()
    sparse[8].weight = nn.Parameter(torch.ones(32, 32, 3, 3))
    assert not sparse[8].weight[~sft.masks(sparse)["8.weight"]].any()
    sft.desparsify(sparse)
    train(sparse, torch.optim.AdamW(sparse.parameters()), 4)
    for name, mask in sft.masks(masked).items():
        assert not sparse.get_parameter(name)[~mask].any()


def test_the_state_of_a_dense_optimizer_is_loaded_into_a_copy() -> None:
    masked, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    first = torch.optim.SGD(masked.parameters(), 0.05, momentum=0.9)
    train(masked, first, 4)
    copied = copy.deepcopy(sparse)
    copied.load_state_dict(masked.state_dict())
    second = torch.optim.SGD(copied.parameters(), 0.05, momentum=0.9)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert train(copied, second, 6, 1) == pytest.approx(train(masked, first, 6, 1), rel=1e-4)


def test_gradients_of_activations() -> None:
    masked, sparse, _ = sparse_pair(vgg().eval(), torch.randn(16, 3, 8, 8))
    found: list[dict[str, Any]] = []
    for model in (masked, sparse):
        kept: dict[str, Any] = {}

        def keep(_: Model, __: Any, output: Any, kept: dict[str, Any] = kept) -> None:
            kept["activation"] = output
            output.retain_grad()
            output.register_hook(lambda gradient: kept.update(hooked=gradient))

        handle = model[4].register_forward_hook(keep)
        loss = model(torch.ones(16, 3, 8, 8)).square().sum()
        (kept["own"],) = torch.autograd.grad(loss, kept["activation"], retain_graph=True)
        loss.backward()
        kept["retained"] = kept["activation"].grad
        found.append(kept)
        handle.remove()
    for name in ("own", "hooked", "retained"):
        assert_close(found[1][name], found[0][name], 1e-4)


def test_masks_of_biases_stay_dense_and_are_listed() -> None:
    model = nn.Linear(32, 32)
    sft.apply(model, {"weight": torch.eye(32, dtype=torch.bool), "bias": torch.arange(32) > 4})
    plan = sft.sparsify(model, (4, 32))
    assert {one.name: one.kernels for one in plan} == {"weight": "sparse", "bias": "dense"}


def test_errors_of_shapes_are_those_of_torch() -> None:
    masked, sparse, _ = sparse_pair(nn.Conv2d(4, 8, 3), torch.randn(16, 4, 8, 8))
    for shape in ((16, 5, 8, 8), (2, 2, 4, 8, 8), (8,)):
        texts = []
        for model in (masked, sparse):
            with pytest.raises((RuntimeError, ValueError)) as error:
                model(torch.ones(shape))
            texts.append(str(error.value))
        assert texts[0] == texts[1]
    with pytest.raises(sf.StructureError, match="before new values are drawn"):
        sparse.reset_parameters()


def test_statistics_are_renewed_in_inference_mode() -> None:
    masked, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    with torch.inference_mode():
        for model in (masked, sparse):
            model(torch.ones(32, 3, 8, 8))
    assert_close(sparse[5].running_mean, masked[5].running_mean, 1e-4)


class UsesWeight(nn.Module):
    """A model that multiplies by a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x: Any) -> Any:
        return self.layer(x) @ self.layer.weight


def test_a_model_that_uses_the_weight_itself_is_refused_and_unchanged() -> None:
    model = UsesWeight()
    sft.apply(model, {"layer.weight": torch.eye(16, dtype=torch.bool)})
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(sf.StructureError, match="leave that weight out of the masks"):
        sft.sparsify(model, torch.randn(4, 16))
    assert type(model.layer) is nn.Linear
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    model(torch.randn(4, 16)).sum().backward()
    assert not model.layer.weight.grad[~torch.eye(16, dtype=torch.bool)].any()


def test_refusals_say_what_to_do() -> None:
    model = nn.Linear(16, 16)
    with pytest.raises(sf.StructureError, match=r"no masks: call apply\(model, pruning\)"):
        sft.sparsify(model, torch.ones(2, 16))
    masks = {"weight": torch.eye(16, dtype=torch.bool)}
    sft.apply(model, masks)
    sft.sparsify(model, torch.ones(2, 16))
    for call in (
        lambda: sft.sparsify(model, torch.ones(2, 16)),
        lambda: sft.apply(model, masks),
        lambda: sft.remove(model),
        lambda: sft.to_torch_prune(model),
        lambda: sft.prune(model, method="magnitude", sparsity=0.5),
        lambda: sft.effective_density(model, inputs=torch.ones(2, 16)),
    ):
        with pytest.raises(sf.StructureError, match=r"desparsify\(model\) first"):
            call()


def test_second_derivatives_are_refused() -> None:
    _, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    loss = sparse(torch.randn(16, 3, 8, 8)).square().sum()
    (first,) = torch.autograd.grad(loss, [sparse[4].weight], create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiable|autograd"):
        torch.autograd.grad(first.sum(), [sparse[0].weight])


def test_compilers_see_the_operation() -> None:
    masked, sparse, _ = sparse_pair(vgg(), torch.randn(16, 3, 8, 8))
    compiled = torch.compile(sparse, backend="aot_eager", fullgraph=True)
    batch = torch.randn(24, 3, 8, 8)
    found, expected = compiled(batch), masked(batch)
    assert_close(found, expected)
    found.sum().backward()
    expected.sum().backward()
    assert_close(dense_gradient(sparse, "4.weight"), masked[4].weight.grad, 1e-3)
    sparse.eval(), masked.eval()
    exported = torch.export.export(sparse, (batch,)).module()
    assert_close(exported(batch), masked(batch))


def test_a_graph_keeps_its_masks_and_says_when_they_are_elsewhere() -> None:
    from swiftforce.torch.sparse_operations import sparse_layer

    _, sparse, _ = sparse_pair(nn.Linear(40, 24), (16, 40))
    graph = torch.export.export(sparse, (torch.ones(16, 40),))
    del sparse
    gc.collect()
    assert graph.module()(torch.ones(16, 40)).shape == (16, 24)
    with pytest.raises(sf.StructureError, match="keep the sparse model in memory"):
        sparse_layer(torch.ones(1, 4, 16), torch.ones(2), None, 5, [4, 2, *[1, 1, 1, 0] * 2], 16)


def test_the_operation_passes_the_checks_of_torch() -> None:
    from swiftforce.torch.sparse_operations import CompiledMask, sparse_layer

    mask = torch.rand(6, 4, 3, 3) < 0.3
    compiled = CompiledMask.of(mask)
    source = torch.randn(2, 4, 5, 5, 16, requires_grad=True)
    values = torch.randn(int(mask.sum()), requires_grad=True)
    sizes = [4, 6, 5, 3, 1, 1, 5, 3, 1, 1]
    for samples in (32, 20):
        arguments = (source, values, torch.ones(6), compiled.number, sizes, samples)
        torch.library.opcheck(sparse_layer, arguments, test_utils="test_schema")
        torch.library.opcheck(sparse_layer, arguments, test_utils="test_faketensor")
