"""Ranks with copies of one model find one mask: gradients are averaged, equality is checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import RanksDifferError
from swiftforce.inputs import Array
from swiftforce.search import Agreement, RankSums, check_communicator
from swiftforce.torch.memory import array_of
from swiftforce.torch.wrappers import parallel_of

#: Bytes of small tensors that are summed over the ranks together: as many as in a bucket of
#: DistributedDataParallel.
BUCKET = 25 << 20


class Ranks:
    """The ranks that search together, each with batches of its own.

    Parameters
    ----------
    communicator : Communicator
        Connects the ranks.
    """

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator

    def agreement(self) -> Agreement:
        """A context for local work before `average`: if one rank raises in it, all ranks raise."""
        return Agreement(self.communicator)

    def average(self, tensors: Sequence[torch.Tensor], samples: int) -> None:
        """Average tensors over the ranks, in place, weighted by each rank's number of samples."""
        buckets: list[_Bucket] = []

        def prepare(numbers: NDArray[np.int64]) -> None:
            numbers[0] = samples
            buckets.extend(_buckets(tensors))

        total = int(RankSums(self.communicator)(prepare)[0])
        torch._foreach_mul_(list(tensors), samples / total)
        for bucket in buckets:
            self._sum(bucket.load())
            bucket.store()

    def _sum(self, tensor: torch.Tensor) -> None:
        if isinstance(self.communicator, TorchCommunicator):
            self.communicator.sum_tensor(tensor)
            return
        array = array_of(tensor.cpu(), "gradients")
        self.communicator.sum_floats(array)
        tensor.copy_(torch.from_numpy(array))

    def check_equal(self, arrays: Iterable[Array], what: str) -> None:
        """Check that all ranks hold the same values.

        Raises
        ------
        RanksDifferError
            If they do not, on every rank; it names the ranks that differ from rank 0.
        """
        digest = 0
        with self.agreement():
            for array in arrays:
                digest = zlib.crc32(array.view(np.uint8).data, digest)
            digests = np.zeros(self.communicator.size, np.int64)
            digests[self.communicator.rank] = digest
        self.communicator.sum_integers(digests)
        others = np.flatnonzero(digests != digests[0])
        if others.size:
            raise RanksDifferError(
                f"{what} of rank {', '.join(map(str, others[:5]))} differ from those of rank 0: "
                "load the same model on all ranks"
            )


class _Bucket:
    """Tensors of one dtype and device that are summed together, in one flat tensor.

    Parameters
    ----------
    tensors : sequence of tensor
    memory : tensor, optional
        Where they are put together; by default the one tensor is summed in place.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], memory: torch.Tensor | None) -> None:
        self._tensors = tensors
        self._sizes = [one.numel() for one in tensors]
        self._memory = None if memory is None else memory[: sum(self._sizes)]

    def load(self) -> torch.Tensor:
        """The values of the tensors in one flat tensor."""
        if self._memory is None:
            return self._tensors[0].view(-1)
        for tensor, part in zip(self._tensors, self._memory.split(self._sizes), strict=True):
            part.view(tensor.shape).copy_(tensor)
        return self._memory

    def store(self) -> None:
        """Write the values of the flat tensor to the tensors."""
        if self._memory is not None:
            for tensor, part in zip(self._tensors, self._memory.split(self._sizes), strict=True):
                tensor.copy_(part.view(tensor.shape))


def _buckets(tensors: Sequence[torch.Tensor]) -> list[_Bucket]:
    """The tensors in as few buckets as possible, and one buffer for the buckets of a dtype."""
    groups: dict[tuple[torch.dtype, torch.device], list[list[torch.Tensor]]] = {}
    large: list[_Bucket] = []
    for tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if size >= BUCKET and tensor.is_contiguous():
            large.append(_Bucket([tensor], None))
            continue
        group = groups.setdefault((tensor.dtype, tensor.device), [[]])
        held = sum(one.numel() for one in group[-1]) * tensor.element_size()
        if group[-1] and held + size > BUCKET:
            group.append([])
        group[-1].append(tensor)
    buckets = []
    for (dtype, device), group in groups.items():
        longest = max(sum(one.numel() for one in bucket) for bucket in group)
        memory = torch.empty(longest, dtype=dtype, device=device)
        buckets += [_Bucket(bucket, memory) for bucket in group]
    return large + buckets


def ranks_of(model: nn.Module, communicator: Communicator | None) -> Ranks | None:
    """The ranks that search together; None for a single process.

    By default these are the ranks of the DistributedDataParallel around the model.

    Raises
    ------
    UnsupportedTypeError
        If the communicator is none.
    """
    check_communicator(communicator)
    parallel = parallel_of(model)
    if communicator is None and parallel is not None:
        communicator = TorchCommunicator(parallel.process_group)
    return Ranks(communicator) if communicator is not None and communicator.size > 1 else None
