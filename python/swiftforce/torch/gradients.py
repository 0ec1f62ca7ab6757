"""What scores are computed from: gradients of the loss, and Hessian-gradient products.

Every function here takes the parameters by name and returns tensors of their shapes, in their
order. None of them changes ``.grad`` or runs hooks after accumulation and reducers, with two
exceptions: the gradients of sharded parameters (`torch.distributed.fsdp.fully_shard`) exist only in
``.grad``, and those inside of reentrant checkpoints only by ``backward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.batch_parts import with_tensors
from swiftforce.torch.model_state import forked_generators
from swiftforce.torch.objective import Objective
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.reached import Reached
from swiftforce.torch.second_derivatives import (
    Differentiable,
    in_float32,
    is_half,
    widened_input,
)
from swiftforce.torch.sharded import Sharding, local_of
from swiftforce.torch.torch_errors import explained

Parameters = Mapping[str, nn.Parameter]
#: From the mean loss of a batch to the tensors that are averaged over batches; None where the loss
#: does not depend on a parameter.
Derivative = Callable[[torch.Tensor, Parameters], Sequence[torch.Tensor | None]]


@dataclass(frozen=True)
class Averaging:
    """How gradients are averaged.

    Attributes
    ----------
    reached : Reached
        Records which parameters had a gradient.
    ranks : Ranks, optional
        The ranks that have copies of the model.
    sharding : Sharding, optional
        How the parameters are sharded, if they are.
    weighs : bool
        Whether a batch weighs by its number of samples. Can be False for a single batch, whose size
        is then not needed.
    method : str
        For messages.
    """

    reached: Reached
    ranks: Ranks | None = None
    sharding: Sharding | None = None
    weighs: bool = True
    method: str = "the method"


def mean_gradients(
    objective: Objective, parameters: Parameters, batches: Iterable[Any], how: Averaging
) -> list[torch.Tensor]:
    """Gradients of the loss, averaged over all batches of all ranks.

    A batch whose loss does not depend on a parameter counts with a gradient of zero.
    """
    if how.sharding is not None:
        derive = partial(_accumulated, objective.model)
        return _mean_of(objective, parameters, batches, derive, how)[0]
    return _mean(objective, parameters, batches, partial(_gradients, objective.model), how)


def hessian_gradients(
    objective: Objective, parameters: Parameters, batches: Iterable[Any], how: Averaging
) -> list[torch.Tensor]:
    """Products H g of the Hessian and the gradient g of the loss, both means over all batches.

    Each batch is used twice, with the same random numbers (dropout). Weights in float16 and
    bfloat16 are used in float32, as are batches.

    References
    ----------
    Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient flow",
    ICLR 2020, algorithm 2.
    """

    def product(loss: torch.Tensor, parameters: Parameters) -> Sequence[torch.Tensor | None]:
        _check_not_reentrant(loss, how.method)
        tensors = list(parameters.values())
        of_batch = torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True)
        terms = [(g * m).sum() for g, m in zip(of_batch, means, strict=True) if g is not None]
        along = torch.stack(terms).sum() if terms else torch.zeros(())
        if not along.requires_grad:  # The loss is linear in all parameters.
            return [None if g is None else torch.zeros_like(g) for g in of_batch]
        found = torch.autograd.grad(along, tensors, materialize_grads=True)
        return [None if g is None else one for g, one in zip(of_batch, found, strict=True)]

    def first(loss: torch.Tensor, parameters: Parameters) -> Sequence[torch.Tensor | None]:
        _check_not_reentrant(loss, how.method)
        return _gradients(objective.model, loss, parameters)

    with nullcontext() if how.ranks is None else how.ranks.agreement():
        batches = list(batches)
        if is_half(parameters):
            batches = [with_tensors(batch, widened_input) for batch in batches]
    with in_float32(objective.model, parameters) as wide, Differentiable():
        with forked_generators():
            means = _mean(objective, wide, batches, first, how)
        return _mean(objective, wide, batches, product, how)


def _mean(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    derive: Derivative,
    how: Averaging,
) -> list[torch.Tensor]:
    """A derivative of the loss, averaged over batches and ranks."""
    with nullcontext() if how.ranks is None else how.ranks.agreement():
        mean, samples = _mean_of(objective, parameters, batches, derive, how)
    if how.ranks is not None:
        how.ranks.average(mean, samples)
    return mean


def _mean_of(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    derive: Derivative,
    how: Averaging,
) -> tuple[list[torch.Tensor], int]:
    """The mean over batches and their number of samples; holds one batch at a time."""
    total: list[torch.Tensor | None] = [None] * len(parameters)
    first = samples = 0
    for batch in batches:
        weight, size = 1.0, 1
        with explained(objective.model, batch, how.method):
            if how.sharding is not None:
                count = partial(objective.samples, batch) if how.weighs else partial(int, 1)
                loss, weight, size = how.sharding.share(partial(objective, batch), count)
            else:
                loss = objective(batch)
                if how.weighs:
                    size = objective.samples(batch)
            first = first or size
            # Relative to the first batch, so that batches of one size are added without rounding.
            weight *= size / first
            found = derive(loss if weight == 1 else loss * weight, parameters)
        how.reached.add(found)
        total = _added(total, found) if how.weighs else list(found)
        samples += size
    mean = [
        torch.zeros_like(parameter, requires_grad=False) if one is None else one
        for one, parameter in zip(total, parameters.values(), strict=True)
    ]
    if how.weighs:
        mean = [_widened(one) for one in mean]
    if samples != first:
        torch._foreach_mul_(mean, first / samples)
    return mean, samples


def _added(
    total: Sequence[torch.Tensor | None], found: Sequence[torch.Tensor | None]
) -> list[torch.Tensor | None]:
    """The sums of two lists of tensors, in the memory of the first; None counts as zero."""
    both = [
        (a, _widened(b))
        for a, b in zip(total, found, strict=True)
        if a is not None and b is not None
    ]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    new = [b if a is None else None for a, b in zip(total, found, strict=True)]
    return [b if a is None else a for a, b in zip(total, _owned(new), strict=True)]


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32 at least: sums in float16 and bfloat16 lose too many digits."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _owned(tensors: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """The same values in memory that can be added to in place.

    Gradients may share memory: two parameters that are added have the same gradient tensor, and the
    gradient of a sum is an expanded tensor.
    """
    owned: list[torch.Tensor | None] = []
    taken: set[int] = set()
    for tensor in tensors:
        if tensor is None:
            owned.append(None)
            continue
        wide = _widened(tensor)
        local = local_of(wide)
        if local.data_ptr() in taken or not all(local.stride()):
            wide = wide.clone(memory_format=torch.contiguous_format)
        taken.add(local_of(wide).data_ptr())
        owned.append(wide)
    return owned


def _gradients(
    model: nn.Module, loss: torch.Tensor, parameters: Parameters
) -> list[torch.Tensor | None]:
    if has_reentrant_checkpoint(loss):
        return _accumulated(model, loss, parameters)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return _dense(found)


def _accumulated(
    model: nn.Module, loss: torch.Tensor, parameters: Parameters
) -> list[torch.Tensor | None]:
    """Gradients by ``backward``, through ``.grad``, which is None before and after."""
    loss.backward()
    found = [one.grad for one in parameters.values()]
    for one in (*model.parameters(), *parameters.values()):
        one.grad = None
    return _dense(found)


def _dense(found: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    return [one.to_dense() if one is not None and one.is_sparse else one for one in found]


def has_reentrant_checkpoint(loss: torch.Tensor) -> bool:
    """Whether a loss was computed through `torch.utils.checkpoint` with ``use_reentrant=True``.

    `torch.autograd.grad` does not see into it.
    """
    left, seen = [loss.grad_fn], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CheckpointFunctionBackward":
            return True
        seen.add(node)
        left += [other for other, _ in node.next_functions]
    return False


def _check_not_reentrant(loss: torch.Tensor, method: str) -> None:
    if has_reentrant_checkpoint(loss):
        raise UnsupportedTypeError(
            f"{method} needs second derivatives, which torch.utils.checkpoint does not have with "
            "use_reentrant=True: pass use_reentrant=False"
        )
