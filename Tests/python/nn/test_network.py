"""Networks: parameters, masks, evaluation, threads, and a search from end to end."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import oracle
import pytest
import swiftforce as sf
from dense_network import LAYERS, half, network, parameters
from kinds import blobs
from oracle import assert_same_masks
from swiftforce import nn
from swiftforce.datasets import fashion_mnist
from swiftforce.errors import DatasetError

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def test_parameters_have_names_shapes_and_start_values() -> None:
    net = nn.Network([nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 10)], seed=3)
    assert {name: w.shape for name, w in net.weights.items()} == {
        "0.weight": (300, 400),
        "2.weight": (10, 300),
    }
    assert {name: b.shape for name, b in net.biases.items()} == {"0.bias": (300,), "2.bias": (10,)}
    assert not any(bias.any() for bias in net.biases.values())
    weight = net.weights["0.weight"]
    assert weight.dtype == np.float32
    assert weight.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert abs(weight.mean()) < 0.001
    assert (net.features, net.classes, net.masks) == (400, 10, None)


def test_the_seed_selects_the_weights() -> None:
    assert parameters(nn.Network(LAYERS, seed=1)) == parameters(nn.Network(LAYERS, seed=1))
    assert parameters(nn.Network(LAYERS, seed=1)) != parameters(nn.Network(LAYERS, seed=2))
    first, second = nn.Network([nn.Linear(4, 4), nn.Linear(4, 4)], seed=1).weights.values()
    assert first.tobytes() != second.tobytes()


def test_weights_are_views_of_the_network() -> None:
    net, x = network(), blobs(9)[0]
    before = net.predict(x)
    net.weights["4.weight"] *= 2
    net.biases["4.bias"] *= 2
    np.testing.assert_allclose(net.predict(x), 2 * before, rtol=1e-5)
    assert all(weight.flags.writeable for weight in net.weights.values())


def test_weights_outlive_the_network() -> None:
    net = network()
    weight, expected = net.weights["0.weight"], net.weights["0.weight"].copy()
    del net
    gc.collect()
    others = [network(seed) for seed in range(50)]  # would reuse freed memory
    assert weight.tobytes() == expected.tobytes()
    weight += 1
    assert all(weight.tobytes() != other.weights["0.weight"].tobytes() for other in others)


def test_lenet() -> None:
    net = nn.lenet_300_100(20, 7, seed=2)
    assert [weight.shape for weight in net.weights.values()] == [(300, 20), (100, 300), (7, 100)]
    assert sum(w.size for w in nn.lenet_300_100().weights.values()) == 266_200


def test_a_copy_is_independent() -> None:
    net, (x, y) = network(), blobs(40)
    net.apply(half(net))
    net.fit(x, y, epochs=1, batch_size=8)
    twin = net.copy()
    assert parameters(twin) == parameters(net)
    assert_same_masks(twin.masks, net.masks)
    before = parameters(net)
    twin.fit(x, y, epochs=1, batch_size=8)
    twin.apply(None)
    assert parameters(net) == before
    assert net.masks is not None
    assert parameters(twin) != before


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([nn.Linear(4, 3), nn.Linear(2, 1)], "layer 1"),
        ([nn.Linear(0, 3)], "layer 0"),
        ([nn.Linear(3, -1)], "layer 0"),
        ([nn.Linear(3.0, 1)], "layer 0: inputs must be an integer, not 3.0"),
        ([nn.Linear(3, "1")], "layer 0: outputs must be an integer, not '1'"),
        ([nn.Linear(3, 2), "relu"], "layer 1 is a str, not a layer"),
        ([nn.ReLU], "layer 0 is a type, not a layer"),
        ([nn.Linear(2**62, 2**62)], "layer 0"),
        ([nn.ReLU()], "layer"),
    ],
)
def test_layers_that_do_not_fit(layers: list[Any], text: str) -> None:
    with pytest.raises(sf.ArchitectureError, match=text) as caught:
        nn.Network(layers)
    assert isinstance(caught.value, ValueError)


def test_no_layers_at_all() -> None:
    with pytest.raises(sf.SwiftForceError):
        nn.Network([])


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, None])
def test_seeds_that_are_refused(seed: Any) -> None:
    x, y = blobs(5)
    with pytest.raises(sf.SeedError):
        nn.Network(LAYERS, seed=seed)
    with pytest.raises(sf.SeedError):
        network().fit(x, y, seed=seed)
    if seed is not None:
        with pytest.raises(sf.SeedError):
            network().gradients_on(x, y, seed=seed)


def test_predict_evaluate_and_the_oracle_agree() -> None:
    net, (x, y) = network(), blobs(300)
    logits = net.predict(x)
    assert (logits.shape, logits.dtype) == ((300, 3), np.float32)
    loss = oracle.lenet_loss(list(net.weights.values()), list(net.biases.values()), x, y)
    found = net.evaluate(x, y)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.correct == int((logits.argmax(axis=1) == y).sum())
    assert (found.count, found.accuracy) == (300, found.correct / 300)
    assert net(x).tobytes() == logits.tobytes()
    assert net.predict(x.reshape(300, 3, 2)).tobytes() == logits.tobytes()


def test_logits_by_hand() -> None:
    net = nn.Network([nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)])
    net.weights["0.weight"][...] = [[1, -1], [2, 0]]
    net.biases["0.bias"][...] = [0, -1]
    net.weights["2.weight"][...] = [[1, 10]]
    net.biases["2.bias"][...] = [0.5]
    found = net.predict(np.float32([[3, 1], [1, 3], [0, 0]]))
    assert found.tolist() == [[52.5], [10.5], [0.5]]


def test_masks_are_copied_and_replaced_and_lifted() -> None:
    net, (x, y) = network(), blobs(60)
    masks = half(net)
    net.apply(masks)
    masks["0.weight"][...] = False
    assert net.masks["0.weight"].any()
    net.masks["0.weight"][...] = False
    assert net.masks["0.weight"].any()

    start = network().weights
    first, second = half(net, seed=1), half(net, seed=2)
    net = network()
    net.apply(first)
    net.apply(second)
    both = {name: first[name] & second[name] for name in first}
    for name, weight in net.weights.items():
        assert weight.tobytes() == np.where(both[name], start[name], np.float32(0)).tobytes()

    net.apply(None)
    assert net.masks is None
    removed = net.weights["0.weight"] == 0
    assert removed.any()
    net.fit(x, y, epochs=2, batch_size=8)
    assert (net.weights["0.weight"][removed] != 0).any()


def test_masks_of_a_search_fit() -> None:
    net, (x, y) = network(), blobs(60)
    found = sf.force(net.weights, net.gradients_on(x, y), sparsity=0.7, steps=5)
    net.apply(found.masks)
    assert sum(int((w != 0).sum()) for w in net.weights.values()) == found.keep


@pytest.mark.parametrize(
    ("masks", "error"),
    [
        ({}, sf.StructureError),
        ([], sf.StructureError),
        ({name: np.ones(1, bool) for name in ("0.weight", "2.weight", "4.weight")}, sf.ShapeError),
        (dict.fromkeys(("0.weight", "2.weight", "4.weight"), 1.0), sf.UnsupportedTypeError),
    ],
)
def test_masks_that_are_refused(masks: Any, error: type) -> None:
    net = network()
    before = parameters(net)
    with pytest.raises(error, match="masks"):
        net.apply(masks)
    assert parameters(net) == before
    assert net.masks is None


def test_threads_may_share_a_network() -> None:
    net, (x, y) = nn.lenet_300_100(6, 3), blobs(200)
    logits, expected = net.predict(x), net.evaluate(x, y)

    def hammer(_: int) -> None:
        for _ in range(10):
            assert net.predict(x).tobytes() == logits.tobytes()
            assert net.evaluate(x, y) == expected

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hammer, range(8)))


def test_threads_with_a_network_each_train_as_alone() -> None:
    x, y = blobs(100)

    def trained(seed: int) -> dict[str, bytes]:
        net = network(seed)
        net.fit(x, y, epochs=3, batch_size=10, seed=seed)
        return parameters(net)

    alone = [trained(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trained, range(8))) == alone


@pytest.mark.slow
def test_fashion_mnist_from_end_to_end() -> None:
    try:
        data = fashion_mnist().subset(train=2000, test=1000)
    except DatasetError as error:
        pytest.skip(f"needs Fashion-MNIST: {error}")
    net = nn.lenet_300_100(seed=1)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=128, seed=1)
    found = sf.force(net.weights, gradients, sparsity=0.9, steps=10)
    assert found.keep == 26_620
    net.apply(found.masks)
    net.fit(data.train_x, data.train_y, epochs=3, learning_rate=0.05)
    assert sum(int((w != 0).sum()) for w in net.weights.values()) <= 26_620
    assert net.evaluate(data.test_x, data.test_y).accuracy > 0.65


def test_a_class_without_weights_is_named() -> None:
    net = network()
    masks = {name: np.ones(weight.shape, bool) for name, weight in net.weights.items()}
    masks["4.weight"][1] = False
    with pytest.warns(
        sf.UnreachableClassWarning, match=r"no path .* to 1 of \d classes: 1$"
    ) as caught:
        net.apply(masks)
    assert caught[0].filename == __file__


def test_classes_that_no_path_leads_to_are_named_though_they_keep_weights() -> None:
    net = nn.Network([nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)])
    masks = {"0.weight": np.zeros((3, 2), bool), "2.weight": np.eye(4, 3, dtype=bool)}
    masks["0.weight"][1, 0] = True
    with pytest.warns(sf.UnreachableClassWarning, match=r"to 3 of 4 classes: 0, 2, 3$"):
        net.apply(masks)
    assert (np.ptp(net.predict(np.float32([[1, 2], [-3, 4], [5, 6]])), axis=0) > 0).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_parameters_take_arrays_in() -> None:
    net = network()
    weight = net.weights["0.weight"]
    net.weights["0.weight"] = np.full(weight.shape, 2)
    assert (weight == 2).all()
    with pytest.raises(sf.ShapeError, match=r"0\.weight has shape"):
        net.weights["0.weight"] = np.zeros(3)
    with pytest.raises(KeyError):
        net.weights["9.weight"] = weight


def test_networks_without_layers_are_refused() -> None:
    with pytest.raises(sf.ArchitectureError, match="at least one layer"):
        nn.Network([])


def test_a_network_takes_the_result_of_a_search() -> None:
    net, (x, y) = network(), blobs(60)
    found = sf.snip(net.weights, net.gradients_on(x, y), sparsity=0.7)
    net.apply(found)
    assert_same_masks(net.masks, found.masks)
    assert sum(int((w != 0).sum()) for w in net.weights.values()) == found.keep


def test_masks_of_another_network_say_what_to_do() -> None:
    net = network()
    before = parameters(net)
    advice = "masks of another network; search with this network's weights$"
    wider = nn.Network([nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 3)])
    with pytest.raises(sf.ShapeError, match=advice):
        net.apply(sf.random(wider.weights, sparsity=0.5))
    with pytest.raises(sf.StructureError, match=advice):
        net.apply(sf.random(nn.lenet5().weights, sparsity=0.5).masks)
    with pytest.raises(sf.StructureError, match=advice):
        net.apply(sf.random(list(net.weights.values()), sparsity=0.5))
    assert parameters(net) == before


def test_dir_shows_public_names_alone() -> None:
    assert dir(nn) == sorted(nn.__all__)
