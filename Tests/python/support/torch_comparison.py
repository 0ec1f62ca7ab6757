"""Comparisons of `swiftforce.nn` with torch: the same network and samples, in binary64 there.

A ReLU whose input is nearly zero, or a pool whose two largest inputs are nearly equal, may decide
differently in binary32, and a gradient then differs by a whole term. So small networks get samples
without such near ties. Large networks, with millions of activations, get several batches: a real
error shows in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch_twin
from swiftforce import nn

#: Largest error of a gradient, relative to its largest number.
CLOSE = 1e-4
CLASSES = 4
#: Smallest distance of activations from a tie, relative to their size.
CLEAR = 1e-5
Array = Any
Batch = tuple[Array, Array]


def batch(shape: Sequence[int], n: int, seed: int, classes: int = CLASSES) -> Batch:
    rng = np.random.default_rng([seed, n, *shape])
    x = rng.standard_normal((n, *shape), dtype=np.float32)
    return x, rng.integers(0, classes, n)


def settled(net: nn.Network, seed: int = 5) -> nn.Network:
    """The network, with biases, scales and statistics that have an effect."""
    rng = np.random.default_rng(seed)
    for name, values in {**net.biases, **net.statistics}.items():
        if name.endswith(("scale", "variance")):
            values[...] = rng.uniform(0.5, 1.5, values.shape)
        elif name.endswith("mean"):
            values[...] = 0.3 * rng.standard_normal(values.shape)
        else:  # above zero, so that no ReLU of a single channel is dead
            values[...] = rng.uniform(0.1, 0.5, values.shape)
    return net


def network(layers: Sequence[Any], shape: Sequence[int]) -> nn.Network:
    """A network of the layers, with a classifier after them."""
    with torch.no_grad():
        out = torch_twin.sequence(layers).eval()(torch.zeros(1, *shape))
    ends = [nn.Flatten()] if out.ndim == 4 else []
    ends.append(nn.Linear(out.numel(), CLASSES))
    return settled(nn.Network([*layers, *ends], input_shape=tuple(shape), seed=3))


def nearest_tie(module: torch.nn.Module, x: Array) -> float:
    """Distance of the activation nearest to a tie, relative to the size of its layer."""
    found = []

    def rectifier(_: Any, given: tuple[torch.Tensor], __: Any) -> None:
        sizes = given[0].abs()
        sizes = sizes[sizes > 0]  # exact zeros, as of padding, are zero in both
        found.append(sizes.min() / sizes.square().mean().sqrt() if len(sizes) else 1.0)

    def pool(layer: Any, given: tuple[torch.Tensor], __: Any) -> None:
        size, stride = layer.kernel_size, layer.stride
        windows = given[0].unfold(2, size, stride).unfold(3, size, stride).flatten(-2)
        if size > 1:
            first, second = windows.topk(2).values.unbind(-1)
            apart = (first - second)[first != second]  # equal inputs are zeros of a ReLU
            found.append(apart.min() / given[0].square().mean().sqrt() if len(apart) else 1.0)

    hooks = []
    for layer in module.modules():
        if isinstance(layer, torch.nn.ReLU):
            hooks.append(layer.register_forward_hook(rectifier))
        if isinstance(layer, torch.nn.MaxPool2d):
            hooks.append(layer.register_forward_hook(pool))
    with torch.no_grad():
        module(torch.from_numpy(x).double())
    for hook in hooks:
        hook.remove()
    return min(map(float, found), default=1.0)


def clear_batch(net: nn.Network, shape: Sequence[int], n: int, mode: str) -> Batch:
    """Samples without activations near a tie, and with gradients in every layer."""
    for seed in range(200):
        x, y = batch(shape, n, seed)
        module = torch_twin.twin(net).train(mode == "train")
        if nearest_tie(module, x) > CLEAR:
            gradients = truth(module, x, y)[1]
            if all(gradients[name].any() for name in net.weights):
                return x, y
    raise AssertionError("all samples are near a tie, or leave a layer without gradients")


def truth(module: torch.nn.Module, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of torch, by the names of swiftforce."""
    dtype = next(module.parameters()).dtype
    module.zero_grad()
    loss = torch.nn.functional.cross_entropy(
        module(torch.from_numpy(x).to(dtype)), torch.from_numpy(np.int64(y))
    )
    loss.backward()
    found = torch_twin.parameters(module)
    return loss.item(), {name: value.grad.double().numpy() for name, value in found.items()}


def values(net: nn.Network) -> dict[str, Array]:
    return {**net.weights, **net.biases}


def copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.float64(array) for name, array in arrays.items()}


def plain_step(net: nn.Network, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Loss and gradients in train mode, from a step of plain descent on a copy.

    The step is long, so that gradients are large beside the numbers that they are taken from.
    """
    twin = net.copy()
    before = copied(values(twin))
    rate = 1024
    (epoch,) = twin.fit(
        x, y, epochs=1, batch_size=len(y), learning_rate=rate, momentum=0, weight_decay=0
    )
    return epoch.loss, {name: (before[name] - array) / rate for name, array in values(twin).items()}


def errors(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> dict[str, float]:
    """The largest error of each array, relative to its largest expected number.

    What is zero but for rounding in torch, as the gradient of a bias that a batch norm takes away
    again, is held against the largest number of all arrays.
    """
    largest = max(np.abs(array).max() for array in wanted.values())
    shares = {}
    for name, array in found.items():
        size = np.abs(wanted[name]).max()
        difference = np.abs(np.float64(array) - wanted[name]).max()
        shares[name] = float(difference / (size if size > 1e-9 * largest else largest))
    return shares


def assert_close(found: Mapping[str, Array], wanted: Mapping[str, Array], most: float) -> None:
    shares = errors(found, wanted)
    assert shares
    assert max(shares.values()) <= most, shares


def check(net: nn.Network, x: Array, y: Array, modes: Sequence[str] = ("train", "eval")) -> None:
    """Logits, losses and gradients equal those of torch, and computing them changes nothing."""
    before = {name: array.tobytes() for name, array in {**values(net), **net.statistics}.items()}
    for mode in modes:
        module = torch_twin.twin(net).train(mode == "train")
        loss, wanted = truth(module, x, y)
        found = net.gradients_on(x, y, mode=mode, loss="cross_entropy")(net.weights)
        assert list(found) == list(net.weights)
        assert_close(found, wanted, CLOSE)
        if mode == "train":
            of_training, stepped = plain_step(net, x, y)
            assert of_training == pytest.approx(loss, rel=1e-5, abs=1e-6)
            assert_close(stepped, wanted, CLOSE)
    module = torch_twin.twin(net).eval()
    with torch.no_grad():
        logits = module(torch.from_numpy(x).double())
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(np.int64(y))).item()
    assert_close({"logits": net.predict(x)}, {"logits": logits.numpy()}, 1e-5)
    assert net.evaluate(x, y).loss == pytest.approx(loss, rel=1e-5, abs=1e-6)
    after = {name: array.tobytes() for name, array in {**values(net), **net.statistics}.items()}
    assert after == before


def check_clear(net: nn.Network, shape: Sequence[int], n: int) -> None:
    """As `check`, in each mode with samples that have no near ties in it."""
    for mode in ("train", "eval"):
        check(net, *clear_batch(net, shape, n, mode), modes=[mode])


def block(channels: int, out: int, stride: int) -> Any:
    body = [
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
    ]
    if stride == 1 and channels == out:
        return nn.Residual(body)
    shortcut = [nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)]
    return nn.Residual(body, shortcut)


def trained(
    module: torch.nn.Module, x: Array, y: Array, steps: int, **options: float
) -> torch.nn.Module:
    """Steps of SGD in torch, each on all samples."""
    optimizer = torch.optim.SGD(module.parameters(), **options)
    for _ in range(steps):
        truth(module, x, y)
        optimizer.step()
    return module


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: tensor.detach().double().numpy() for name, tensor in tensors.items()}
