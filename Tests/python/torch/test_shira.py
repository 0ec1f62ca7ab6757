"""Masks for SHiRA adapters: each layer gets the mask that was found for it, of the adapter's rank.

`adapted` is what peft does with a mask; the last tests call peft itself, where it is installed.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]

TARGETS = ["q_proj", "v_proj"]
INCLUDE = [f"*.{name}.weight" for name in TARGETS]


class Block(nn.Module):
    """With names of layers as attention has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width + 2, bias=False)
        self.out_proj = nn.Linear(width + 2, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.out_proj(torch.tanh(self.q_proj(x)).sum(-1, keepdim=True) * self.v_proj(x))


class Model(nn.Module):
    def __init__(self, width: int = 12) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 8, 12, generator=generator)
    return [(one, one[:, :3].argmax(1)) for one in x]


def searched(model: nn.Module, rank: int, **options: Any) -> sft.ModelPruning:
    counts = {
        name: rank * sum(one.shape) for name, one in sft.prunable(model, include=INCLUDE).items()
    }
    return sft.prune(model, batches(), cross_entropy, include=INCLUDE, allocation=counts, **options)


def adapted(layer: nn.Linear, mask: torch.Tensor, rank: int) -> torch.Tensor:
    """The positions that peft trains; it refuses a mask of another number of ones."""
    assert (mask.shape, mask.dtype, mask.device) == (
        layer.weight.shape,
        layer.weight.dtype,
        layer.weight.device,
    )
    places = torch.stack(torch.where(mask == 1.0))
    assert places.shape == (2, rank * (layer.in_features + layer.out_features))
    assert bool(((mask == 0) | (mask == 1)).all())
    return places


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("rank", [1, 3])
def test_each_layer_gets_its_mask(rank: int, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    model = Model()
    found = searched(model, rank, method="snip")
    mask_fn = sft.shira_mask_fn(model, found)
    model.to(getattr(torch, dtype))  # Layers stay the same objects.
    for number, block in enumerate(model.blocks):
        for name in TARGETS:
            layer = getattr(block, name)
            mask = mask_fn(layer, rank, bias=False, random_seed=3)
            adapted(layer, mask, rank)
            assert torch.equal(mask != 0, found.masks[f"blocks.{number}.{name}.weight"])
    assert not torch.equal(
        mask_fn(model.blocks[0].q_proj, rank), mask_fn(model.blocks[1].q_proj, rank)
    )


def test_masks_keep_the_largest_scores_of_each_layer() -> None:
    model = Model()
    found = searched(model, 2, method="magnitude")
    for name, mask in found.masks.items():
        weight = model.get_parameter(name).detach().abs()
        assert weight[mask].min() >= weight[~mask].max()
        assert int(mask.sum()) == 2 * sum(mask.shape)


def test_masks_by_name_are_copied() -> None:
    model = Model()
    layer, mask = model.blocks[0].q_proj, torch.arange(144).view(12, 12) < 24
    expected = mask.float()
    mask_fn = sft.shira_mask_fn(model, {"blocks.0.q_proj.weight": mask})
    mask[:] = True
    given = mask_fn(layer, r=1)
    assert torch.equal(given, expected)
    given.zero_()
    assert torch.equal(mask_fn(layer, 1), expected)


def test_a_weight_that_layers_share() -> None:
    model = Model()
    first, second = model.blocks[0].q_proj, model.blocks[1].q_proj
    second.weight = first.weight
    for name in ("blocks.0.q_proj.weight", "blocks.1.q_proj.weight"):
        mask_fn = sft.shira_mask_fn(model, {name: torch.arange(144).view(12, 12) < 24})
        assert torch.equal(mask_fn(first, 1), mask_fn(second, 1))


def test_wrappers_are_seen_through() -> None:
    model = Model()
    found = searched(model, 1, method="magnitude")
    mask_fn = sft.shira_mask_fn(nn.DataParallel(model), found)
    adapted(model.blocks[0].q_proj, mask_fn(model.blocks[0].q_proj, 1), 1)


def test_the_function_keeps_no_model() -> None:
    model = Model()
    mask_fn = sft.shira_mask_fn(model, searched(model, 1, method="magnitude"))
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None
    with pytest.raises(sf.StructureError, match="no layer of the model"):
        mask_fn(Model().blocks[0].q_proj, 1)


# ---------------------------------------------------------------------------- what is refused


def test_layers_and_ranks_that_are_refused() -> None:
    model = Model()
    mask_fn = sft.shira_mask_fn(model, searched(model, 2, method="magnitude"))
    layer = model.blocks[1].v_proj
    with pytest.raises(sf.StructureError, match=r"adapts 'blocks.1.out_proj', which has no mask"):
        mask_fn(model.blocks[1].out_proj, 2)
    with pytest.raises(sf.StructureError, match=r"Linear\(in_features=12.*no layer of the model"):
        mask_fn(copy.deepcopy(model).blocks[1].v_proj, 2)
    text = (
        r"rank r=3, and the mask of 'blocks.1.v_proj.weight' has 52 weights, those of rank 2: pass "
        r"ShiraConfig\(r=2\), or search with allocation=\{'blocks.1.v_proj.weight': 78, ...\}"
    )
    with pytest.raises(sf.HyperparameterError, match=text):
        mask_fn(layer, 3)
    layer.weight = nn.Parameter(torch.zeros(4, 12))
    with pytest.raises(sf.ShapeError, match=r"has shape \(4, 12\) where its mask has \(14, 12\)"):
        mask_fn(layer, 2)


def test_masks_that_are_refused() -> None:
    model = nn.Sequential(nn.Conv1d(6, 4, 2), nn.Flatten(), nn.Linear(4, 3))
    some = torch.arange(12).view(3, 4) < 7
    cases: list[tuple[Mapping[str, Any], type[Exception], str]] = [
        ({}, sf.StructureError, "there are no masks"),
        ({"1.weight": some}, sf.StructureError, "no parameter '1.weight'"),
        ({"2.weight": some.T}, sf.ShapeError, r"shape \(4, 3\) where the parameter"),
        ({"2.weight": some.float()}, sf.UnsupportedTypeError, "not bool"),
        ({"2.bias": some[0, :3]}, sf.StructureError, r"'2.bias', of shape \(3,\), is not the matr"),
        ({"0.weight": torch.ones(4, 6, 2) > 0}, sf.StructureError, "'0.weight', of shape"),
        ({"2.weight": ~some}, sf.HyperparameterError, r"has 5 weights.*allocation=.*: r \* 7"),
        ({"2.weight": some & ~some}, sf.HyperparameterError, "has 0 weights"),
    ]
    for masks, error, text in cases:
        with pytest.raises(error, match=text):
            sft.shira_mask_fn(model, masks)
    sft.shira_mask_fn(model, {"2.weight": some})
    with pytest.raises(sf.UnsupportedTypeError, match="must be a torch"):
        sft.shira_mask_fn({"2.weight": some}, {"2.weight": some})


# --------------------------------------------------------------------------------- with peft


def config(model: nn.Module, masks: Any, rank: int, **options: Any) -> Any:
    peft = pytest.importorskip("peft", reason="needs peft")
    options = {"target_modules": TARGETS} | options
    with pytest.warns(UserWarning, match="supply your own masking function"):
        made = peft.ShiraConfig(r=rank, mask_type="swiftforce", **options)
    made.mask_fn = sft.shira_mask_fn(model, masks)
    return made


def train(model: nn.Module) -> None:
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.1)
    for x, y in batches():
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_an_adapter_of_peft(tmp_path: Path) -> None:
    """What it has changed after training are the weights that the masks choose, and no others."""
    peft = pytest.importorskip("peft", reason="needs peft")
    model = Model()
    base = copy.deepcopy(model)
    found = searched(model, 2, method="snip")
    given = config(model, found, 2)
    made = peft.get_peft_model(model, given)
    train(made)
    made.save_pretrained(str(tmp_path))
    x = batches()[0][0]
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), str(tmp_path))
    assert torch.equal(loaded(x), made(x))
    merged = made.merge_and_unload()
    for name, before in base.named_parameters():
        changed = merged.get_parameter(name) != before
        mask = found.masks.get(name, torch.zeros_like(changed))
        assert torch.equal(changed, mask), name


def test_a_second_adapter_of_peft() -> None:
    peft = pytest.importorskip("peft", reason="needs peft")
    model = Model()
    first, second = searched(model, 1, method="snip"), searched(model, 2, method="magnitude")
    other = config(model, second, 2)
    made = peft.get_peft_model(model, config(model, first, 1))
    made.add_adapter("other", other)
    layer = made.base_model.model.blocks[1].v_proj
    for adapter, masks in (("default", first), ("other", second)):
        places = torch.stack(torch.where(masks.masks["blocks.1.v_proj.weight"]))
        assert torch.equal(layer.shira_indices[adapter], places.int())


def test_peft_passes_our_errors_on() -> None:
    peft = pytest.importorskip("peft", reason="needs peft")
    model = Model()
    found = searched(model, 1, method="magnitude")
    with pytest.raises(sf.HyperparameterError, match="rank r=2"):
        peft.get_peft_model(model, config(model, found, 2))
    model = Model()
    with pytest.raises(sf.StructureError, match="out_proj', which has no mask"):
        peft.get_peft_model(model, config(model, found, 1, target_modules=["out_proj"]))
    model = Model()
    with pytest.raises(sf.StructureError, match="not a copy"):
        peft.get_peft_model(copy.deepcopy(model), config(model, found, 1))


def test_peft_refuses_the_layers_of_gpt_2() -> None:
    """Their weights are transposed; if peft takes them one day, they need a test of their own."""
    peft = pytest.importorskip("peft", reason="needs peft")
    conv1d = pytest.importorskip("transformers.pytorch_utils", reason="needs transformers").Conv1D
    model = nn.Sequential(conv1d(8, 6), nn.Tanh())
    counts = {"0.weight": 14}
    found = sft.prune(model, method="magnitude", include="0.weight", allocation=counts)
    for transposed in (False, True):
        options = {"target_modules": ["0"], "fan_in_fan_out": transposed}
        with pytest.raises(TypeError, match="not supported"):
            peft.get_peft_model(copy.deepcopy(model), config(model, found, 1, **options))
