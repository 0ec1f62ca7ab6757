"""The result of a search in terms of a model, and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from swiftforce.errors import StructureError, WeightsDifferError
from swiftforce.inputs import MASKS, Array, Tensors
from swiftforce.result import Pruning, fields_of
from swiftforce.result import load as load_pruning
from swiftforce.torch.arguments import check_model
from swiftforce.torch.sharded import is_sharded, mesh_ranks
from swiftforce.torch.sparse import checked_masks
from swiftforce.torch.wrappers import unwrapped


class ShardedMasks(dict[str, torch.Tensor]):
    """Masks of which each rank has its shard, and the first rank also whole ones, to save them.

    Attributes
    ----------
    packed : sequence of array, or None
        On the first rank: the whole masks, a bit per weight.
    """

    packed: Sequence[Array] | None = None

    @classmethod
    def of(
        cls, masks: Mapping[str, torch.Tensor], packed: Sequence[Array] | None
    ) -> dict[str, torch.Tensor]:
        """Masks and, if they are sharded, the whole ones."""
        found = cls(masks)
        if not any(map(is_sharded, masks.values())):
            return dict(masks)
        found.packed = packed
        return found


class ModelPruning(Pruning[dict[str, torch.Tensor]]):
    """A `swiftforce.Pruning` whose masks are tensors.

    Attributes
    ----------
    masks : dict of name to bool tensor
        True where a weight is kept, by parameter name: of the parameter's shape, on its device, and
        sharded if it is.
    method : str
        The method that found the masks.
    layers : tuple of Layer
        What is left of each parameter.
    history : tuple of Step
        What each step did.
    seed : int
        The seed, which the method ``random`` draws from.
    schedule : str
        The schedule's name; ``custom`` for a list of the caller's.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file.

        `swiftforce.torch.load` reads it as masks of a model, `swiftforce.load` as numpy arrays.
        The file is written under a temporary name and then renamed. If the masks are sharded, the
        first rank writes whole masks, whether the others call this or not; on them, it does
        nothing.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        StructureError
            If masks were sharded by the caller, and so no rank has whole ones.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        if not any(map(is_sharded, self.masks.values())):
            masks = {name: mask.cpu().contiguous().numpy() for name, mask in self.masks.items()}
            Pruning(**{**fields_of(self), "masks": masks}).save(path)
        elif not isinstance(self.masks, ShardedMasks):
            raise StructureError(
                "the masks are sharded, and no rank has whole ones: call full_tensor() of each on "
                "all ranks, and save what it returns on one"
            )
        elif self.masks.packed is not None:
            self._save_packed(path, self.masks.packed)


def load(path: str | os.PathLike[str], model: nn.Module) -> ModelPruning:
    """Read what `ModelPruning.save` wrote, as masks of a model.

    Parameters
    ----------
    path : path
        The file.
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Returns
    -------
    ModelPruning
        Its masks are on the devices of the parameters. `apply` removes the weights.

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not one of swiftforce.
    WeightsDifferError
        If the model lacks a parameter that the file has a mask for, or it has another shape.
    UnsupportedTypeError
        If `model` is not a `torch.nn.Module`.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile, torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sft.prune(model, method="magnitude", sparsity=0.5).save(f"{folder}/masks.safetensors")
    ...     pruning = sft.load(f"{folder}/masks.safetensors", model)
    >>> pruning.keep, pruning.masks["weight"].shape
    (4, torch.Size([2, 4]))
    """
    model = unwrapped(check_model(model))
    found = load_pruning(path)
    shapes = {
        name: tuple(one.shape) for name, one in model.named_parameters(remove_duplicate=False)
    }
    missing = [layer.name for layer in found.layers if layer.name not in shapes]
    if missing:
        raise WeightsDifferError(
            f"{path} holds masks of other weights: {type(model).__name__} has no parameter "
            f"{', '.join(map(repr, missing[:3]))}"
        )
    for layer in found.layers:
        if shapes[layer.name] != layer.shape:
            raise WeightsDifferError(
                f"{path} holds masks of other weights: {layer.name!r} has shape "
                f"{shapes[layer.name]}, not {layer.shape}"
            )
    arrays = Tensors(found.masks, "masks", MASKS).arrays
    masks = {layer.name: mask for layer, mask in zip(found.layers, arrays, strict=True)}
    packed = None
    if (ranks := mesh_ranks(model)) is not None and ranks.rank == 0:
        packed = [np.packbits(mask, bitorder="little") for mask in arrays]
    checked = ShardedMasks.of(checked_masks(model, masks), packed)
    return ModelPruning(**{**fields_of(found), "masks": checked})
