"""The result of a search for masks of a pytree, and its file."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np

from swiftforce.errors import WeightsDifferError
from swiftforce.inputs import MASKS, Tensors
from swiftforce.jax.pytrees import Leaves, Pytree, put_like, to_numpy
from swiftforce.result import Pruning, Scope
from swiftforce.result import load as load_pruning


class PytreePruning(Pruning[Pytree]):
    """A `swiftforce.Pruning` whose masks are a pytree of JAX arrays.

    Attributes
    ----------
    masks : pytree of bool arrays
        In the structure of the parameters. Each mask has the shape of its leaf and is on the same
        devices. It is True where a weight is kept, and everywhere if the leaf is not prunable.
    layers : tuple of Layer
        The prunable leaves, named by their paths.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file.

        `swiftforce.jax.load` reads it into the structure of parameters; `swiftforce.load` reads it
        as numpy masks by path.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        leaves = Leaves(self.masks).by_name
        masks = {layer.name: to_numpy(leaves[layer.name]) for layer in self.layers}
        Pruning(**{**vars(self), "masks": masks}).save(path)


def load(path: str | os.PathLike[str], params: Pytree) -> PytreePruning:
    """Read a file that `PytreePruning.save` wrote, into the structure of parameters.

    Parameters
    ----------
    path : path
        The file.
    params : pytree of arrays
        The parameters, with all leaves that the file has masks of. Each mask is put on the devices
        of its leaf.

    Returns
    -------
    PytreePruning

    Raises
    ------
    MaskFileError
        If the file is damaged or is not a mask file of swiftforce.
    WeightsDifferError
        If the parameters lack a leaf that the file has a mask of, or it has another shape.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> params = {"w": jnp.array([[1.0, 4.0], [3.0, 2.0]])}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "masks.safetensors")
    ...     sfj.prune(params, method="magnitude", keep=2).save(path)
    ...     pruning = sfj.load(path, params)
    >>> pruning.masks["w"]
    Array([[False,  True],
           [ True, False]], dtype=bool)
    """
    found = load_pruning(path)
    leaves = Leaves(params)
    tensors = Tensors(found.masks, "masks", MASKS)
    masks = {
        leaves.name_of(name): mask for name, mask in zip(tensors.names, tensors.arrays, strict=True)
    }
    layers = tuple(replace(layer, name=leaves.name_of(layer.name)) for layer in found.layers)
    found = replace(found, masks=masks, layers=layers)
    for layer in found.layers:
        if layer.name not in leaves.by_name:
            raise WeightsDifferError(f"{path} has a mask of {layer.name!r}, which params lack")
        shape = np.shape(leaves.by_name[layer.name])
        if shape != layer.shape:
            raise WeightsDifferError(
                f"{path} has a mask of shape {layer.shape} for {layer.name!r} of shape {shape}"
            )
    return in_pytree(found, leaves, found.scope)


def in_pytree(found: Pruning[Any], leaves: Leaves, scope: Scope | None) -> PytreePruning:
    """A result with its masks in the structure of the parameters, on the devices of the leaves."""
    tensors = Tensors(found.masks, "masks", MASKS)
    masks = dict(zip(tensors.names, tensors.arrays, strict=True))
    put = {
        name: put_like(masks[name] if name in masks else np.ones(np.shape(leaf), np.bool_), leaf)
        for name, leaf in leaves.by_name.items()
    }
    return PytreePruning(**{**vars(found), "masks": leaves.restore(put), "scope": scope})
