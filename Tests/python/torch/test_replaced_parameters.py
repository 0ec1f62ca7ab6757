"""Parameters that are replaced, moved or exchanged after masks were applied keep their masks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch.mask_hooks import masked_parameters  # noqa: E402
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402
from torch.nn.utils import prune as torch_prune  # noqa: E402
from torch_models import Masks, assert_same, batches, mlp, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CONVERSIONS = ("swap_module_params", "overwrite_module_params")


class AlwaysMoves(torch.optim.Optimizer):
    """Moves every weight at every step, whatever its gradient."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(0.01)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01)


def train(model: nn.Module, optimizer: Any, steps: int = 3) -> None:
    dtype = next(model.parameters()).dtype
    for x, y in batches(sizes=(6,) * steps):
        optimizer.zero_grad()
        cross_entropy(model(x.to(dtype)).float(), y).backward()
        optimizer.step()


def clean(model: nn.Module, masks: Masks) -> bool:
    state = model.state_dict()
    return all(
        not state[name][~mask].any() and state[name][mask].any() for name, mask in masks.items()
    )


def masked() -> tuple[nn.Sequential, Masks]:
    model = mlp()
    masks = random_masks(model)
    return sft.apply(model, masks), masks


@contextmanager
def conversion(kind: str) -> Iterator[None]:
    change = getattr(torch.__future__, f"set_{kind}_on_conversion")
    change(True)
    try:
        yield
    finally:
        change(False)


# ------------------------------------------------------------------------------ replaced


@pytest.mark.parametrize("kind", CONVERSIONS)
@pytest.mark.parametrize("change", [nn.Module.double, nn.Module.bfloat16, lambda m: m.float()])
@pytest.mark.parametrize("times", [1, 3])
def test_conversions_that_make_new_parameters(
    kind: str, change: Callable[[nn.Module], Any], times: int
) -> None:
    model, masks = masked()
    with conversion(kind):
        for _ in range(times):
            model.half()
            change(model)
    train(model, adam(model))
    assert clean(model, masks)
    for name in masks:  # One hook, not one more for each conversion.
        assert len(model.get_parameter(name)._post_accumulate_grad_hooks) == 1


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_hooks_of_others_stay_with_a_parameter_that_is_hooked_again(kind: str) -> None:
    model, masks = masked()
    seen = []
    model[0].weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    with conversion("swap_module_params"):
        model.double()
    optimizer = adam(model)
    train(model, optimizer, 2)
    assert seen
    assert not seen[-1][~masks["0.weight"]].any()  # Ours is the first.


def assigned(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.randn(8, 6))


def put_in_the_dictionary(model: nn.Module) -> None:
    model[0]._parameters["weight"] = nn.Parameter(torch.randn(8, 6))


def emptied(model: nn.Module) -> None:
    model.to("meta").to_empty(device="cpu")
    for parameter in model.parameters():
        nn.init.normal_(parameter)


@pytest.mark.parametrize("replace", [assigned, put_in_the_dictionary, emptied])
@pytest.mark.parametrize("passed", [False, True])
def test_parameters_that_are_replaced(replace: Callable[[nn.Module], Any], passed: bool) -> None:
    model, masks = masked()
    if passed:
        sft.apply(model, masks, AlwaysMoves(model.parameters()))
    replace(model)
    train(model, adam(model))
    assert clean(model, masks)
    assert_same(sft.masks(model), masks)


def test_an_assigned_parameter_is_cleared_at_once() -> None:
    model, masks = masked()
    model[0].weight = nn.Parameter(torch.randn(8, 6))
    assert clean(model, masks)
    cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    assert not model[0].weight.grad[~masks["0.weight"]].any()


def test_other_parameters_are_left_alone() -> None:
    model, _ = masked()
    dense = torch.randn(8, 6)
    other = nn.Linear(6, 8)
    other.weight = nn.Parameter(dense.clone())
    model[0].bias = nn.Parameter(torch.randn(8))
    model[2].extra = nn.Parameter(torch.randn(3))
    assert torch.equal(other.weight, dense)
    assert not other.weight._post_accumulate_grad_hooks
    torch.func.functional_call(model, {"0.weight": dense}, torch.ones(1, 6))
    assert dense.all()


def test_a_tied_parameter_has_the_mask_in_both_places() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(x))

    model = Tied()
    mask = torch.arange(20).view(5, 4) % 3 != 0
    sft.apply(model, {"head.weight": mask})
    model.head.weight = model.table.weight
    optimizer = adam(model)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.arange(5)).square().sum().backward()
        optimizer.step()
    assert not model.table.weight[~mask].any()
    assert len(sft.masks(model)) == 1


# ------------------------------------------------------------------------------ exchanged


class Twice(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


@pytest.mark.parametrize("passed", [False, True])
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda m: parametrize.register_parametrization(m, "weight", Twice()),
         "0.parametrizations.weight.original"),
        (parametrizations.spectral_norm, "0.parametrizations.weight.original"),
        (nn.utils.spectral_norm, "0.weight_orig"),
        (lambda m: torch_prune.l1_unstructured(m, "weight", 0.1), "0.weight_orig"),
    ],
)  # fmt: skip
def test_a_weight_that_is_computed_from_the_masked_one_is_zero_there(
    change: Callable[[nn.Module], Any], name: str, passed: bool
) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = AlwaysMoves(model.parameters()) if passed else adam(model)
    sft.apply(model, masks, optimizer if passed else None)
    change(model[0])
    train(model, optimizer)
    model(torch.ones(1, 6))  # Some compute the weight in the forward pass.
    assert not model[0].weight[~masks["0.weight"]].any()
    assert model[0].weight[masks["0.weight"]].any()
    assert list(sft.masks(model)) == [name, "2.weight"]
    sft.remove(model)
    assert sft.masks(model) == {}


@pytest.mark.parametrize("in_place", [False, True])
def test_modules_that_are_exchanged_for_quantisation_keep_masks(in_place: bool) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = AlwaysMoves(model.parameters())
    sft.apply(model, masks, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # They are deprecated.
        from torch.ao import quantization

        model.train().qconfig = quantization.get_default_qat_qconfig("fbgemm")
        prepared = quantization.prepare_qat(model, inplace=in_place)
    assert type(prepared[0]) is not nn.Linear
    assert_same(sft.masks(prepared), masks)
    train(prepared, optimizer if in_place else adam(prepared))
    assert clean(prepared, masks)
    copied = copy.deepcopy(prepared)
    train(copied, adam(copied))
    assert clean(copied, masks)
    if in_place:
        sft.remove(prepared)
        train(prepared, optimizer)
        assert not clean(prepared, masks)


def test_an_exported_model_has_the_state_of_a_plain_one_and_keeps_its_zeros() -> None:
    model, masks = masked()
    plain = torch.export.export(mlp(), (batches()[0][0],))
    exported = torch.export.export(model, (batches()[0][0],))
    assert list(exported.state_dict) == list(plain.state_dict)
    assert str(exported.graph) == str(plain.graph)
    module = exported.module()
    train(module, adam(module))
    assert clean(module, masks)


def test_a_model_compiles_in_one_graph() -> None:
    model, masks = masked()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    train(compiled, adam(compiled))
    model[0].weight = nn.Parameter(torch.randn(8, 6))
    train(compiled, adam(compiled))
    assert clean(model, masks)


# ------------------------------------------------------------------------------ lost


def old_weight_norm(model: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        nn.utils.weight_norm(model[0])


def new_weight_norm(model: nn.Module) -> None:
    parametrizations.weight_norm(model[0])
    train(model, adam(model), 1)


def of_another_shape(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.randn(8, 7))


def without_a_value(model: nn.Module) -> None:
    model[0].weight = None
    sft.masks(model)


def deleted(model: nn.Module) -> None:
    del model[0].weight
    sft.masks(model)


@pytest.mark.parametrize(
    "lose", [old_weight_norm, new_weight_norm, of_another_shape, without_a_value, deleted]
)
def test_a_mask_that_has_no_parameter_any_more_is_said_to_be_lost(
    lose: Callable[[nn.Module], Any],
) -> None:
    model, _ = masked()
    with pytest.warns(sf.MasksLostWarning, match=r"^0\.weight had a mask") as caught:
        lose(model)
    assert len(caught) == 1
    assert list(sft.masks(model)) == ["2.weight"]  # And no further warning.


# ------------------------------------------------------------------------------ codes

CODES = {
    "int8": lambda: torch.arange(1, 49, dtype=torch.int8).view(8, 6),
    "uint8": lambda: torch.arange(1, 49, dtype=torch.uint8).view(8, 6),
    "bool": lambda: torch.ones(8, 6, dtype=torch.bool),
}


def assign(model: nn.Module, codes: torch.Tensor) -> None:
    model[0].weight = nn.Parameter(codes, requires_grad=False)


def put_in(model: nn.Module, codes: torch.Tensor) -> None:
    model[0]._parameters["weight"] = nn.Parameter(codes, requires_grad=False)
    sft.masks(model)


def load(model: nn.Module, codes: torch.Tensor) -> None:
    model.requires_grad_(False).load_state_dict(
        {**mlp().state_dict(), "0.weight": codes, "2.weight": model[2].weight}, assign=True
    )


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("place", [assign, put_in, load])
def test_codes_in_place_of_a_weight_are_not_overwritten(
    place: Callable[[nn.Module, torch.Tensor], None], kind: str
) -> None:
    model, _ = masked()
    codes = CODES[kind]()
    before = codes.clone()
    with pytest.warns(sf.MasksLostWarning, match=r"^0\.weight had a mask") as caught:
        place(model, codes)
    assert len(caught) == 1
    assert model[0].weight.dtype == codes.dtype
    assert torch.equal(codes, before)
    assert torch.equal(model[0].weight, before)
    assert list(sft.masks(model)) == ["2.weight"]


def test_a_step_of_another_model_says_nothing_and_its_own_says_it_once() -> None:
    (model, masks), (other, others) = masked(), masked()
    sft.apply(model, masks, optimizer := AlwaysMoves([model[0].bias, model[2].weight]))
    codes = CODES["uint8"]()
    model[0]._parameters["weight"] = nn.Parameter(codes, requires_grad=False)
    train(other, adam(other))  # Warnings are errors.
    assert clean(other, others)
    with pytest.warns(sf.MasksLostWarning, match=r"^0\.weight had a mask") as caught:
        optimizer.step()
    assert len(caught) == 1
    assert torch.equal(codes, CODES["uint8"]())
    assert list(sft.masks(model)) == ["2.weight"]
    assert not model[2].weight[~masks["2.weight"]].any()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64])
def test_other_floating_point_weights_keep_the_mask(dtype: torch.dtype) -> None:
    model, masks = masked()
    model[0].weight = nn.Parameter(torch.ones(8, 6).to(dtype), requires_grad=False)
    assert torch.equal(model[0].weight.to(torch.complex64) != 0, masks["0.weight"])
    assert_same(sft.masks(model), masks)


# ------------------------------------------------------------------------------ devices


def test_a_mask_stays_with_its_weight_when_a_copy_on_another_device_is_cleared() -> None:
    model, _ = masked()
    one = masked_parameters(model)["0.weight"]
    before = one.removed
    with FakeTensorMode(allow_non_fake_inputs=True):
        one.clear(torch.ones(8, 6, device="cuda"))
    assert one.removed is before


def test_masks_of_a_model_without_memory_are_kept() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    masks = random_masks(mlp())
    sft.apply(model, masks)
    model.to_empty(device="cpu")
    with pytest.warns(sf.RemovedWeightsWarning):
        model.load_state_dict(mlp().state_dict())
    assert clean(model, masks)
    train(model, adam(model))
    assert clean(model, masks)
