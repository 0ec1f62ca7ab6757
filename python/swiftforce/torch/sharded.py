"""Parameters that are sharded over ranks by `torch.distributed.fsdp.fully_shard`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import LayoutError, UnsupportedTypeError
from swiftforce.shards import Piece
from swiftforce.torch.methods import GRASP, SYNFLOW


@dataclass(frozen=True)
class Sharding:
    """How parameters are spread.

    Attributes
    ----------
    communicator : TorchCommunicator
        Over the ranks that hold the parts of one copy.
    pieces : tuple of Piece
        Which part of each parameter this rank holds.
    """

    communicator: TorchCommunicator
    pieces: tuple[Piece, ...]


def sharding_of(
    parameters: Mapping[str, nn.Parameter], method: str, communicator: Communicator | None
) -> Sharding | None:
    """How parameters are spread over ranks; None where they are whole.

    Raises
    ------
    UnsupportedTypeError
        If they are not all spread in one way: along their first dimension, over one dimension of
        one mesh; or the method scores whole parameters; or a communicator is given besides.
    """
    sharded = {name: one for name, one in parameters.items() if isinstance(one, DTensor)}
    if not sharded:
        return None
    if method in {GRASP, SYNFLOW}:
        raise UnsupportedTypeError(f"{method} needs whole parameters, not sharded ones")
    if communicator is not None:
        raise UnsupportedTypeError("sharded parameters bring their own communicator")
    if len(sharded) < len(parameters):
        whole = next(name for name in parameters if name not in sharded)
        raise UnsupportedTypeError(f"{whole} is whole where other parameters are sharded")
    first, spread = next(iter(sharded.items()))
    for name, one in sharded.items():
        if not local_of(one).is_contiguous():
            raise LayoutError(f"{name} is sharded, and not contiguous")
        if one.device_mesh != spread.device_mesh or one.placements != spread.placements:
            raise UnsupportedTypeError(f"{name} is sharded in another way than {first}")
    over = [i for i, placement in enumerate(spread.placements) if not placement.is_replicate()]
    if len(over) != 1 or spread.placements[over[0]] != Shard(0):
        raise UnsupportedTypeError(
            f"{first} has the placements {spread.placements}: only those of fully_shard, along the "
            "first dimension, are known"
        )
    return Sharding(
        TorchCommunicator(spread.device_mesh.get_group(over[0])),
        tuple(_piece(one) for one in sharded.values()),
    )


def _piece(parameter: DTensor) -> Piece:
    shape = tuple(parameter.shape)
    _, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return Piece(shape=shape, start=offset[0] * prod(shape[1:]))


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this rank holds: all of it, unless it is sharded."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def like(part: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A part that this rank holds, as a tensor sharded in the way of another."""
    if not isinstance(tensor, DTensor):
        return part
    return DTensor.from_local(
        part, tensor.device_mesh, tensor.placements, shape=tensor.shape, stride=tensor.stride()
    )


def spread_as(full: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that every rank has in full, sharded in the way of another, if that is."""
    if not isinstance(tensor, DTensor) or isinstance(full, DTensor):
        return full
    return distribute_tensor(full, tensor.device_mesh, tensor.placements)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in full, gathered from all ranks where it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
