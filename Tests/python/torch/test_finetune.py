"""Sparse fine-tuning: frozen weights keep their values, trained ones go the way they should."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.nn.utils import parametrize  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch_models import Masks, batches, bits, matrices, mlp, random_masks  # noqa: E402
from torch_optimizers import MIXING, OPTIMIZERS, AlwaysMoves  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

STEPS = 6
Values = dict[str, torch.Tensor]


def values(model: nn.Module) -> Values:
    return {name: one.detach().clone() for name, one in model.named_parameters()}


def step(model: nn.Module, optimizer: Any, turn: int) -> None:
    x, y = batches(sizes=(6,) * 4)[turn % 4]
    x = x.to(next(model.parameters()).dtype)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(model(x).float(), y)
        loss.backward()
        return loss

    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def assert_frozen(model: nn.Module, masks: Masks, before: Values, others: bool = True) -> None:
    """Frozen weights have their bits; with `others`, so have the parameters without a mask."""
    for name, one in model.named_parameters():
        frozen = ~masks[name] if name in masks else torch.full(one.shape, others)
        assert bits(one[frozen]) == bits(before[name][frozen]), name


def assert_trained(model: nn.Module, masks: Masks, before: Values) -> None:
    changed = [(model.get_parameter(name) != before[name])[mask] for name, mask in masks.items()]
    assert all(one.any() for one in changed)


def tuned(optimizer: str = "AdamW", **options: Any) -> tuple[nn.Sequential, Masks, Optimizer]:
    model = mlp()
    masks = random_masks(model)
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    return sft.finetune(model, masks, optimizing, **options), masks, optimizing


# ------------------------------------------------------------------------------ trained


@pytest.mark.parametrize("passed", [False, True], ids=["not passed", "passed"])
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.slow
def test_frozen_weights_keep_their_bits(optimizer: str, used: bool, passed: bool) -> None:
    model = mlp()
    masks = random_masks(model)
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    for turn in range(3 * used):
        step(model, optimizing, turn)
    with torch.no_grad():  # Whatever they are.
        model[0].weight[~masks["0.weight"]] = torch.tensor([1e-40, -0.0, 1.5]).repeat(11)
    before = values(model)
    sft.finetune(model, masks, optimizing if passed else None)
    assert_frozen(model, {}, before)
    for turn in range(STEPS):
        step(model, optimizing, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


@pytest.mark.parametrize("optimizer", MIXING)
def test_frozen_weights_stay_where_weights_are_mixed(optimizer: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))
    masks, before = random_masks(model), values(model)
    optimizing = getattr(torch.optim, optimizer)(model.parameters(), lr=0.05)
    sft.finetune(model, masks, optimizing)
    for turn in range(STEPS):
        step(model, optimizing, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


class Selected(nn.Module):
    """A weight that is the parameter where it is trained, and a constant elsewhere."""

    def __init__(self, mask: torch.Tensor, frozen: torch.Tensor) -> None:
        super().__init__()
        self.mask, self.frozen = mask, frozen

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.where(self.mask, weight, self.frozen)


def by_hand(model: nn.Module, masks: Masks) -> nn.Module:
    """A model whose frozen weights are constants, so that their gradient is zero."""
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        module = model.get_submodule(path)
        frozen = module.get_parameter(own).detach().clone()
        parametrize.register_parametrization(module, own, Selected(mask, frozen))
    return model


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "always moves"])
@pytest.mark.slow
def test_trained_weights_go_the_way_they_go_with_constants_by_hand(optimizer: str) -> None:
    model, masks = mlp().double(), random_masks(mlp())
    reference = by_hand(copy.deepcopy(model), masks)
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    # In the order of the model's parameters, in which LBFGS adds up its flat vectors.
    order = [reference[0].parametrizations.weight.original, reference[0].bias]
    order += [reference[2].parametrizations.weight.original, reference[2].bias]
    other = OPTIMIZERS[optimizer](order)
    sft.finetune(model, masks, optimizing, others="trained")
    for turn in range(STEPS):
        step(model, optimizing, turn)
        step(reference, other, turn)
        for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
            path, own = name.split(".")
            assert bits(model.get_parameter(name)) == bits(getattr(reference[int(path)], own))


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "LBFGS"])
def test_state_from_before_is_cleared_where_weights_are_frozen(optimizer: str) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizing = OPTIMIZERS[optimizer](model.parameters())
    for turn in range(3):
        step(model, optimizing, turn)
    kept = {
        (name, key): bits(value[masks[name]])
        for name, one in matrices(model).items()
        for key, value in optimizing.state[one].items()
        if torch.is_tensor(value) and value.shape == one.shape
    }
    sft.finetune(model, masks, optimizing)
    for (name, key), before in kept.items():
        value = optimizing.state[model.get_parameter(name)][key]
        assert not value[~masks[name]].any(), key
        assert bits(value[masks[name]]) == before, key


def test_gradients_are_zero_as_they_are_made_and_clipping_sees_the_others() -> None:
    model, masks = mlp(), random_masks(mlp())
    plain = mlp()
    sft.finetune(model, masks)
    for turn in range(2):  # The second adds to the first.
        x, y = batches()[turn]
        for one in (model, plain):
            cross_entropy(one(x), y).backward()
        for name, mask in masks.items():
            gradient, whole = model.get_parameter(name).grad, plain.get_parameter(name).grad
            assert not any(bits(gradient[~mask]))
            assert bits(gradient[mask]) == bits(whole[mask])
        assert not model[0].bias.grad.any()
    for name, one in plain.named_parameters():
        one.grad.mul_(masks.get(name, torch.zeros(())))
    wanted = float(nn.utils.clip_grad_norm_(plain.parameters(), 1e-3))
    assert float(nn.utils.clip_grad_norm_(model.parameters(), 1e-3)) == pytest.approx(wanted)


@pytest.mark.parametrize("others", ["frozen", "trained"])
def test_parameters_without_masks(others: str) -> None:
    model, masks = mlp(), {"0.weight": random_masks(mlp())["0.weight"]}
    optimizer, before = AlwaysMoves(model.parameters()), values(mlp())
    sft.finetune(model, masks, optimizer, others=others)
    for turn in range(3):
        step(model, optimizer, turn)
    assert_frozen(model, masks, before, others=others == "frozen")
    for name in ("0.bias", "2.weight", "2.bias"):
        changed = not torch.equal(model.get_parameter(name), before[name])
        assert changed == (others == "trained")


def test_a_mask_of_ones_trains_a_head() -> None:
    model = mlp()
    masks = {**random_masks(model), "2.bias": torch.ones(4, dtype=torch.bool)}
    optimizer, before = AlwaysMoves(model.parameters()), values(mlp())
    sft.finetune(model, masks, optimizer)
    step(model, optimizer, 0)
    assert (model[2].bias != before["2.bias"]).all()
    assert bits(model[0].bias) == bits(before["0.bias"])


def test_what_the_caller_froze_has_no_mask_and_stays_frozen() -> None:
    model = mlp()
    model[2].requires_grad_(False)
    sft.finetune(model, {"0.weight": random_masks(model)["0.weight"]})
    assert not model[2].weight._post_accumulate_grad_hooks
    assert [one.requires_grad for one in model.parameters()] == [True, True, False, False]


class Restless(Optimizer):
    """Around another optimizer: pulls weights back to where they were, as Lookahead does."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        super().__init__(inner.param_groups, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        before = [one.clone() for group in self.param_groups for one in group["params"]]
        with torch.enable_grad():
            self.inner.step(closure)
        weights = (one for group in self.param_groups for one in group["params"])
        for one, old in zip(weights, before, strict=True):
            one.lerp_(old + 0.01, 0.3)


def test_an_optimizer_around_another_one() -> None:
    model, masks, before = mlp(), random_masks(mlp()), values(mlp())
    optimizer = Restless(AlwaysMoves(model.parameters()))
    sft.finetune(model, masks, optimizer)
    for turn in range(3):
        step(model, optimizer, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def test_copies_in_float32_that_are_trained_in_place_of_the_weights() -> None:
    model = mlp().bfloat16()
    masks, before = random_masks(model), values(model)
    trained = [one.detach().float().requires_grad_() for one in model.parameters()]
    optimizer = AlwaysMoves(trained)
    sft.finetune(model, masks, optimizer)
    for turn in range(3):
        x, y = batches(sizes=(6,) * 4, dtype=torch.bfloat16)[turn]
        model.zero_grad()
        cross_entropy(model(x).float(), y).backward()
        optimizer.step()
        with torch.no_grad():
            for one, other in zip(model.parameters(), trained, strict=True):
                one.copy_(other)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def test_an_optimizer_in_the_backward_pass() -> None:
    model, masks, before = mlp(), random_masks(mlp()), values(mlp())
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    sft.finetune(model, masks, optimizer)
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def test_a_step_that_fails_does_not_spoil_the_next() -> None:
    class Fails(AlwaysMoves):
        fails = True

        def step(self, closure: Any = None) -> None:
            if self.fails:
                raise RuntimeError
            super().step(closure)

    model, masks, before = mlp(), random_masks(mlp()), values(mlp())
    optimizer = Fails(model.parameters())
    sft.finetune(model, masks, optimizer)
    with pytest.raises(RuntimeError):
        step(model, optimizer, 0)
    optimizer.fails = False
    step(model, optimizer, 0)
    assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype) -> None:
    model, masks, optimizer = tuned("AdamW")
    before = values(mlp())
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):
            loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model(backend: str) -> None:
    model, masks, optimizer = tuned("AdamW")
    before = values(mlp())
    compiled = torch.compile(model, backend=backend)
    for turn in range(3):
        step(compiled, optimizer, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_step() -> None:
    model, masks, optimizer = tuned("AdamW")
    before = values(mlp())
    compiled = torch.compile(optimizer.step, backend="eager")
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        compiled()
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def test_a_table_with_sparse_gradients() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    mask = torch.rand(5, 3) > 0.5
    mask[0] = False
    before = table.weight.detach().clone()
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    sft.finetune(table, {"weight": mask}, optimizer)
    table(torch.tensor([0, 1, 1, 2])).sum().backward()
    assert not table.weight.grad.to_dense()[~mask].any()
    optimizer.step()
    assert torch.equal(table.weight[~mask], before[~mask])
    assert not torch.equal(table.weight, before)


def test_weights_in_float8_can_be_restored() -> None:
    model, masks = mlp(), random_masks(mlp())
    model[0].weight = nn.Parameter(model[0].weight.detach().to(torch.float8_e4m3fn))
    before = model[0].weight.detach().clone()

    class Overwrites(AlwaysMoves):
        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for one in self.param_groups[0]["params"]:
                one.view(torch.uint8).add_(1)

    optimizer = Overwrites([model[0].weight])
    sft.finetune(model, {"0.weight": masks["0.weight"]}, optimizer)
    optimizer.step()
    changed = model[0].weight.view(torch.uint8) != before.view(torch.uint8)
    assert torch.equal(changed, masks["0.weight"])


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of one process."""
    distributed = torch.distributed
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("when", ["before", "after"])
def test_distributed_data_parallel(when: str) -> None:
    from torch.nn.parallel import DistributedDataParallel

    model, masks, before = mlp(), random_masks(mlp()), values(mlp())
    if when == "before":
        sft.finetune(model, masks)
    wrapped = DistributedDataParallel(model)
    if when == "after":
        sft.finetune(wrapped, masks)
    optimizer = OPTIMIZERS["AdamW"](wrapped.parameters())
    for turn in range(3):
        step(wrapped, optimizer, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


@pytest.mark.usefixtures("group")
def test_sharded_parameters() -> None:
    from torch.distributed import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (1,))
    weight = torch.arange(12.0).view(4, 3)
    mask = torch.rand(4, 3) > 0.5
    layer = nn.Linear(3, 4, bias=False)
    layer.weight = nn.Parameter(distribute_tensor(weight, mesh, [Shard(0)]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    sft.finetune(layer, {"weight": mask}, optimizer)
    layer.weight.grad = distribute_tensor(torch.where(mask, 1.0, 0.0), mesh, [Shard(0)])
    optimizer.step()
    found = layer.weight.full_tensor()
    assert torch.equal(found != weight, mask)


# ------------------------------------------------------------------------------ the model


@pytest.mark.parametrize("make", [mlp, torch_models.transformer, torch_models.resnet18])
def test_parameters_buffers_and_the_state_are_those_of_a_plain_model(
    make: Callable[[], nn.Module],
) -> None:
    model, plain = make(), make()
    sft.finetune(model, random_masks(model), torch.optim.AdamW(model.parameters()))
    found, wanted = model.state_dict(), plain.state_dict()
    assert list(found) == list(wanted)
    assert [bits(one) for one in found.values()] == [bits(one) for one in wanted.values()]
    assert [one.requires_grad for one in model.parameters()] == [True] * len(
        list(plain.parameters())
    )
    assert sft.masks(model) == {}  # No weight is removed.


def pickled(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize("make", [copy.deepcopy, pickled])
def test_copies_of_the_model_are_frozen_too(make: Callable[[nn.Module], nn.Module]) -> None:
    model, masks, _ = tuned()
    before = values(model)
    other = make(model)
    optimizer = AlwaysMoves(other.parameters())
    step(other, optimizer, 0)
    assert_frozen(other, masks, before)
    assert_trained(other, masks, before)
    assert_frozen(model, {}, before)


def test_a_tied_weight_is_frozen_in_both_places() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(x))

    for name in ("head.weight", "table.weight"):
        model, mask = Tied(), torch.arange(20).view(5, 4) % 3 == 0
        before = model.head.weight.detach().clone()
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
        sft.finetune(model, {name: mask}, optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.arange(5)).square().sum().backward()
            assert not model.table.weight.grad[~mask].any()
            optimizer.step()
            assert torch.equal(model.table.weight[~mask], before[~mask])
        assert (model.head.weight != before)[mask].all()


@pytest.mark.parametrize("kind", ["swap_module_params", "overwrite_module_params", None])
def test_a_conversion_converts_frozen_weights_and_they_stay(kind: str | None) -> None:
    model, masks, _ = tuned()
    if kind is not None:
        getattr(torch.__future__, f"set_{kind}_on_conversion")(True)
    try:
        model.half().double()
    finally:
        if kind is not None:
            getattr(torch.__future__, f"set_{kind}_on_conversion")(False)
    before = values(model)
    assert bits(before["0.weight"]) == bits(mlp()[0].weight.detach().half().double())
    optimizer = OPTIMIZERS["AdamW"](model.parameters())
    for turn in range(2):
        step(model, optimizer, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def assigned(model: nn.Module) -> None:
    model[0].weight = nn.Parameter(torch.randn(8, 6))


def put_in_the_dictionary(model: nn.Module) -> None:
    model[0]._parameters["weight"] = nn.Parameter(torch.randn(8, 6))


def loaded(model: nn.Module) -> None:
    model.load_state_dict(mlp(seed=3).state_dict())


def loaded_by_assignment(model: nn.Module) -> None:
    model.load_state_dict(mlp(seed=3).state_dict(), assign=True)


@pytest.mark.parametrize("replace", [assigned, put_in_the_dictionary, loaded, loaded_by_assignment])
def test_new_values_are_the_ones_that_stay(replace: Callable[[nn.Module], None]) -> None:
    model, masks, optimizer = tuned()
    step(model, optimizer, 0)
    replace(model)
    before = values(model)
    assert not torch.equal(before["0.weight"], mlp()[0].weight)
    optimizer = OPTIMIZERS["AdamW"](model.parameters())
    for turn in range(2):
        step(model, optimizer, turn)
        assert_frozen(model, masks, before)
    assert_trained(model, masks, before)


def test_training_goes_on_from_saved_states() -> None:
    model, _, optimizer = tuned()
    step(model, optimizer, 0)
    states = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    other, _, resumed = tuned()
    other.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    for turn in (1, 2):
        step(model, optimizer, turn)
        step(other, resumed, turn)
    assert [bits(one) for one in model.parameters()] == [bits(one) for one in other.parameters()]


def test_a_mask_that_has_no_parameter_any_more_is_said_to_be_lost() -> None:
    model, *_ = tuned()
    with pytest.warns(sf.MasksLostWarning, match=r"^0\.weight had a mask.*frozen weights as they"):
        model[0].weight = nn.Parameter(torch.randn(8, 7))


# ------------------------------------------------------------------------------ with the rest


def test_remove_ends_it() -> None:
    model, _, optimizer = tuned("AdamW")
    step(model, optimizer, 0)
    before = values(model)
    sft.remove(model)
    assert_frozen(model, {}, before)
    step(model, optimizer, 1)
    assert all((one != before[name]).any() for name, one in model.named_parameters())
    assert not any(one._post_accumulate_grad_hooks for one in model.parameters())


def test_finetune_after_apply_keeps_zeros_and_apply_after_finetune_makes_them() -> None:
    model, masks, other = mlp(), random_masks(mlp(), 1), random_masks(mlp(), 2)
    optimizer = AlwaysMoves(model.parameters())
    sft.apply(model, masks, optimizer)
    both = {name: mask & other[name] for name, mask in masks.items()}
    before = values(model)
    sft.finetune(model, both, optimizer)
    step(model, optimizer, 0)
    assert_frozen(model, both, before)
    assert not model[0].weight[~masks["0.weight"]].any()
    sft.apply(model, other, optimizer)
    step(model, optimizer, 1)
    assert not model[0].weight[~other["0.weight"]].any()
    assert (model[0].bias != before["0.bias"]).all()


def test_other_functions_do_not_take_frozen_weights_for_removed_ones(tmp_path: Path) -> None:
    model, *_ = tuned()
    before = values(model)
    sft.save_packed(model, tmp_path / "m")
    found = sft.load_packed(tmp_path / "m")
    assert found.masks == {}
    assert all(bits(found.state[name]) == bits(one) for name, one in before.items())
    assert sft.effective_density(model, inputs=torch.ones(1, 6)).kept == 80
    options: Any = {"loss": cross_entropy, "sparsity": 0.5, "steps": 2}
    torch_models.assert_same(
        sft.prune(model, batches(), **options).masks, sft.prune(mlp(), batches(), **options).masks
    )
    with pytest.raises(sf.StructureError, match="the model has no masks"):
        sft.sparsify(model, torch.ones(2, 6))
    with pytest.raises(sf.StructureError, match="the masks of finetune freeze weights"):
        sft.to_torch_prune(model)
    assert_frozen(model, {}, before)


def test_a_sparse_model_is_made_dense_first(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    sft.apply(model, {"0.weight": torch.eye(64, dtype=torch.bool)})
    assert sft.sparsify(model, torch.randn(32, 64))[0].kernels == "sparse"
    calls = (
        lambda: sft.finetune(model, {"0.bias": torch.ones(64, dtype=torch.bool)}),
        lambda: sft.export(model, tmp_path / "m.npz"),
        lambda: sft.to_csr(model),
        lambda: sft.save_delta(model, tmp_path / "d"),
    )
    for call in calls:
        with pytest.raises(sf.StructureError, match="desparsify"):
            call()
    sft.desparsify(model)
    sft.finetune(model, {"0.bias": torch.ones(64, dtype=torch.bool)})
    assert torch.equal(model[0].weight != 0, torch.eye(64, dtype=torch.bool))


def test_the_result_of_a_search() -> None:
    model = mlp()
    found = sft.prune(model, batches(), cross_entropy, method="snip", sparsity=0.9)
    optimizer, before = OPTIMIZERS["AdamW"](model.parameters()), values(model)
    sft.finetune(model, found, optimizer)
    for turn in range(3):
        step(model, optimizer, turn)
    changed = sum(int((one != before[name]).sum()) for name, one in model.named_parameters())
    assert 0 < changed <= found.keep


# ------------------------------------------------------------------------------ refused


def contents(model: nn.Module, optimizer: Optimizer) -> Any:
    return (
        [(name, id(one), bits(one)) for name, one in model.named_parameters()],
        [list(one._post_accumulate_grad_hooks or ()) for one in model.parameters()],
        [list(module.__dict__) for module in model.modules()],
        list(optimizer._optimizer_step_post_hooks),
    )


class OfAnotherModel(AlwaysMoves):
    def __init__(self) -> None:
        super().__init__(mlp().parameters())


@pytest.mark.parametrize(
    ("masks", "options", "error", "match"),
    [
        ({"1.weight": torch.ones(8, 6).bool()}, {}, sf.StructureError, r"no parameter '1\.weight'"),
        ({"0.weight": torch.ones(6, 8).bool()}, {}, sf.ShapeError, r"\(6, 8\).*\(8, 6\)"),
        ({"0.weight": torch.ones(8, 6)}, {}, sf.UnsupportedTypeError, r"torch\.float32, not bool"),
        ([1], {}, sf.StructureError, "not list"),
        ({}, {}, sf.StructureError, "no weight would be trained"),
        ({"0.bias": torch.zeros(8).bool()}, {}, sf.StructureError, "no weight would be trained"),
        ({"0.bias": torch.ones(8).bool()}, {"others": "zero"}, sf.UnknownNameError, "'zero'"),
        (
            {"0.bias": torch.ones(8).bool()},
            {"optimizer": OfAnotherModel},
            sf.StructureError,
            "trains none of the parameters",
        ),
        (
            {"0.bias": torch.ones(8).bool()},
            {"optimizer": object},
            sf.UnsupportedTypeError,
            "not object",
        ),
    ],
)
def test_what_is_refused_changes_nothing(
    masks: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    model = mlp()
    optimizer = AlwaysMoves(model.parameters())
    sft.apply(model, random_masks(model), optimizer)
    before = contents(model, optimizer)
    if "optimizer" in options:
        options = {**options, "optimizer": options["optimizer"]()}
    with pytest.raises(error, match=match):
        sft.finetune(model, masks, **options)
    assert contents(model, optimizer) == before


def test_parameters_without_values_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(2))
    with pytest.raises(sf.UnsupportedTypeError, match=r"1\.weight has no values yet"):
        sft.finetune(model, {"0.weight": torch.ones(4, 3).bool()})
