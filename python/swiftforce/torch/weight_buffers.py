"""The weights under search in flat host arrays: the core reads dense and writes masked ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import nn

from swiftforce.errors import NonFiniteError
from swiftforce.inputs import Array, Mask, Tensors, check_distinct
from swiftforce.result import Layer, with_lost_parts
from swiftforce.search import saliency
from swiftforce.torch.memory import Order, array_of, flattened, order_of, tensor_of, unflattened
from swiftforce.torch.sharded import from_local, is_sharded, local_of, placed_as
from swiftforce.torch.snapshot import Memory


class WeightBuffers:
    """Dense and masked weights of a model's parameters, as flat arrays in host memory.

    On the CPU the masked weights are the parameters' own memory, and the dense weights are the only
    copy. For parameters on another device both arrays are on the host, and masked weights are
    copied to the device parameter by parameter. For sharded parameters, the arrays hold this rank's
    shard.

    As a context manager, it restores the dense weights at the end.

    Parameters
    ----------
    parameters : mapping of name to nn.Parameter
        The parameters that are searched.
    masked : bool
        Whether masked weights will be written.
    written : bool
        Whether something else may write the parameters: the forward pass of a model, for example to
        normalise a weight. If neither is so, nothing is copied on the CPU: the dense weights are
        the parameters' own memory.

    Attributes
    ----------
    dense : dict of name to array
        The dense weights, flat, in the order of the parameter's memory.
    masked : dict of name to array, or None
        Where masked weights are written; None if they are not.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], *, masked: bool, written: bool
    ) -> None:
        self._parameters = parameters
        self._memories = {
            name: Memory(one) for name, one in parameters.items() if not is_sharded(one)
        }
        self._locals = {name: local_of(one) for name, one in parameters.items()}
        self._orders = {name: order_of(one, name) for name, one in self._locals.items()}
        on_host = {name: self._on_host(name) for name in parameters}
        self.masked: dict[str, Array] | None = on_host if masked else None
        self.dense = on_host
        self._written: dict[str, Array] | None = None
        if masked or written:
            self._written = on_host
            check_distinct(Tensors(on_host, "weights", may_be_empty=True))  # Copies would not tell.
            # Those of other devices have been copied to the host already.
            self.dense = {
                name: array.copy() if masked or self._locals[name].device.type == "cpu" else array
                for name, array in on_host.items()
            }

    @property
    def orders(self) -> Mapping[str, Order]:
        """The axes of each parameter in the order of its memory."""
        return self._orders

    def _on_host(self, name: str) -> Array:
        flat = flattened(self._locals[name], self._orders[name])
        return array_of(flat.cpu(), name)

    def gradients(self, tensors: Sequence[torch.Tensor] | None) -> dict[str, Array] | None:
        """Gradients as the core reads them: flat, on the host, in the order of their weights."""
        if tensors is None:
            return None
        return {
            name: array_of(flattened(local, self._orders[name]).cpu(), name)
            for (name, one), tensor in zip(self._parameters.items(), tensors, strict=True)
            for local in (local_of(placed_as(tensor, one)),)
        }

    def masks(self, arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        """Flat masks as tensors of the parameters' shapes, on their devices."""
        found = {}
        for name, local in self._locals.items():
            flat = torch.from_numpy(arrays[name]).to(local.device)
            mask = unflattened(flat, local.shape, self._orders[name])
            found[name] = from_local(mask, self._parameters[name])
        return found

    def flat_masks(self, masks: Mapping[str, torch.Tensor]) -> dict[str, Mask]:
        """Masks of the parameters' shapes as flat arrays, in the order of their weights."""
        return {
            name: flattened(local_of(masks[name]), order).cpu().numpy()
            for name, order in self._orders.items()
        }

    def with_lost_parts(
        self, layers: Sequence[Layer], arrays: Mapping[str, Array]
    ) -> tuple[Layer, ...]:
        """The layers with the positions along their first axis that keep nothing."""
        return with_lost_parts(layers, arrays.values())

    def load_masked(self) -> None:
        """Copy the masked weights into the parameters that are not on the CPU.

        Parameters whose memory the forward pass has replaced get their own back.
        """
        for memory in self._memories.values():
            memory.put_back()
        if self.masked is not None:
            self._copy_to_devices(self.masked)

    def _copy_to_devices(self, arrays: Mapping[str, Array]) -> None:
        for name, local in self._locals.items():
            if local.device.type != "cpu":
                flat = tensor_of(arrays[name])
                local.copy_(unflattened(flat, local.shape, self._orders[name]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the dense weights. If one of them made the loss non-finite, raise that error."""
        for memory in self._memories.values():
            memory.put_back()
        if self._written is not None:
            self._restore(self._written)
        if isinstance(error, NonFiniteError) and error.tensor == "loss":
            saliency(self.dense, criterion="magnitude")  # Raises, and names the weight.

    def _restore(self, written: Mapping[str, Array]) -> None:
        for name, array in self.dense.items():
            if written[name] is not array:
                np.copyto(written[name], array)
        self._copy_to_devices(self.dense)
