"""The result of a search for masks of a pytree, and its file."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from swiftforce.errors import WeightsDifferError
from swiftforce.inputs import MASKS, Array, Tensors
from swiftforce.jax.pytrees import Leaves, NamedLeaves, Pytree, is_shared, put_like, to_numpy
from swiftforce.jax.stacks import Stacks, whole_name
from swiftforce.result import Layer, Pruning, Scope, fields_of
from swiftforce.result import load as load_pruning


@dataclass(frozen=True, eq=False, repr=False)
class PytreePruning(Pruning[Pytree]):
    """A `swiftforce.Pruning` whose masks are a pytree of JAX arrays.

    Attributes
    ----------
    masks : pytree of bool arrays
        In the structure of the parameters. Each mask has the shape of its leaf and is on the same
        devices. It is True where a weight is kept, and everywhere if the leaf is not prunable.
    layers : tuple of Layer
        The prunable leaves, named by their paths.
    packed : dict, optional
        If several processes hold the masks together: all of each one by path, a bit per weight as
        of `numpy.packbits`, so that any process can save them.
    """

    packed: Mapping[str, Array] | None = None

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
        masks = {layer.name: self._mask(layer, leaves) for layer in self.layers}
        fields = {name: value for name, value in fields_of(self).items() if name != "packed"}
        Pruning(**{**fields, "masks": masks}).save(path)

    def _mask(self, layer: Layer, leaves: NamedLeaves) -> Array:
        """The mask of a layer in host memory, where it may be a part of a leaf's."""
        whole = whole_name(layer.name, leaves)
        if self.packed is not None and whole in self.packed:
            shape = np.shape(leaves[whole])
            bits = np.unpackbits(self.packed[whole], count=prod(shape))
            mask = bits.view(np.bool_).reshape(shape)
        else:
            mask = to_numpy(leaves[whole])
        if whole == layer.name:
            return mask
        return Stacks.named([layer.name], leaves).split({whole: mask})[layer.name]


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
    stacks = Stacks.named(masks, leaves.by_name)
    for layer in found.layers:
        whole = whole_name(layer.name, leaves.by_name)
        if whole not in leaves.by_name:
            raise WeightsDifferError(f"{path} has a mask of {layer.name!r}, which params lack")
        shape = np.shape(leaves.by_name[whole])[whole != layer.name :]
        if shape != layer.shape:
            raise WeightsDifferError(
                f"{path} has a mask of shape {layer.shape} for {layer.name!r} of shape {shape}"
            )
    wholes = {whole_name(name, leaves.by_name) for name in masks}
    masks = stacks.join(masks, _those(wholes, leaves))
    found = replace(found, masks=masks)
    packed = None
    if any(is_shared(leaf) for leaf in leaves.by_name.values()):
        packed = {name: np.packbits(mask) for name, mask in masks.items()}
    return in_pytree(found, leaves, found.scope, packed)


def _those(names: Collection[str], leaves: Leaves) -> NamedLeaves:
    return {name: leaf for name, leaf in leaves.by_name.items() if name in names}


def in_pytree(
    found: Pruning[Any],
    leaves: Leaves,
    scope: Scope | None,
    packed: Mapping[str, Array] | None = None,
) -> PytreePruning:
    """A result with its masks in the structure of the parameters, on the devices of the leaves.

    Parameters
    ----------
    found : Pruning
        With masks by path, as arrays of numpy, or of JAX that are where they belong.
    leaves : Leaves
    scope : Scope, optional
    packed : mapping of str to array, optional
        As of `PytreePruning`.
    """
    masks = found.masks
    put = {
        name: put_like(masks[name] if name in masks else np.ones(np.shape(leaf), np.bool_), leaf)
        for name, leaf in leaves.by_name.items()
    }
    fields = {**fields_of(found), "masks": leaves.restore(put), "scope": scope, "packed": packed}
    return PytreePruning(**fields)
