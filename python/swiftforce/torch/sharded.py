"""Parameters that `torch.distributed.fsdp.fully_shard` has sharded over ranks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from torch import nn

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import LayoutError, UnsupportedTypeError
from swiftforce.search import Agreement, Piece

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is sharded."""
    # Importing the module takes most of a second; code that shards a tensor has imported it.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


@dataclass(frozen=True)
class Sharding:
    """How parameters are sharded.

    Attributes
    ----------
    communicator : TorchCommunicator
        Connects the ranks that hold the shards of one copy of the model.
    pieces : tuple of Piece
        Which part of each parameter this rank holds.
    all_ranks : tuple of TorchCommunicator
        One for each dimension of the device mesh; sums over all of them in turn are sums over all
        ranks.
    """

    communicator: TorchCommunicator
    pieces: tuple[Piece, ...]
    all_ranks: tuple[TorchCommunicator, ...]

    def share(
        self, compute: Callable[[], torch.Tensor], samples_of: Callable[[], int]
    ) -> tuple[torch.Tensor, float, int]:
        """A rank's loss, its weight, and the number of samples of all ranks.

        `fully_shard` averages gradients over ranks without weights; the weight corrects for batches
        of different sizes. If the loss fails on one rank, all ranks raise before the backward pass.
        """
        with ExitStack() as stack:
            for communicator in self.all_ranks:
                stack.enter_context(Agreement(communicator))
            loss, size = compute(), samples_of()
        ranks, samples = 1, np.array([size], np.int64)
        for communicator in self.all_ranks:
            communicator.sum_integers(samples)
            ranks *= communicator.size
        total = int(samples[0])
        return loss, size * ranks / total, total


def sharding_of(
    parameters: Mapping[str, nn.Parameter], communicator: Communicator | None
) -> Sharding | None:
    """How parameters are sharded over ranks; None if they are not.

    Raises
    ------
    UnsupportedTypeError
        If they are not all sharded along their first dimension, over the same dimension of the same
        mesh, or if a communicator is given, too.
    LayoutError
        If a shard is not contiguous.
    """
    sharded = {name: one for name, one in parameters.items() if is_sharded(one)}
    if not sharded:
        return None
    if communicator is not None:
        raise UnsupportedTypeError(
            "communicator is for copies of a model, and this one is sharded: leave it out"
        )
    if len(sharded) < len(parameters):
        whole = next(name for name in parameters if name not in sharded)
        raise UnsupportedTypeError(
            f"{whole} is not sharded, but other parameters are: shard or exclude it"
        )
    from torch.distributed.tensor import Shard

    first, spread = next(iter(sharded.items()))
    for name, one in sharded.items():
        if not local_of(one).is_contiguous():
            raise LayoutError(f"the shard of {name} is not contiguous: shard the model anew")
        if one.device_mesh != spread.device_mesh or one.placements != spread.placements:
            raise UnsupportedTypeError(
                f"{name} and {first} are sharded differently: prune them in two calls, with exclude"
            )
    over = [i for i, placement in enumerate(spread.placements) if not placement.is_replicate()]
    if len(over) != 1 or spread.placements[over[0]] != Shard(0):
        raise UnsupportedTypeError(
            f"{first} has placements {spread.placements}: only sharding along the first dimension, "
            "as by fully_shard, is supported"
        )
    mesh = spread.device_mesh
    all_ranks = tuple(TorchCommunicator(mesh.get_group(dim)) for dim in range(mesh.ndim))
    pieces = tuple(_piece(one) for one in sharded.values())
    return Sharding(all_ranks[over[0]], pieces, all_ranks)


def _piece(parameter: DTensor) -> Piece:
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    shape = tuple(parameter.shape)
    _, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return Piece(shape=shape, start=offset[0] * prod(shape[1:]))


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """The shard of a tensor that this rank holds; the whole tensor if it is not sharded."""
    return tensor.to_local().detach() if is_sharded(tensor) else tensor.detach()


def from_local(part: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that has this rank's part, sharded as another tensor is."""
    if not is_sharded(tensor):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part, tensor.device_mesh, tensor.placements, shape=tensor.shape, stride=tensor.stride()
    )


def sharded_as(full: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A full tensor, sharded as another tensor is, if it is."""
    if not is_sharded(tensor) or is_sharded(full):
        return full
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(full, tensor.device_mesh, tensor.placements)


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor, gathered from all ranks if it is sharded."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor
