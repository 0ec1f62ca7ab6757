"""Layers, networks and training against torch: the same numbers, the same batch, in binary64 there.

A ReLU whose input is nearly zero, or a pool whose two largest are nearly equal, may go either way
in binary32, and a gradient then differs by a whole term. Small networks get samples that are clear
of that. Large ones, of millions of activations, get several batches: an error is in all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from swiftforce import nn

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402

#: What is quick of the same is in test_layers.py and test_images_in_networks.py.
pytestmark = pytest.mark.slow

#: The largest difference of a gradient, as a share of its largest number.
CLOSE = 1e-4
CLASSES = 4
#: How far from a tie all activations are, as a share of their size.
CLEAR = 1e-5

Array = Any
Batch = tuple[Array, Array]


# ------------------------------------------------------------------------- samples and networks


def batch(shape: Sequence[int], n: int, seed: int, classes: int = CLASSES) -> Batch:
    rng = np.random.default_rng([seed, n, *shape])
    x = rng.standard_normal((n, *shape), dtype=np.float32)
    return x, rng.integers(0, classes, n)


def settled(net: nn.Network, seed: int = 5) -> nn.Network:
    """The network, with biases, scales and statistics that matter."""
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
    """The layers, and what makes a classifier of what they give."""
    with torch.no_grad():
        out = torch_twin.sequence(layers).eval()(torch.zeros(1, *shape))
    ends = [nn.Flatten()] if out.ndim == 4 else []
    ends.append(nn.Linear(out.numel(), CLASSES))
    return settled(nn.Network([*layers, *ends], input_shape=tuple(shape), seed=3))


def nearest_tie(module: torch.nn.Module, x: Array) -> float:
    """How near to a tie the nearest activation is, as a share of the size of those beside it."""
    found = []

    def rectifier(_: Any, given: tuple[torch.Tensor], __: Any) -> None:
        sizes = given[0].abs()
        sizes = sizes[sizes > 0]  # what is exactly zero, as beside an image, is so for both
        found.append(sizes.min() / sizes.square().mean().sqrt() if len(sizes) else 1.0)

    def pool(layer: Any, given: tuple[torch.Tensor], __: Any) -> None:
        size, stride = layer.kernel_size, layer.stride
        windows = given[0].unfold(2, size, stride).unfold(3, size, stride).flatten(-2)
        if size > 1:
            first, second = windows.topk(2).values.unbind(-1)
            apart = (first - second)[first != second]  # equal ones are zeros of a ReLU
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
    """Samples of which no activation is near a tie, and by which each layer can be judged."""
    for seed in range(200):
        x, y = batch(shape, n, seed)
        module = torch_twin.twin(net).train(mode == "train")
        if nearest_tie(module, x) > CLEAR:
            gradients = truth(module, x, y)[1]
            if all(gradients[name].any() for name in net.weights):
                return x, y
    raise AssertionError("all samples are near a tie, or leave a layer without gradients")


# ------------------------------------------------------------------------- what is compared


def truth(module: torch.nn.Module, x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Loss and gradients of torch, by our names."""
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
    """Loss and gradients in train mode, read off a step of plain descent on a copy.

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
    """The largest difference of each array, as a share of the largest number wanted.

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
    """Logits, losses and every gradient are those of torch, and asking for them changes nothing."""
    before = {name: array.tobytes() for name, array in {**values(net), **net.statistics}.items()}
    for mode in modes:
        module = torch_twin.twin(net).train(mode == "train")
        loss, wanted = truth(module, x, y)
        found = net.gradients_on(x, y, mode=mode)(net.weights)
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
    """As `check`, in each mode with samples that are clear of ties there."""
    for mode in ("train", "eval"):
        check(net, *clear_batch(net, shape, n, mode), modes=[mode])


# ------------------------------------------------------------------------- layers

IMAGES = ((7, 5), (8, 8), (5, 9), (12, 12), (6, 7))
CHANNELS = (1, 3, 8, 9, 17)
BATCHES = (1, 2, 5, 16, 33)


def convolutions() -> Iterator[Any]:
    """Every kernel, stride, padding and grouping, each with other sizes of what they work on."""
    grid = itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), ("one group", "depthwise"))
    for i, (kernel, stride, padding, groups) in enumerate(grid):
        if padding >= kernel:
            continue  # whole windows of nothing, which the engine refuses
        channels = CHANNELS[i % 5]
        out = channels if groups == "depthwise" else CHANNELS[(i // 5 + 2 * i) % 5]
        shape = (channels, *IMAGES[(i // 3) % 5])
        options = {"stride": stride, "padding": padding, "bias": i % 4 < 2}
        if groups == "depthwise":
            options["groups"] = channels
        layer = nn.Conv2d(channels, out, kernel, **options)
        yield pytest.param(layer, shape, BATCHES[(i // 2) % 5], i, id=f"{layer}-{shape}")


def around(layer: Any, shape: Sequence[int], n: int, i: int) -> list[Any]:
    """A convolution, first or in the middle, with or without batch norm, ReLU and pools."""
    with torch.no_grad():
        _, out, height, width = torch_twin.module_of(layer)(torch.zeros(1, *shape)).shape
    layers = [layer]
    if i % 2:
        layers = [nn.Conv2d(shape[0], shape[0], 1), nn.ReLU(), layer]
    # Over a few numbers the normalisation is ill-conditioned, and it takes a lone factor away.
    factors = layer.kernel_size**2 * layer.in_channels // layer.groups
    if i % 3 and n * height * width >= 16 and factors > 1:
        layers.append(nn.BatchNorm2d(out))
    layers.append(nn.ReLU())
    if min(height, width) >= 2 and i % 5:
        layers.append(nn.MaxPool2d(2) if i % 5 < 3 else nn.AvgPool2d(2))
    return layers


@pytest.mark.parametrize(("layer", "shape", "n", "i"), list(convolutions()))
def test_convolutions(layer: Any, shape: tuple[int, ...], n: int, i: int) -> None:
    check_clear(network(around(layer, shape, n, i), shape), shape, n)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("out", CHANNELS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolutions_of_every_width(channels: int, out: int, n: int) -> None:
    i = channels + out + n
    shape = (channels, *IMAGES[i % 5])
    layer = nn.Conv2d(channels, out, 3, padding=1, bias=bool(i % 2))
    check_clear(network(around(layer, shape, n, i), shape), shape, n)


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("image", IMAGES, ids=str)
@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
def test_pools(pool: Any, image: tuple[int, int], stride: int | None, kernel: int) -> None:
    shape = (3, *image)
    for layers in (
        [nn.Conv2d(3, 9, 3, padding=1), pool(kernel, stride)],
        [nn.Conv2d(3, 8, 1), nn.ReLU(), pool(kernel, stride), nn.Conv2d(8, 3, 1)],
    ):
        check_clear(network(layers, shape), shape, 5)


@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("channels", CHANNELS)
def test_global_pools(channels: int, n: int) -> None:
    shape = (channels, *IMAGES[n % 5])
    layers = [nn.Conv2d(channels, channels, 3), nn.ReLU(), nn.GlobalAvgPool2d()]
    check_clear(network(layers, shape), shape, n)


@pytest.mark.parametrize("n", [2, 5, 16, 33])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "epsilon": 1e-2}], ids=str)
def test_batch_norms(options: dict[str, float], channels: int, n: int) -> None:
    shape = (2, *IMAGES[channels % 5])
    layers = [
        nn.BatchNorm2d(2, **options),
        nn.Conv2d(2, channels, 3, padding=1),
        nn.BatchNorm2d(channels, **options),
        nn.ReLU(),
    ]
    check_clear(network(layers, shape), shape, n)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", BATCHES)
@pytest.mark.parametrize("outputs", CHANNELS)
def test_linear_layers(outputs: int, n: int, bias: bool) -> None:
    shape = (3, 4, 5)
    layers = [nn.Flatten(), nn.Linear(60, outputs, bias=bias), nn.ReLU()]
    check_clear(network(layers, shape), shape, n)


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


@pytest.mark.parametrize("n", [2, 5, 16])
@pytest.mark.parametrize(
    "layers",
    [
        [block(3, 3, 1)],
        [block(3, 8, 2), nn.ReLU()],
        [nn.Conv2d(3, 8, 1), nn.ReLU(), block(8, 8, 1), nn.ReLU(), block(8, 9, 2), nn.ReLU()],
        [nn.Conv2d(3, 8, 1), nn.Residual([nn.ReLU(), nn.Residual([nn.Conv2d(8, 8, 1)])])],
        [nn.Conv2d(3, 8, 1), nn.Residual([nn.ReLU()], [nn.AvgPool2d(1), nn.Conv2d(8, 8, 1)])],
        [nn.Residual([nn.Conv2d(3, 3, 1)], [nn.BatchNorm2d(3)]), nn.GlobalAvgPool2d()],
    ],
    ids=["identity", "projection", "chain", "nested", "shortcut with a pool", "at the ends"],
)
def test_residuals(layers: list[Any], n: int) -> None:
    check_clear(network(layers, (3, 8, 7)), (3, 8, 7), n)


def test_gradients_at_masked_weights() -> None:
    shape = (3, 8, 8)
    net = network([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), block(8, 9, 2)], shape)
    rng = np.random.default_rng(2)
    masked = {
        name: np.where(rng.random(array.shape) < 0.5, array, np.float32(0))
        for name, array in net.weights.items()
    }
    pruned = net.copy()
    for name, array in masked.items():
        pruned.weights[name] = array
    x, y = clear_batch(pruned, shape, 16, "train")
    found = net.gradients_on(x, y)(masked)
    assert_close(found, truth(torch_twin.twin(pruned), x, y)[1], CLOSE)
    assert all((found[name][array == 0] != 0).any() for name, array in masked.items())


# ------------------------------------------------------------------------- training


def trained(
    module: torch.nn.Module, x: Array, y: Array, steps: int, **options: float
) -> torch.nn.Module:
    """Steps of torch's own descent, each on all samples."""
    optimizer = torch.optim.SGD(module.parameters(), **options)
    for _ in range(steps):
        truth(module, x, y)
        optimizer.step()
    return module


@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("weight_decay", [0, 0.05])
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_of_training(momentum: float, weight_decay: float, steps: int) -> None:
    shape, n = (3, 8, 8), 16
    net = network([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), block(8, 9, 2)], shape)
    x, y = clear_batch(net, shape, n, "train")
    module = trained(
        torch_twin.twin(net), x, y, steps, lr=0.05, momentum=momentum, weight_decay=weight_decay
    )
    before = copied(values(net))
    options = {"learning_rate": 0.05, "momentum": momentum, "weight_decay": weight_decay}
    net.fit(x, y, epochs=steps, batch_size=n, **options)
    moved = {name: array - before[name] for name, array in copied(values(net)).items()}
    wanted = {
        name: array.detach().numpy() - before[name]
        for name, array in torch_twin.parameters(module).items()
    }
    assert_close(moved, wanted, 1e-3)
    assert_close(net.statistics, as_arrays(torch_twin.statistics(module)), 1e-4)
    module.eval()
    with torch.no_grad():
        logits = module(torch.from_numpy(x).double()).numpy()
    assert_close({"logits": net.predict(x)}, {"logits": logits}, 1e-3)


def as_arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: tensor.detach().double().numpy() for name, tensor in tensors.items()}


@pytest.mark.parametrize("momentum", [0.1, 0.5])
def test_running_statistics(momentum: float) -> None:
    shape, n = (3, 5, 4), 7
    layers = [nn.BatchNorm2d(3, momentum), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum)]
    net = network(layers, shape)
    x, y = batch(shape, n, 0)
    before = copied(net.statistics)
    gradients = net.gradients_on(x, y)
    for _ in range(2):
        gradients(net.weights)
    net.evaluate(x, y)
    assert_close(net.statistics, before, 0)
    module = torch_twin.twin(net)
    for _ in range(3):
        truth(module, x, y)
    net.fit(x, y, epochs=3, batch_size=n, learning_rate=0, momentum=0, weight_decay=0)
    assert_close(net.statistics, as_arrays(torch_twin.statistics(module)), 1e-5)
    assert all(np.abs(array - before[name]).max() > 0.01 for name, array in net.statistics.items())


def test_a_network_given_to_torch_and_taken_back() -> None:
    net = network([block(3, 8, 2)], (3, 6, 6))
    module = torch_twin.twin(net, torch.float32)
    other = nn.Network(net.layers, input_shape=(3, 6, 6), seed=9)
    torch_twin.take(other, module)
    for ours, theirs in ((values(net), values(other)), (net.statistics, other.statistics)):
        assert {name: array.tobytes() for name, array in ours.items()} == {
            name: array.tobytes() for name, array in theirs.items()
        }


def test_another_batch_norm_is_noticed() -> None:
    shape = (3, 8, 7)
    net = network([block(3, 8, 1)], shape)
    x, y = clear_batch(net, shape, 5, "train")
    module = torch_twin.twin(net)
    with torch.no_grad():
        torch_twin.parameters(module)["0.body.1.scale"][2] *= 1.001
    with pytest.raises(AssertionError):
        assert_close(net.gradients_on(x, y)(net.weights), truth(module, x, y)[1], CLOSE)


# ------------------------------------------------------------------------- whole networks

NETWORKS = {
    "lenet5": (lambda: nn.lenet5(seed=4), (1, 28, 28), 16),
    "vgg11": (lambda: nn.vgg(11, seed=4), (3, 32, 32), 8),
    "resnet18": (lambda: nn.resnet(18, seed=4), (3, 32, 32), 8),
    "resnet20": (lambda: nn.resnet(20, seed=4), (3, 32, 32), 8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name: str) -> None:
    make, shape, n = NETWORKS[name]
    net = settled(make())
    least: dict[str, float] = {}
    for seed in range(12):
        x, y = batch(shape, n, seed, 10)
        module = torch_twin.twin(net)
        loss, wanted = truth(module, x, y)
        of_training, stepped = plain_step(net, x, y)
        found = net.gradients_on(x, y)(net.weights)
        assert of_training == pytest.approx(loss, rel=1e-4)
        for gradients in (stepped, found):
            for key, share in errors(gradients, wanted).items():
                least[key] = min(share, least.get(key, share))
                assert share < 0.3, (key, seed)
        if max(least.values()) <= CLOSE:
            break
    assert set(least) == set(values(net))
    assert max(least.values()) <= CLOSE, least
    logits = torch_twin.twin(net).eval()(torch.from_numpy(x).double()).detach()
    assert_close({"logits": net.predict(x)}, {"logits": logits.numpy()}, 1e-4)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(np.int64(y))).item()
    assert net.evaluate(x, y).loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_train(name: str) -> None:
    make, shape, n = NETWORKS[name]
    net = make()
    x, y = batch(shape, n, 1, 10)
    options = {"momentum": 0.9, "weight_decay": 0.05}
    module = trained(torch_twin.twin(net), x, y, 3, lr=0.002, **options)
    before = copied(values(net))
    net.fit(x, y, epochs=3, batch_size=n, learning_rate=0.002, **options)
    for key, theirs in as_arrays(torch_twin.parameters(module)).items():
        moved, wanted = np.float64(values(net)[key]) - before[key], theirs - before[key]
        assert np.linalg.norm(moved - wanted) <= 0.03 * np.linalg.norm(wanted), key
    if net.statistics:
        assert_close(net.statistics, as_arrays(torch_twin.statistics(module)), 1e-2)


# ------------------------------------------------------------------------- sizes


def convolution(channels: int, out: int, kernel: int = 3) -> int:
    """A convolution without bias, and the scale and bias of the batch norm behind it."""
    return channels * out * kernel * kernel + 2 * out


def of_vgg(*per_stage: int) -> int:
    """So many 3 by 3 convolutions of 64, 128, 256, 512 and 512 channels, and a classifier."""
    widths = [
        width
        for width, count in zip((64, 128, 256, 512, 512), per_stage, strict=True)
        for _ in range(count)
    ]
    convolutions = itertools.starmap(convolution, itertools.pairwise([3, *widths]))
    return sum(convolutions) + 512 * 10 + 10


def of_basic_blocks(widths: Sequence[int], counts: Sequence[int]) -> int:
    """Two 3 by 3 convolutions a block; a 1 by 1 one beside them where the width changes."""
    total, channels = convolution(3, widths[0]), widths[0]
    for width, count in zip(widths, counts, strict=True):
        total += convolution(channels, width) + convolution(width, width)
        total += convolution(channels, width, 1) if channels != width else 0
        total += (count - 1) * 2 * convolution(width, width)
        channels = width
    return total + channels * 10 + 10


def of_bottlenecks(widths: Sequence[int], counts: Sequence[int]) -> int:
    """1 by 1, 3 by 3, and 1 by 1 to four times the width; a 1 by 1 beside the first of a stage."""
    total, channels = convolution(3, 64), 64
    for width, count in zip(widths, counts, strict=True):
        total += convolution(channels, 4 * width, 1)
        for _ in range(count):
            total += convolution(channels, width, 1) + convolution(width, width)
            total += convolution(width, 4 * width, 1)
            channels = 4 * width
    return total + channels * 10 + 10


FOUR = (64, 128, 256, 512)
SIZES = [
    ("vgg", 11, 9_228_362, of_vgg(1, 1, 2, 2, 2)),
    ("vgg", 13, 9_413_066, of_vgg(2, 2, 2, 2, 2)),
    ("vgg", 16, 14_724_042, of_vgg(2, 2, 3, 3, 3)),
    ("vgg", 19, 20_035_018, of_vgg(2, 2, 4, 4, 4)),
    ("resnet", 18, 11_173_962, of_basic_blocks(FOUR, (2, 2, 2, 2))),
    ("resnet", 34, 21_282_122, of_basic_blocks(FOUR, (3, 4, 6, 3))),
    ("resnet", 50, 23_520_842, of_bottlenecks(FOUR, (3, 4, 6, 3))),
    ("resnet", 20, 272_474, of_basic_blocks((16, 32, 64), (3, 3, 3))),
    ("resnet", 56, 855_770, of_basic_blocks((16, 32, 64), (9, 9, 9))),
]


@pytest.mark.parametrize(("family", "depth", "total", "by_definition"), SIZES)
def test_numbers_of_parameters(family: str, depth: int, total: int, by_definition: int) -> None:
    assert by_definition == total
    net = getattr(nn, family)(depth)
    assert sum(array.size for array in values(net).values()) == total
    module = torch_twin.sequence(net.layers)
    assert sum(value.numel() for value in module.parameters()) == total


@pytest.mark.parametrize(("family", "depth", "classes"), [("vgg", 16, 100), ("resnet", 34, 200)])
def test_classes_add_a_row_each(family: str, depth: int, classes: int) -> None:
    few, many = (getattr(nn, family)(depth, classes=number) for number in (10, classes))
    sizes = [sum(array.size for array in values(net).values()) for net in (few, many)]
    assert sizes[1] - sizes[0] == (classes - 10) * 513
    assert many.predict(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, classes)
