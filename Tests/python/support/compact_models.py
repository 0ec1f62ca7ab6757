"""Networks that `sft.compact` makes smaller: each kind of operation that channels pass through."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional


def conv_norm(inputs: int, outputs: int, kernel: int = 3, **options: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
    return [convolution, nn.BatchNorm2d(outputs)]


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(3 * 64, 40), nn.ReLU()),
        *(nn.Linear(40, 30, bias=False), nn.BatchNorm1d(30), nn.ReLU6(), nn.Dropout(0.0)),
        *(nn.Linear(30, 20, bias=False), nn.GELU(), nn.Linear(20, 5)),
    )


def vgg() -> nn.Module:
    return nn.Sequential(
        *(*conv_norm(3, 12), nn.ReLU(inplace=True), *conv_norm(12, 16), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(2), *conv_norm(16, 24), nn.ReLU(), nn.AvgPool2d(2, padding=1)),
        *(*conv_norm(24, 24), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 9, 5)),
    )


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(*conv_norm(inputs, outputs, stride=stride))
        self.second = nn.Sequential(*conv_norm(outputs, outputs))
        self.shortcut = nn.Identity()
        if inputs != outputs or stride > 1:
            self.shortcut = nn.Sequential(*conv_norm(inputs, outputs, 1, stride=stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(functional.relu(self.first(x), inplace=True))
        y += self.shortcut(x)
        return functional.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 8), nn.ReLU())
        self.blocks = nn.Sequential(Block(8, 8), Block(8, 16, 2), Block(16, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, 4)
        self.expand = nn.Linear(4, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, _, _ = x.size()
        y = functional.adaptive_avg_pool2d(x, 1).view(n, c)
        return x * torch.sigmoid(self.expand(self.reduce(y).relu())).view(n, c, 1, 1)


class MobileBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, groups: int) -> None:
        super().__init__()
        wide = inputs * 3
        self.is_residual = inputs == outputs
        self.layers = nn.Sequential(
            *(*conv_norm(inputs, wide, 1), nn.ReLU6(), *conv_norm(wide, wide, groups=groups)),
            *(nn.ReLU6(), Gate(wide), *conv_norm(wide, outputs, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x)
        return x + y if self.is_residual else y


def mobile_net(groups: Callable[[int], int] = lambda wide: wide) -> nn.Module:
    return nn.Sequential(
        *(*conv_norm(3, 8), nn.Hardswish(), MobileBlock(8, 8, groups(24))),
        *(MobileBlock(8, 12, groups(24)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)),
    )


def grouped() -> nn.Module:
    return mobile_net(lambda wide: wide // 4)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 6, 3, padding=1, bias=False))
            for n in (8, 14, 20)
        )
        self.norm = nn.BatchNorm2d(26)
        self.head = nn.Linear(26, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.stem(x)]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        y = functional.relu(self.norm(torch.cat(parts, dim=1)))
        y = functional.dropout(functional.max_pool2d(y, 8), 0.0, self.training)
        return self.head(torch.flatten(y, 1))


class Biased(nn.Module):
    """Convolutions with biases and slopes for each channel, no padding, in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(3, 12, 3, stride=2)
        self.slopes = nn.PReLU(12)
        self.second = nn.Conv1d(12, 12, 3, bias=False)
        self.norm = nn.BatchNorm1d(12, affine=False)
        self.third = nn.Conv1d(12, 10, 3, groups=2)
        self.head = nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.slopes(self.first(x.flatten(2)))
        y = self.third(torch.tanh(self.norm(self.second(y))))
        return self.head(functional.relu(y).mean(-1))


class Shared(nn.Module):
    """A layer that is called twice, with a norm of its own each time."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(3, 10), nn.ReLU())
        self.body = nn.Conv2d(10, 10, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(10), nn.BatchNorm2d(10)])
        self.head = nn.Linear(10, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for norm in self.norms:
            x = functional.relu(norm(self.body(x)) - 0.5 * x)
        return self.head(x.mean((2, 3), keepdim=True).flatten(1))


class Tokens(nn.Module):
    """Features last; a layer norm, which is left alone, and hidden features, which are not."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 24, bias=False)
        self.down = nn.Linear(24, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.down(functional.gelu(self.up(self.norm(x))))
        return self.head(x.mean(1))


#: All take images of (3, 8, 8) and return 5 numbers.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "vgg": vgg,
    "resnet": ResNet,
    "mobilenet": mobile_net,
    "grouped": grouped,
    "densenet": DenseNet,
    "biased": Biased,
    "shared": Shared,
    "tokens": Tokens,
}
