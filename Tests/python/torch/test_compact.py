"""A compact model computes and trains as the masked one, whatever operations channels pass through.

Numbers are float64, so that a wrong channel cannot hide in rounding.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from compact_models import NETWORKS, Gate, ResNet  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SHAPE = (3, 8, 8)
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=5e-4),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3),
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def masks_of(model: nn.Module, density: float, seed: int = 0) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=drawn) < density
        for name, weight in sft.prunable(model).items()
    }


def trained(
    make: Callable[[], nn.Module], density: float, optimizer: str = "sgd", seed: int = 0
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A masked model after two steps, and its optimizer."""
    torch.manual_seed(seed)
    model = make().train()
    made = OPTIMIZERS[optimizer](model.parameters())
    sft.apply(model, masks_of(model, density, seed), made)
    for _ in range(2):
        step(model, made, torch.randn(8, *SHAPE))
    return model, made


def twin(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    copied = copy.deepcopy(model)
    options = {name: optimizer.defaults[name] for name in ("lr", "weight_decay")}
    if "momentum" in optimizer.defaults:
        options["momentum"] = optimizer.defaults["momentum"]
    made = type(optimizer)(copied.parameters(), **options)
    made.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    return sft.apply(copied, sft.masks(model), made), made


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> float:
    optimizer.zero_grad()
    loss = (model(x) - 1).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def compact(model: nn.Module, *arguments: Any, **named: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sf.LayerCollapseWarning)
        return sft.compact(model, (2, *SHAPE), *arguments, **named)


def assert_same_outputs(
    model: nn.Module, small: nn.Module, modes: tuple[bool, ...] = (False, True)
) -> None:
    x = torch.randn(8, *SHAPE)
    for mode in modes:
        mine, other = copy.deepcopy(small).train(mode)(x), copy.deepcopy(model).train(mode)(x)
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)


def assert_trains_alike(
    pairs: list[tuple[nn.Module, torch.optim.Optimizer]], steps: int, rtol: float = 1e-9
) -> None:
    for _ in range(steps):
        x = torch.randn(8, *SHAPE)
        losses = [step(model, optimizer, x) for model, optimizer in pairs]
        assert losses[0] == pytest.approx(losses[1], rel=rtol)


DENSITIES = (0.5, 0.1, 0.03, 0.005)


@pytest.mark.parametrize(
    ("name", "density", "optimizer"),
    [
        (name, density, list(OPTIMIZERS)[(place + turn) % len(OPTIMIZERS)])
        for place, name in enumerate(NETWORKS)
        for turn, density in enumerate(DENSITIES)
    ],
)
def test_outputs_and_training_are_those_of_the_masked_model(
    name: str, density: float, optimizer: str
) -> None:
    masked = trained(NETWORKS[name], density, optimizer)
    model, made = twin(*masked)
    small = compact(model, made)
    assert_same_outputs(masked[0], small)
    assert_trains_alike([masked, (small, made)], steps=20)
    assert_same_outputs(masked[0], small)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    density=st.floats(0.001, 0.5),
    seed=st.integers(0, 2**31),
)
def test_random_masks(name: str, density: float, seed: int) -> None:
    masked = trained(NETWORKS[name], density, "sgd", seed)
    model, made = twin(*masked)
    small = compact(model, made)
    assert_same_outputs(masked[0], small)
    assert_trains_alike([masked, (small, made)], steps=3)
    in_eval_mode = masked[0].eval()
    assert_same_outputs(in_eval_mode, compact(in_eval_mode, inference=True), modes=(False,))


@pytest.mark.parametrize("name", NETWORKS)
def test_inference_folds_constants(name: str) -> None:
    model, _ = trained(NETWORKS[name], 0.05)
    small, whole = compact(model.eval(), inference=True), compact(model)
    assert_same_outputs(model, small, modes=(False,))
    assert small.compaction.multiply_adds[1] <= whole.compaction.multiply_adds[1]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_float32(optimizer: str) -> None:
    torch.set_default_dtype(torch.float32)
    masked = trained(ResNet, 0.03, optimizer)
    model, made = twin(*masked)
    small = compact(model, made)
    assert small.compaction.gain > 1.5
    # Rounding, which depends on the CPU, grows from step to step.
    assert_trains_alike([masked, (small, made)], steps=20, rtol=5e-4)


def without_constants(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without biases and norms: a unit is a constant only if it is zero."""
    model = make()
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm2d, nn.BatchNorm1d, Gate)):
                setattr(module, name, nn.Identity())
            elif getattr(child, "bias", None) is not None:
                child.bias = None
    return model


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.2, 0.05])
@pytest.mark.parametrize("name", ["mlp", "vgg", "resnet", "mobilenet", "densenet"])
def test_units_left_are_those_on_a_path(name: str, density: float, seed: int) -> None:
    model = without_constants(NETWORKS[name])
    sft.apply(model, masks_of(model, density, seed))
    on_path = sft.effective_density(model, inputs=(1, *SHAPE)).masks
    left = {layer.name: layer.units[1] for layer in compact(model).compaction.layers}
    *hidden, _ = on_path  # All outputs of the last layer stay.
    for weight in hidden:
        units = int(on_path[weight].flatten(1).any(1).sum())
        # One is computed where none is needed, for the sizes of the batch and the image.
        assert left[weight.removesuffix(".weight")] in ({units} if units else {0, 1}), weight


def test_a_dead_branch_vanishes() -> None:
    model = without_constants(ResNet)
    masks = masks_of(model, 0.5)
    masks["blocks.0.second.0.weight"][:] = False
    sft.apply(model, masks)
    small = compact(model)
    assert not any(name.startswith("blocks.0.") for name in small.state_dict())
    assert_same_outputs(model, small)


def test_a_shift_that_is_trained_stays() -> None:
    model = ResNet()
    masks = {name: torch.ones_like(one).bool() for name, one in sft.prunable(model).items()}
    masks["blocks.0.second.0.weight"][:3] = False  # What adds to the shortcut.
    masks["blocks.0.first.0.weight"][:3] = False  # What a ReLU alone reads.
    small = compact(sft.apply(model, masks))
    state = small.state_dict()
    assert len(state["blocks.0.second.0.weight"]) == 5  # Products with zeros are not computed,
    assert len(state["blocks.0.second.1.bias"]) == 8  # but the shifts are there.
    assert len(state["blocks.0.first.1.bias"]) == 5


def linear_with_bias(bias: float) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 5))
    nn.init.constant_(model[1].bias, bias)
    mask = torch.ones(4, 192, dtype=torch.bool)
    mask[1] = False
    return sft.apply(model, {"1.weight": mask})


@pytest.mark.parametrize(("bias", "left"), [(-0.5, 3), (0.0, 3), (0.5, 4)])
def test_units_with_a_bias(bias: float, left: int) -> None:
    model = linear_with_bias(bias)
    small = compact(model)
    assert small.compaction.layers[0].units == (4, left)
    alone = "1 units of 1 that no kept weight reaches: their biases are trained"
    assert small.compaction.left_alone == ((alone,) if left == 4 else ())
    assert_same_outputs(model, small)
    folded = compact(model, inference=True)
    assert folded.compaction.layers[0].units == (4, 3)
    assert_same_outputs(model, folded)


def test_a_bias_that_an_optimizer_still_moves_stays() -> None:
    model = linear_with_bias(0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.state[model[1].bias]["momentum_buffer"] = torch.tensor([0.0, -1.0, 0.0, 0.0])
    assert compact(model, optimizer).compaction.layers[0].units == (4, 4)


def test_a_bias_that_others_read_stays() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(192, 4), nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x.flatten(1))
            return self.second(y.relu()) + self.second(-y)

    model = Two()
    nn.init.constant_(model.first.bias, -1.0)
    mask = torch.ones(4, 192, dtype=torch.bool)
    mask[1] = False
    small = compact(sft.apply(model, {"first.weight": mask}))
    assert small.compaction.layers[0].units == (4, 4)


def test_a_network_without_any_path() -> None:
    model = NETWORKS["vgg"]()
    masks = {name: torch.zeros_like(one).bool() for name, one in sft.prunable(model).items()}
    sft.apply(model, masks)
    with pytest.warns(sf.LayerCollapseWarning, match="no path of kept weights"):
        small = sft.compact(model, (2, *SHAPE))
    assert {layer.units[1] for layer in small.compaction.layers[:-1]} == {1}
    assert_same_outputs(model, small)


def test_zeros_of_a_model_without_masks_are_removed_weights() -> None:
    masked = sft.apply(NETWORKS["vgg"](), masks_of(NETWORKS["vgg"](), 0.03))
    plain = NETWORKS["vgg"]()
    plain.load_state_dict(masked.state_dict())
    found, wanted = compact(plain), compact(masked)
    assert found.compaction == wanted.compaction
    assert sft.masks(wanted).keys() == sft.masks(masked).keys()
    assert sft.masks(found) == {}


def test_a_weight_that_begins_at_zero_is_kept() -> None:
    model = NETWORKS["mlp"]()
    nn.init.zeros_(model[9].weight)
    masks = masks_of(model, 0.9)
    del masks["9.weight"]
    assert compact(sft.apply(model, masks)).compaction.layers[-1].inputs[1] > 1


def test_masks_stay_on_weights_that_stay() -> None:
    model, optimizer = trained(NETWORKS["resnet"], 0.05)
    before = sft.masks(model)
    small = compact(model, optimizer)
    after = sft.masks(small)
    for name, mask in after.items():
        weight = small.get_parameter(name)
        assert weight.shape == mask.shape
        assert mask.sum() <= before[name].sum()
        assert not weight[~mask].any()
    assert sum(map(torch.numel, after.values())) < sum(map(torch.numel, before.values()))
    for _ in range(3):
        step(small, optimizer, torch.randn(8, *SHAPE))
    assert not any(small.get_parameter(name)[~mask].any() for name, mask in after.items())
