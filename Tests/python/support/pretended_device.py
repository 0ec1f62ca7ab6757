"""A device that is none: tensors say that they lie there, and the CPU computes with them.

Inside of `PretendedDevice`, mixing its tensors with those of the host is an error, as on a real
device, and whatever is copied to the host is recorded. Reading a tensor element by element, which
would wait for the device, is an error.
"""

from __future__ import annotations

import weakref
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

#: Operations whose result, or its shape, must be known on the host.
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "bincount", "_unique2")


class OnDevice(torch.Tensor):
    """A tensor that lies there, in the place of `host`."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor) -> OnDevice:
        found: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device="meta",
        )
        found.host = host
        return found

    @classmethod
    def __torch_dispatch__(cls, func: Any, *_: Any) -> Any:
        raise AssertionError(f"{func} outside of PretendedDevice")


class PretendedDevice(TorchDispatchMode):
    """Computes with tensors that lie on the device.

    Attributes
    ----------
    copied : list of (dtype, int)
        The types and sizes of the tensors that were copied to the host.
    largest : int
        Elements of the largest tensor that was made, not counting views.
    peak : int
        The most bytes of tensors that were made there and in use at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.copied: list[tuple[torch.dtype, int]] = []
        self.largest = 0
        self.peak = self._live = 0
        #: How many tensors use each memory that was made there, by its address.
        self._users: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        there = [one for one in given if isinstance(one, OnDevice)]
        name = func.overloadpacket.__name__
        device = kwargs.get("device")
        if not there and (device is None or torch.device(device).type != "meta"):
            return func(*args, **kwargs)
        assert name not in _WAITING, f"{name} waits for the device"
        args, kwargs = tree_map(_host, (args, kwargs))
        if name == "_to_copy" and device is not None and torch.device(device).type == "cpu":
            self.copied.append((given[0].dtype, given[0].numel()))
            return func(*args, **kwargs)
        assert len(there) == len(given), f"{func} mixes tensors of host and device"
        if device is not None:
            kwargs["device"] = torch.device("cpu")
        old = {one.host.untyped_storage().data_ptr() for one in there}
        found = func(*args, **kwargs)
        return tree_map(partial(self._placed, old), found)

    def _placed(self, old: set[int], value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        memory = value.untyped_storage()
        address, size = memory.data_ptr(), memory.nbytes()
        there = OnDevice(value)
        if address not in old:
            self.largest = max(self.largest, value.numel())
        if address in self._users or address not in old:
            self._live += size * (not self._users[address])
            self._users[address] += 1
            self.peak = max(self.peak, self._live)
            weakref.finalize(there, self._free, address, size)
        return there

    def _free(self, address: int, size: int) -> None:
        self._users[address] -= 1
        if not self._users[address]:
            del self._users[address]
            self._live -= size


def _host(value: Any) -> Any:
    return value.host if isinstance(value, OnDevice) else value
