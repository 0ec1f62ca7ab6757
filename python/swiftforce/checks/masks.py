"""The masks that the checks accept, and the share of weights that each layer keeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from swiftforce.inputs import MASKS, Array, Arrays, Tensors
from swiftforce.result import Pruning, check_not_sharded


def layer_densities(masks: Pruning[Any] | Arrays) -> dict[str, float]:
    """The share of its weights that each layer keeps, which `shuffle` and `invert` preserve.

    Parameters
    ----------
    masks : Pruning, or mapping, sequence or array of bool
        True where a weight is kept. Not changed. The result of an adapter is accepted, too.

    Returns
    -------
    dict of str to float
        By the names of the layers; 1 for an empty tensor.

    Raises
    ------
    StructureError, UnsupportedTypeError, LayoutError

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> sf.checks.layer_densities({"a": np.array([True, False]), "b": np.array([True])})
    {'a': 0.5, 'b': 1.0}
    """
    if isinstance(masks, Pruning):
        return {layer.name: layer.density for layer in masks.layers}
    tensors = tensors_of(masks)
    return {
        name: float(np.count_nonzero(mask) / mask.size) if mask.size else 1.0
        for name, mask in zip(tensors.names, tensors.arrays, strict=True)
    }


def tensors_of(masks: Pruning[Any] | Arrays, role: str = "masks") -> Tensors:
    """The masks of a result, or masks as they are; messages name them by their role."""
    tensors = Tensors(getattr(masks, "masks", masks), role, MASKS)
    if isinstance(masks, Pruning) and len(masks.layers) == len(tensors.arrays):
        check_not_sharded(masks, tensors, "check")
    return tensors


def is_mixed(mask: Array) -> bool:
    """Whether a mask keeps some weights and removes others."""
    return bool(mask.any()) and not mask.all()
