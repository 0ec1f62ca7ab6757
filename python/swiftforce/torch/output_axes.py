"""Which axis of a parameter counts output units, for floors and caps on them and for patterns."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from swiftforce.inputs import Patterned
from swiftforce.search import Allocating, ShapedAllocation, with_shapes
from swiftforce.torch.memory import Order


def shaped(
    allocation: Allocating | None,
    pattern: Patterned | None,
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    orders: Mapping[str, Order],
) -> ShapedAllocation | None:
    """An allocation for flat arrays of parameters, in the order of their memory.

    Parameters
    ----------
    allocation : Allocation, str or mapping, optional
    pattern : Pattern, str or (int, int), optional
    model : nn.Module
        Whose modules say which axis counts output units.
    parameters : mapping of name to nn.Parameter
    orders : mapping of name to tuple of int
        The axes of each parameter in the order of its memory.
    """
    if allocation is None and pattern is None:
        return None
    # Also those from which a parametrization computes the weight.
    transposed = {
        id(one)
        for module in model.modules()
        if is_transposed(module)
        for one in module.parameters()
    }
    return with_shapes(
        allocation,
        {name: tuple(one.shape) for name, one in parameters.items()},
        orders,
        {name: int(id(one) in transposed and one.dim() > 1) for name, one in parameters.items()},
    )


def is_transposed(module: nn.Module) -> bool:
    """Whether the first axis of a module's weight counts inputs, and the second one outputs."""
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        return True
    # The linear layer of GPT-2 in transformers.
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")
