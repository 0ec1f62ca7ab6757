"""The search for masks of a pytree, from its first step to its last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swiftforce.adapters import Patterns
from swiftforce.errors import OverlapError
from swiftforce.inputs import MethodName, method_info
from swiftforce.jax.arguments import check_objective, check_params
from swiftforce.jax.batch_sizes import BatchSize
from swiftforce.jax.gradients import Loss, averaged, gradient_function
from swiftforce.jax.pruning import PytreePruning, in_pytree
from swiftforce.jax.pytrees import Leaves, Pytree, prunable, to_numpy
from swiftforce.search import MaskSearch
from swiftforce.show import bar


def run_search(
    params: Pytree,
    loss: Loss | None,
    batches: Iterable[Pytree] | None,
    *,
    method: MethodName,
    batches_per_step: int,
    batch_size: BatchSize | None,
    include: Patterns | None,
    exclude: Patterns,
    jit: bool,
    progress: bool | None,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> PytreePruning:
    """Run a search to its end. Warnings point at the caller of the public function."""
    # Names and arguments are checked before the weights are copied to the CPU.
    info = method_info(method)
    leaves = Leaves(params)
    check_params(leaves.by_name)
    if info["needs_gradients"]:
        check_objective(loss, batches, method)
    names = prunable(leaves.by_name, include, exclude)
    weights = {name: to_numpy(leaves.by_name[name]) for name in names}
    try:
        # Masked weights are made on the devices, from masks.
        search = MaskSearch(weights, method=method, masked_weights=False, **options)
    except OverlapError as error:
        raise OverlapError(f"{error}, and exclude its other places in the pytree") from None
    gradients = None
    if info["needs_gradients"]:
        assert loss is not None and batches is not None
        at = gradient_function(loss, leaves, names, jit=jit)
        gradients = averaged(at, batches, batches_per_step, batch_size)
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        # The devices may read masks in place. Once gradients are here, they are done with it, and
        # the search may write the next masks.
        found = None if gradients is None else gradients(search.masks)
        search.step(None if found is None else {name: to_numpy(found[name]) for name in names})
    # The search ends here, so the result may have its masks without a copy.
    return in_pytree(search._result(4, copies=False), leaves)
