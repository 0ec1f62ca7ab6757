"""Scores that the caller computes at masked parameters, by the paths of leaves.

Which weights they keep does not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from swiftforce.errors import (
    MissingGradientsError,
    ShapeError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.jax.pytrees import (
    Leaves,
    NamedLeaves,
    Pytree,
    is_array,
    is_floating,
    masked,
    put_like,
    unboxed_name,
)
from swiftforce.jax.sparse import unboxed

#: ``scores(params)``: from masked parameters to scores in their structure.
Scores = Callable[[Pytree], Pytree]


def scores_function(
    scores: Scores, leaves: Leaves, names: Sequence[str]
) -> Callable[[NamedLeaves], NamedLeaves]:
    """A function from masks to the caller's scores at the masked weights.

    Parameters
    ----------
    scores : callable
        It gets parameters with JAX arrays in place of the leaves that have masks.
    names : sequence of str
        The leaves that have masks. Scores of others are left out.
    """
    weights = {name: leaves.by_name[name] for name in names}

    def scores_at(masks: NamedLeaves) -> NamedLeaves:
        at = {name: masked(put_like(masks[name], one), one) for name, one in weights.items()}
        found = scores(leaves.restore({**leaves.by_name, **at}))
        if found is None:
            raise MissingGradientsError(
                "scores(params) returned None: return the scores in the structure of params"
            )
        by_name = unboxed(found)
        return {name: _checked(name, by_name, one) for name, one in weights.items()}

    return scores_at


def _checked(name: str, scores: NamedLeaves, leaf: Any) -> Any:  # noqa: ANN401 - as in a pytree
    """The scores of a leaf.

    Raises
    ------
    StructureError, UnsupportedTypeError, ShapeError
    """
    found = scores.get(unboxed_name(name))
    if found is None:
        raise StructureError(
            f"scores(params) returned no scores of {name!r}, which is searched: return them in the "
            "structure of params"
        )
    if not is_floating(found):
        kind = f"dtype {jnp.result_type(found)}" if is_array(found) else type(found).__name__
        raise UnsupportedTypeError(
            f"the scores of {name!r} must be an array of floating-point numbers, not {kind}"
        )
    if np.shape(found) != np.shape(leaf):
        raise ShapeError(
            f"the scores of {name!r} have shape {np.shape(found)} where the leaf has "
            f"{np.shape(leaf)}"
        )
    return found
