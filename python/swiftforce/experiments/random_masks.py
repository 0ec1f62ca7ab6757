"""Random masks with given densities of layers: what searched masks are compared with."""

from __future__ import annotations

from collections.abc import Mapping

from swiftforce.inputs import Array, check_sparsity
from swiftforce.search import keep_count, saliency, select


def uniform_random(weights: Mapping[str, Array], *, sparsity: float, seed: int) -> dict[str, Array]:
    """Random masks of the same density in every layer.

    Parameters
    ----------
    weights : mapping of str to array
        Only their shapes are used.
    sparsity : float
        Share to remove of each layer, in [0, 1). A layer of n weights keeps
        ``keep_count(n, sparsity)``, at least one.
    seed : int

    Returns
    -------
    dict of str to array of bool

    Raises
    ------
    SparsityError, SeedError

    Examples
    --------
    >>> import numpy as np
    >>> masks = uniform_random({"a": np.zeros((2, 5)), "b": np.zeros(20)}, sparsity=0.9, seed=0)
    >>> {name: int(mask.sum()) for name, mask in masks.items()}
    {'a': 1, 'b': 2}
    """
    kept = {name: keep_count(weight.size, sparsity) for name, weight in weights.items()}
    return _random(weights, kept, seed)


def erk_random(weights: Mapping[str, Array], *, sparsity: float, seed: int) -> dict[str, Array]:
    """Random masks with the densities of Erdős-Rényi kernels (Evci et al., "Rigging the lottery").

    A layer of n weights and axes of lengths d keeps a share proportional to ``sum(d) / n``. Layers
    that would keep more than all of their weights keep all, and the others share the rest.

    Parameters
    ----------
    weights : mapping of str to array
        Only their shapes are used.
    sparsity : float
        Share to remove of all weights, in [0, 1), but for rounding in each layer.
    seed : int

    Returns
    -------
    dict of str to array of bool
        Each keeps at least one weight.

    Raises
    ------
    SparsityError, SeedError

    Examples
    --------
    >>> import numpy as np
    >>> masks = erk_random({"a": np.zeros((2, 5)), "b": np.zeros((10, 10))}, sparsity=0.7, seed=0)
    >>> {name: int(mask.sum()) for name, mask in masks.items()}
    {'a': 9, 'b': 24}
    """
    wanted = (1 - check_sparsity(sparsity)) * sum(weight.size for weight in weights.values())
    dense: set[str] = set()
    while True:
        rest = wanted - sum(weights[name].size for name in dense)
        free = {name: sum(w.shape) for name, w in weights.items() if name not in dense}
        factor = rest / max(1, sum(free.values()))
        full = {name for name, ends in free.items() if factor * ends > weights[name].size}
        if not full:
            break
        dense |= full
    kept = {
        name: min(weights[name].size, max(1, round(factor * ends))) for name, ends in free.items()
    }
    return _random(weights, {**kept, **{name: weights[name].size for name in dense}}, seed)


def _random(weights: Mapping[str, Array], kept: Mapping[str, int], seed: int) -> dict[str, Array]:
    scores = saliency(dict(weights), criterion="random", seed=seed)
    return {name: select(score, keep=kept[name]) for name, score in scores.items()}
