"""The gradients of SynFlow, against torch's in float64 and against what its paper proves."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import nn

#: Kernels larger than their image have weights that meet nothing but padding.
pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")

NETWORKS = {
    "mlp": lambda: nn.lenet_300_100(seed=2),
    "lenet5": lambda: nn.lenet5((1, 28, 28), 10, seed=2),
    "vgg11": lambda: nn.vgg(11, (1, 32, 32), 10, seed=2),
    "resnet18": lambda: nn.resnet(18, (1, 32, 32), 10, seed=2),
    # R is not proportional to the weights of any one layer.
    "residual at the end": lambda: nn.Network(
        [
            nn.Linear(20, 16),
            nn.Residual([nn.Linear(16, 16)]),
            nn.Residual([nn.Linear(16, 4)], [nn.Linear(16, 4)]),
        ],
        seed=2,
    ),
    "one class": lambda: nn.Network([nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 1)], seed=2),
}


def scores(net: nn.Network, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = nn.synaptic_flow(net)(weights)
    return {name: np.float64(found[name]) * abs(weights[name]) for name in weights}


def trained(net: nn.Network) -> nn.Network:
    """With scales, biases and means of both signs."""
    rng = np.random.default_rng(0)
    for parameters in (net.biases, net.statistics):
        for name, array in parameters.items():
            sign = 1 if name.endswith(".variance") else rng.choice([-1, 1], array.shape)
            parameters[name] = sign * rng.uniform(0.5, 2, array.shape)
    return net


def wanted(net: nn.Network) -> dict[str, np.ndarray]:
    """The scores of torch's SynFlow, of a network without biases and means."""
    pytest.importorskip("torch")
    import torch
    import torch_twin
    from swiftforce.torch.synaptic_flow import synaptic_flow

    for parameters in (net.biases, net.statistics):
        for key, array in parameters.items():
            if key.endswith((".bias", ".mean")):
                parameters[key] = np.zeros_like(array)
    module = torch_twin.twin(net).eval()
    parameters = {key: torch_twin.parameters(module)[key] for key in net.weights}
    found = synaptic_flow(module, parameters, torch.ones(1, *net.input_shape))
    pairs = zip(parameters.items(), found, strict=True)
    return {key: (one.abs() * gradient).detach().numpy() for (key, one), gradient in pairs}


def assert_proportional(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    factor = sum(one.sum() for one in expected.values()) / sum(one.sum() for one in found.values())
    for name, one in expected.items():
        np.testing.assert_allclose(found[name] * factor, one, rtol=1e-4)
    return factor


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_torchs_but_for_one_power_of_two(name: str) -> None:
    net = trained(NETWORKS[name]())
    factor = assert_proportional(scores(net, dict(net.weights)), wanted(net))
    assert factor > 0
    assert np.log2(factor) == pytest.approx(round(np.log2(factor)), abs=1e-3)
    last = [*net.weights][-1]
    if name != "residual at the end":  # There the last weight is beside others.
        assert 0.49 < scores(net, dict(net.weights))[last].sum() < 2.01


@pytest.mark.parametrize("power", [-35, -20, 20, 35])
def test_sums_that_are_large_or_small(power: int) -> None:
    """Of six layers: R is at most 2^220, and at least 2^-220."""
    layers = [nn.Linear(32, 32) for _ in range(6)]
    net = nn.Network(layers, seed=3)
    for name, weight in net.weights.items():
        net.weights[name] = weight * np.float32(2.0**power)
    assert_proportional(scores(net, dict(net.weights)), wanted(net))


def test_a_weight_that_is_not_finite_is_named() -> None:
    net = nn.lenet_300_100(seed=2)
    weights = dict(net.weights)
    weights["2.weight"][3, 4] = np.nan
    with pytest.raises(sf.NonFiniteError, match=r"weights\['2.weight'\] has 1 value"):
        sf.iterative_snip(weights, nn.synaptic_flow(net), sparsity=0.9, steps=2)


def test_a_sum_out_of_range_says_so() -> None:
    net = nn.Network([nn.Linear(32, 32) for _ in range(100)], seed=3)
    with pytest.raises(sf.NonFiniteError, match="leaves the range of float32"):
        nn.synaptic_flow(net)(net.weights)


@pytest.mark.parametrize("depth", [19, 50])
def test_what_flows_through_each_layer_is_the_same(depth: int) -> None:
    """Theorem 3 of the paper; R of ResNet50 is near 10^70."""
    make = nn.vgg if depth == 19 else nn.resnet
    net = make(depth, (1, 16, 16), 10, seed=1)
    found = scores(net, dict(net.weights))
    on_every_path = ["0.weight", [*found][-1]]
    if depth == 19:
        on_every_path = [*found]
    sums = [float(found[name].sum()) for name in on_every_path]
    assert all(np.isfinite(one).all() for one in found.values())
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-3)
    assert sums[0] > 0


def tenth(net: nn.Network) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random(shape) < 0.1 for name, shape in net.weights.shapes.items()}


def test_the_network_is_not_changed() -> None:
    net = trained(nn.lenet5((1, 28, 28), 10, seed=2))
    net.apply(tenth(net))
    before = {name: array.copy() for name, array in net.parameters.items()}
    nn.synaptic_flow(net)(net.weights)
    for name, array in net.parameters.items():
        np.testing.assert_array_equal(array, before[name])
    assert net.masks is not None
    for name, mask in tenth(net).items():
        np.testing.assert_array_equal(net.masks[name], mask)


def test_masks_of_the_network_make_no_difference() -> None:
    net = nn.lenet5((1, 28, 28), 10, seed=2)
    weights = {name: array.copy() for name, array in net.weights.items()}
    expected = nn.synaptic_flow(net)(weights)
    net.apply(tenth(net))
    for name, one in nn.synaptic_flow(net)(weights).items():
        np.testing.assert_array_equal(one, expected[name])


def test_copies_and_threads() -> None:
    net = nn.Network([nn.Linear(32, 32) for _ in range(6)], seed=3)
    flow = nn.synaptic_flow(net)
    weights = [{name: k * array for name, array in net.weights.items()} for k in (1, 2**20)]
    expected = [flow(one) for one in weights]
    copies = [flow, copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))]
    with ThreadPoolExecutor(4) as pool:
        for one in copies * 20:
            runs = [pool.submit(one, given) for given in weights]
            for run, of_one in zip(runs, expected, strict=True):
                for name, found in run.result().items():
                    np.testing.assert_array_equal(found, of_one[name])


def test_no_layer_is_emptied_before_it_has_to_be() -> None:
    net = nn.lenet5((1, 28, 28), 10, seed=2)
    keep = 20 * len(net.weights)
    flow = nn.synaptic_flow(net)
    pruning = sf.prune(net.weights, flow, method="iterative_snip", steps=100, keep=keep)
    assert all(layer.kept for layer in pruning.layers)
    assert sf.checks.effective_density(net, pruning).effective == keep


def test_where_nothing_flows_gradients_are_zero() -> None:
    net = nn.lenet_300_100(seed=2)
    nothing = {name: np.zeros(shape, np.float32) for name, shape in net.weights.shapes.items()}
    assert not any(one.any() for one in nn.synaptic_flow(net)(nothing).values())


def test_weights_of_another_network_are_refused() -> None:
    flow = nn.synaptic_flow(nn.lenet_300_100(seed=2))
    with pytest.raises(sf.StructureError, match=r"0\.weight"):
        flow({"1.weight": np.zeros((3, 3), np.float32)})
    weights = dict(nn.lenet_300_100(seed=2).weights)
    with pytest.raises(sf.ShapeError, match=r"2\.weight"):
        flow({**weights, "2.weight": np.zeros((3, 3), np.float32)})


def test_another_model_is_refused() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="not int: for a torch model"):
        nn.synaptic_flow(3)
