"""Wrappers and averages: seen through everywhere, with the names of the model inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch.wrappers import parallel_of, scored, unwrapped  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.optim.swa_utils import (  # noqa: E402
    AveragedModel,
    get_ema_avg_fn,
    get_ema_multi_avg_fn,
)
from torch_models import (  # noqa: E402
    CLASSES,
    Masks,
    assert_same,
    batches,
    bits,
    mlp,
    random_masks,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

OPTIONS: dict[str, Any] = {"loss": cross_entropy, "sparsity": 0.7, "steps": 3}


class Engine(nn.Module):
    """Trains the model inside, as DeepSpeed's engine does."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.module = model

    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def backward(self, loss: torch.Tensor) -> None:
        loss.backward()

    def step(self) -> None:
        pass


class _FabricModule(nn.Module):
    """Acts as Fabric's wrapper in mixed precision: autograd alone is refused."""

    __module__ = "lightning.fabric.wrappers"

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._forward_module = model
        self._strategy = SimpleNamespace(precision=Doubled())
        self._forward_methods = {"training_step"}

    @property
    def module(self) -> nn.Module:
        return self._forward_module

    def state_dict(self, *arguments: Any, **named: Any) -> Any:
        return self.module.state_dict(*arguments, **named)

    def forward(self, *inputs: Any) -> Any:
        inputs, _ = self._strategy.precision.convert_input((inputs, {}))
        output = self._strategy.precision.convert_output(self._forward_module(*inputs))
        output.register_hook(refuse)
        return output


class Doubled:
    """A precision that can be told from another: it doubles inputs."""

    def convert_input(self, given: Any) -> Any:
        inputs, named = given
        return tuple(2 * one for one in inputs), named

    def forward_context(self) -> AbstractContextManager[None]:
        return nullcontext()

    def convert_output(self, output: Any) -> Any:
        return output


def refuse(_: torch.Tensor) -> None:
    raise RuntimeError("call fabric.backward(loss)")


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "compiled": lambda m: torch.compile(m, backend="eager"),
    "AveragedModel": AveragedModel,
    "engine": Engine,
    "Fabric": _FabricModule,
    "Fabric of compiled": lambda m: _FabricModule(torch.compile(m, backend="eager")),
    "compiled engine": lambda m: torch.compile(Engine(m), backend="eager"),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_masks_have_the_names_of_the_model_inside(wrap: str) -> None:
    model = WRAPPED[wrap](mlp())
    scale = 2 if wrap.startswith("Fabric") else 1
    data = [(scale * x, y) for x, y in batches()]
    wanted = sft.prune(mlp(), data, **OPTIONS)
    before = {name: bits(one) for name, one in model.state_dict().items()}
    found = sft.prune(model, batches(), **OPTIONS)
    assert_same(found.masks, wanted.masks)
    assert {name: bits(one) for name, one in model.state_dict().items()} == before
    assert list(sft.prunable(model)) == list(wanted.masks)
    sft.apply(model, found)
    assert_same(sft.masks(model), wanted.masks)
    assert_same(sft.masks_of_zeros(model), wanted.masks)
    assert_same(sft.masks_of_zeros(model.state_dict()), wanted.masks)
    sft.apply(mlp(), found)  # They fit the model itself.
    further = {**OPTIONS, "sparsity": 0.8, "initial_masks": sft.masks(model)}
    again = sft.prune(model, batches(), **further)
    assert all((mask <= wanted.masks[name]).all() for name, mask in again.masks.items())
    sft.remove(model)
    assert sft.masks(model) == {}


def test_a_loss_of_the_callers_own_may_call_other_methods() -> None:
    class Net(nn.Sequential):
        scale = 1.0

        def training_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.scale * cross_entropy(self(x), y)

    def loss(model: Any, batch: Any) -> torch.Tensor:
        return model.training_step(*batch) / model.scale

    inside = Net(*mlp())
    inside[2] = nn.Linear(8, 2 * CLASSES)  # The precision doubles the labels, too.
    doubled = [(2 * x, 2 * y) for x, y in batches()]
    options = {"batch_loss": loss, "sparsity": 0.5, "method": "snip"}
    found = sft.prune(_FabricModule(inside), batches(), **options)
    assert_same(found.masks, sft.prune(inside, doubled, **options).masks)


def test_a_model_whose_part_is_called_module_is_no_wrapper() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.module(2 * x)

    model = Net()
    assert unwrapped(model) is model
    assert scored(model) is model
    assert parallel_of(model) is None
    found = sft.prune(model, batches(), **OPTIONS)
    assert set(found.masks) <= set(model.state_dict())


# ------------------------------------------------------------------------------ averages


def clean(model: nn.Module, masks: Masks) -> bool:
    return all(not model.get_parameter(name)[~mask].any() for name, mask in masks.items())


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, average: AveragedModel) -> None:
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
        average.update_parameters(model)


AVERAGES: dict[str, dict[str, Any]] = {
    "SWA": {},
    "EMA": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
    "EMA, one by one": {"avg_fn": get_ema_avg_fn(0.9)},
}


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("made", ["after", "before", "before, used"])
def test_averages_work_and_are_sparse(kind: str, buffers: bool, made: str) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    masks = random_masks(model)
    if made == "after":
        sft.apply(model, masks, optimizer)
    average = AveragedModel(model, use_buffers=buffers, **AVERAGES[kind])
    if made == "before, used":
        train(model, optimizer, average)
    if made != "after":
        sft.apply(model, masks, optimizer)
    if made == "before, used":
        assert not clean(average.module, masks)
        sft.apply(average, masks)  # It has dense weights from before.
    train(model, optimizer, average)
    assert clean(average.module, masks)
    assert_same(sft.masks_of_zeros(average.state_dict()), masks)
    assert [one.shape for one in average.buffers()][1:] == [one.shape for one in model.buffers()]
    plain = network()
    plain.load_state_dict(average.module.state_dict())


def test_a_copy_that_is_averaged_by_its_state_stays_in_step_with_the_model() -> None:
    """As timm does it: values of both states, in their order."""
    model = network()
    average = copy.deepcopy(model)
    masks = random_masks(model)
    sft.apply(model, masks)
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        assert mean.shape == value.shape
        mean.copy_(value)
    assert clean(average, masks)


# ------------------------------------------------------------------------------ other packages


def test_models_and_optimizers_of_fabric() -> None:
    fabric = pytest.importorskip("lightning.fabric", reason="needs lightning")
    for precision in ("32-true", "bf16-mixed", "bf16-true"):
        setup = fabric.Fabric(accelerator="cpu", devices=1, precision=precision)
        inside = mlp()
        optimizer = torch.optim.Adafactor(inside.parameters())
        model, optimizer = setup.setup(inside, optimizer)
        found = sft.prune(model, batches(), **OPTIONS)
        assert set(found.masks) <= set(model.state_dict())
        sft.apply(model, found, optimizer)
        for x, y in batches():
            optimizer.zero_grad()
            setup.backward(cross_entropy(model(x).float(), y))
            optimizer.step()
        assert clean(inside, found.masks)


def test_models_and_optimizers_of_accelerate() -> None:
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    model = mlp()
    model, optimizer = accelerator.prepare(model, torch.optim.Adafactor(model.parameters()))
    found = sft.prune(model, batches(), **OPTIONS)
    sft.apply(model, found, optimizer)
    for x, y in batches():
        optimizer.zero_grad()
        accelerator.backward(cross_entropy(model(x), y))
        optimizer.step()
    assert clean(model, found.masks)


def test_averages_of_timm() -> None:
    utils = pytest.importorskip("timm.utils", reason="needs timm", exc_type=ImportError)
    for kind in (utils.ModelEmaV2, utils.ModelEmaV3):
        model = network()
        masks = random_masks(model)
        average = kind(model)
        sft.apply(model, masks)
        average.update(model)
        sft.apply(average, masks)
        average.update(model)
        assert clean(average.module, masks)
        assert_same(sft.masks(average), masks)


def test_a_wrapper_of_no_model_is_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="SimpleNamespace"):
        sft.masks(SimpleNamespace(module=mlp()))
