"""Networks of images: shapes, names, modes, batches and statistics."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import nn

SHAPE = (2, 6, 5)


def layers() -> list[nn.AnyLayer]:
    return [
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Residual([nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)], [nn.Conv2d(4, 4, 1)]),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 3),
    ]


@pytest.fixture
def net() -> nn.Network:
    return nn.Network(layers(), input_shape=SHAPE, seed=1)


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, *SHAPE), np.float32), rng.integers(0, 3, 30)


def assert_close(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=2e-6, err_msg=name)


def test_names(net: nn.Network) -> None:
    assert list(net.weights) == [
        "0.weight",
        "3.body.0.weight",
        "3.shortcut.0.weight",
        "6.weight",
    ]
    assert list(net.biases) == [
        "1.scale",
        "1.bias",
        "3.body.0.bias",
        "3.body.1.scale",
        "3.body.1.bias",
        "3.shortcut.0.bias",
        "6.bias",
    ]
    assert list(net.statistics) == [
        "1.mean",
        "1.variance",
        "3.body.1.mean",
        "3.body.1.variance",
    ]
    assert net.weights["3.shortcut.0.weight"].shape == (4, 4, 1, 1)
    assert (net.features, net.classes, net.input_shape) == (60, 3, SHAPE)


def test_what_parameters_start_with(net: nn.Network) -> None:
    assert (net.biases["1.scale"] == 1).all()
    assert not net.biases["1.bias"].any()
    assert not net.statistics["1.mean"].any()
    assert (net.statistics["1.variance"] == 1).all()
    weight = nn.Network([nn.Conv2d(8, 64, 3)], input_shape=(8, 3, 3)).weights["0.weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / 72), rel=0.03)
    depthwise = nn.Network([nn.Conv2d(500, 500, 3, groups=500)], input_shape=(500, 3, 3))
    assert depthwise.weights["0.weight"].std() == pytest.approx(np.sqrt(2 / 9), rel=0.03)


@pytest.mark.parametrize("shape", [(6, 5, 2), (5, 6, 2), (1, 12, 5), (60, 1, 1)])
def test_samples_of_another_shape(net: nn.Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(sf.ShapeError, match=r"samples of shape .* takes \(2, 6, 5\): channels"):
        net.predict(np.zeros((3, *shape), np.float32))


def test_flat_samples_are_taken(net: nn.Network, samples: tuple[np.ndarray, np.ndarray]) -> None:
    x = samples[0]
    assert net.predict(x.reshape(30, -1)).tobytes() == net.predict(x).tobytes()


def test_scoring_changes_nothing(net: nn.Network, samples: tuple[np.ndarray, np.ndarray]) -> None:
    before = {name: array.copy() for name, array in net.parameters.items()}
    gradients = net.gradients_on(*samples, batch_size=10)
    sf.force(net.weights, gradients, sparsity=0.5, steps=5)
    net.gradients_on(*samples, mode="eval")(net.weights)
    net.evaluate(*samples)
    net.predict(samples[0])
    for name, array in net.parameters.items():
        assert array.tobytes() == before[name].tobytes(), name


def test_training_moves_the_statistics(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    net.fit(*samples, batch_size=30, learning_rate=0.0)
    x = samples[0]
    first = np.float32(net.weights["0.weight"])
    # The mean of a padded convolution's output, by hand at one channel.
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    out = np.einsum("ncyxij,ocij->noyx", windows, first)
    mean, variance = out.mean(axis=(0, 2, 3)), out.var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(net.statistics["1.mean"], 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(net.statistics["1.variance"], 0.9 + 0.1 * variance, rtol=1e-5)


def test_a_loss_that_is_not_finite_leaves_the_statistics(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = samples
    before = {name: array.copy() for name, array in net.parameters.items()}
    x[3, 1, 2, 2] = np.nan
    with pytest.raises(sf.DivergedError):
        net.fit(x, y, batch_size=30)
    for name, array in net.parameters.items():
        assert array.tobytes() == before[name].tobytes(), name


def test_each_batch_is_normalised_by_itself(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """One call with three batches, the last one shorter, against three calls."""
    x, y = samples
    together = net.gradients_on(x, y, batch_size=12, batches_per_step=3)(net.weights)
    parts = [slice(0, 12), slice(12, 24), slice(24, 30)]
    alone = [net.gradients_on(x[part], y[part])(net.weights) for part in parts]
    shares = [12 / 30, 12 / 30, 6 / 30]
    assert_close(
        together,
        {
            name: sum(share * found[name] for share, found in zip(shares, alone, strict=True))
            for name in together
        },
    )
    whole = net.gradients_on(x, y)(net.weights)
    assert any(np.abs(whole[name] - together[name]).max() > 1e-3 for name in whole)


def test_a_short_batch_in_the_middle(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """The second call uses the shorter last batch of a pass and the first of the next."""
    x, y = samples
    gradients = net.gradients_on(x, y, batch_size=12, batches_per_step=2)
    gradients(net.weights)
    found = gradients(net.weights)
    short = net.gradients_on(x[24:], y[24:])(net.weights)
    full = net.gradients_on(x[:12], y[:12])(net.weights)
    assert_close(found, {n: (6 * short[n] + 12 * full[n]) / 18 for n in found})


def test_by_running_statistics_samples_do_not_depend_on_each_other(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = samples
    net.fit(x, y, batch_size=10)
    whole = net.gradients_on(x, y, mode="eval")(net.weights)
    single = [
        net.gradients_on(x[i : i + 1], y[i : i + 1], mode="eval")(net.weights) for i in range(30)
    ]
    assert_close(whole, {n: sum(one[n] for one in single) / 30 for n in whole})


@pytest.mark.parametrize("mode", ["TRAIN", "test", None, 1, ["train"]])
def test_modes_that_there_are_not(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray], mode: Any
) -> None:
    with pytest.raises(sf.HyperparameterError, match="mode must be one of train, eval"):
        net.gradients_on(*samples, mode=mode)


def test_masks_of_convolutions_hold(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray]
) -> None:
    masks = sf.force(
        net.weights, net.gradients_on(*samples, batch_size=10), sparsity=0.7, steps=4
    ).masks
    net.apply(masks)
    net.fit(*samples, epochs=3, batch_size=10)
    for name, mask in masks.items():
        assert not net.weights[name][~mask].any()
        assert net.weights[name][mask].all()


def test_a_network_may_end_in_a_convolution() -> None:
    net = nn.Network([nn.Conv2d(2, 3, 1), nn.GlobalAvgPool2d()], input_shape=SHAPE)
    masks = {"0.weight": np.ones((3, 2, 1, 1), bool)}
    masks["0.weight"][1] = False
    with pytest.warns(sf.UnreachableClassWarning, match="to 1 of 3 classes: 1"):
        net.apply(masks)


def test_a_network_that_ends_in_branches_is_judged_by_both_of_them() -> None:
    net = nn.Network(
        [nn.Residual([nn.Conv2d(2, 3, 1)], [nn.Conv2d(2, 3, 1)]), nn.GlobalAvgPool2d()],
        input_shape=SHAPE,
    )
    masks = {name: np.full(w.shape, "body" in name) for name, w in net.weights.items()}
    net.apply(masks)
    masks["0.body.0.weight"][2] = False
    with pytest.warns(sf.UnreachableClassWarning, match="to 1 of 3 classes: 2"):
        net.apply(masks)


def test_statistics_that_are_not_finite_are_noticed() -> None:
    net = nn.Network(
        [nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.GlobalAvgPool2d()], input_shape=(1, 4, 4)
    )
    x = np.random.default_rng(0).standard_normal((40, 1, 4, 4), np.float32) * np.float32(1e20)
    with pytest.raises(sf.DivergedError, match=r"largest of 1\.variance is (nan|inf)"):
        net.fit(x, np.zeros(40, np.int64), batch_size=10)


def test_one_number_of_a_channel_cannot_be_normalised() -> None:
    net = nn.Network([nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)], input_shape=(1, 1, 1))
    with pytest.warns(sf.UnreachableClassWarning):
        net.apply({"0.weight": np.array([True, False]).reshape(2, 1, 1, 1)})
    net.weights["0.weight"][0] = 5
    before = {name: array.copy() for name, array in net.parameters.items()}
    x, y = np.ones((3, 1, 1, 1), np.float32), np.zeros(3, np.int64)
    for call in (
        lambda: net.fit(x[:1], y[:1]),
        lambda: net.gradients_on(x[:1], y[:1])(net.weights),
    ):
        with pytest.raises(sf.ArchitectureError, match="layer 1: a batch of one sample"):
            call()
        for name, array in net.parameters.items():
            assert array.tobytes() == before[name].tobytes(), name
    with pytest.raises(sf.ArchitectureError, match="layer 1"):  # the second batch
        net.fit(x, y, batch_size=2)
    net.gradients_on(x[:1], y[:1], mode="eval")(net.weights)


@pytest.mark.slow
def test_a_batch_that_no_machine_has_room_for_is_an_error() -> None:
    """A whole data set as one batch: hundreds of gigabytes of activations."""
    net = nn.resnet(18, (1, 28, 28))
    x, y = np.zeros((400_000, 1, 28, 28), np.float32), np.zeros(400_000, np.int64)
    with pytest.raises(sf.AllocationError, match="bytes"):
        net.gradients_on(x, y)(net.weights)
    net.gradients_on(x[:2], y[:2])(net.weights)


@pytest.mark.parametrize("groups", [1, 2])
def test_long_sums_are_precise(groups: int) -> None:
    """All numbers are positive: a plain sum in binary32 would lose three digits."""
    rng = np.random.default_rng(0)
    net = nn.Network(
        [nn.Conv2d(2, 2, 1, groups=groups), nn.BatchNorm2d(2), nn.GlobalAvgPool2d()],
        input_shape=(2, 32, 32),
    )
    # Normalised by running statistics, so that each sample has its own gradient.
    x = rng.random((1024, 2, 32, 32), np.float32) + 1
    y = np.zeros(1024, np.int64)
    gradients = net.gradients_on(x, y, mode="eval", loss="cross_entropy")
    found = gradients(net.weights)["0.weight"]
    logits = net.predict(x).astype(float)
    slope = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    slope[:, 0] -= 1
    slope *= 1 / np.sqrt(1 + 1e-5) / 1024
    means = x.astype(float).mean(axis=(2, 3))
    expected = slope.T @ means if groups == 1 else (slope * means).sum(axis=0)[:, None]
    error = np.abs(found[..., 0, 0] - expected).max() / np.abs(expected).max()
    assert error < 1e-5


def test_a_shallow_copy_is_a_copy(net: nn.Network) -> None:
    twin = copy.copy(net)
    twin.weights["0.weight"][...] = 0
    assert net.weights["0.weight"].any()


def test_a_copy_has_all_parameters(net: nn.Network, samples: tuple[np.ndarray, np.ndarray]) -> None:
    net.fit(*samples)
    twin = copy.deepcopy(net)
    assert twin.predict(samples[0]).tobytes() == net.predict(samples[0]).tobytes()
    twin.fit(*samples)
    assert twin.statistics["1.mean"].tobytes() != net.statistics["1.mean"].tobytes()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ([nn.Conv2d(3, 4, 3)], "layer 0: expects 3 input channels but receives 2"),
        ([nn.Conv2d(2, 4, 7)], "layer 0: a kernel of 7 does not fit into 6"),
        ([nn.Conv2d(2, 4, 3, groups=2)], "layer 0: groups must be 1, or as many"),
        ([nn.Conv2d(2, 4, 3.0)], "layer 0: kernel_size must be an integer, not 3.0"),
        ([nn.Flatten(), nn.BatchNorm2d(60)], "layer 1: batch_norm2d expects .channels, height"),
        ([nn.BatchNorm2d(2, momentum=2)], "layer 0: momentum must be in 0 ... 1, not 2"),
        ([nn.BatchNorm2d(2, epsilon=0)], "layer 0: epsilon must be above 0"),
        ([nn.BatchNorm2d(2, epsilon="a")], "layer 0: epsilon must be a finite number, not 'a'"),
        ([nn.MaxPool2d(7)], "layer 0: a window of 7 does not fit into 6 x 5"),
        ([nn.Residual([], [nn.ReLU()])], "layer 0: the body of a residual has no layer"),
        (
            [nn.Residual([nn.Conv2d(2, 3, 1)])],
            r"layer 0: cannot add shapes \[3, 6, 5\] and \[2, 6, 5\]",
        ),
        (
            [nn.ReLU(), nn.Residual([nn.ReLU(), nn.Conv2d(9, 2, 1)])],
            "layer 1.body.1: expects 9 input channels but receives 2",
        ),
        ([nn.Residual([nn.ReLU()], [nn.Linear])], "layer 0.shortcut.0 is a type, not a layer"),
        ([nn.Conv2d(2, 3, 3)], "layer 0: the network ends in images of 4 x 3, not in features"),
        ([nn.ReLU(), nn.MaxPool2d(2)], "at least one layer with parameters"),
    ],
)
def test_layers_that_do_not_fit(wrong: list[Any], text: str) -> None:
    with pytest.raises(sf.ArchitectureError, match=text):
        nn.Network(wrong, input_shape=SHAPE)


@pytest.mark.parametrize(
    "shape", [5, (), (2, 6), (2, 6, 5, 1), (0, 6, 5), (2.0, 6, 5), (2**40,) * 3]
)
def test_input_shapes_that_are_refused(shape: Any) -> None:
    with pytest.raises(sf.ArchitectureError):
        nn.Network(layers(), input_shape=shape)


def test_a_convolution_needs_an_input_shape() -> None:
    with pytest.raises(sf.ArchitectureError, match="layer 0: conv2d as the first layer"):
        nn.Network(layers())


@pytest.mark.parametrize("build", [nn.vgg, nn.resnet])
def test_depths_that_there_are_not(build: Any) -> None:
    with pytest.raises(sf.ArchitectureError, match="of depth 17; there are: 1"):
        build(17)


@pytest.mark.parametrize("shape", [(1, 28), (1, 28, 28.0), (0, 28, 28), (1, 0, 28), 5])
def test_models_refuse_shapes_that_are_none(shape: Any) -> None:
    for build in (nn.lenet5, nn.small_vgg, lambda s: nn.vgg(11, s), lambda s: nn.resnet(20, s)):
        with pytest.raises(sf.ArchitectureError, match="input_shape"):
            build(shape)


@pytest.mark.slow
@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 33])
def test_vgg_leaves_out_pools_that_images_are_too_small_for(side: int) -> None:
    net = nn.vgg(11, (1, side, side), 4)
    assert net.predict(np.zeros((2, 1, side, side), np.float32)).shape == (2, 4)


def test_results_do_not_depend_on_threads(
    net: nn.Network, samples: tuple[np.ndarray, np.ndarray], restored_threads: None
) -> None:
    found = []
    for threads in (1, 2, 3):
        sf.set_num_threads(threads)
        twin = net.copy()
        twin.fit(*samples, epochs=2, batch_size=10)
        gradients = twin.gradients_on(*samples, batch_size=10)(twin.weights)
        arrays = [*gradients.values(), *twin.parameters.values()]
        found.append(b"".join(array.tobytes() for array in arrays))
    assert found[0] == found[1] == found[2]
