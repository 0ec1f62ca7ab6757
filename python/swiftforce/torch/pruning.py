"""The result of a search in terms of a model, and its file."""

from __future__ import annotations

import os

import torch
from torch import nn

from swiftforce.errors import WeightsDifferError
from swiftforce.inputs import MASKS, Tensors
from swiftforce.result import Pruning
from swiftforce.result import load as load_pruning
from swiftforce.torch.arguments import check_model
from swiftforce.torch.sharded import gathered
from swiftforce.torch.sparse import checked_masks
from swiftforce.torch.wrappers import unwrapped


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
        Sharded masks are gathered, so all ranks must call this, each with a path of its own. The
        file is written under a temporary name and then renamed.

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
        masks = {
            name: gathered(mask).cpu().contiguous().numpy() for name, mask in self.masks.items()
        }
        Pruning(**{**vars(self), "masks": masks}).save(path)


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
    return ModelPruning(**{**vars(found), "masks": checked_masks(model, masks)})
