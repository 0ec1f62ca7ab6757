"""The weights under search in flat tensors on their device, for a selection that runs there.

It does for `search` what `weight_buffers` does for the core, and copies nothing to the host.
What must not live here: scores and the choice of weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import TracebackType
from typing import Self

import torch
from torch import nn

from swiftforce.errors import NonFiniteError, OverlapError
from swiftforce.result import Layer, has_parts
from swiftforce.torch.device.scores import check_all_finite
from swiftforce.torch.memory import Order, flattened, order_of, unflattened
from swiftforce.torch.snapshot import Memory

Tensors = dict[str, torch.Tensor]


class DeviceBuffers:
    """Dense and masked weights of a model's parameters, as flat tensors on their device.

    The masked weights are the parameters' own memory, and the dense weights are the only copy. As a
    context manager, it restores the dense weights at the end.

    Parameters
    ----------
    parameters : mapping of name to nn.Parameter
        The parameters that are searched, on one device, none of them sharded.
    masked : bool
        Whether masked weights will be written.
    written : bool
        Whether something else may write the parameters: the forward pass of a model. If neither is
        so, nothing is copied: the dense weights are the parameters' own memory.

    Attributes
    ----------
    dense : dict of name to tensor
        The dense weights, flat, in the order of the parameter's memory.
    masked : dict of name to tensor, or None
        Where masked weights are written; None if they are not.

    Raises
    ------
    LayoutError
        If a parameter is not contiguous in any order of its dimensions.
    OverlapError
        If two parameters share memory.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], *, masked: bool, written: bool
    ) -> None:
        self._memories = [Memory(one) for one in parameters.values()]
        self._shapes = {name: one.shape for name, one in parameters.items()}
        self._orders = {name: order_of(one, name) for name, one in parameters.items()}
        own = {
            name: flattened(one.detach(), self._orders[name]) for name, one in parameters.items()
        }
        _check_distinct(own)
        self.masked = own if masked else None
        self._written = own if masked or written else None
        self.dense = {name: one.clone() for name, one in own.items()} if self._written else own

    @property
    def orders(self) -> Mapping[str, Order]:
        """The axes of each parameter in the order of its memory."""
        return self._orders

    def gradients(self, tensors: Sequence[torch.Tensor] | None) -> list[torch.Tensor] | None:
        """Gradients, flat, in the order of their weights: views where memory has that order.

        Parameters whose memory the forward pass has replaced get their own back: a step is next,
        which writes there.
        """
        self._put_back()
        if tensors is None:
            return None
        written = {one.untyped_storage().data_ptr() for one in (self.masked or {}).values()}
        flat = [
            flattened(one.detach(), order)
            for one, order in zip(tensors, self._orders.values(), strict=True)
        ]
        # A backward pass of the caller's own may return a parameter, which a step writes.
        return [one.clone() if one.untyped_storage().data_ptr() in written else one for one in flat]

    def masks(self, flat: Mapping[str, torch.Tensor]) -> Tensors:
        """Flat masks in the shapes of the parameters."""
        return {name: self._shaped(name, one) for name, one in flat.items()}

    def flat_masks(self, masks: Mapping[str, torch.Tensor]) -> Tensors:
        """Masks of the parameters' shapes, flat, in the order of their weights; or views."""
        return {name: flattened(masks[name], order) for name, order in self._orders.items()}

    def write_masked(self, masks: Sequence[torch.Tensor]) -> None:
        """Write the weights with those set to zero that flat masks remove."""
        for name, mask in zip(self.masked or (), masks, strict=False):
            dense = self.dense[name]
            torch.where(mask, dense, dense.new_zeros(()), out=(self.masked or {})[name])

    def with_lost_parts(
        self, layers: Sequence[Layer], flat: Mapping[str, torch.Tensor]
    ) -> tuple[Layer, ...]:
        """The layers with the positions along their first axis that keep nothing."""
        return tuple(
            replace(layer, lost=self._lost(layer, name, mask))
            for layer, (name, mask) in zip(layers, flat.items(), strict=True)
        )

    def _lost(self, layer: Layer, name: str, mask: torch.Tensor) -> tuple[int, ...]:
        # As of other masks: if nothing is kept at all, that is said of the whole.
        if not 0 < layer.kept < layer.size or not has_parts(layer.name, layer.shape):
            return ()
        kept = self._shaped(name, mask).flatten(1).any(1).tolist()
        return tuple(position for position, one in enumerate(kept) if not one)

    def _shaped(self, name: str, flat: torch.Tensor) -> torch.Tensor:
        return unflattened(flat, self._shapes[name], self._orders[name])

    def _put_back(self) -> None:
        for memory in self._memories:
            memory.put_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Restore the dense weights. If one of them made the loss non-finite, raise that error."""
        self._put_back()
        for name, one in (self._written or {}).items():
            # Parameters that were made in inference mode are refused, but only after this began.
            with torch.inference_mode(one.is_inference()), torch.no_grad():
                one.copy_(self.dense[name])
        if isinstance(error, NonFiniteError) and error.tensor == "loss":
            check_all_finite("weights", tuple(self.dense), tuple(self.dense.values()))


def _check_distinct(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse flat tensors that share memory, even in part: weights would be counted twice."""
    spans = sorted(
        (one.data_ptr(), one.data_ptr() + one.numel() * one.element_size(), name)
        for name, one in tensors.items()
        if one.numel()
    )
    for (_, end, first), (start, _, second) in pairwise(spans):
        if start < end:
            raise OverlapError(
                f"weights[{second!r}] shares memory with weights[{first!r}]: pass a shared tensor "
                "once"
            )
