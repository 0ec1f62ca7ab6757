"""The memory of tensors as flat arrays, which the core reads and writes in place.

The core takes contiguous arrays of any shape, so a tensor becomes a flat array of its elements in
the order of its memory, whatever its memory format (such as `torch.channels_last`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from swiftforce.errors import LayoutError, UnsupportedTypeError
from swiftforce.inputs import Array

Order = tuple[int, ...]


def order_of(tensor: torch.Tensor, name: str) -> Order:
    """The dimensions of a tensor, from the largest stride to the smallest.

    Raises
    ------
    LayoutError
        If its elements leave gaps in memory or share it.
    """
    strides = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=lambda dim: -strides[dim]))
    if not tensor.permute(order).is_contiguous():
        raise LayoutError(
            f"{name} (shape {tuple(tensor.shape)}, strides {strides}) is not contiguous in any "
            "order of its dimensions: replace the parameter by its .contiguous() copy"
        )
    return order


def flattened(tensor: torch.Tensor, order: Order) -> torch.Tensor:
    """A flat tensor of the elements in that order; a view if memory has the same order."""
    return tensor.permute(order).contiguous().view(-1)


def unflattened(flat: torch.Tensor, shape: Sequence[int], order: Order) -> torch.Tensor:
    """A view, in the original shape, of a tensor that `flattened` returned."""
    dims = [shape[dim] for dim in order]
    back = [order.index(dim) for dim in range(len(order))]
    return flat.view(dims).permute(back)


def array_of(flat: torch.Tensor, name: str) -> Array:
    """A numpy array that shares the memory of a CPU tensor.

    Raises
    ------
    UnsupportedTypeError
        If the core does not support the dtype.
    ImportError
        If the dtype is bfloat16 and ml_dtypes is not installed.
    """
    flat = flat.detach()
    if flat.dtype == torch.bfloat16:
        try:
            import ml_dtypes
        except ImportError:
            raise ImportError(
                f"{name} has dtype bfloat16, for which numpy needs ml_dtypes: "
                "pip install 'swiftforce[torch]'"
            ) from None
        return flat.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if flat.dtype not in {torch.float16, torch.float32, torch.float64}:
        raise UnsupportedTypeError(
            f"{name} has dtype {flat.dtype}, not float16, bfloat16, float32 or float64"
        )
    array: Array = flat.numpy()
    return array


def tensor_of(array: Array) -> torch.Tensor:
    """A tensor that shares the memory of an array that `array_of` returned."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
