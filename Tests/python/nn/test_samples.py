"""Samples and labels: which are refused, and messages that say what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from dense_network import network, parameters
from kinds import blobs
from swiftforce import nn

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


X, Y = blobs(4)


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [
        (X[:, :5].copy(), Y, sf.ShapeError, "x has 5 features per sample where .* takes 6"),
        (X.ravel(), Y, sf.ShapeError, r"x must have shape \(n, ...\)"),
        (X[:0], Y[:0], sf.ShapeError, r"n of at least 1, not \(0, 6\)"),
        (X.astype(np.float64), Y, sf.UnsupportedTypeError, "x has dtype float64"),
        (X.tolist(), Y, sf.UnsupportedTypeError, "x is a list"),
        (X[:, ::-1], Y, sf.LayoutError, "x is not C-contiguous"),
        (X, Y[:3], sf.ShapeError, r"y has shape \(3,\) where x has 4 samples"),
        (X, Y[:, None], sf.ShapeError, r"y has shape \(4, 1\)"),
        (X, 1, sf.ShapeError, r"y has shape \(\)"),
        (X, Y.astype(float), sf.UnsupportedTypeError, "y must hold integers, not float64"),
        (X, Y > 0, sf.UnsupportedTypeError, "not bool"),
        (X, ["a", "b", "c", "d"], sf.UnsupportedTypeError, "not <U1"),
        (X, None, sf.UnsupportedTypeError, "not object"),
        (X, [0, 3, 1, 5], sf.LabelError, r"y\[1\] is 3, outside 0 ... 2 \(2 such labels\)"),
        (X, [0, 1, -1, 0], sf.LabelError, r"y\[2\] is -1, outside"),
        (X, np.uint64([0, 1, 2**63, 0]), sf.LabelError, r"y\[2\] is 9223372036854775808"),
    ],
)
def test_samples_that_are_refused(x: Any, y: Any, error: type, text: str) -> None:
    net = network()
    before = parameters(net)
    for call in (net.fit, net.evaluate, net.gradients_on):
        with pytest.raises(error, match=text) as caught:
            call(x, y)
        assert isinstance(caught.value, (ValueError, TypeError))
        assert isinstance(caught.value, sf.SwiftForceError)
    if text.startswith(("x ", "n of")):
        with pytest.raises(error, match=text):
            net.predict(x)
    assert parameters(net) == before


def test_samples_are_not_written() -> None:
    net, (x, y) = network(), blobs(30)
    before = x.tobytes(), y.tobytes()
    x.flags.writeable = y.flags.writeable = False
    net.fit(x, y, epochs=2, batch_size=7)
    net.evaluate(x, y)
    net.predict(x)
    net.gradients_on(x, y, batch_size=4)(net.weights)
    assert (x.tobytes(), y.tobytes()) == before


def test_the_orders_of_neighbouring_seeds_have_nothing_in_common() -> None:
    orders = {
        tuple(sf.permutation(40, seed, stream).tolist())
        for seed in range(4)
        for stream in (0, 1, 1 << 32, (1 << 32) + 1, 2 << 32)
    }
    assert len(orders) == 20


@pytest.mark.parametrize(
    ("x", "y", "error", "advice"),
    [
        (np.uint8(X), Y, sf.UnsupportedTypeError, r"x\.astype\('float32'\) / 255"),
        (X, np.eye(3)[Y], sf.ShapeError, r"one-hot .* y\.argmax\(axis=1\)"),
        (X, np.eye(3, dtype=int)[Y], sf.ShapeError, r"y\.argmax\(axis=1\)"),
        (X, Y.astype(np.float32), sf.UnsupportedTypeError, r"y\.astype\('int64'\)"),
        (X, Y[:, None], sf.ShapeError, r"y\.ravel\(\)"),
        (X, [1, 2, 3, 1], sf.LabelError, "labels start at 0, so pass y - 1"),
    ],
    ids=["uint8", "one-hot", "one-hot integers", "float labels", "a column", "labels from 1"],
)
def test_mistakes_with_samples_say_what_to_do(x: Any, y: Any, error: type, advice: str) -> None:
    for call in (network().fit, network().evaluate, network().gradients_on):
        with pytest.raises(error, match=advice) as caught:
            call(x, y)
        assert "\n" not in str(caught.value)


def test_the_advice_for_uint8_images_works() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    network().fit(images.astype("float32") / 255, Y)


def test_channels_last_says_how_to_move_them() -> None:
    net = nn.lenet5((1, 12, 14), classes=3)
    images = np.random.default_rng(0).standard_normal((5, 12, 14, 1), np.float32)
    with pytest.raises(
        sf.ShapeError, match=r"np\.ascontiguousarray\(x\.transpose\(0, 3, 1, 2\)\)$"
    ):
        net.predict(images)
    assert net.predict(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).shape == (5, 3)
    with pytest.raises(sf.ShapeError, match=r"channels, height, width$"):
        net.predict(images.reshape(5, 1, 14, 12))


def test_tensors_of_torch_that_numpy_can_read_are_samples() -> None:
    torch = pytest.importorskip("torch")
    net, (x, y) = network(), blobs(9)
    plain = net.gradients_on(x, y)(net.weights)
    found = net.gradients_on(torch.from_numpy(x), torch.from_numpy(y))(net.weights)
    assert all(found[name].tobytes() == plain[name].tobytes() for name in plain)


def test_other_tensors_of_torch_say_how_to_convert_them() -> None:
    torch = pytest.importorskip("torch")
    net, (x, y) = network(), blobs(9)
    advice = r"torch\.Tensor, not a numpy array: pass x\.detach\(\)\.cpu\(\)\.float\(\)\.numpy\(\)$"
    with pytest.raises(sf.UnsupportedTypeError, match=advice):
        net.gradients_on(torch.from_numpy(x).requires_grad_(), y)
    with pytest.raises(sf.UnsupportedTypeError, match=advice):
        net.gradients_on(torch.from_numpy(x).bfloat16(), y)
    with pytest.raises(sf.UnsupportedTypeError, match=r"pass y\.detach\(\)\.cpu\(\)\.numpy\(\)$"):
        net.gradients_on(x, torch.zeros(9, device="meta"))
    tensor = torch.from_numpy(x).bfloat16().requires_grad_()
    net.gradients_on(tensor.detach().cpu().float().numpy(), y)
