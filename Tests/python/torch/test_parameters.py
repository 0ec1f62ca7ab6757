"""Which parameters of a model are pruned, by name."""

from __future__ import annotations

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import assert_same, batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2),
        nn.Conv1d(2, 3, 2),
        nn.Conv2d(2, 4, 2, groups=2),
        nn.Conv3d(2, 3, 2),
        nn.ConvTranspose1d(2, 3, 2),
        nn.ConvTranspose2d(2, 3, 2),
        nn.ConvTranspose3d(2, 3, 2),
    ],
    ids=lambda module: type(module).__name__,
)
def test_weights_of_matrices_and_kernels_are_pruned(module: nn.Module) -> None:
    found = sft.prunable(module)
    assert list(found) == ["weight"]
    assert found["weight"] is module.weight


def test_projections_of_attention_are_pruned() -> None:
    assert list(sft.prunable(nn.MultiheadAttention(4, 2))) == ["in_proj_weight", "out_proj.weight"]
    other = nn.MultiheadAttention(4, 2, kdim=3, vdim=5, add_bias_kv=True)
    assert list(sft.prunable(other)) == [
        "q_proj_weight",
        "k_proj_weight",
        "v_proj_weight",
        "out_proj.weight",
    ]


def test_recurrent_layers_are_pruned() -> None:
    assert list(sft.prunable(nn.LSTM(2, 3, proj_size=2))) == [
        "weight_ih_l0",
        "weight_hh_l0",
        "weight_hr_l0",
    ]
    assert list(sft.prunable(nn.GRUCell(2, 3))) == ["weight_ih", "weight_hh"]


def test_tables_norms_and_vectors_are_not_pruned() -> None:
    model = nn.Sequential(
        *(nn.Embedding(5, 4), nn.EmbeddingBag(5, 4), nn.LayerNorm((2, 4)), nn.BatchNorm1d(4)),
        *(nn.GroupNorm(2, 4), nn.PReLU(4), nn.Bilinear(4, 4, 4), nn.Linear(4, 3)),
    )
    model.own = nn.Parameter(torch.ones(3, 3))
    model.cls_token = nn.Parameter(torch.ones(1, 1, 4))
    assert list(sft.prunable(model)) == ["own", "6.weight", "7.weight"]


def test_parameters_come_in_the_order_of_the_model() -> None:
    model = torch_models.resnet18()
    assert list(sft.prunable(model)) == list(torch_models.matrices(model))


def test_a_matrix_that_is_a_table_too_is_left_out() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False))
    model[2].weight = model[0].weight
    assert list(sft.prunable(model)) == ["1.weight"]
    assert list(sft.prunable(model, include="*.weight")) == ["0.weight", "1.weight"]


def test_frozen_parameters_are_left_out_unless_they_are_named() -> None:
    model = mlp()
    model[0].requires_grad_(False)
    assert list(sft.prunable(model)) == ["2.weight"]
    assert list(sft.prunable(model, include="0.*")) == ["0.weight", "0.bias"]
    model.requires_grad_(False)
    with pytest.raises(sf.StructureError, match="no weight to prune"):
        sft.prunable(model)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"exclude": "0.*"}, ["2.weight"]),
        ({"exclude": ["0.weight"]}, ["2.weight"]),
        ({"include": "?.bias"}, ["0.bias", "2.bias"]),
        ({"include": ("2.*", "0.weight")}, ["0.weight", "2.weight", "2.bias"]),
        ({"include": "*", "exclude": ["*.bias", "2.*"]}, ["0.weight"]),
        ({"include": iter(["2.weight"])}, ["2.weight"]),
    ],
)
def test_globs_choose(options: dict[str, object], names: list[str]) -> None:
    assert list(sft.prunable(mlp(), **options)) == names


@pytest.mark.parametrize("option", ["include", "exclude"])
@pytest.mark.parametrize("glob", ["3.*", "weight", "0.WEIGHT", ""])
def test_a_glob_that_matches_nothing_is_an_error(option: str, glob: str) -> None:
    with pytest.raises(sf.UnknownNameError, match=rf"{option} has .*{glob!r}.*0\.weight"):
        sft.prunable(mlp(), **{option: ["2.weight", glob]})


def test_a_model_without_weights_is_an_error() -> None:
    for model in (nn.ReLU(), nn.Embedding(2, 2), nn.LayerNorm(3)):
        with pytest.raises(sf.StructureError, match=f"{type(model).__name__} has no weight"):
            sft.prunable(model)
    with pytest.raises(sf.StructureError, match="no weight to prune"):
        sft.prunable(mlp(), exclude="*")


def test_parameters_that_are_not_floats_are_refused_by_name() -> None:
    model = nn.Linear(2, 2)
    model.codes = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(sf.UnsupportedTypeError, match=r"codes has dtype torch\.int8"):
        sft.prunable(model, include="codes")
    complexes = nn.Linear(2, 2, dtype=torch.complex64)
    with pytest.raises(sf.SwiftForceError):
        sft.prunable(complexes)


def test_parameters_without_values_are_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match=r"0\.weight has no values yet"):
        sft.prunable(nn.Sequential(nn.LazyLinear(3), nn.LazyConv2d(2, 2)))
    with pytest.raises(sf.UnsupportedTypeError, match="weight is on the device meta"):
        sft.prunable(nn.Linear(2, 2, device="meta"))


def test_a_lazy_module_is_pruned_once_it_has_values() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.ones(1, 5))
    assert sft.prunable(model)["0.weight"].shape == (3, 5)


# ------------------------------------------------------------------------------ shared


def test_a_parameter_that_modules_share_counts_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 4))
    model[2].weight = model[0].weight
    assert list(sft.prunable(model)) == ["0.weight", "3.weight"]
    data = batches()
    found = sft.force(model, data, loss=cross_entropy, sparsity=0.5, steps=3)
    assert found.size == 36 + 24
    masks, _ = torch_models.reference_search(model, data, method="force", sparsity=0.5, steps=3)
    assert_same(found.masks, masks)


def test_a_module_that_is_used_twice_counts_once() -> None:
    shared = nn.Linear(6, 6)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(6, 4))
    assert list(sft.prunable(model)) == ["0.weight", "3.weight"]
    found = sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=3)
    sft.apply(model, found)
    assert int((shared.weight == 0).sum()) == int((~found.masks["0.weight"]).sum())


@pytest.mark.parametrize("method", ["snip", "force"])
def test_parameters_that_share_memory_unknown_to_torch_are_refused(method: str) -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight.data = model[0].weight.data
    with pytest.raises(sf.OverlapError, match=r"2\.weight"):
        sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, method=method)


# ------------------------------------------------------------------------------ wrapped


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_names_of_a_compiled_model_are_those_of_the_model_inside(backend: str) -> None:
    compiled = torch.compile(mlp(), backend=backend)
    assert list(sft.prunable(compiled, exclude="2.*")) == ["0.weight"]
    options = {"loss": cross_entropy, "sparsity": 0.7, "steps": 3}
    found = sft.prune(compiled, batches(), **options)
    assert_same(found.masks, sft.prune(mlp(), batches(), **options).masks)


def test_names_of_a_model_in_data_parallel_are_those_of_the_model_inside() -> None:
    model = mlp()
    wrapped = nn.DataParallel(model)
    assert list(sft.prunable(wrapped)) == ["0.weight", "2.weight"]
    assert sft.prunable(wrapped)["0.weight"] is model[0].weight


def test_a_part_that_is_compiled_has_the_names_that_torch_gives_it() -> None:
    model = mlp()
    model[0] = torch.compile(model[0], backend="eager")
    found = sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=2)
    assert list(found.masks) == ["0._orig_mod.weight", "2.weight"]
    sft.apply(model, found)
    assert_same(sft.masks(model), found.masks)
