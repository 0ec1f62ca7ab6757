"""The networks that experiments can use."""

from __future__ import annotations

import numpy as np
import pytest
from swiftforce import nn
from swiftforce.experiments.architectures import NETWORKS

CONVOLUTIONAL = [name for name in NETWORKS if name != "lenet_300_100"]


def test_lenet_takes_images_of_any_shape() -> None:
    net = NETWORKS["lenet_300_100"].build((2, 3, 4), 5, seed=6)
    same = nn.lenet_300_100(24, 5, seed=6)
    assert {name: weight.tobytes() for name, weight in net.weights.items()} == {
        name: weight.tobytes() for name, weight in same.weights.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_networks_take_images_of_any_shape(name: str) -> None:
    net = NETWORKS[name].build((2, 28, 20), 7, seed=3)
    assert (net.input_shape, net.classes) == ((2, 28, 20), 7)
    assert net.predict(np.zeros((1, 2, 28, 20), np.float32)).shape == (1, 7)
    other = NETWORKS[name].build((2, 28, 20), 7, seed=4)
    first = next(iter(net.weights))
    assert net.weights[first].tobytes() != other.weights[first].tobytes()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name[-1].isdigit()])
def test_the_label_is_the_name_as_people_write_it(name: str) -> None:
    assert NETWORKS[name].label.lower().replace("-", "_").replace("lenet_5", "lenet5") == name
