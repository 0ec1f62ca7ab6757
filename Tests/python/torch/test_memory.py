"""Memory formats and dtypes: a mask has the right elements whatever the layout."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from swiftforce.torch.memory import array_of, flattened, order_of, unflattened  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import Batches, assert_same, batches, bits, mlp, reference_search  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

OPTIONS: dict[str, Any] = {"method": "force", "sparsity": 0.7, "steps": 4}


def prune(model: nn.Module, data: Batches, **options: Any) -> sf.Pruning:
    return sft.prune(model, data, **{"loss": cross_entropy, **OPTIONS, **options})


def convolutions(dtype: Any = torch.float64) -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Conv2d(5, 3, 2), nn.Flatten(), nn.Linear(27, 4)
    return nn.Sequential(*layers).to(dtype)


# ------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("method", ["force", "snip", "magnitude", "grasp", "synflow"])
def test_masks_of_channels_last_are_those_of_the_contiguous_model(method: str) -> None:
    """In float64, so that the order of sums in a convolution does not change a mask."""
    data = batches((2, 6, 6), dtype=torch.float64)
    other = convolutions().to(memory_format=torch.channels_last)
    assert other[0].weight.stride() != convolutions()[0].weight.stride()
    steps = 4 if method in {"force", "synflow"} else None
    found = prune(other, data, method=method, steps=steps)
    assert_same(found.masks, prune(convolutions(), data, method=method, steps=steps).masks)
    assert found.layers[0].shape == (5, 2, 3, 3)


def test_weights_of_channels_last_are_as_before() -> None:
    model = convolutions().to(memory_format=torch.channels_last)
    before = [(bits(one), one.stride(), one.data_ptr()) for one in model.parameters()]
    prune(model, batches((2, 6, 6), dtype=torch.float64))
    assert [(bits(one), one.stride(), one.data_ptr()) for one in model.parameters()] == before


def test_a_transposed_parameter_is_masked_where_it_should_be() -> None:
    model, data = mlp().double(), batches(dtype=torch.float64)
    model[0].weight = nn.Parameter(model[0].weight.detach().T.contiguous().T)
    assert model[0].weight.stride() == (1, 8)
    found = prune(model, data)
    assert_same(found.masks, prune(mlp().double(), data).masks)
    sft.apply(model, found)
    assert torch.equal(model[0].weight != 0, found.masks["0.weight"])


def test_any_order_of_dimensions_comes_back() -> None:
    shape = (2, 1, 3, 4)
    for order in torch.cartesian_prod(*[torch.arange(4)] * 4).tolist():
        if sorted(order) != [0, 1, 2, 3]:
            continue
        back = [order.index(dim) for dim in range(4)]
        made = torch.arange(24.0).view([shape[dim] for dim in order]).permute(back)
        assert made.shape == shape
        found = order_of(made, "made")
        flat = flattened(made, found)
        assert flat.data_ptr() == made.data_ptr()
        assert flat.tolist() == list(range(24))
        assert torch.equal(unflattened(flat, shape, found), made)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(torch.randn(8, 12)[:, ::2], id="with gaps"),
        pytest.param(torch.randn(8, 7)[:, :6], id="a part of another"),
        pytest.param(torch.randn(8, 1).expand(8, 6), id="expanded"),
        pytest.param(torch.randn(20).as_strided((8, 6), (1, 2)), id="overlapping"),
    ],
)
def test_a_parameter_that_does_not_fill_its_memory_is_refused(values: torch.Tensor) -> None:
    model = mlp()
    model[0].weight = nn.Parameter(values)
    before = bits(model[0].weight)
    with pytest.raises(sf.LayoutError, match=r"0\.weight .*contiguous"):
        prune(model, batches())
    assert bits(model[0].weight) == before


def test_parameters_may_be_pieces_of_one_memory() -> None:
    model, data = mlp(), batches()
    flat = torch.cat([one.detach().flatten() for one in model.parameters()])
    start = 0
    for one in model.parameters():
        one.data = flat[start : start + one.numel()].view(one.shape)
        start += one.numel()
    before = bits(flat)
    assert_same(prune(model, data).masks, prune(mlp(), data).masks)
    assert bits(flat) == before


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1), (3, 1, 1), (1, 4)])
def test_degenerate_shapes_are_pruned(shape: tuple[int, ...]) -> None:
    model = mlp()
    model.scale = nn.Parameter(torch.full(shape, 2.0))

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return cross_entropy(model(batch[0]) * model.scale.sum(), batch[1])

    found = sft.prune(
        model, batches(), batch_loss=loss, include=["scale", "*.weight"], sparsity=0.5, steps=3
    )
    assert found.masks["scale"].shape == shape
    assert found.masks["scale"].all()  # nothing matters more
    assert found.layers[0].shape == shape


def test_a_parameter_without_elements_is_accepted() -> None:
    model = mlp()
    model.none = nn.Parameter(torch.empty(0, 3))

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return cross_entropy(model(batch[0]), batch[1]) + model.none.sum()

    options = {"include": ["none", "*.weight"], "sparsity": 0.5, "steps": 3}
    found = sft.prune(model, batches(), batch_loss=loss, **options)
    assert found.masks["none"].shape == (0, 3)
    assert found.keep == 40


# ------------------------------------------------------------------------------ types


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_masks_of_other_types_are_those_of_the_oracle(dtype: Any) -> None:
    """The oracle gets 16-bit values in float32, in which the core multiplies them."""
    if dtype == torch.bfloat16:
        pytest.importorskip("ml_dtypes")
    model, data = mlp(hidden=16).to(dtype), batches(dtype=dtype, sizes=(8, 8))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    copied = copy.deepcopy(model)
    turns = iter(data * 2)
    weights = [one.detach().to(wide).numpy() for one in torch_models.matrices(model).values()]

    def gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        chosen = list(torch_models.matrices(copied).values())
        with torch.no_grad():
            for one, array in zip(chosen, masked, strict=True):
                one.copy_(torch.from_numpy(array))
        copied.zero_grad()
        given, target = next(turns)
        cross_entropy(copied(given), target).backward()
        return [one.grad.to(wide).numpy().copy() for one in chosen]

    n = sum(array.size for array in weights)
    keeps = oracle.schedule_keeps("exponential", n, oracle.keep_count(n, 0.7), 4)
    masks, _ = oracle.search(weights, gradients, "force", keeps)
    before = [bits(one) for one in model.parameters()]
    found = prune(model, data)
    assert_same(found.masks, torch_models.named(torch_models.matrices(model), masks[-1]))
    assert [bits(one) for one in model.parameters()] == before


def test_parameters_of_different_types_are_searched_together() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.wide = mlp()[0].bfloat16(), mlp()[2].double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.wide(self.narrow(x.bfloat16()).relu().double())

    pytest.importorskip("ml_dtypes")
    model = Mixed()
    before = [bits(one) for one in model.parameters()]
    found = prune(model, batches(), method="snip", steps=None)
    cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    scores = [
        (one.detach().double() * one.grad.double()).abs().numpy()
        for one in (model.narrow.weight, model.wide.weight)
    ]
    wanted = oracle.select(scores, oracle.keep_count(80, 0.7))
    assert_same(found.masks, torch_models.named(["narrow.weight", "wide.weight"], wanted))
    assert [bits(one) for one in model.parameters()] == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", ["grasp", "synflow", "magnitude"])
def test_other_methods_take_these_types_too(method: str, dtype: Any) -> None:
    if dtype == torch.bfloat16:
        pytest.importorskip("ml_dtypes")
    options = {"steps": 5 if method == "synflow" else None, "sparsity": 0.5}
    model, data = mlp().to(dtype), batches(dtype=dtype)
    assert prune(model, data, method=method, **options).keep == 40


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool, torch.float8_e4m3fn])
def test_other_element_types_are_refused(dtype: Any) -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"w has dtype torch\.\w+, not float16"):
        array_of(torch.zeros(3).to(dtype), "w")


# ------------------------------------------------------------------------------ precision


@pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")  # of dead ReLUs
@pytest.mark.parametrize("network", ["LeNet-5", "transformer"])
def test_autocast_around_the_call_is_autocast_inside_the_loss(network: str) -> None:
    """Autocast caches casts of the weights, which a search changes in place in every step."""
    build, shape = torch_models.NETWORKS[network]
    data = batches(shape)

    def inside(model: nn.Module, batch: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(model(batch[0]).float(), batch[1])

    wanted = prune(build(), data, loss=None, batch_loss=inside)
    with torch.autocast("cpu", torch.bfloat16):
        found = prune(build(), data, loss=lambda output, y: cross_entropy(output.float(), y))
    assert_same(found.masks, wanted.masks)
    plain = prune(build(), data)
    assert any(not torch.equal(mask, plain.masks[name]) for name, mask in found.masks.items())


@pytest.mark.parametrize("call", ["prune", "apply"])
def test_a_model_computes_with_its_own_weights_after_a_call_under_autocast(call: str) -> None:
    model, x = mlp(), batches()[0][0]
    with torch.autocast("cpu", torch.bfloat16):
        if call == "prune":
            prune(model, batches())
        else:
            model(x)
            sft.apply(model, torch_models.random_masks(model))
        found = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, model(x))


@pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")
@pytest.mark.parametrize("scale", [65536.0, 2.0**-20])
@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_a_scaled_loss_gives_the_same_masks(method: str, scale: float) -> None:
    model, data = torch_models.lenet5(), batches((1, 16, 16))
    scaled = prune(model, data, method=method, loss=lambda o, y: cross_entropy(o, y) * scale)
    assert_same(scaled.masks, reference_search(model, data, **{**OPTIONS, "method": method})[0])
