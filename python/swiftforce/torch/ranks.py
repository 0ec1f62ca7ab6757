"""Ranks with copies of one model find one mask: gradients are averaged, equality is checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import RanksDifferError
from swiftforce.inputs import Array
from swiftforce.search import Agreement
from swiftforce.torch.memory import array_of
from swiftforce.torch.wrappers import parallel_of


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
        total = np.array([samples], np.int64)
        self.communicator.sum_integers(total)
        torch._foreach_mul_(list(tensors), samples / int(total[0]))
        for tensor in tensors:
            self._sum(tensor)

    def _sum(self, tensor: torch.Tensor) -> None:
        if isinstance(self.communicator, TorchCommunicator):
            self.communicator.sum_tensor(tensor)
            return
        array = array_of(tensor.cpu().contiguous().view(-1), "gradients")
        self.communicator.sum_floats(array)
        tensor.copy_(torch.from_numpy(array).view(tensor.shape))

    def check_equal(self, arrays: Iterable[Array], what: str) -> None:
        """Check that all ranks hold the same values.

        Raises
        ------
        RanksDifferError
            If they do not, on every rank; it names the ranks that differ from rank 0.
        """
        digests = np.zeros(self.communicator.size, np.int64)
        digest = 0
        for array in arrays:
            digest = zlib.crc32(array.view(np.uint8).data, digest)
        digests[self.communicator.rank] = digest
        self.communicator.sum_integers(digests)
        others = np.flatnonzero(digests != digests[0])
        if others.size:
            raise RanksDifferError(
                f"{what} of rank {', '.join(map(str, others[:5]))} differ from those of rank 0: "
                "load the same model on all ranks"
            )


def ranks_of(model: nn.Module, communicator: Communicator | None) -> Ranks | None:
    """The ranks that search together; None for a single process.

    By default these are the ranks of the DistributedDataParallel around the model.
    """
    parallel = parallel_of(model)
    if communicator is None and parallel is not None:
        communicator = TorchCommunicator(parallel.process_group)
    return Ranks(communicator) if communicator is not None and communicator.size > 1 else None
