"""Small networks that cover all layers, and random masks for them."""

from __future__ import annotations

import numpy as np
from swiftforce import nn


def residual() -> nn.Network:
    shortcut = [nn.Conv2d(2, 3, 1, stride=2)]
    body = [nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU()]
    layers = [
        *(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Residual(body, shortcut), nn.ReLU()),
        *(nn.Residual([nn.Conv2d(3, 3, 3, padding=1)]), nn.GlobalAvgPool2d(), nn.Linear(3, 2)),
    ]
    return nn.Network(layers, input_shape=(1, 5, 4))


#: Small networks that cover all layers.
TINY = {
    "linear": lambda: nn.Network([nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 2)]),
    "residual": residual,
    "max pool": lambda: nn.Network(
        [nn.Conv2d(2, 3, 2), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(12, 2)],
        input_shape=(2, 4, 4),
    ),
    "average pool": lambda: nn.Network(
        [nn.AvgPool2d(2), nn.Conv2d(1, 3, 3, padding=2), nn.Flatten(), nn.Linear(48, 2)],
        input_shape=(1, 5, 5),
    ),
    "depthwise": lambda: nn.Network(
        [
            *(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Conv2d(3, 4, 1)),
            *(nn.Conv2d(4, 4, 3, stride=2, groups=4), nn.Flatten(), nn.Linear(4, 2)),
        ],
        input_shape=(3, 4, 3),
    ),
}


def drawn(net: nn.Network, density: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(weight.shape) < density for name, weight in net.weights.items()}
