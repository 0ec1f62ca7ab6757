"""What `sft.compact` takes: wrapped and saved models, optimizers, inputs; what it refuses."""

from __future__ import annotations

import copy
import io
from functools import partial
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from compact_models import NETWORKS, conv_norm  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch.optim.swa_utils import AveragedModel  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

INPUT = (2, 3, 8, 8)


def masked(name: str = "resnet", density: float = 0.05) -> nn.Module:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    return sft.apply(
        model, {name: torch.rand(one.shape) < density for name, one in sft.prunable(model).items()}
    )


def assert_same_outputs(small: nn.Module, model: nn.Module) -> None:
    x = torch.randn(INPUT)
    mine, other = (copy.deepcopy(one).eval()(x) for one in (small, model))
    torch.testing.assert_close(mine, other)


def weight_masks(model: nn.Module) -> dict[str, torch.Tensor]:
    """Masks that remove the first output of each layer."""
    masks = {name: torch.ones_like(one).bool() for name, one in sft.prunable(model).items()}
    for mask in masks.values():
        mask[0] = False
    return masks


@pytest.mark.parametrize(
    "wrap", [partial(torch.compile, backend="eager"), nn.DataParallel, AveragedModel]
)
def test_wrappers_are_seen_through(wrap: Any) -> None:
    model = masked()
    small = sft.compact(wrap(model), INPUT)
    assert isinstance(small, torch.fx.GraphModule)
    assert_same_outputs(small, model)


def test_the_model_is_unchanged() -> None:
    model = masked().train()
    model.stem[1].eval()
    before, modules = copy.deepcopy(model.state_dict()), list(model.modules())
    small = sft.compact(model, INPUT)
    assert list(model.modules()) == modules
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert {id(one) for one in model.parameters()}.isdisjoint(map(id, small.parameters()))
    assert small.training
    assert not small.get_submodule("stem.1").training
    assert small.get_submodule("blocks.0.first.1").training


def test_names_are_those_of_the_model() -> None:
    model = masked("vgg", 0.1)
    small = sft.compact(model, INPUT)
    assert list(small.state_dict()) == list(model.state_dict())


def saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize("copied", [copy.deepcopy, saved_and_loaded])
def test_copies_keep_masks_and_report(copied: Any) -> None:
    small = sft.compact(masked(density=0.03), INPUT)
    again = copied(small)
    assert again.compaction == small.compaction
    found, wanted = sft.masks(again), sft.masks(small)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert_same_outputs(again, small)
    again.load_state_dict(small.state_dict())


def test_a_compact_model_can_be_compacted() -> None:
    small = sft.compact(masked(density=0.03), INPUT)
    again = sft.compact(small, INPUT)
    assert again.compaction.units[1] <= small.compaction.units[1]
    assert_same_outputs(again, small)


def test_other_types_and_sizes_of_batches() -> None:
    model = masked("vgg").double()
    small = sft.compact(model, INPUT)
    assert {one.dtype for one in small.parameters()} == {torch.float64}
    x = torch.randn(7, *INPUT[1:], dtype=torch.float64)
    torch.testing.assert_close(small.eval()(x), model.eval()(x))


def test_bfloat16() -> None:
    model = masked("vgg").bfloat16()
    small = sft.compact(model, INPUT)
    x = torch.randn(INPUT).bfloat16()
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=0.05, atol=0.05)


class Options(nn.Module):
    """Keyword arguments, optional ones, and a dictionary as the result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8, bias=False), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.randn(1, 8))

    def forward(
        self, x: torch.Tensor, shift: torch.Tensor | None = None, *, factor: float = 1.0
    ) -> dict[str, torch.Tensor]:
        hidden = self.first(x).relu()
        if shift is not None:
            hidden = hidden + shift
        return {"hidden": hidden * self.scale, "out": self.second(hidden * factor)}


@pytest.mark.parametrize(
    "given",
    [
        {"x": torch.randn(2, 6)},
        {"x": torch.randn(2, 6), "shift": torch.randn(2, 8)},
        (torch.randn(2, 6), torch.randn(2, 8)),
        torch.randn(2, 6),
        (2, 6),
    ],
)
def test_inputs(given: Any) -> None:
    model = sft.apply(Options(), weight_masks(Options()))
    small = sft.compact(model, given)
    x, shift = torch.randn(5, 6), torch.randn(5, 8)
    has_shift = "shift" in given if isinstance(given, dict) else isinstance(given[1], torch.Tensor)
    has_shift = has_shift and isinstance(given, (dict, tuple))
    args = (x, shift) if has_shift else (x,)
    for mine, other in zip(small(*args).values(), model(*args).values(), strict=True):
        torch.testing.assert_close(mine, other)


def test_what_is_not_known_is_left_alone_and_named() -> None:
    class Own(nn.Conv2d):
        pass

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3, bias=False)
            self.norm = nn.GroupNorm(2, 6)
            self.own = Own(6, 6, 3, bias=False)
            self.left, self.right = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
            self.right.weight = self.left.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.own(self.norm(self.first(x))).amax((2, 3))
            return self.right(self.left(x))

    model = Model()
    sft.apply(model, weight_masks(model))
    small = sft.compact(model, INPUT)
    assert small.compaction.layers[0].units == (6, 5)  # Zero is put in its place.
    text = str(small.compaction)
    for name in ("norm (GroupNorm)", "conv2d", "amax", "left (Linear) shares a parameter"):
        assert f"{name}" in text
    assert_same_outputs(small, model)


def test_a_function_of_the_same_name_is_not_that_of_torch() -> None:
    model = Renamed()
    small = sft.compact(sft.apply(model, weight_masks(model)), INPUT)
    assert "the function " in str(small.compaction)
    assert_same_outputs(small, model)


def relu(x: torch.Tensor) -> torch.Tensor:
    return x.sum(1, keepdim=True) + x + 1


torch.fx.wrap("relu")


class Renamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(relu(self.first(x)))


def test_a_tensor_that_is_written_to_in_place() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 6, 3, bias=False)
            self.act = nn.ReLU(inplace=True)
            self.second, self.third = nn.Conv2d(6, 4, 3, bias=False), nn.Conv2d(6, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            y = self.second(self.act(x))
            return y + self.third(x)  # That of the activation, too.

    model = Model()
    masks = weight_masks(model)
    masks["second.weight"][:, 1] = False
    masks["third.weight"][:, 2] = False
    assert_same_outputs(sft.compact(sft.apply(model, masks), INPUT), model)


def test_the_first_layer_reads_part_of_the_input() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[:, 2:] = False
    small = sft.compact(sft.apply(model, {"0.weight": mask}), (2, 6))
    assert small.get_submodule("0").in_features == 2
    x = torch.randn(3, 6)
    torch.testing.assert_close(small(x), model(x))


def test_report() -> None:
    model = masked(density=0.03)
    report = sft.compact(model, INPUT).compaction
    assert report.parameters[0] == sum(one.numel() for one in model.parameters())
    assert report.size[0] == sum(one.nbytes for one in model.state_dict().values())
    first = report.layers[0]
    assert (first.name, first.units[0], first.inputs[0]) == ("stem.0", 8, 3)
    assert first.multiply_adds[0] == 64 * 8 * 27
    assert first.multiply_adds[1] == 64 * first.units[1] * first.inputs[1] * 9
    assert first.parameters[1] == first.units[1] * first.inputs[1] * 9
    assert report.gain == report.multiply_adds[0] / report.multiply_adds[1]
    assert str(report).splitlines()[1].split()[:2] == ["layer", "units"]
    assert repr(report).startswith("<Compaction: ")


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 40, bias=False), nn.Linear(40, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.dropout(self.first(x).relu(), 0.5, self.training)
        return functional.alpha_dropout(self.second(x), 0.5, training=self.training)


def test_dropout_of_a_function_follows_the_mode() -> None:
    model = Dropping()
    small = sft.compact(sft.apply(model, weight_masks(model)), (2, 6))
    assert small.get_submodule("first").out_features == 39
    x = torch.randn(64, 6)
    for one in (small, saved_and_loaded(small)):
        assert not torch.equal(one.train()(x), one(x))
        torch.testing.assert_close(one.eval()(x), model.eval()(x))


def test_a_part_of_a_model() -> None:
    model = masked(density=0.03)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sft.apply(model, sft.masks(model), optimizer)
    whole = copy.deepcopy(model)
    x = torch.randn(2, 8, 8, 8)
    model.blocks = sft.compact(model.blocks, x, optimizer)
    assert_same_outputs(model, whole)
    trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
    assert trained == {id(one) for one in model.parameters()}
    assert sft.masks(model).keys() <= sft.masks(whole).keys()


@pytest.mark.parametrize("optimizer", [torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam])
def test_other_optimizers_follow(optimizer: Any) -> None:
    model = masked(density=0.03)
    twin = copy.deepcopy(model)
    optimizers = [optimizer(one.parameters(), lr=0.01) for one in (model, twin)]
    for one, made in zip((model, twin), optimizers, strict=True):
        sft.apply(one, sft.masks(one), made)
        one(torch.ones(INPUT)).square().sum().backward()
        made.step()
    small = sft.compact(twin, INPUT, optimizers[1])
    for _ in range(3):
        x = torch.randn(8, *INPUT[1:])
        for one, made in zip((model, small), optimizers, strict=True):
            made.zero_grad()
            one(x).square().sum().backward()
            made.step()
    torch.testing.assert_close(small.eval()(x), model.eval()(x), rtol=1e-4, atol=1e-4)


def test_exported_and_compiled() -> None:
    model = masked(density=0.03)
    small = sft.compact(model, INPUT).eval()
    x = torch.randn(INPUT)
    exported = torch.export.export(small, (x,)).module()
    for one in (exported, torch.compile(small, backend="eager")):
        torch.testing.assert_close(one(x), model.eval()(x))


def test_sparse_layers_of_a_compact_model() -> None:
    model = masked("vgg", 0.02).train()
    x = torch.randn(64, *INPUT[1:])
    small = sft.compact(model, INPUT)
    sft.sparsify(small, x)
    torch.testing.assert_close(small(x), model(x), rtol=1e-3, atol=1e-4)
    with pytest.raises(sf.StructureError, match=r"call swiftforce.torch.desparsify"):
        sft.compact(small, INPUT)


# --------------------------------------------------------------------------- what is refused


def test_hooks_are_refused() -> None:
    model = masked()
    model.stem[0].register_forward_hook(lambda *_: None)
    with pytest.raises(sf.UnsupportedTypeError, match=r"stem\.0 \(Conv2d\) has hooks"):
        sft.compact(model, INPUT)


def test_masks_of_torch_are_refused() -> None:
    model = NETWORKS["vgg"]()
    prune.random_unstructured(model[0], "weight", 0.5)
    with pytest.raises(sf.UnsupportedTypeError, match=r"0 \(Conv2d\) has a mask of torch"):
        sft.compact(model, INPUT)


def test_frozen_weights_are_not_removed_ones() -> None:
    model = NETWORKS["vgg"]()
    sft.finetune(model, weight_masks(model))
    with pytest.raises(sf.UnsupportedTypeError, match=r"is fine-tuned, .*remove\(model\) first"):
        sft.compact(model, INPUT)


class Branching(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.sum() > 0 else x


class InModes(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if self.training else 2 * x)


class Random(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + torch.rand_like(x[:, :1, :1, :1])


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (Branching, sf.UnsupportedTypeError, "torch.fx cannot trace Branching"),
        (InModes, sf.UnsupportedTypeError, "InModes computes differently in train mode"),
        (Random, sf.StructureError, "does not compute what the model does"),
    ],
)
def test_models_that_no_graph_follows(
    kind: type[nn.Module], error: type[Exception], message: str
) -> None:
    model = kind(*conv_norm(3, 4))
    with pytest.raises(error, match=message):
        sft.compact(sft.apply(model, weight_masks(model)), INPUT)


def test_a_mode_of_its_own_is_followed_in_inference() -> None:
    model = InModes(*conv_norm(3, 4), nn.ReLU(), *conv_norm(4, 2)).eval()
    masks = weight_masks(model)
    sft.apply(model, masks)
    assert_same_outputs(sft.compact(model, INPUT, inference=True), model)


def test_arguments() -> None:
    model = masked()
    with pytest.raises(sf.StructureError, match="example_input has no tensor"):
        sft.compact(model, ())
    with pytest.raises(sf.StructureError, match="cannot be called with this example_input"):
        sft.compact(model, {"images": torch.randn(INPUT)})
    with pytest.raises(sf.UnsupportedTypeError, match="model must be"):
        sft.compact("model", INPUT)  # type: ignore[arg-type]
    with pytest.raises(sf.StructureError, match="example_input has no tensor"):
        sft.compact(model, torch.randn(INPUT).numpy())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(sf.StructureError, match="leave optimizer out"):
        sft.compact(model, INPUT, optimizer, inference=True)
    other = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(sf.StructureError, match="SGD trains none of the model's parameters"):
        sft.compact(model, INPUT, other)
    flat = torch.optim.LBFGS(model.parameters())
    with pytest.raises(sf.UnsupportedTypeError, match="LBFGS is of all parameters together"):
        sft.compact(model, INPUT, flat)
    with pytest.raises(sf.UnsupportedTypeError, match="has no values yet"):
        sft.compact(nn.Sequential(nn.LazyLinear(3)), (2, 6))


def test_state_that_cannot_be_made_smaller_changes_nothing() -> None:
    model = masked(density=0.03)
    first = torch.optim.SGD(model.stem.parameters(), lr=0.1, momentum=0.9)
    second = torch.optim.Adafactor(model.blocks.parameters())
    sft.apply(model, sft.masks(model), [first, second])
    functional.mse_loss(model(torch.randn(INPUT)), torch.zeros(2, 5)).backward()
    for one in (first, second):
        one.step()
    before = [
        (list(g["params"]), dict(one.state)) for one in (first, second) for g in one.param_groups
    ]
    hooks = [len(one._optimizer_step_post_hooks) for one in (first, second)]
    with pytest.raises(sf.UnsupportedTypeError, match=r"row_var of blocks.* make a new optimizer"):
        sft.compact(model, INPUT, [first, second])
    after = [
        (list(g["params"]), dict(one.state)) for one in (first, second) for g in one.param_groups
    ]
    for (params, state), (params_after, state_after) in zip(before, after, strict=True):
        assert all(one is other for one, other in zip(params, params_after, strict=True))
        assert state.keys() == state_after.keys()
        assert all(state[key] is state_after[key] for key in state)
    assert hooks == [len(one._optimizer_step_post_hooks) for one in (first, second)]


def test_optimizers_follow() -> None:
    model = masked(density=0.03)
    other = nn.Linear(2, 2)
    groups = [
        {"params": list(model.blocks.parameters()), "lr": 0.5},
        {"params": [*model.stem.parameters(), *other.parameters(), *model.head.parameters()]},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    sft.apply(model, sft.masks(model), optimizer)
    (model(torch.randn(INPUT)).sum() + other(torch.ones(1, 2)).sum()).backward()
    optimizer.step()
    small = sft.compact(model, INPUT, optimizer)
    trained = [one for group in optimizer.param_groups for one in group["params"]]
    assert {*map(id, trained)} == {id(one) for one in (*small.parameters(), *other.parameters())}
    assert optimizer.param_groups[0]["lr"] == 0.5
    for parameter, state in optimizer.state.items():
        assert state["exp_avg"].shape == state["exp_avg_sq"].shape == parameter.shape
    assert not any(id(one) in map(id, trained) for one in model.parameters())
    assert other.weight in optimizer.state


@pytest.mark.parametrize("in_place", [False, True])
def test_a_sum_of_one_term_leaves_the_input_alone(in_place: bool) -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Conv2d(4, 4, 1, bias=False)
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.nn.functional.relu(x + self.branch(x), inplace=in_place)
            return self.head(y) + x.sum()

    model = Shortcut()
    sft.apply(model, {"branch.weight": torch.zeros(4, 4, 1, 1, dtype=torch.bool)})
    example = torch.randn(2, 4, 3, 3)
    before = example.clone()
    small = sft.compact(model, example)
    torch.testing.assert_close(small(example), model(example))
    assert torch.equal(example, before)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.AdamW])
def test_a_bias_that_decay_moves_past_zero_stays(make: type[torch.optim.Optimizer]) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].bias.fill_(-0.05)
    sft.apply(model, {"0.weight": torch.tensor([[True] * 3, [False] * 3])})
    optimizer = make(model.parameters(), lr=0.01, weight_decay=1e-4)
    small = sft.compact(model, (2, 3), optimizer)
    assert small.get_submodule("0").weight.shape[0] == (2 if make is torch.optim.Adam else 1)
