"""Whether layers multiply by their parameters, found by running copies of them without values."""

from __future__ import annotations

import torch
from torch import nn

from swiftforce.torch.copies_without_values import copied
from swiftforce.torch.model_state import forked_generators
from swiftforce.torch.products import ProductWatch

#: Methods of linear layers and convolutions that may compute another weight.
_METHODS = ("__call__", "forward", "_conv_forward")


def may_compute(module: nn.Module, own: str) -> bool:
    """Whether a parameter is the weight of a layer that may compute another weight from it."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    if not isinstance(module, kinds) or own != "weight":
        return False
    methods = (getattr(type(module), name, None) for name in _METHODS)
    return any(
        not str(getattr(one, "__module__", "")).startswith("torch.nn.") for one in methods if one
    )


def multiplies_by(module: nn.Module, own: str) -> bool | None:
    """Whether a linear layer or a convolution multiplies by its parameter itself.

    The layer runs without values (on the device ``meta``), in a copy that shares nothing with it.

    Returns
    -------
    bool or None
        None if that cannot be found out: it takes other inputs, needs values, or cannot be copied.
    """
    try:
        with forked_generators(), torch.no_grad():
            layer = copied(module)
            weight = layer._parameters[own]
            assert weight is not None
            with ProductWatch({own: weight}) as watch:
                layer(_sample_for(layer))
    except Exception:  # Whatever the layer's own code raises.
        return None
    return own in watch.multiplied


def keeps_zeros(parametrizations: nn.Module, own: str) -> bool:
    """Whether a parametrized weight is zero where its original is, as by weight norm."""
    try:
        with forked_generators(), torch.no_grad():
            trial = copied(parametrizations)
            original = trial._parameters[own]
            assert original is not None
            with ProductWatch({own: original}) as watch:
                weight = trial()
                return weight.shape == original.shape and own in watch.names(weight)
    except Exception:  # Whatever the parametrization's own code raises.
        return False


def _sample_for(layer: nn.Module) -> torch.Tensor:
    """Two samples of the smallest inputs of a linear layer or a convolution, without values."""
    weight = layer._parameters["weight"]
    assert weight is not None
    if isinstance(layer, nn.Linear):
        return weight.new_empty((2, layer.in_features))
    assert isinstance(layer, nn.modules.conv._ConvNd)
    sides = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
    lengths = [dilation * (length - 1) + 1 + stride for length, dilation, stride in sides]
    return weight.new_empty((2, layer.in_channels, *lengths))
