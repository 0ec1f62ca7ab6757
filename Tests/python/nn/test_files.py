"""Networks in files: what is saved is loaded, and damaged files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from safetensors.numpy import load_file, save_file
from swiftforce import nn
from swiftforce.nn import layers
from swiftforce.nn.files import _FORMAT

SHAPE = (2, 9, 7)


def every_layer() -> list[nn.AnyLayer]:
    return [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4, momentum=0.3, epsilon=1e-3),
        nn.ReLU(),
        nn.Residual([nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.ReLU()]),
        nn.Residual(
            [nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)],
            [nn.Conv2d(4, 6, 1, stride=2, bias=False)],
        ),
        nn.MaxPool2d(2, stride=1),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 5, 1),
        nn.GlobalAvgPool2d(),
        nn.Flatten(),
        nn.Linear(5, 3),
    ]


@pytest.fixture
def net() -> nn.Network:
    """A trained network, so that no parameter has its initial value."""
    net = nn.Network(every_layer(), input_shape=SHAPE, seed=5)
    rng = np.random.default_rng(1)
    net.fit(rng.standard_normal((40, *SHAPE), np.float32), rng.integers(0, 3, 40), batch_size=20)
    return net


def half(net: nn.Network) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {name: rng.random(w.shape) < 0.5 for name, w in net.weights.items()}


def test_the_layers_are_of_every_kind() -> None:
    assert {type(layer) for layer in every_layer()} == set(layers.KINDS)


@pytest.mark.parametrize("masked", [False, True])
def test_a_network_comes_back(net: nn.Network, tmp_path: Path, masked: bool) -> None:
    if masked:
        net.apply(half(net))
    path = tmp_path / "network.safetensors"
    nn.save(net, path)
    again = nn.load(path)
    assert (again.layers, again.input_shape) == (net.layers, net.input_shape)
    assert list(again.parameters) == list(net.parameters)
    for name, array in net.parameters.items():
        assert again.parameters[name].tobytes() == array.tobytes()
    mine, other = net.masks, again.masks
    assert (mine is None) == (other is None) == (not masked)
    for name, mask in (mine or {}).items():
        assert other is not None
        np.testing.assert_array_equal(other[name], mask)
    x = np.random.default_rng(3).standard_normal((8, *SHAPE), np.float32)
    assert again.predict(x).tobytes() == net.predict(x).tobytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_masked_network_of_format_1_is_read(net: nn.Network, tmp_path: Path) -> None:
    """It holds all weights, those that masks remove among them."""
    net.apply(half(net))
    masks = net.masks
    assert masks is not None
    arrays = {f"parameter.{name}": array for name, array in net.parameters.items()}
    arrays |= {f"mask.{name}": np.packbits(mask, bitorder="little") for name, mask in masks.items()}
    nn.save(net, tmp_path / "n")
    _, about = _FORMAT.read(tmp_path / "n")
    _FORMAT.write(tmp_path / "n", arrays, {**about, "format_version": 1})
    again = nn.load(tmp_path / "n")
    for name, array in net.parameters.items():
        assert again.parameters[name].tobytes() == array.tobytes()
    assert {name: mask.tobytes() for name, mask in (again.masks or {}).items()} == {
        name: mask.tobytes() for name, mask in masks.items()
    }


def test_a_sparse_network_is_a_small_file(tmp_path: Path) -> None:
    net = nn.lenet_300_100(seed=0)
    nn.save(net, tmp_path / "dense")
    net.apply(sf.magnitude(net.weights, sparsity=0.99))
    nn.save(net, tmp_path / "sparse")
    assert (tmp_path / "sparse").stat().st_size < 0.05 * (tmp_path / "dense").stat().st_size


def test_masks_that_came_back_hold_in_training(net: nn.Network, tmp_path: Path) -> None:
    net.apply(half(net))
    nn.save(net, tmp_path / "n")
    again = nn.load(tmp_path / "n")
    rng = np.random.default_rng(4)
    again.fit(rng.standard_normal((40, *SHAPE), np.float32), rng.integers(0, 3, 40))
    for name, mask in half(net).items():
        assert not again.weights[name][~mask].any()


def test_a_network_without_images(tmp_path: Path) -> None:
    net = nn.lenet_300_100(20, 7, seed=2)
    nn.save(net, tmp_path / "n")
    assert (
        nn.load(tmp_path / "n").weights["0.weight"].tobytes() == net.weights["0.weight"].tobytes()
    )


def test_sizes_of_numpy(tmp_path: Path) -> None:
    sizes = [np.int64(1), np.int32(2), np.uint8(3)]
    layers = [
        nn.Conv2d(*sizes, padding=np.int64(1), bias=np.bool_(True)),
        nn.BatchNorm2d(2, momentum=np.float32(0.5)),
        nn.GlobalAvgPool2d(),
    ]
    nn.save(nn.Network(layers, input_shape=np.array([1, 4, 4]).tolist()), tmp_path / "n")
    assert nn.load(tmp_path / "n").layers[1] == nn.BatchNorm2d(2, momentum=0.5)


def test_parameters_are_plain_safetensors(net: nn.Network, tmp_path: Path) -> None:
    nn.save(net, tmp_path / "n")
    arrays = load_file(tmp_path / "n")
    np.testing.assert_array_equal(arrays["parameter.0.weight"], net.weights["0.weight"])
    assert arrays["parameter.1.variance"].shape == (4,)


@pytest.mark.slow
def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    net = nn.Network([nn.Linear(3, 2)], seed=1)
    net.apply({"0.weight": np.array([[True, False, True], [False, True, True]])})
    path = tmp_path / "n"
    nn.save(net, path)
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        try:
            again = nn.load(path)
        except sf.NetworkFileError:
            continue
        # Some bits, as of a space in JSON, do not change what is read.
        assert again.parameters["0.weight"].tobytes() == net.weights["0.weight"].tobytes()


def test_the_shapes_that_a_description_asks_for(net: nn.Network) -> None:
    """They are compared with a file before a network is made."""
    asked = layers.Flattened(every_layer()).shapes
    assert asked == {name: array.shape for name, array in net.parameters.items()}


def written(path: Path, layers: list[object], shape: object, **more: object) -> Path:
    about = {"layers": layers, "input_shape": shape, "masked": False, **more}
    _FORMAT.write(path, {}, about)
    return path


HUGE = 2**40


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ({"kind": "Linear", "inputs": 50_000, "outputs": 50_000, "bias": False}, [50_000]),
        ({"kind": "Linear", "inputs": HUGE, "outputs": HUGE}, [HUGE]),
        ({"kind": "Conv2d", "in_channels": 1, "out_channels": HUGE, "kernel_size": 9}, [1, 9, 9]),
        ({"kind": "Conv2d", "in_channels": 8, "out_channels": 8, "kernel_size": 2**31}, [8, 9, 9]),
        ({"kind": "BatchNorm2d", "channels": HUGE}, [HUGE, 1, 1]),
    ],
)
def test_a_small_file_that_asks_for_a_huge_network(
    layer: dict[str, object], shape: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn.files, "Network", lambda *_, **__: pytest.fail("memory is allocated"))
    for one in (layer, {"kind": "Residual", "body": [layer], "shortcut": [layer]}):
        with pytest.raises(sf.NetworkFileError, match=r"n is damaged: '(parameter\.)"):
            nn.load(written(tmp_path / "n", [one], shape))


@pytest.mark.parametrize("shape", [[HUGE, HUGE, HUGE], [2**62, 8, 8], [0], [-1], [1.0], "x", None])
def test_shapes_of_samples_that_cannot_be(shape: object, tmp_path: Path) -> None:
    with pytest.raises(sf.NetworkFileError):
        nn.load(written(tmp_path / "n", [{"kind": "Flatten"}], shape))


def test_how_deep_residuals_may_be(tmp_path: Path) -> None:
    deep: nn.AnyLayer = nn.Linear(4, 4)
    for _ in range(50):
        deep = nn.Residual([deep])
    net = nn.Network([deep])
    assert repr(net.layers)
    nn.save(net, tmp_path / "n")
    assert nn.load(tmp_path / "n").layers == net.layers
    with pytest.raises(sf.ArchitectureError, match="residuals are nested more than 50 deep"):
        nn.Network([nn.Residual([deep])])
    for depth in (51, 150, 300):
        layer: dict[str, object] = {"kind": "ReLU"}
        for _ in range(depth):
            layer = {"kind": "Residual", "body": [layer], "shortcut": []}
        with pytest.raises(sf.NetworkFileError, match=r"nested|recursion"):
            nn.load(written(tmp_path / "n", [layer], [4]))


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\0" * 100])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "n").write_bytes(content)
    with pytest.raises(sf.NetworkFileError, match="is not a file of a network"):
        nn.load(tmp_path / "n")


def test_a_file_of_masks_is_none_of_a_network(tmp_path: Path) -> None:
    sf.snip(np.ones(4, np.float32), np.ones(4, np.float32), keep=2).save(tmp_path / "masks")
    with pytest.raises(sf.NetworkFileError, match="is not a file of a network"):
        nn.load(tmp_path / "masks")
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "other")
    with pytest.raises(sf.NetworkFileError):
        nn.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "nowhere")


LINEAR = {"kind": "Linear", "inputs": 3, "outputs": 2, "bias": False}


@pytest.mark.parametrize(
    ("layer", "shape", "weight", "text"),
    [
        ({"kind": "Nothing"}, (2, 3), np.float32, "Nothing"),
        ({"kind": "Sequence"}, (2, 3), np.float32, "Sequence"),
        ({**LINEAR, "inputs": -1}, (2, 3), np.float32, r"not \(2, -1\)"),
        ({**LINEAR, "bias": "no"}, (2, 3), np.float32, "bias of a layer"),
        ("Linear", (2, 3), np.float32, "is no layer"),
        ({**LINEAR, "outputs": "2"}, (2, 3), np.float32, "outputs"),
        ({"kind": "Linear"}, (2, 3), np.float32, "inputs"),
        ({**LINEAR, "dilation": 3}, (2, 3), np.float32, "dilation"),
        (LINEAR, (3, 2), np.float32, "shape"),
        (LINEAR, (2, 3), np.float64, "float64"),
    ],
)
def test_a_sealed_file_that_holds_no_network(
    tmp_path: Path, layer: dict[str, object], shape: tuple[int, ...], weight: type, text: str
) -> None:
    about = {"layers": [layer], "input_shape": [3], "masked": False}
    _FORMAT.write(tmp_path / "n", {"parameter.0.weight": np.zeros(shape, weight)}, about)
    with pytest.raises(sf.NetworkFileError, match=text):
        nn.load(tmp_path / "n")


def test_a_version_to_come(tmp_path: Path) -> None:
    nn.save(nn.Network([nn.Linear(3, 2)]), tmp_path / "n")
    content = (tmp_path / "n").read_bytes()
    assert b"format_version" in content
    about = {"layers": [LINEAR], "input_shape": [3], "masked": False, "format_version": 3}
    _FORMAT.write(tmp_path / "n", {"parameter.0.weight": np.zeros((2, 3), np.float32)}, about)
    with pytest.raises(sf.NetworkFileError, match="format version 3, not 1 to 2"):
        nn.load(tmp_path / "n")


def test_nothing_is_left_of_a_file_that_cannot_be_written(net: nn.Network, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        nn.save(net, tmp_path / "nowhere" / "n")
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == "[]"
