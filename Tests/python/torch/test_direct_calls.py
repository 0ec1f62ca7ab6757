"""Sparse layers of few samples: the same outputs with and without the dispatcher of torch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import swiftforce as sf  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
from swiftforce.errors import DenseLayerWarning  # noqa: E402
from swiftforce.torch.direct_calls import DirectCalls  # noqa: E402
from swiftforce.torch.sample_blocks import SampleBlocks, pack, unpack  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")
BATCHES = range(1, 18)
#: Inputs, outputs and density: rows without weights, partial blocks, and indices of 32 bits.
SIZES = [(7, 5, 0.3), (64, 33, 0.2), (300, 70, 0.02), (70_000, 3, 0.001)]


def pair(inputs: int, outputs: int, density: float, *, bias: bool = True) -> tuple[Any, Any]:
    """A masked layer whose second row is empty, and its sparse copy."""
    generator = torch.Generator().manual_seed(inputs)
    mask = torch.rand(outputs, inputs, generator=generator) < density
    mask[0, -1] = True
    mask[1] = False
    dense = nn.Linear(inputs, outputs, bias=bias)
    sft.apply(dense, {"weight": mask})
    sparse = copy.deepcopy(dense)
    assert sft.sparsify(sparse, (2, inputs))[0].kernels == "sparse"
    return dense, sparse


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call was direct."""
    found: list[bool] = []
    outputs = DirectCalls.outputs

    def counted(*arguments: Any) -> Any:
        result = outputs(*arguments)
        found.append(result is not None)
        return result

    monkeypatch.setattr(DirectCalls, "outputs", counted)
    return found


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_of_all_batches(
    sizes: tuple[int, int, float], bias: bool, count: list[bool]
) -> None:
    dense, sparse = pair(*sizes, bias=bias)
    count.clear()
    for samples in BATCHES:
        x = torch.randn(samples, sizes[0])
        with torch.inference_mode():
            torch.testing.assert_close(sparse(x), dense(x))
        with torch.no_grad():
            torch.testing.assert_close(sparse(x), dense(x))
        torch.testing.assert_close(sparse(x), dense(x))
    assert count == [
        direct for samples in BATCHES for direct in (samples < 16, samples < 16, False)
    ]


@pytest.mark.parametrize("samples", BATCHES)
def test_direct_calls_have_the_bits_of_the_operation(samples: int, count: list[bool]) -> None:
    _, sparse = pair(300, 70, 0.1)
    state = sparse._swiftforce_sparse
    x = torch.randn(samples, 300)
    width = samples if samples < 16 else 16
    with torch.no_grad():
        expected = torch.ops.swiftforce.sparse_layer(
            pack(x, width),
            sparse.weight,
            sparse.bias,
            state.compiled.number,
            state.sizes(sparse, x.shape[2:]),
            samples,
        )
        count.clear()
        assert torch.equal(sparse(x), unpack(expected, samples))
    assert count == [samples < 16]


@pytest.mark.parametrize("samples", [1, 2, 15])
def test_convolutions_of_few_samples(samples: int, count: list[bool]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
    masks = {f"{i}.weight": torch.rand(model[i].weight.shape) < 0.3 for i in (0, 2)}
    sft.apply(model, masks)
    sparse = copy.deepcopy(model)
    sft.sparsify(sparse, (samples, 3, 9, 8))
    count.clear()
    with torch.no_grad():
        for image in ((9, 8), (6, 11)):
            x = torch.randn(samples, 3, *image)
            torch.testing.assert_close(sparse(x), model(x))
            x = x.to(memory_format=torch.channels_last)
            torch.testing.assert_close(sparse(x), model(x))
    assert all(count)


def test_one_sample_stays_in_the_layout_of_torch() -> None:
    model = nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 40))
    sft.apply(model, {f"{i}.weight": torch.rand(40, 40) < 0.2 for i in (0, 2)})
    assert sft.sparsify(model, (1, 40)).conversions == 0
    kinds: list[type] = []
    model[1].register_forward_pre_hook(lambda _, given: kinds.append(type(given[0])))
    with torch.no_grad():
        model(torch.randn(1, 40))
        model(torch.randn(2, 40))
    assert kinds == [torch.Tensor, SampleBlocks]


@pytest.mark.parametrize("shape", [(40,), (1, 40), (1, 1, 40), (2, 3, 40)])
def test_axes_before_features(shape: tuple[int, ...], count: list[bool]) -> None:
    dense, sparse = pair(40, 20, 0.3)
    count.clear()
    with torch.no_grad():
        x = torch.randn(shape)
        torch.testing.assert_close(sparse(x), dense(x))
    assert count[-1]


def test_strided_inputs() -> None:
    dense, sparse = pair(40, 20, 0.3)
    with torch.no_grad():
        for x in (
            torch.randn(1, 80)[:, ::2],
            torch.randn(40, 3).t(),
            torch.randn(40).expand(4, 40),
        ):
            torch.testing.assert_close(sparse(x), dense(x))


def test_gradients_of_what_is_trained_are_recorded(count: list[bool]) -> None:
    _, sparse = pair(40, 20, 0.3)
    x = torch.randn(1, 40)
    count.clear()
    sparse(x).sum().backward()
    assert sparse.weight.grad is not None
    sparse.requires_grad_(False)
    assert count == [False]
    assert not sparse(x).requires_grad
    assert sparse(x.requires_grad_()).requires_grad
    assert count == [False, True, False]


@pytest.mark.parametrize("samples", [1, 8])
def test_frozen_layers_before_trained_ones(samples: int) -> None:
    model = nn.Sequential(nn.Linear(40, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 40))
    model[1].eval()
    sft.apply(model, {f"{i}.weight": torch.rand(40, 40) < 0.2 for i in (0, 3)})
    dense = copy.deepcopy(model)
    sft.sparsify(model, (samples, 40))
    x = torch.randn(samples, 40)
    for one in (dense, model):
        one[0].requires_grad_(False)
        one(x).square().sum().backward()
    torch.testing.assert_close(model[1].weight.grad, dense[1].weight.grad)
    torch.testing.assert_close(model[3].bias.grad, dense[3].bias.grad)


def test_parameters_that_change() -> None:
    dense, sparse = pair(40, 20, 0.3)
    x = torch.randn(1, 40)

    def check() -> None:
        with torch.no_grad():
            torch.testing.assert_close(sparse(x), dense(x))

    with torch.no_grad():
        for one in (dense, sparse):
            one.weight.mul_(2)
    check()
    for _ in range(3):
        for one in (dense, sparse):
            one.weight.data = one.weight.data * 2
            one.bias.data = one.bias.data + 1
        check()
    dense.bias.data.normal_()
    sparse.load_state_dict(dense.state_dict())
    check()
    sparse.share_memory()
    check()
    sparse.bias = dense.bias = None
    check()
    other = {"weight": torch.zeros_like(sparse.weight)}
    with torch.no_grad():
        assert not torch.func.functional_call(sparse, other, (x,)).any()
    check()
    check_copy = copy.deepcopy(sparse)
    with torch.no_grad():
        sparse.weight.zero_()
        torch.testing.assert_close(check_copy(x), dense(x))
        assert not sparse(x).any()


def test_other_types_take_the_other_way(count: list[bool]) -> None:
    dense, sparse = pair(40, 20, 0.3)
    count.clear()
    x = torch.randn(1, 40, dtype=torch.float64)
    with torch.no_grad(), pytest.warns(DenseLayerWarning):
        torch.testing.assert_close(sparse.double()(x), dense.double()(x))
    with torch.no_grad():
        torch.testing.assert_close(sparse.float()(x.float()), dense.float()(x.float()))
    assert count == [False, True]


class _Recorded(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None):
        return function(*arguments, **(named or {}))


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # make_dual uses it.
def test_modes_see_the_operation(count: list[bool]) -> None:
    dense, sparse = pair(40, 20, 0.3)
    x = torch.randn(1, 40)
    count.clear()
    with torch.no_grad():
        for mode in (_Recorded(), FlopCounterMode(display=False)):
            with mode:
                torch.testing.assert_close(sparse(x), dense(x))
        torch.testing.assert_close(torch.vmap(sparse)(x), dense(x))
        with forward_ad.dual_level():
            sparse(forward_ad.make_dual(x, x))
    assert not any(count)


def test_errors_are_those_of_the_dense_layer() -> None:
    dense, sparse = pair(40, 20, 0.3)
    with torch.no_grad():
        for shape in ((1, 39), (2, 41)):
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                dense(torch.randn(shape))
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                sparse(torch.randn(shape))


def test_threads_do_not_matter() -> None:
    _, sparse = pair(8000, 1000, 0.3)
    before = sf.get_num_threads()
    try:
        for samples in (1, 3, 15):
            x = torch.randn(samples, 8000)
            found = []
            for threads in (1, 2, 5):
                sf.set_num_threads(threads)
                with torch.no_grad():
                    found.append(np.asarray(sparse(x)))
            assert all(np.array_equal(found[0], other) for other in found[1:])
    finally:
        sf.set_num_threads(before)
