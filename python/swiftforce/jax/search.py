"""The search for masks of a pytree, from its first step to its last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swiftforce.adapters import Patterns, as_patterns
from swiftforce.errors import OverlapError
from swiftforce.inputs import MethodName, method_info
from swiftforce.jax.arguments import check_objective, check_params
from swiftforce.jax.batch_sizes import BatchSize
from swiftforce.jax.gradients import Loss, averaged, gradient_function
from swiftforce.jax.pruning import PytreePruning, in_pytree
from swiftforce.jax.pytrees import Leaves, Pytree, decisions, to_numpy
from swiftforce.result import Prunable, warn_about_scope
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
    include, exclude = as_patterns(include), as_patterns(exclude) or ()
    # Names and arguments are checked before the weights are copied to the CPU.
    info = method_info(method)
    leaves = Leaves(params)
    check_params(leaves.by_name)
    if info["needs_gradients"]:
        check_objective(loss, batches, method)
    chosen = Prunable(leaves.by_name, decisions(leaves, include, exclude))
    names = list(chosen)
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
    pruning = in_pytree(search._result(4, copies=False), leaves, chosen.scope)
    warn_about_scope(pruning.scope, stacklevel=4)
    return pruning


def prunable(
    params: Pytree, *, include: Patterns | None = None, exclude: Patterns = ()
) -> Prunable[Any]:
    """The leaves that `prune` searches, and why it leaves the others out.

    Parameters
    ----------
    params : pytree of arrays
        The parameters.
    include : str or sequence of str, optional
        Patterns that replace the default choice of prunable leaves, as in `prune`.
    exclude : str or sequence of str
        Patterns of leaves that are not prunable, whether by default or by `include`.

    Returns
    -------
    Prunable
        A dict of leaves by their paths. ``print`` and notebooks show it as a table of all leaves.

    Raises
    ------
    UnknownNameError
        If a pattern matches no leaf, or one of `include` no floating-point leaf.
    UnsupportedTypeError
        If `params` is a module or has tensors of torch, or only complex leaves would be prunable.
    StructureError
        If no leaf is prunable, or two leaves have the same path.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> params = {"embed": jnp.ones((9, 4)), "fc": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}}
    >>> print(sfj.prunable(params))
    1 of 3 arrays are prunable: 8 of 46 numbers, 100 % of the elements of matrices
              name       shape   why                             numbers
    pruned    fc/kernel  (4, 2)  a weight by its name and shape        8
    left out  embed      (9, 4)  an embedding or a table              36
    left out  1 others           a vector or a number                  2
    """
    leaves = Leaves(params)
    check_params(leaves.by_name)
    include, exclude = as_patterns(include), as_patterns(exclude) or ()
    return Prunable(leaves.by_name, decisions(leaves, include, exclude))
