"""Training against torch in binary64: steps, momentum, weight decay, running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from swiftforce import nn

torch = pytest.importorskip("torch")

import torch_twin  # noqa: E402
from torch_comparison import (  # noqa: E402
    as_arrays,
    assert_close,
    batch,
    block,
    clear_batch,
    copied,
    network,
    trained,
    truth,
    values,
)

#: Faster tests of layers are in test_layers.py and test_images.py.
pytestmark = pytest.mark.slow


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
