"""Descriptions of the layers of a network. They hold no memory and compute nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import get_args

from swiftforce import _core
from swiftforce.errors import ArchitectureError, SwiftForceError
from swiftforce.inputs import case_number, integer
from swiftforce.native import public_error

#: Numbers that the core reads as the network's input, and as no layer.
_INPUT, _NONE = -1, -2

#: How deep residuals may be nested: Python has a limit for functions that call themselves.
_DEEPEST = 50

#: A layer as the core takes it: kind, source, addend, bias, six sizes, momentum, epsilon.
NativeLayer = tuple[int, int, int, bool, int, int, int, int, int, int, float, float]


@dataclass(frozen=True)
class Linear:
    """The layer ``y = W x + b``: weight of shape (outputs, inputs), bias of shape (outputs,).

    An image is flattened: it enters as channels * height * width features.
    """

    inputs: int
    outputs: int
    bias: bool = True


@dataclass(frozen=True)
class ReLU:
    """The layer ``y = max(x, 0)``."""


@dataclass(frozen=True)
class Conv2d:
    """A two-dimensional convolution with a square kernel, as in torch.

    Attributes
    ----------
    in_channels, out_channels : int
    kernel_size : int
        Side of the kernel.
    stride : int
    padding : int
        Zeros on each side of the image, fewer than `kernel_size`.
    groups : int
        1; or `in_channels`, which must then equal `out_channels`: a depthwise convolution.
    bias : bool

    Notes
    -----
    Weight of shape (out_channels, in_channels / groups, kernel_size, kernel_size), bias of shape
    (out_channels,).
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True


@dataclass(frozen=True)
class BatchNorm2d:
    """Batch normalisation of each channel, with a scale, a bias and running statistics.

    Attributes
    ----------
    channels : int
    momentum : float
        Weight of a training batch in the running statistics, in [0, 1].
    epsilon : float
        Added to the variance, above 0.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    channels: int
    momentum: float = 0.1
    epsilon: float = 1e-5


@dataclass(frozen=True)
class MaxPool2d:
    """The maximum of each square window. Rows and columns that do not fill a window are ignored.

    Attributes
    ----------
    kernel_size : int
        Side of the window.
    stride : int, optional
        By default `kernel_size`.
    """

    kernel_size: int
    stride: int | None = None


@dataclass(frozen=True)
class AvgPool2d:
    """The mean of each square window. Rows and columns that do not fill a window are ignored.

    Attributes
    ----------
    kernel_size : int
        Side of the window.
    stride : int, optional
        By default `kernel_size`.
    """

    kernel_size: int
    stride: int | None = None


@dataclass(frozen=True)
class GlobalAvgPool2d:
    """The mean of each channel: from (channels, height, width) to (channels,)."""


@dataclass(frozen=True)
class Flatten:
    """From (channels, height, width) to channels * height * width features, in that order."""


@dataclass(frozen=True)
class Residual:
    """The sum of two branches: ``body(x) + shortcut(x)``.

    Attributes
    ----------
    body : sequence of layers
    shortcut : sequence of layers
        By default empty: the input itself is added.

    References
    ----------
    He et al., "Deep residual learning for image recognition", CVPR 2016.
    """

    body: tuple[AnyLayer, ...]
    shortcut: tuple[AnyLayer, ...] = ()

    def __init__(self, body: Sequence[AnyLayer], shortcut: Sequence[AnyLayer] = ()) -> None:
        for branch in (body, shortcut):
            if not isinstance(branch, Sequence):
                raise ArchitectureError(
                    f"a branch of a residual must be a sequence of layers, not {branch!r}"
                )
        object.__setattr__(self, "body", tuple(body))
        object.__setattr__(self, "shortcut", tuple(shortcut))


AnyLayer = (
    Linear
    | ReLU
    | Conv2d
    | BatchNorm2d
    | MaxPool2d
    | AvgPool2d
    | GlobalAvgPool2d
    | Flatten
    | Residual
)


#: All kinds of layer.
KINDS = get_args(AnyLayer)


class Flattened:
    """A sequence of layers as the core takes it: residuals are replaced by their parts.

    Attributes
    ----------
    native : list of tuple
        One per layer of the core.
    names : list of str
        The name of each: ``"3"``, or ``"3.body.0"`` inside a residual.
    shapes : dict of str to tuple of int
        The shape of each parameter, by its name.

    Raises
    ------
    ArchitectureError
        If an element is not a layer, or a size is not a number; the message names the layer.
    """

    def __init__(self, layers: Sequence[AnyLayer]) -> None:
        self.native: list[NativeLayer] = []
        self.names: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._extend(layers, "", _INPUT)

    def _extend(self, layers: Sequence[AnyLayer], prefix: str, source: int) -> int:
        """Add layers that follow `source`; return the position of the last one."""
        for i, layer in enumerate(layers):
            source = self._append(layer, f"{prefix}{i}", source)
        return source

    def _append(self, layer: AnyLayer, name: str, source: int) -> int:
        if isinstance(layer, Residual):
            if name.count(".") >= 2 * _DEEPEST:
                raise ArchitectureError(f"residuals are nested more than {_DEEPEST} deep")
            if not layer.body:
                raise ArchitectureError(f"layer {name}: the body of a residual has no layer")
            body = self._extend(layer.body, f"{name}.body.", source)
            shortcut = self._extend(layer.shortcut, f"{name}.shortcut.", source)
            native = _native("add", body, addend=shortcut)
        else:
            native = _convert(layer, name, source)
        self.native.append(native)
        self.names.append(name)
        self.shapes |= {f"{name}.{role}": one for role, one in parameter_shapes(layer).items()}
        return len(self.native) - 1

    def public_error(self, error: _core.NativeError) -> SwiftForceError:
        """The public error for an error of the core, with the name of the layer."""
        status, _, _, index, _, _, message = error.args
        if _core.STATUSES[status] == "BAD_ARCHITECTURE" and 0 <= index < len(self.names):
            reason = message.removeprefix(f"layer {index}: ")
            return ArchitectureError(f"layer {self.names[index]}: {reason}")
        return public_error(error)


def parameter_shapes(layer: AnyLayer) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of a layer, by its role; none for a residual itself."""
    match layer:
        case Linear(inputs, outputs, bias):
            weight: tuple[int, ...] = (outputs, inputs)
            return {"weight": weight, "bias": (outputs,)} if bias else {"weight": weight}
        case Conv2d(channels, outputs, kernel, _, _, groups, bias):
            weight = (outputs, channels // max(1, groups), kernel, kernel)
            return {"weight": weight, "bias": (outputs,)} if bias else {"weight": weight}
        case BatchNorm2d(channels):
            return dict.fromkeys(("scale", "bias", "mean", "variance"), (channels,))
    return {}


def _native(
    kind: str,
    source: int,
    *,
    addend: int = _NONE,
    bias: bool = False,
    inputs: int = 0,
    outputs: int = 0,
    kernel: int = 0,
    stride: int = 0,
    padding: int = 0,
    groups: int = 0,
    momentum: float = 0.0,
    epsilon: float = 0.0,
) -> NativeLayer:
    sizes = (inputs, outputs, kernel, stride, padding, groups)
    return (case_number("layer", kind), source, addend, bool(bias), *sizes, momentum, epsilon)


def _convert(layer: AnyLayer, name: str, source: int) -> NativeLayer:  # noqa: PLR0911 - one a kind
    def size(value: int, what: str) -> int:
        return integer(value, f"layer {name}: {what}", ArchitectureError)

    def real(value: float, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ArchitectureError(f"layer {name}: {what} must be a finite number, not {value!r}")
        return float(value)

    match layer:
        case Linear(inputs, outputs, bias):
            return _native(
                "linear",
                source,
                bias=bias,
                inputs=size(inputs, "inputs"),
                outputs=size(outputs, "outputs"),
            )
        case ReLU():
            return _native("relu", source)
        case Conv2d():
            return _native(
                "conv2d",
                source,
                bias=layer.bias,
                inputs=size(layer.in_channels, "in_channels"),
                outputs=size(layer.out_channels, "out_channels"),
                kernel=size(layer.kernel_size, "kernel_size"),
                stride=size(layer.stride, "stride"),
                padding=size(layer.padding, "padding"),
                groups=size(layer.groups, "groups"),
            )
        case BatchNorm2d(channels, momentum, epsilon):
            return _native(
                "batch_norm2d",
                source,
                inputs=size(channels, "channels"),
                momentum=real(momentum, "momentum"),
                epsilon=real(epsilon, "epsilon"),
            )
        case MaxPool2d(kernel, stride) | AvgPool2d(kernel, stride):
            return _native(
                "max_pool2d" if isinstance(layer, MaxPool2d) else "avg_pool2d",
                source,
                kernel=size(kernel, "kernel_size"),
                stride=size(kernel if stride is None else stride, "stride"),
            )
        case GlobalAvgPool2d():
            return _native("global_avg_pool2d", source)
        case Flatten():
            return _native("flatten", source)
    hint = ": add the parentheses" if isinstance(layer, type) and layer in KINDS else ""
    raise ArchitectureError(f"layer {name} is a {type(layer).__name__}, not a layer{hint}")
