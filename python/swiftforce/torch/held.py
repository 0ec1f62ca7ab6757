"""The weights under search: where the core reads and writes them, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import nn

from swiftforce.errors import NonFiniteError
from swiftforce.inputs import Array
from swiftforce.search import saliency
from swiftforce.torch.memory import array_of, in_order, order_of, out_of_order, tensor_of
from swiftforce.torch.sharded import like, local_of


class HeldWeights:
    """The dense weights of parameters, kept while masked ones stand in their place.

    Of sharded parameters, all this is about the part that this rank holds.
    On the CPU the masked weights are written into the memory of the parameters, and the dense ones
    are the only copy. Parameters of another device have both copies in the memory of the host, and
    are written piece by piece.

    As a context manager, it puts the dense weights back at the end.

    Parameters
    ----------
    parameters : mapping of name to nn.Parameter
    masked : bool
        Whether masked weights will be written at all; without, the parameters are read where they
        lie.

    Attributes
    ----------
    dense : dict of name to array
        The dense weights, flat, in the order of the parameter's memory.
    masked : dict of name to array, or None
        Where masked weights are to be written.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], *, masked: bool) -> None:
        self._parameters = parameters
        self._locals = {name: local_of(one) for name, one in parameters.items()}
        self._orders = {name: order_of(one, name) for name, one in self._locals.items()}
        on_host = {name: self._on_host(name) for name in parameters}
        self.masked: dict[str, Array] | None = None
        self.dense = on_host
        if masked:
            self.masked = on_host
            self.dense = {name: array.copy() for name, array in on_host.items()}

    def _on_host(self, name: str) -> Array:
        flat = in_order(self._locals[name], self._orders[name])
        return array_of(flat.cpu(), name)

    def gradients(self, tensors: Sequence[torch.Tensor] | None) -> dict[str, Array] | None:
        """Gradients as the core reads them: flat, on the host, in the order of their weights."""
        if tensors is None:
            return None
        return {
            name: array_of(in_order(local_of(tensor), self._orders[name]).cpu(), name)
            for name, tensor in zip(self._locals, tensors, strict=True)
        }

    def masks(self, arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
        """Flat masks as tensors of the shapes of the parameters, on their devices."""
        found = {}
        for name, local in self._locals.items():
            flat = torch.from_numpy(arrays[name]).to(local.device)
            mask = out_of_order(flat, local.shape, self._orders[name])
            found[name] = like(mask, self._parameters[name])
        return found

    def show(self) -> None:
        """Let the model have the masked weights: those of other devices are sent there."""
        if self.masked is not None:
            self._send(self.masked)

    def _send(self, arrays: Mapping[str, Array]) -> None:
        for name, local in self._locals.items():
            if local.device.type != "cpu":
                flat = tensor_of(arrays[name])
                local.copy_(out_of_order(flat, local.shape, self._orders[name]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the dense weights back. If they made a loss that is not finite, say so instead."""
        if self.masked is not None:
            self._restore(self.masked)
        if isinstance(error, NonFiniteError) and error.tensor == "loss":
            saliency(self.dense, criterion="magnitude")  # raises, and names the weight

    def _restore(self, masked: Mapping[str, Array]) -> None:
        for name, array in self.dense.items():
            np.copyto(masked[name], array)
        self._send(self.dense)
