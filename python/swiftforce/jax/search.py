"""The search for masks of a pytree, from its first step to its last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swiftforce.adapters import Patterns
from swiftforce.errors import OverlapError
from swiftforce.inputs import MethodName, method_info
from swiftforce.jax.arguments import check_objective, check_params
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
        search = MaskSearch(weights, method=method, **options)
    except OverlapError as error:
        raise OverlapError(f"{error}, and exclude its other places in the pytree") from None
    gradients = None
    if info["needs_gradients"]:
        assert loss is not None and batches is not None
        at = gradient_function(loss, leaves, names, jit=jit)
        gradients = averaged(at, batches, batches_per_step)
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        search.step(None if gradients is None else gradients(search.masks))
    # The search ends here, so the result may have its masks without a copy.
    others = {name: one for name, one in leaves.by_name.items() if name not in weights}
    return in_pytree(search._result(4, copies=False, others=others), leaves)
