"""The search for masks of a pytree, from its first step to its last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from swiftforce.adapters import Patterns, as_patterns, check_given_scores
from swiftforce.errors import HyperparameterError, OverlapError, ShapeError, StructureError
from swiftforce.inputs import (
    Array,
    Mask,
    MethodName,
    Patterned,
    RuleName,
    SaliencyName,
    method_info,
)
from swiftforce.jax.arguments import check_objective, check_params
from swiftforce.jax.batch_sizes import BatchSize
from swiftforce.jax.given_scores import Scores, scores_function
from swiftforce.jax.gradients import Loss, averaged, gradient_function
from swiftforce.jax.processes import LocalWeights, SharedWeights
from swiftforce.jax.pruning import PytreePruning, in_pytree
from swiftforce.jax.pytrees import (
    Leaves,
    NamedLeaves,
    Pytree,
    decisions,
    is_shared,
    to_numpy,
    unboxed_name,
)
from swiftforce.jax.sparse import unboxed
from swiftforce.jax.stacks import Stacks, whole_name
from swiftforce.result import Prunable, masks_of, warn_about_scope
from swiftforce.search import Allocating, MaskSearch, with_shapes
from swiftforce.show import bar


def run_search(
    params: Pytree,
    loss: Loss | None,
    batches: Iterable[Pytree] | None,
    *,
    method: MethodName,
    initial_masks: Pytree | None,
    objective: bool,
    batches_per_step: int,
    batch_size: BatchSize | None,
    include: Patterns | None,
    exclude: Patterns,
    stacked: Patterns | None,
    jit: bool,
    progress: bool | None,
    allocation: Allocating | None = None,
    pattern: Patterned | None = None,
    saliency: SaliencyName | None = None,
    rule: RuleName | None = None,
    scores: Scores | None = None,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> PytreePruning:
    """Run a search to its end. Warnings point at the caller of the public function."""
    include, exclude = as_patterns(include), as_patterns(exclude) or ()
    # Names and arguments are checked before the weights are copied to the CPU.
    info = method_info(method, saliency, rule)
    of_loss = {
        "loss": loss,
        "batches": batches,
        "batch_size": batch_size,
        "batches_per_step": None if batches_per_step == 1 else batches_per_step,
    }
    given = check_given_scores(saliency, scores, of_loss, signature="scores(params)")
    leaves = Leaves(params)
    check_params(leaves.by_name)
    if info["needs_gradients"]:
        check_objective(loss, batches, method)
    elif objective:
        raise HyperparameterError(
            f"objective is for methods that score by gradients, which {method} does not: leave it "
            "out"
        )
    stacks = Stacks.matching(leaves, as_patterns(stacked))
    chosen = _prunable(leaves, include, exclude, stacks, values=False)
    wholes = {whole_name(name, leaves.by_name) for name in chosen}
    own = {name: leaf for name, leaf in leaves.by_name.items() if name in wholes}
    held = SharedWeights(own) if any(map(is_shared, own.values())) else LocalWeights(own)
    shaped = None
    if allocation is not None or pattern is not None:
        # An axis that processes share may be two in their search.
        whole = {name: np.shape(own[name]) for name in chosen if name in own}
        shaped = with_shapes(allocation, whole, output_axes=dict.fromkeys(chosen, -1))
    begins_at = _initial_masks(initial_masks, list(chosen), own, stacks, held)
    try:
        # Masked weights are made on the devices, from masks.
        search = MaskSearch(
            _of(chosen, stacks.split(held.weights)),
            method=method,
            allocation=shaped,
            pattern=pattern,
            saliency=saliency,
            rule=rule,
            masked_weights=False,
            initial_masks=begins_at,
            **held.options,
            **options,
        )
    except OverlapError as error:
        raise OverlapError(f"{error}, and exclude its other places in the pytree") from None
    computed = None
    if given:
        assert scores is not None
        computed = scores_function(scores, leaves, list(own))
    elif info["needs_gradients"]:
        assert loss is not None and batches is not None
        at = gradient_function(loss, leaves, list(own), jit=jit)
        computed = averaged(at, batches, batches_per_step, batch_size)

    def next_computed() -> dict[str, Array] | None:
        """The gradients of the next step, or its scores."""
        if computed is None:
            return None
        # The devices may read masks in place. Once what they compute is here, they are done with
        # it, and the search may write the next masks.
        found = computed(held.put(stacks.join(search.masks, own)))
        return _of(chosen, stacks.split(held.read(found)))

    for _ in bar(range(search.steps), description=search.method, shown=progress):
        if given:
            search.step(scores=next_computed())
        else:
            search.step(next_computed())
    if objective:
        search.objective(next_computed())
    # The search ends here, so the result may have its masks without a copy.
    others = {name: one for name, one in leaves.by_name.items() if name not in own}
    others = {name: one for name, one in others.items() if not is_shared(one)}
    result = search._result(4, copies=False, others=others)
    masks = stacks.join(result.masks, own)
    # An axis that processes share may be two in their search.
    layers = tuple(
        replace(one, shape=np.shape(own[one.name])) if one.name in own else one
        for one in result.layers
    )
    pruning = in_pytree(
        replace(result, masks=held.put(masks), layers=layers),
        leaves,
        chosen.scope,
        held.packed(masks),
    )
    warn_about_scope(pruning.scope, stacklevel=4)
    return pruning


def _initial_masks(
    initial_masks: Pytree | None,
    names: list[str],
    own: NamedLeaves,
    stacks: Stacks,
    held: LocalWeights | SharedWeights,
) -> dict[str, Mask] | None:
    """The masks of what is searched.

    Raises
    ------
    StructureError
        If one has no mask, or if weights of another leaf are removed.
    """
    if initial_masks is None:
        return None
    masks = unboxed(masks_of(initial_masks))
    whole: dict[str, Any] = {}
    for name in own:
        if masks.get(unboxed_name(name)) is None:
            raise StructureError(f"initial_masks lack {name!r}, which is searched")
        whole[name] = masks.pop(unboxed_name(name))
        if np.shape(whole[name]) != np.shape(own[name]):
            raise ShapeError(
                f"initial_masks[{name!r}] has shape {np.shape(whole[name])} where the leaf has "
                f"{np.shape(own[name])}"
            )
    parts = stacks.split(held.read(whole))
    left = {name: mask for name, mask in masks.items() if mask is not None}
    left = {name: to_numpy(mask) for name, mask in left.items() if not is_shared(mask)}
    left |= {name: mask for name, mask in parts.items() if name not in names}
    for name, mask in left.items():
        if not np.all(mask):
            raise StructureError(
                f"initial_masks remove weights of {name!r}, which is not searched: include it"
            )
    return _of(names, parts)


def _of(names: Iterable[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of these names."""
    return {name: arrays[name] for name in names}


def prunable(
    params: Pytree,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
    stacked: Patterns | None = None,
) -> Prunable[Any]:
    """The leaves that `prune` searches, and why it leaves the others out.

    Parameters
    ----------
    params : pytree of arrays
        The dense parameters, as JAX or numpy arrays. They are never changed. Prunable leaves are
        float16, bfloat16, float32 or float64. If several processes hold them together, all make the
        same call, with batches of all.
    include : str or sequence of str, optional
        Patterns that replace the default choice of prunable leaves: a leaf is prunable if a pattern
        matches its path, such as ``params/Dense_0/kernel``. Patterns are those of `fnmatch`, and
        ``*`` also matches ``/``. Leaves that are not real floating-point arrays are never prunable.
    exclude : str or sequence of str
        Patterns of leaves that are not prunable, whether by default or by `include`.
    stacked : str or sequence of str, optional
        Patterns of leaves whose first axis counts layers, as `nn.scan` makes them. Each layer is
        listed, warned of, shuffled and chosen by patterns as a leaf of its own: the one at position
        3 of ``blocks/kernel`` is ``blocks/kernel[3]``.

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
    >>> params = {"fc": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(2)}}
    >>> params["embed"] = jnp.ones((9, 4))
    >>> print(sfj.prunable(params))
    1 of 3 arrays are prunable: 8 of 46 numbers, 100 % of the elements of matrices
              name       shape   why                             numbers
    pruned    fc/kernel  (4, 2)  a weight by its name and shape        8
    left out  embed      (9, 4)  an embedding or a table              36
    left out  1 other            a vector or a number                  2
    """
    leaves = Leaves(params)
    check_params(leaves.by_name)
    include, exclude = as_patterns(include), as_patterns(exclude) or ()
    stacks = Stacks.matching(leaves, as_patterns(stacked))
    return _prunable(leaves, include, exclude, stacks, values=True)


def _prunable(
    leaves: Leaves,
    include: Patterns | None,
    exclude: Patterns,
    stacks: Stacks,
    *,
    values: bool,
) -> Prunable[Any]:
    """The prunable leaves and layers; without `values`, a layer's is the stack that it lies in."""
    arrays: dict[str, Any] = {}
    for name, leaf in leaves.by_name.items():
        names = stacks.layers(name)
        parts = list(leaf) if values and name in stacks.counts else [leaf] * len(names)
        arrays.update(zip(names, parts, strict=True))
    layers = {name: stacks.layers(name) for name in stacks.counts}
    return Prunable(arrays, decisions(leaves, include, exclude, layers))
