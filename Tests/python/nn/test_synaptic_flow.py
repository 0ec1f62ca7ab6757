"""The gradients of SynFlow, against torch's in float64 and against what its paper proves."""

from __future__ import annotations

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
}


def scores(net: nn.Network, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = nn.synaptic_flow(net)(weights)
    return {name: np.float64(found[name]) * abs(weights[name]) for name in weights}


def trained(net: nn.Network) -> nn.Network:
    """With scales and variances that are not 1; what is added stays out of R."""
    rng = np.random.default_rng(0)
    for parameters in (net.biases, net.statistics):
        for name, array in parameters.items():
            parameters[name] = rng.uniform(0.5, 2, array.shape)
    return net


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_are_torchs_but_for_one_factor(name: str) -> None:
    torch = pytest.importorskip("torch")
    import torch_twin
    from swiftforce.torch.synaptic_flow import synaptic_flow

    net = trained(NETWORKS[name]())
    found = scores(net, dict(net.weights))
    for parameters in (net.biases, net.statistics):
        for key, array in parameters.items():
            if key.endswith((".bias", ".mean")):
                parameters[key] = np.zeros_like(array)
    module = torch_twin.twin(net).eval()
    parameters = {key: torch_twin.parameters(module)[key] for key in net.weights}
    wanted = [
        one.abs() * one_gradient
        for one, one_gradient in zip(
            parameters.values(),
            synaptic_flow(module, parameters, torch.ones(1, *net.input_shape)),
            strict=True,
        )
    ]
    factor = sum(one.sum().item() for one in wanted) / sum(one.sum() for one in found.values())
    for key, one in zip(net.weights, wanted, strict=True):
        np.testing.assert_allclose(found[key] * factor, one.detach().numpy(), rtol=1e-4)


@pytest.mark.parametrize("depth", [19, 50])
def test_what_flows_through_each_layer_is_the_same(depth: int) -> None:
    """Theorem 3 of the paper; R of ResNet50 is near 10^70."""
    make = nn.vgg if depth == 19 else nn.resnet
    net = make(depth, (1, 32, 32), 10, seed=1)
    found = scores(net, dict(net.weights))
    on_every_path = ["0.weight", [*found][-1]]
    if depth == 19:
        on_every_path = [*found]
    sums = [float(found[name].sum()) for name in on_every_path]
    assert all(np.isfinite(one).all() for one in found.values())
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-3)
    assert sums[0] > 0


def test_the_network_is_not_changed_and_need_not_be_dense() -> None:
    net = trained(nn.lenet5((1, 28, 28), 10, seed=2))
    flow = nn.synaptic_flow(net)
    pruning = sf.prune(net.weights, flow, method="iterative_snip", steps=5, sparsity=0.9)
    net.apply(pruning)
    before = {name: array.copy() for name, array in net.parameters.items()}
    masked = {name: array.copy() for name, array in net.weights.items()}
    for name, one in nn.synaptic_flow(net)(masked).items():
        np.testing.assert_array_equal(one, flow(masked)[name])
    for name, array in net.parameters.items():
        np.testing.assert_array_equal(array, before[name])
    for name, mask in (net.masks or {}).items():
        np.testing.assert_array_equal(mask, pruning.masks[name])


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
