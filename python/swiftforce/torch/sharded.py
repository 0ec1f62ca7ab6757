"""Parameters that ranks hold shards of: by `fully_shard`, by tensor parallelism, or by both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import LayoutError, UnsupportedTypeError
from swiftforce.search import Agreement, Piece, RankSums

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Whether a tensor is sharded."""
    # Importing the module takes most of a second; code that shards a tensor has imported it.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


class MeshCommunicator:
    """The ranks along some dimensions of a device mesh: sums go along one after the other.

    Parameters
    ----------
    mesh : torch.distributed.device_mesh.DeviceMesh
    dimensions : sequence of int
        Dimensions of the mesh, by position.
    """

    def __init__(self, mesh: Any, dimensions: Sequence[int]) -> None:  # noqa: ANN401
        self.mesh = mesh
        self._parts = tuple(TorchCommunicator(mesh.get_group(one)) for one in dimensions)

    @property
    def rank(self) -> int:
        """Position of this rank, from 0; the last dimension varies fastest."""
        position = 0
        for part in self._parts:
            position = position * part.size + part.rank
        return position

    @property
    def size(self) -> int:
        """Number of ranks."""
        return prod(part.size for part in self._parts)

    def sum_integers(self, values: NDArray[np.int64]) -> None:
        """Replace each number by its sum over all ranks."""
        for part in self._parts:
            part.sum_integers(values)

    def sum_floats(self, values: NDArray[Any]) -> None:
        """Replace each number by its sum over all ranks."""
        for part in self._parts:
            part.sum_floats(values)

    def offset(self, count: int) -> int:
        """Sum of the counts of the ranks before this one."""
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = count
        self.sum_integers(counts)
        return int(counts[: self.rank].sum())


def mesh_ranks(model: object) -> MeshCommunicator | None:
    """All ranks that hold shards of a model; None if no parameter is sharded."""
    if not isinstance(model, nn.Module):
        return None
    meshes = [one.device_mesh for one in model.parameters() if is_sharded(one)]
    if not meshes:
        return None
    widest = max(meshes, key=lambda mesh: int(mesh.ndim))
    return MeshCommunicator(widest, range(widest.ndim))


@dataclass(frozen=True)
class Sharding:
    """How parameters are sharded.

    Attributes
    ----------
    communicator : Communicator
        Connects the ranks that hold the shards of one copy of the model.
    pieces : tuple of Piece
        Which part of each parameter this rank holds.
    ranks : Communicator
        Connects all ranks: those of all copies.
    is_first_copy : bool
        Whether this rank's shard is of the first copy of the model.
    """

    communicator: Communicator
    pieces: tuple[Piece, ...]
    ranks: Communicator
    is_first_copy: bool

    @property
    def all_ranks(self) -> tuple[Communicator, ...]:
        """Sums over these in turn are sums over all ranks."""
        return (self.ranks,)

    def share(
        self, compute: Callable[[], torch.Tensor], samples_of: Callable[[], int]
    ) -> tuple[torch.Tensor, float, int]:
        """A rank's loss, its weight, and the number of samples of all ranks.

        `fully_shard` averages gradients over ranks without weights; the weight corrects for batches
        of different sizes. Ranks that share a batch, as in tensor parallelism, count it once each,
        which leaves the weights as they are. If the loss fails on one rank, all ranks raise before
        the backward pass.
        """
        with Agreement(self.ranks):
            loss, size = compute(), samples_of()
        sums = RankSums(self.ranks)
        total = int(sums(lambda numbers: numbers.__setitem__(0, size))[0])
        return loss, size * sums.ranks / total, total


def sharding_of(
    parameters: Mapping[str, nn.Parameter],
    communicator: Communicator | None,
    ranks: MeshCommunicator | None,
) -> Sharding | None:
    """How parameters are sharded over ranks; None if they are not.

    Parameters
    ----------
    parameters : mapping of name to nn.Parameter
    communicator : Communicator, optional
        What the caller passed.
    ranks : MeshCommunicator, optional
        All ranks that hold shards of the model.

    Raises
    ------
    UnsupportedTypeError
        If they are not all sharded over the same dimensions of the same mesh, or if a communicator
        is given, too.
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
    assert ranks is not None
    if len(sharded) < len(parameters):
        whole = next(name for name in parameters if name not in sharded)
        raise UnsupportedTypeError(
            f"{whole} is not sharded, but other parameters are: shard or exclude it"
        )
    first, spread = next(iter(sharded.items()))
    over = _sharded_dimensions(first, spread)
    for name, one in sharded.items():
        if not local_of(one).is_contiguous():
            raise LayoutError(f"the shard of {name} is not contiguous: shard the model anew")
        if one.device_mesh != spread.device_mesh or _sharded_dimensions(name, one) != over:
            raise UnsupportedTypeError(
                f"{name} and {first} are sharded over different ranks: prune them in two calls, "
                "with exclude"
            )
    mesh = spread.device_mesh
    coordinate = mesh.get_coordinate() or ()
    copies = [place for dimension, place in enumerate(coordinate) if dimension not in over]
    is_whole = len(over) == mesh.ndim and mesh == ranks.mesh
    shared = ranks if is_whole else MeshCommunicator(mesh, over)
    pieces = tuple(piece_of(one) for one in sharded.values())
    return Sharding(shared, pieces, ranks, not any(copies))


def _sharded_dimensions(name: str, parameter: DTensor) -> list[int]:
    """The dimensions of the mesh that a parameter is sharded over.

    Raises
    ------
    UnsupportedTypeError
        If there is none, or the parameter is something else than sharded or replicated.
    """
    placements = parameter.placements
    over = [dimension for dimension, one in enumerate(placements) if not one.is_replicate()]
    if not over or any(not hasattr(placements[dimension], "dim") for dimension in over):
        raise UnsupportedTypeError(
            f"{name} has placements {placements}: shard it over at least one dimension of its "
            "mesh, or exclude it"
        )
    return over


def piece_of(parameter: DTensor) -> Piece:
    """The block of a parameter that this rank holds."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    extent, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return Piece(tuple(parameter.shape), offset=tuple(offset), extent=tuple(extent))


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """The shard of a tensor that this rank holds; the whole tensor if it is not sharded."""
    return tensor.to_local().detach() if is_sharded(tensor) else tensor.detach()


def placed_as(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A tensor, sharded as another one is: a gradient may be sharded in another way."""
    if is_sharded(tensor) and is_sharded(like) and tensor.placements != like.placements:
        return tensor.redistribute(like.device_mesh, like.placements)
    return tensor


def from_local(part: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that has this rank's part, sharded as another tensor is."""
    if not is_sharded(tensor):
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        part, tensor.device_mesh, tensor.placements, shape=tensor.shape, stride=tensor.stride()
    )


def sharded_as(full: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A full tensor, sharded as another tensor is, if it is; no rank waits for another."""
    if not is_sharded(tensor) or is_sharded(full):
        return full
    piece = piece_of(tensor)
    part = full[
        tuple(
            slice(begin, begin + length)
            for begin, length in zip(piece.offset or (), piece.extent or (), strict=True)
        )
    ]
    return from_local(part.to(local_of(tensor).device).contiguous(), tensor)


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """The full tensor, gathered from all ranks if it is sharded."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor
