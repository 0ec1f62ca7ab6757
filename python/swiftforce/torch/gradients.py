"""What scores are computed from: gradients of the loss, Hessian-gradient products, synaptic flow.

Every function here takes the parameters by name and returns tensors of their shapes, in their
order. None of them changes ``.grad`` or runs hooks after accumulation and reducers, except for
sharded parameters (`torch.distributed.fsdp.fully_shard`), whose gradients exist only in ``.grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from swiftforce.errors import MissingGradientsError, ShapeError, UnsupportedTypeError
from swiftforce.torch.model_state import forked_generators
from swiftforce.torch.objective import Objective, size_of
from swiftforce.torch.ranks import Ranks
from swiftforce.torch.sharded import Sharding, local_of

Parameters = Mapping[str, nn.Parameter]
#: From the mean loss of a batch to the tensors that are averaged over batches.
Derivative = Callable[[torch.Tensor, Parameters], list[torch.Tensor]]
#: From a function that computes a rank's loss, and its number of samples, to the loss, its weight
#: in the mean over ranks, and the number of samples of all ranks.
Share = Callable[[Callable[[], torch.Tensor], int], tuple[torch.Tensor, float, int]]


def mean_gradients(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    ranks: Ranks | None = None,
    *,
    weighs: bool = True,
    sharding: Sharding | None = None,
) -> list[torch.Tensor]:
    """Gradients of the loss, averaged over all batches of all ranks.

    Parameters
    ----------
    ranks : Ranks, optional
        The ranks that have copies of the model.
    weighs : bool
        Whether a batch weighs by its number of samples. Can be False for a single batch, whose size
        is then not needed.
    sharding : Sharding, optional
        How the parameters are sharded, if they are.

    Raises
    ------
    MissingGradientsError
        If the loss does not depend on a parameter.
    """
    if sharding is not None:
        share = sharding.share
        return _mean(objective, parameters, batches, ranks, _accumulated, weighs, share)
    return _mean(objective, parameters, batches, ranks, _gradients, weighs)


def hessian_gradients(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    ranks: Ranks | None = None,
    *,
    weighs: bool = True,
) -> list[torch.Tensor]:
    """Products H g of the Hessian and the gradient g of the loss, both means over all batches.

    Each batch is used twice, with the same random numbers (dropout). The arguments are those of
    `mean_gradients`.

    References
    ----------
    Wang, Zhang and Grosse, "Picking winning tickets before training by preserving gradient flow",
    ICLR 2020, algorithm 2.
    """

    def product(loss: torch.Tensor, parameters: Parameters) -> list[torch.Tensor]:
        tensors = list(parameters.values())
        of_batch = torch.autograd.grad(loss, tensors, create_graph=True)
        along = torch.stack([(g * m).sum() for g, m in zip(of_batch, means, strict=True)]).sum()
        if not along.requires_grad:  # The loss is linear in all parameters.
            return [torch.zeros_like(one) for one in tensors]
        return list(torch.autograd.grad(along, tensors, materialize_grads=True))

    # Fused and compiled functions have no second derivative.
    with sdpa_kernel(SDPBackend.MATH), torch.compiler.set_stance("force_eager"):
        with nullcontext() if ranks is None else ranks.agreement():
            batches = list(batches)
        with forked_generators():
            means = mean_gradients(objective, parameters, batches, ranks, weighs=weighs)
        return _mean(objective, parameters, batches, ranks, product, weighs)


def synaptic_flow(
    model: nn.Module, parameters: Parameters, example: torch.Tensor
) -> list[torch.Tensor]:
    """Gradients of R, the sum of the outputs on an input of ones at the absolute weights.

    Computed in float64, since products over many layers overflow float32. As the method requires,
    the absolute values of all parameters and buffers are used: copies, so that none is written.

    Parameters
    ----------
    model : nn.Module
        In eval mode.
    example : tensor
        A batch of inputs. The input of ones has the shape of its first sample.

    References
    ----------
    Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, equation 2.
    """
    if not example.is_floating_point():
        raise UnsupportedTypeError(
            "synflow replaces the input by ones, so it needs a floating-point input, not "
            f"{example.dtype}"
        )
    named = chain(model.named_parameters(), model.named_buffers())
    state = {
        name: value.detach().to(torch.float64).abs()
        for name, value in named
        if value.is_floating_point()
    }
    scored = [state[name].requires_grad_() for name in parameters]
    ones = torch.ones((1, *example.shape[1:]), dtype=torch.float64, device=example.device)
    output = functional_call(model, state, (ones,))
    if not isinstance(output, torch.Tensor):
        raise ShapeError(
            f"synflow needs a model that returns one tensor, not a {type(output).__name__}"
        )
    return list(torch.autograd.grad(output.sum(), scored, materialize_grads=True))


def _mean(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    ranks: Ranks | None,
    derive: Derivative,
    weighs: bool,
    share: Share | None = None,
) -> list[torch.Tensor]:
    """A derivative of the loss, averaged over batches and ranks."""
    if ranks is None:
        return _mean_of(objective, parameters, batches, derive, weighs, share)[0]
    with ranks.agreement():
        mean, samples = _mean_of(objective, parameters, batches, derive, weighs)
    ranks.average(mean, samples)
    return mean


def _mean_of(
    objective: Objective,
    parameters: Parameters,
    batches: Iterable[Any],
    derive: Derivative,
    weighs: bool,
    share: Share | None = None,
) -> tuple[list[torch.Tensor], int]:
    """The mean over batches and their number of samples; holds one batch at a time."""
    total: list[torch.Tensor] = []
    first = samples = 0
    for batch in batches:
        size = size_of(batch) if weighs else 1
        weight = 1.0
        if share is None:
            loss = objective(batch)
        else:
            loss, weight, size = share(partial(objective, batch), size)
        first = first or size
        # Relative to the first batch, so that batches of one size are added without rounding.
        weight *= size / first
        found = derive(loss if weight == 1 else loss * weight, parameters)
        if total:
            torch._foreach_add_(total, [_widened(one) for one in found])
        else:
            total = _owned(found) if weighs else found
        samples += size
    if samples != first:
        torch._foreach_mul_(total, first / samples)
    return total, samples


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float32 at least: sums in float16 and bfloat16 lose too many digits."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _owned(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The same values in memory that can be added to in place.

    Gradients may share memory: two parameters that are added have the same gradient tensor, and the
    gradient of a sum is an expanded tensor.
    """
    owned: list[torch.Tensor] = []
    taken: set[int] = set()
    for tensor in tensors:
        wide = _widened(tensor)
        local = local_of(wide)
        if local.data_ptr() in taken or not all(local.stride()):
            wide = wide.clone(memory_format=torch.contiguous_format)
        taken.add(local_of(wide).data_ptr())
        owned.append(wide)
    return owned


def _gradients(loss: torch.Tensor, parameters: Parameters) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return _complete(found, parameters)


def _accumulated(loss: torch.Tensor, parameters: Parameters) -> list[torch.Tensor]:
    """Gradients by ``backward``, through ``.grad``, which is None before and after."""
    loss.backward()
    found = [one.grad for one in parameters.values()]
    for one in parameters.values():
        one.grad = None
    return _complete(found, parameters)


def _complete(found: Sequence[torch.Tensor | None], parameters: Parameters) -> list[torch.Tensor]:
    missing = [name for name, one in zip(parameters, found, strict=True) if one is None]
    if missing:
        raise MissingGradientsError(
            f"the loss does not depend on {', '.join(missing[:3])}: exclude unused parameters"
        )
    return [one.to_dense() if one.is_sparse else one for one in found if one is not None]
