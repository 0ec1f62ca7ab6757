"""One mask on all ranks that train copies of one model: gradients averaged, agreement checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from swiftforce.distributed import Communicator, TorchCommunicator
from swiftforce.errors import RankFailedError, RanksDifferError
from swiftforce.tensors import Array
from swiftforce.torch.memory import array_of
from swiftforce.torch.parameters import parallel_of


class Ranks:
    """The ranks that search together, each on batches of its own.

    Parameters
    ----------
    communicator : Communicator
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator

    @contextmanager
    def leaving_none_waiting(self) -> Iterator[None]:
        """What a rank does before `average`: if it fails there, so do the others, at once."""
        try:
            yield
        except BaseException:
            self._total(0, failures=1)
            raise

    def average(self, tensors: Sequence[torch.Tensor], samples: int) -> None:
        """Average tensors over the ranks, in place; a rank weighs by its number of samples.

        Raises
        ------
        RankFailedError
            If another rank failed on its way here.
        """
        torch._foreach_mul_(list(tensors), samples / self._total(samples))
        for tensor in tensors:
            self._sum(tensor)

    def _total(self, samples: int, *, failures: int = 0) -> int:
        """Samples of all ranks."""
        figures = np.array([samples, failures], np.int64)
        self._communicator.sum_integers(figures)
        if figures[1] and not failures:
            raise RankFailedError(f"{figures[1]} of the other ranks failed: see their errors")
        return int(figures[0])

    def _sum(self, tensor: torch.Tensor) -> None:
        if isinstance(self._communicator, TorchCommunicator):
            self._communicator.sum_tensor(tensor)
            return
        array = array_of(tensor.cpu().contiguous().view(-1), "gradients")
        self._communicator.sum_floats(array)
        tensor.copy_(torch.from_numpy(array).view(tensor.shape))

    def check_equal(self, arrays: Iterable[Array], what: str) -> None:
        """Refuse to go on where ranks hold different values.

        Raises
        ------
        RanksDifferError
            On every rank; it names those that differ from rank 0.
        """
        digests = np.zeros(self._communicator.size, np.int64)
        digest = 0
        for array in arrays:
            digest = zlib.crc32(array.view(np.uint8).data, digest)
        digests[self._communicator.rank] = digest
        self._communicator.sum_integers(digests)
        others = np.flatnonzero(digests != digests[0])
        if others.size:
            raise RanksDifferError(
                f"{what} of rank {', '.join(map(str, others[:5]))} differ from those of rank 0"
            )


def ranks_of(model: nn.Module, communicator: Communicator | None) -> Ranks | None:
    """The ranks that a search of this model spans; None for one process by itself.

    A model in DistributedDataParallel brings its own.
    """
    parallel = parallel_of(model)
    if communicator is None and parallel is not None:
        communicator = TorchCommunicator(parallel.process_group)
    return Ranks(communicator) if communicator is not None and communicator.size > 1 else None
