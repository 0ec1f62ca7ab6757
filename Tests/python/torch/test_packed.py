"""Packed models of torch: state and masks come back, and training goes on as it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import swiftforce.torch as sft  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from swiftforce.files.packed import PackedTensor, write_packed  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.optim.swa_utils import AveragedModel  # noqa: E402
from torch_models import assert_same, batches, bits, mlp, random_masks, vgg11  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def masked(model: nn.Module | None = None) -> nn.Module:
    model = mlp() if model is None else model
    return sft.apply(model, random_masks(model))


def assert_same_state(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        assert bits(found[name]) == bits(value), name


def assert_comes_back(model: nn.Module, path: Path) -> sft.PackedState:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sft.save_packed(model, path)
    found = sft.load_packed(path)
    assert_same_state(found.state, before)
    assert_same_state(model.state_dict(), before)
    return found


def train(model: nn.Module, steps: int = 1) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for x, y in batches()[:steps]:
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


def test_state_and_masks_come_back(tmp_path: Path) -> None:
    model = masked()
    train(model)
    found = assert_comes_back(model, tmp_path / "m")
    assert_same(found.masks, sft.masks(model))


def test_a_new_model_goes_on_as_the_old_one_would(tmp_path: Path) -> None:
    model = masked()
    train(model)
    sft.save_packed(model, tmp_path / "m")
    found = sft.load_packed(tmp_path / "m")
    other = sft.apply(mlp(seed=1), found.masks)
    other.load_state_dict(found.state)
    for one in (model, other):
        train(one, steps=2)
    assert_same_state(other.state_dict(), model.state_dict())
    assert_same(sft.masks(other), sft.masks(model))


def test_kept_weights_that_are_zero_stay_kept(tmp_path: Path) -> None:
    model = masked()
    with torch.no_grad():
        model[0].weight[0] = 0
    found = assert_comes_back(model, tmp_path / "m")
    assert_same(found.masks, sft.masks(model))


def test_convolutions_and_running_statistics_come_back(tmp_path: Path) -> None:
    model = masked(vgg11().to(memory_format=torch.channels_last))
    model(torch.randn(4, 3, 32, 32))
    found = assert_comes_back(model, tmp_path / "m")
    assert_same(found.masks, sft.masks(model))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_weights_of_other_types_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    model = masked(mlp().to(dtype))
    assert_same(assert_comes_back(model, tmp_path / "m").masks, sft.masks(model))


def test_a_model_without_masks_comes_back(tmp_path: Path) -> None:
    assert assert_comes_back(mlp(), tmp_path / "m").masks == {}
    assert assert_comes_back(nn.Sequential(), tmp_path / "m") == ({}, {})


BUFFERS: dict[str, Callable[[], torch.Tensor]] = {
    **{
        str(dtype).removeprefix("torch."): lambda dtype=dtype: torch.arange(8).view(2, 4).to(dtype)
        for dtype in (
            *(torch.int8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64),
            *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
            *(torch.float8_e4m3fn, torch.float8_e5m2),
            *(torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
        )
    },
    "0-dim": lambda: torch.tensor(7),
    "empty": lambda: torch.empty(0, 3),
    "NaN": lambda: torch.tensor([float("nan"), -0.0, float("-inf")]),
    "transposed": lambda: torch.randn(3, 5).T,
    "part": lambda: torch.randn(6, 5)[1::2, ::2],
    "expanded": lambda: torch.randn(3, 1).expand(3, 4),
    "conjugate": lambda: torch.randn(4, dtype=torch.complex64).conj(),
    "many zeros": lambda: torch.eye(40, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_come_back(name: str, tmp_path: Path) -> None:
    model = masked()
    model.register_buffer("extra", BUFFERS[name]())
    sft.save_packed(model, tmp_path / "m")
    found = sft.load_packed(tmp_path / "m").state["extra"]
    extra = model.get_buffer("extra").resolve_conj()
    assert (found.dtype, found.shape) == (extra.dtype, extra.shape)
    assert bits(found) == bits(extra)


def test_tensors_that_share_part_of_their_memory_are_two(tmp_path: Path) -> None:
    model, whole = masked(), torch.arange(6.0)
    for name, part in (("first", whole[:3]), ("all", whole), ("none", whole[:0])):
        model.register_buffer(name, part)
    assert_comes_back(model, tmp_path / "m")


# ------------------------------------------------------------------------- names


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(40, 40, bias=False)
        self.second = nn.Linear(40, 40, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


@pytest.mark.parametrize("name", ["first.weight", "second.weight"])
def test_tied_weights_are_stored_once(name: str, tmp_path: Path) -> None:
    model = sft.apply(Tied(), {name: torch.rand(40, 40) > 0.9})
    found = assert_comes_back(model, tmp_path / "m")
    assert (tmp_path / "m").stat().st_size < 2000
    other = sft.apply(Tied(), found.masks)
    other.load_state_dict(found.state)
    assert other.second.weight is other.first.weight
    assert_same_state(other.state_dict(), model.state_dict())
    # The mask has one of the two names.
    assert list(map(bits, sft.masks(other).values())) == [bits(sft.masks(model)[name])]


def test_a_module_with_several_names_is_stored_once(tmp_path: Path) -> None:
    layer = nn.Linear(40, 40)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    sft.apply(model, {"0.weight": torch.rand(40, 40) > 0.9})
    found = assert_comes_back(model, tmp_path / "m")
    assert {bits(mask) for mask in found.masks.values()} == {bits(sft.masks(model)["0.weight"])}


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "DataParallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    "AveragedModel": AveragedModel,
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_names_are_those_of_the_model_inside(wrap: str, tmp_path: Path) -> None:
    model = masked()
    sft.save_packed(WRAPPED[wrap](model), tmp_path / "m")
    found = sft.load_packed(tmp_path / "m")
    assert_same_state(found.state, model.state_dict())
    assert_same(found.masks, sft.masks(model))


# ------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(("sparsity", "most"), [(0.99, 0.025), (0.995, 0.014)])
def test_files_are_small(sparsity: float, most: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.Linear(100, 10))
    save_file(model.state_dict(), tmp_path / "dense")
    sft.apply(model, sft.prune(model, method="random", sparsity=sparsity))
    sft.save_packed(model, tmp_path / "packed")
    sizes = [(tmp_path / name).stat().st_size for name in ("packed", "dense")]
    assert sizes[0] < most * sizes[1]


# ------------------------------------------------------------------------- other readers


def test_numpy_reads_what_torch_writes(tmp_path: Path) -> None:
    model = masked()
    sft.save_packed(model, tmp_path / "m")
    found = sf.load_packed(tmp_path / "m")
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(found.tensors[name], value.numpy())
    assert_same(
        {name: torch.from_numpy(mask) for name, mask in found.masks.items()}, sft.masks(model)
    )


def test_torch_reads_what_numpy_writes(tmp_path: Path) -> None:
    model = masked()
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    masks = {name: mask.numpy() for name, mask in sft.masks(model).items()}
    sf.save_packed(arrays, tmp_path / "m", masks)
    found = sft.load_packed(tmp_path / "m")
    assert_same_state(found.state, model.state_dict())
    assert_same(found.masks, sft.masks(model))


# ------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("value", [0.5, -0.0])
def test_a_removed_weight_that_is_not_zero(value: float, tmp_path: Path) -> None:
    model = masked()
    place = tuple((~sft.masks(model)["0.weight"]).nonzero()[0])
    model[0].weight.data[place] = value
    with pytest.raises(sf.RemovedWeightsError, match=r"^1 weights of '0.weight' are not \+0"):
        sft.save_packed(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


class WithExtraState(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: WithExtraState(3, 2), "'_extra_state' in the state_dict is of type dict"),
        (lambda: nn.Linear(3, 2, device="meta"), "'weight' is on the meta device"),
    ],
)
def test_entries_without_values_for_files(
    make: Callable[[], nn.Module], text: str, tmp_path: Path
) -> None:
    with pytest.raises(sf.StructureError, match=text):
        sft.save_packed(make(), tmp_path / "m")


@pytest.mark.parametrize(
    "value", [torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.complex128)], ids=["COO", "c128"]
)
def test_tensors_that_files_do_not_have(value: torch.Tensor, tmp_path: Path) -> None:
    model = mlp()
    model.register_buffer("extra", value)
    with pytest.raises(sf.UnsupportedTypeError, match=r"^'extra' is torch\."):
        sft.save_packed(model, tmp_path / "m")


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(sf.UnsupportedTypeError):
        sft.save_packed(mlp().state_dict(), tmp_path / "m")


@pytest.fixture
def one_rank() -> Iterator[Any]:
    """A mesh of this process alone."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available() or distributed.is_initialized():
        pytest.skip("needs a group of processes of its own")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_sharded_parameters(one_rank: Any, tmp_path: Path) -> None:
    from torch.distributed.tensor import Shard, distribute_tensor

    model = mlp()
    model[0].weight = nn.Parameter(distribute_tensor(model[0].weight.data, one_rank, [Shard(0)]))
    with pytest.raises(sf.StructureError, match=r"^'0.weight' is sharded: gather the whole model"):
        sft.save_packed(model, tmp_path / "m")


def test_types_that_are_not_read(tmp_path: Path) -> None:
    write_packed(tmp_path / "m", [PackedTensor("q", "F4", (4,), np.array([1, 2], np.uint8))])
    with pytest.raises(sf.UnsupportedTypeError, match="'q' is F4, which is not read here"):
        sft.load_packed(tmp_path / "m")


def test_files_of_another_kind(tmp_path: Path) -> None:
    save_file(mlp().state_dict(), tmp_path / "m")
    with pytest.raises(sf.PackedFileError, match="is not a file of a packed model"):
        sft.load_packed(tmp_path / "m")


def test_views_of_one_tensor_are_not_tied(tmp_path: Path) -> None:
    model = torch.nn.Module()
    z = torch.tensor([1 + 2j, 3 - 4j])
    model.register_buffer("a", z)
    model.register_buffer("b", z.conj())
    model.register_buffer("c", z.conj().imag)
    sft.save_packed(model, tmp_path / "m")
    found = sft.load_packed(tmp_path / "m").state
    for name, value in model.state_dict().items():
        assert torch.equal(found[name], value.resolve_conj().resolve_neg()), name
