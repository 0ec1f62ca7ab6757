"""A search of one step in one call of the core, without the state between steps."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from swiftforce import _core
from swiftforce.inputs import (
    MASK,
    Arrays,
    MethodName,
    Patterned,
    Tensors,
    case_number,
    check_distinct,
    check_seed,
    method_info,
    read_only,
)
from swiftforce.native import public_error
from swiftforce.result import Pruning, ZeroScores, step_of
from swiftforce.search.gradients import check_gradients, checked_gradients, gradients_at
from swiftforce.search.limits import NO_LIMITS
from swiftforce.search.options import Gradients
from swiftforce.search.selection import kept_within, result_of
from swiftforce.search.tensor_limits import Allocating


def one_step(
    weights: Arrays,
    gradients: Gradients | Arrays | None,
    method: MethodName,
    *,
    sparsity: float | None,
    keep: int | None,
    allocation: Allocating | None,
    pattern: Patterned | None,
    seed: int = 0,
) -> Pruning[Any]:
    """Find masks by a method of one step, for a public function, whose caller warnings point to."""
    info = method_info(method)
    seed = check_seed(seed)
    tensors = Tensors(weights, "weights")
    check_distinct(tensors)
    limits, kept = kept_within(allocation, tensors, sparsity, keep, pattern)
    found = None
    if info["needs_gradients"]:
        check_gradients(gradients, method, 1, are_scores=False)
        if callable(gradients):
            gradients = gradients_at(gradients, tensors.restore(map(read_only, tensors.arrays)))
        found = checked_gradients(tensors, gradients, method)
    masks = tensors.empty(MASK)
    numbers = NO_LIMITS if limits is None else limits.arguments
    try:
        report = _core.search_once(
            case_number("method", method), kept, seed, tensors.arrays, found, masks, numbers
        )
    except _core.NativeError as error:
        raise public_error(error, tensors.label) from None
    step = step_of(report)
    zeros = None
    if found is not None and step.zero_scores:  # Names of many tensors take long to make.
        # The masks are found, and warnings alone tell of these: they must not make it fail.
        with suppress(Exception):
            zeros = ZeroScores.of_step(step.zero_scores, tensors.names, tensors.arrays, found)
    return result_of(
        tensors,
        masks,
        step,
        method=method,
        limits=limits,
        zeros=zeros,
        seed=seed,
        free=info["free"],
        stacklevel=4,
    )
