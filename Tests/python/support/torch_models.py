"""Small torch networks, batches for them, and masks by an independent search.

The search shares no code with the package: torch computes the gradients on a deep copy that the
masked weights are copied into, and the oracle selects.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import oracle
import torch
from torch import nn
from torch.nn import functional

Batches = list[tuple[torch.Tensor, torch.Tensor]]
Masks = dict[str, torch.Tensor]
CLASSES = 4


# ------------------------------------------------------------------------------ networks


def mlp(inputs: int = 6, hidden: int = 8, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))


def lenet5() -> nn.Sequential:
    """For images of (1, 16, 16)."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 60), nn.ReLU(), nn.Linear(60, CLASSES)),
    )


def vgg11(width: int = 4) -> nn.Sequential:
    """With batch norm, for images of (3, 32, 32)."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for times in (1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool", 8, 8, "pool"):
        if times == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            out = width * int(times)
            layers += [
                nn.Conv2d(channels, out, 3, padding=1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, CLASSES))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        body = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(body + self.shortcut(x))


def resnet18(width: int = 4) -> nn.Sequential:
    """For images of (3, 16, 16)."""
    torch.manual_seed(0)
    stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for times, stride in ((1, 1), (2, 2), (4, 2), (8, 2)):
        layers += [Block(channels, width * times, stride), Block(width * times, width * times, 1)]
        channels = width * times
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))
    return nn.Sequential(*layers, *head)


class Transformer(nn.Module):
    """An encoder of two layers with a linear head, for sequences of (5, 8)."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x).mean(1))


def transformer(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    model = Transformer(dropout)
    for name, parameter in model.named_parameters():  # the layers are copies of one
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


#: A network, and the shape of a sample.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LeNet-5": (lenet5, (1, 16, 16)),
    "VGG11": (vgg11, (3, 32, 32)),
    "ResNet18": (resnet18, (3, 16, 16)),
    "transformer": (transformer, (5, 8)),
}


# ------------------------------------------------------------------------------ batches


def batches(
    shape: Sequence[int] = (6,),
    sizes: Iterable[int] = (6, 6, 6),
    dtype: torch.dtype = torch.float32,
    seed: int = 1,
) -> Batches:
    """Inputs of that shape and labels, in batches of those sizes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, *shape, generator=generator).to(dtype),
            torch.randint(CLASSES, (size,), generator=generator),
        )
        for size in sizes
    ]


# ------------------------------------------------------------------------------ the reference


def matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of at least two dimensions: the prunable ones of the networks above."""
    return {name: value for name, value in model.named_parameters() if value.dim() > 1}


def reference_search(
    model: nn.Module,
    data: Batches,
    *,
    method: str,
    sparsity: float,
    steps: int = 1,
    schedule: str = "exponential",
    batches_per_step: int = 1,
    mode: str = "train",
    seed: int = 0,
    loss: Callable[[Any, Any], torch.Tensor] = functional.cross_entropy,
    names: Iterable[str] | None = None,
) -> tuple[Masks, list[oracle.Step]]:
    """The masks of the oracle's search, and what each step did."""
    copied = copy.deepcopy(model).train(mode == "train").requires_grad_(True)
    chosen = matrices(copied)
    if names is not None:
        chosen = {name: dict(copied.named_parameters())[name] for name in names}
    endless = itertools.cycle(data)

    def gradients(masked: list[np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            for parameter, array in zip(chosen.values(), masked, strict=True):
                parameter.copy_(torch.from_numpy(array))
        copied.zero_grad()
        taken = [next(endless) for _ in range(batches_per_step)]
        samples = sum(len(target) for _, target in taken)
        for given, target in taken:
            (loss(copied(given), target) * (len(target) / samples)).backward()
        return [parameter.grad.numpy().copy() for parameter in chosen.values()]

    weights = [parameter.detach().numpy().copy() for parameter in chosen.values()]
    n = sum(array.size for array in weights)
    keeps = oracle.schedule_keeps(schedule, n, oracle.keep_count(n, sparsity), steps)
    masks, history = oracle.search(weights, gradients, method, keeps, seed)
    return named(chosen, masks[-1]), history


def named(names: Iterable[str], masks: Sequence[np.ndarray]) -> Masks:
    return {name: torch.from_numpy(mask) for name, mask in zip(names, masks, strict=True)}


def assert_same(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Assert that both are the same masks."""
    oracle.assert_same_masks(arrays(found), arrays(wanted))


def arrays(masks: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    for name, mask in masks.items():
        assert isinstance(mask, torch.Tensor), name
    return {name: mask.numpy() for name, mask in masks.items()}


def random_masks(model: nn.Module, seed: int = 3) -> Masks:
    """Masks that remove about half of each matrix, at random."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator) > 0.5
        for name, value in matrices(model).items()
    }


def bits(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor's values: -0.0 differs from 0.0, and NaN equals itself."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
