"""Tensors with samples innermost behave as plain ones: values, gradients, changes in place."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from swiftforce.torch.sample_blocks import (  # noqa: E402
    SampleBlocks,
    conversions,
    from_blocks,
    to_blocks,
)
from torch.nn import functional  # noqa: E402

F: Any = functional
SHAPE = (20, 6, 5, 4)
OTHER = torch.randn(SHAPE)
SCALE, SHIFT = torch.rand(6) + 0.5, torch.randn(6)
CHANNELS = torch.randn(1, 6, 1, 1)

#: Functions of one image that keep the order of blocks.
KEPT: dict[str, Callable[[Any], Any]] = {
    "relu": torch.relu,
    "relu in place": lambda x: F.relu(x * 1, inplace=True),
    "method in place": lambda x: (x * 1).relu_(),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "leaky": lambda x: F.leaky_relu(x, 0.1),
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "clamp": lambda x: x.clamp(min=-0.5, max=0.5),
    "arithmetic": lambda x: 2 - (x + 1) * 3 / (x.abs() + 1) - x**2,
    "of both orders": lambda x: x * OTHER + OTHER * x - (OTHER - x),
    "in place, of both orders": lambda x: (x * 1).add_(OTHER, alpha=2),
    "by channel": lambda x: x * CHANNELS + CHANNELS[0],
    "by sample": lambda x: x * OTHER[:, :, :1, :1] + OTHER[:, :1],
    "by column": lambda x: x * torch.arange(4.0) + 1,
    "where": lambda x: torch.where(OTHER > 0, x, 0.0),
    "where of blocks": lambda x: torch.where((x * 1).sign().abs() > 2, 1.0, x),
    "dropout": lambda x: F.dropout(x, 0.0),
    "max pool": lambda x: F.max_pool2d(x, 2),
    "max pool, overlapping": lambda x: F.max_pool2d(x, (3, 2), stride=(1, 2), padding=1),
    "max pool, dilated": lambda x: F.max_pool2d(x, 2, 1, dilation=2, ceil_mode=True),
    "max pool, by position": lambda x: F.max_pool2d(x, 3, 2, 1, 1, False, False),
    "average pool": lambda x: F.avg_pool2d(x, 2, 1, count_include_pad=False, padding=1),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((2, 3)),
    "mean, kept": lambda x: x.mean(dim=[-1, -2], keepdim=True),
    "flatten": lambda x: torch.flatten(x, 1),
    "cat": lambda x: torch.cat([x, OTHER, x * 2], 1),
    "cat of columns": lambda x: torch.cat([x, x], dim=-1),
    "normalised": lambda x: F.batch_norm(x, torch.ones(6), torch.full((6,), 2.0)),
    "detach": lambda x: x.detach() + x,
    "contiguous": lambda x: x.contiguous(),
}

#: Functions that get a copy in the order of torch.
COPIED: dict[str, Callable[[Any], Any]] = {
    "normalised by a batch with a gap": lambda x: F.batch_norm(x, None, None, training=True),
    "group norm": lambda x: F.group_norm(x, 2),
    "softmax": lambda x: x.softmax(1),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last) * 1,
    "view": lambda x: x.view(20, -1) * 1,
    "reshape": lambda x: x.reshape(40, 3, 5, 4),
    "permute": lambda x: x.permute(0, 2, 3, 1).contiguous(),
    "index": lambda x: x[3:, ::2],
    "cat of samples": lambda x: torch.cat([x, OTHER]),
    "sum": lambda x: x.sum(),
    "matmul": lambda x: x @ torch.ones(4, 3),
    "convolution": lambda x: F.conv2d(x, torch.ones(2, 6, 3, 3)),
    "pad": lambda x: F.pad(x, (1, 2)),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "max pool with indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "adaptive pool of several": lambda x: F.adaptive_avg_pool2d(x, 2),
    "plain in place": lambda x: OTHER.clone().add_(x),
    "plain, augmented": lambda x: _augmented(OTHER.clone(), x),
    "out": lambda x: torch.add(x.detach(), 1, out=torch.empty(SHAPE)) + x,
    "stack": lambda x: torch.stack([x, x]),
}


def _augmented(first: Any, second: Any) -> Any:
    first += second
    return first


def run(function: Callable[[Any], Any], source: Any) -> tuple[Any, Any]:
    """What a function of a source returns, and the gradient of the source."""
    output = function(source())
    plain = from_blocks(output) if isinstance(output, SampleBlocks) else output
    weights = torch.linspace(-1, 1, plain.numel()).view(plain.shape)
    leaf = source.leaf
    (gradient,) = torch.autograd.grad((plain * weights).sum(), leaf)
    return plain, gradient


class Source:
    """A leaf, and what a function gets of it."""

    def __init__(self, values: Any, change: Callable[[Any], Any]) -> None:
        self.leaf = values.clone().requires_grad_()
        self._change = change

    def __call__(self) -> Any:
        return self._change(self.leaf)


@pytest.mark.parametrize("width", [16, 20])
@pytest.mark.parametrize("name", [*KEPT, *COPIED])
def test_a_function_of_blocks_is_that_of_the_tensor(name: str, width: int) -> None:
    torch.manual_seed(0)
    function = {**KEPT, **COPIED}[name]
    values = torch.randn(SHAPE)
    expected = run(function, Source(values, lambda leaf: leaf * 1))
    found = run(function, Source(values, lambda leaf: to_blocks(leaf * 1, width)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KEPT)
def test_the_order_is_kept(name: str) -> None:
    blocks = to_blocks(torch.randn(SHAPE))
    before = conversions["from blocks"]
    assert isinstance(KEPT[name](blocks), SampleBlocks)
    assert conversions["from blocks"] == before


def test_a_whole_batch_is_normalised_in_blocks() -> None:
    values, weight, bias = torch.randn(32, 6, 5, 4), torch.rand(6), torch.rand(6)
    means, variances = ([torch.zeros(6), torch.ones(6)] for _ in range(2))

    def normalise(x: Any, statistics: list[Any]) -> Any:
        return F.batch_norm(x, *statistics, weight, bias, training=True)

    expected = run(lambda x: normalise(x, means), Source(values, lambda leaf: leaf * 1))
    found = run(lambda x: normalise(x, variances), Source(values, lambda leaf: to_blocks(leaf * 1)))
    torch.testing.assert_close((*found, *variances), (*expected, *means), rtol=1e-4, atol=1e-5)
    assert isinstance(normalise(to_blocks(values), means), SampleBlocks)


def test_it_calls_itself_what_it_stands_for() -> None:
    blocks = to_blocks(torch.randn(SHAPE, requires_grad=True))
    assert blocks.shape == SHAPE
    assert (blocks.size(0), blocks.size(-1), blocks.dim(), blocks.ndim) == (20, 4, 4, 4)
    assert (len(blocks), blocks.numel(), torch.numel(blocks)) == (20, 2400, 2400)
    assert (blocks.dtype, blocks.device.type, blocks.requires_grad) == (torch.float32, "cpu", True)
    assert blocks.is_floating_point()
    assert not blocks.is_leaf
    assert repr(blocks) == repr(from_blocks(blocks))


def test_changes_in_place_of_any_kind_reach_it() -> None:
    plain = torch.randn(SHAPE)
    blocks = to_blocks(plain)

    def change(one: Any) -> None:
        one[:, 0] = 7
        one.cumsum_(1)
        one += 1
        one.clamp_(max=9)

    change(plain)
    change(blocks)
    torch.testing.assert_close(from_blocks(blocks), plain)


def test_its_properties_can_be_set() -> None:
    plain = torch.randn(SHAPE)
    blocks = to_blocks(torch.zeros(SHAPE))
    blocks.data = plain
    torch.testing.assert_close(from_blocks(blocks), plain)
    blocks.requires_grad = True
    blocks.grad = plain * 2
    torch.testing.assert_close(blocks.grad, plain * 2)


def test_rectifying_what_was_normalised_is_differentiated_as_both() -> None:
    def function(x: Any, in_place: bool, changed: bool, used_twice: bool) -> Any:
        y = F.batch_norm(x, torch.zeros(6), torch.ones(6), SCALE, SHIFT, training=True)
        y = y.mul_(2) if changed else y
        z = F.relu(y, inplace=in_place)
        return z + y if used_twice else z

    for in_place, changed, used_twice in itertools.product((False, True), repeat=3):
        values = torch.randn(36, 6, 5, 4)
        run_one = functools.partial(
            function, in_place=in_place, changed=changed, used_twice=used_twice
        )
        expected = run(run_one, Source(values, lambda leaf: leaf * 1))
        found = run(run_one, Source(values, lambda leaf: to_blocks(leaf * 1)))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_each_channel_by_itself_is_convolved_in_blocks(stride: int) -> None:
    weight, bias = torch.randn(6, 1, 3, 3, requires_grad=True), torch.randn(6, requires_grad=True)

    def convolve(x: Any) -> Any:
        return F.conv2d(x, weight, bias, stride, 1, 1, 6)

    gradients = []
    for change in (lambda leaf: leaf * 1, lambda leaf: to_blocks(leaf * 1)):
        leaf = Source(torch.ones(SHAPE) * OTHER, change)
        output = convolve(leaf())
        gradients.append(
            (output, torch.autograd.grad(output.square().sum(), (leaf.leaf, weight, bias)))
        )
    assert isinstance(gradients[1][0], SampleBlocks)
    torch.testing.assert_close(from_blocks(gradients[1][0]), gradients[0][0])
    torch.testing.assert_close(gradients[1][1], gradients[0][1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inference", [False, True])
def test_changes_of_views_reach_it(inference: bool) -> None:
    def change(x: Any) -> Any:
        y = x * 2
        y[:, :2].mul_(3)
        flat = y.view(20, -1)
        flat[:, 0] = 5.0
        y[3].add_(y[4])
        z = y * 1
        flat[:, 1] = 7.0
        return z + y

    values = torch.randn(SHAPE)
    if inference:
        with torch.inference_mode():
            torch.testing.assert_close(from_blocks(change(to_blocks(values))), change(values))
        return
    expected = run(change, Source(values, lambda leaf: leaf * 1))
    found = run(change, Source(values, lambda leaf: to_blocks(leaf * 1)))
    torch.testing.assert_close(found, expected)


def test_hooks_and_gradients_are_in_the_order_of_torch() -> None:
    leaf = torch.randn(SHAPE, requires_grad=True)
    blocks = to_blocks(leaf)
    seen = []
    blocks.register_hook(seen.append)
    blocks.register_hook(lambda gradient: gradient * 2)
    (blocks * OTHER).sum().backward()
    torch.testing.assert_close(seen[0], OTHER)
    torch.testing.assert_close(leaf.grad, 2 * OTHER)
    own = to_blocks(torch.randn(SHAPE)).requires_grad_()
    (own * OTHER).sum().backward()
    torch.testing.assert_close(own.grad, OTHER)


def test_features_have_blocks_too() -> None:
    values = torch.randn(40, 7)
    assert torch.equal(from_blocks(to_blocks(values)), values)
    found = F.batch_norm(to_blocks(values) + torch.arange(7.0), torch.zeros(7), torch.ones(7))
    assert isinstance(found, SampleBlocks)
    torch.testing.assert_close(from_blocks(found), (values + torch.arange(7.0)) / 1.000005)
