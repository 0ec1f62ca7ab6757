"""Ranks that find one mask together: they add up numbers, by torch.distributed, MPI or JAX.

A rank is a process, or a thread of one, that holds a part of the weights. `MaskSearch` takes a
communicator: any object with the methods of `Communicator`, which form sums over all ranks.

All ranks make the search and take its steps together. They find the masks that one process would
find in all weights, bit for bit. In a step a rank sends some 50 KB for float32, 100 for float64
and, if scores are equal, 50 more, whatever the number of weights, tensors and ranks; pieces add
8 bytes for each tensor. All numbers are integers from 0 to 2**62, and positions and counts are
exact up to there; digests travel in words of 16 and 32 bits, so the sums of 2**30 ranks fit.

If one rank raises, whether its arguments are wrong, its memory is short or a user interrupts it,
it raises its own error, and the others raise a `RankFailedError` at their next sum. Three cases
are out of reach: a rank that dies, or that raises in the caller's code between two calls, cannot
be told from a slow one; Ctrl-C on one rank alone while `step` scores its weights, or in the moment
before a sum that is sized by the tensors or is an offset, reaches no other; and if a sum itself
fails, the library that carries it decides who learns of it. Set the timeout of that library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed import ProcessGroup

__all__ = ["Communicator", "JaxCommunicator", "MPICommunicator", "TorchCommunicator"]


@runtime_checkable
class Communicator(Protocol):
    """What a search needs to reach the other ranks.

    Every rank makes the same calls in the same order, with arrays of the same length. A call
    returns once all ranks have made it; if one never does, the others wait until the library that
    carries the sums gives up. The methods must not use the search that calls them: that is an
    `InUseError`.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> class Alone:
    ...     rank, size = 0, 1
    ...     def sum_integers(self, values): ...
    ...     def sum_floats(self, values): ...
    ...     def offset(self, count): return 0
    >>> isinstance(Alone(), sf.distributed.Communicator)
    True
    >>> search = sf.MaskSearch(
    ...     np.float32([3, 1, 2]), method="magnitude", keep=2, communicator=Alone()
    ... )
    >>> search.step().kept_at_threshold
    1
    """

    @property
    def rank(self) -> int:
        """Position of this rank, from 0."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    def sum_integers(self, values: NDArray[np.int64]) -> None:
        """Replace each number of a one-dimensional array by its sum over all ranks."""
        ...

    def sum_floats(self, values: NDArray[Any]) -> None:
        """The same for float32 or float64: for averages of gradients, not for a search."""
        ...

    def offset(self, count: int) -> int:
        """Sum of the counts of the ranks before this one."""
        ...


class TorchCommunicator:
    """The ranks of a process group of torch.

    With the backend nccl, numbers are copied to the current CUDA device (`torch.cuda.set_device`)
    and back; with gloo and others they stay on the CPU.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        By default the default group.

    Raises
    ------
    ImportError
        If torch is not installed, or was built without torch.distributed.
    RuntimeError
        If ``torch.distributed.init_process_group`` was not called.
    """

    def __init__(self, group: ProcessGroup | None = None) -> None:
        try:
            import torch
            from torch import distributed
        except ImportError:
            raise ImportError(
                "TorchCommunicator needs PyTorch: pip install 'swiftforce[torch]'"
            ) from None
        if not distributed.is_available():
            raise ImportError("TorchCommunicator needs a PyTorch with torch.distributed")
        if not distributed.is_initialized():
            raise RuntimeError("call torch.distributed.init_process_group first, on every rank")
        self._torch: Any = torch
        self._group = group
        self._is_cuda = distributed.get_backend(group) == "nccl"

    @property
    def rank(self) -> int:
        """Position of this rank, from 0."""
        return int(self._torch.distributed.get_rank(self._group))

    @property
    def size(self) -> int:
        """Number of ranks."""
        return int(self._torch.distributed.get_world_size(self._group))

    def sum_integers(self, values: NDArray[np.int64]) -> None:
        """Replace each number by its sum over all ranks."""
        self._sum(values)

    def sum_floats(self, values: NDArray[Any]) -> None:
        """Replace each number by its sum over all ranks."""
        self._sum(values)

    def sum_tensor(self, tensor: Tensor) -> None:
        """Replace each number of a tensor by its sum over all ranks, on the tensor's device."""
        self._torch.distributed.all_reduce(tensor, group=self._group)

    def offset(self, count: int) -> int:
        """Sum of the counts of the ranks before this one."""
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = count
        self._sum(counts)
        return int(counts[: self.rank].sum())

    def _sum(self, values: NDArray[Any]) -> None:
        numbers = self._torch.from_numpy(values)
        if not self._is_cuda:
            self.sum_tensor(numbers)
            return
        device = self._torch.device("cuda", self._torch.cuda.current_device())
        on_device = numbers.to(device)
        self.sum_tensor(on_device)
        numbers.copy_(on_device)


class MPICommunicator:
    """The ranks of a communicator of mpi4py.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        By default ``MPI.COMM_WORLD``.

    Raises
    ------
    ImportError
        If none is given and mpi4py is not installed.
    """

    def __init__(self, comm: Any = None) -> None:  # noqa: ANN401 - a type of an optional package
        if comm is None:
            try:
                mpi: Any = import_module("mpi4py.MPI")
            except ImportError:
                raise ImportError(
                    "MPICommunicator needs mpi4py and an MPI library: pip install 'swiftforce[mpi]'"
                ) from None
            comm = mpi.COMM_WORLD
        self._comm = comm

    @property
    def rank(self) -> int:
        """Position of this rank, from 0."""
        return int(self._comm.Get_rank())

    @property
    def size(self) -> int:
        """Number of ranks."""
        return int(self._comm.Get_size())

    def sum_integers(self, values: NDArray[np.int64]) -> None:
        """Replace each number by its sum over all ranks."""
        self._sum(values)

    def sum_floats(self, values: NDArray[Any]) -> None:
        """Replace each number by its sum over all ranks."""
        self._sum(values)

    def offset(self, count: int) -> int:
        """Sum of the counts of the ranks before this one."""
        before = self._comm.exscan(count)
        # MPI leaves the result of the first rank undefined.
        return 0 if self.rank == 0 else int(before)

    def _sum(self, values: NDArray[Any]) -> None:
        sums = np.empty_like(values)
        self._comm.Allreduce(values, sums)
        values[...] = sums


class JaxCommunicator:
    """The processes of jax.distributed.

    `swiftforce.jax` makes one by itself for parameters that lie on several processes. Numbers are
    added up on one device of each process. On CPUs that needs
    ``jax.config.update("jax_cpu_collectives_implementation", "gloo")`` before JAX starts.

    Raises
    ------
    ImportError
        If JAX is not installed.
    """

    #: Bits of an int64 that are added up in 32: sums of up to 65,537 ranks then fit.
    _LIMB = 16

    def __init__(self) -> None:
        try:
            import jax
        except ImportError:
            raise ImportError("JaxCommunicator needs JAX: pip install 'swiftforce[jax]'") from None
        self._jax: Any = jax
        first: dict[int, Any] = {}
        for device in jax.devices():
            first.setdefault(device.process_index, device)
        self._device = first[self.rank]
        sharding: Any = jax.sharding
        mesh = sharding.Mesh([first[rank] for rank in sorted(first)], ("rank",))
        self._by_rank = sharding.NamedSharding(mesh, sharding.PartitionSpec("rank"))
        everywhere = sharding.NamedSharding(mesh, sharding.PartitionSpec())
        self._added = jax.jit(lambda parts: parts.sum(0), out_shardings=everywhere)
        self._gathered = jax.jit(lambda parts: parts, out_shardings=everywhere)

    @property
    def rank(self) -> int:
        """Position of this rank, from 0."""
        return int(self._jax.process_index())

    @property
    def size(self) -> int:
        """Number of ranks."""
        return int(self._jax.process_count())

    def sum_integers(self, values: NDArray[np.int64]) -> None:
        """Replace each number by its sum over all ranks."""
        # JAX has no integers of 64 bits unless the user asks for them, and some devices never do.
        shifts = np.arange(0, 64, self._LIMB, dtype=np.uint64)[:, None]
        limbs = (values.view(np.uint64) >> shifts) & np.uint64((1 << self._LIMB) - 1)
        sums = self._of_all_ranks(self._added, limbs.astype(np.uint32)).astype(np.uint64)
        values[:] = (sums << shifts).sum(axis=0, dtype=np.uint64).view(np.int64)

    def sum_floats(self, values: NDArray[Any]) -> None:
        """Replace each number by its sum over all ranks, which are added in their order."""
        bits = self._of_all_ranks(self._gathered, values.view(np.uint32))
        values[:] = bits.view(values.dtype).sum(axis=0)

    def offset(self, count: int) -> int:
        """Sum of the counts of the ranks before this one."""
        counts = np.zeros(self.size, np.int64)
        counts[self.rank] = count
        self.sum_integers(counts)
        return int(counts[: self.rank].sum())

    def _of_all_ranks(self, function: Any, numbers: NDArray[Any]) -> NDArray[Any]:  # noqa: ANN401
        """What a function makes of the numbers of all ranks, by rank."""
        jax = self._jax
        parts = jax.make_array_from_single_device_arrays(
            (self.size, *numbers.shape),
            self._by_rank,
            [jax.device_put(numbers[None], self._device)],
        )
        found: NDArray[Any] = jax.device_get(function(parts).addressable_data(0))
        return found


def __dir__() -> list[str]:
    return sorted(__all__)
