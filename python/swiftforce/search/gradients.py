"""What callers pass as gradients: arrays, or a function that returns them."""

from __future__ import annotations

from typing import Any

from swiftforce.errors import (
    HyperparameterError,
    MissingGradientsError,
    StructureError,
    UnsupportedTypeError,
)
from swiftforce.inputs import Array, Arrays, Tensors
from swiftforce.search.options import Gradients

_EXPECTED = "pass a function from masked weights to gradients"


def check_gradients(
    gradients: Gradients | Arrays | None, method: str, steps: int, *, are_scores: bool
) -> None:
    """Refuse what is neither a function nor arrays, and arrays for a search of several steps.

    Parameters
    ----------
    are_scores : bool
        Whether they are scores of the caller's own, without which no step is taken.

    Raises
    ------
    UnsupportedTypeError, MissingGradientsError
    """
    if isinstance(gradients, type):
        raise UnsupportedTypeError(f"gradients is the class {gradients.__name__}: {_EXPECTED}")
    if isinstance(gradients, (str, bytes)):
        raise UnsupportedTypeError(f"gradients is the text {gradients!r}: {_EXPECTED}, not a name")
    name = "scores" if are_scores else "gradients"
    expected = f"pass a function from masked weights to {name}"
    if gradients is None and are_scores:
        raise MissingGradientsError(
            f"the search has scores of the caller's own: {expected} as gradients"
        )
    if gradients is not None and not callable(gradients) and steps > 1:
        raise MissingGradientsError(
            f"{method} needs new {name} at each of its {steps} steps: {expected}"
        )


def check_has_objective(method: str, *, needs_gradients: bool) -> None:
    """Refuse the objective of a method that scores without gradients.

    Raises
    ------
    HyperparameterError
    """
    if not needs_gradients:
        raise HyperparameterError(
            f"objective is for methods that score by gradients, which {method} does not: leave it "
            "out"
        )


def check_objective(
    gradients: Gradients | Arrays | None, method: str, *, needs_gradients: bool
) -> None:
    """Refuse to measure an objective without new gradients.

    Raises
    ------
    HyperparameterError, MissingGradientsError
    """
    check_has_objective(method, needs_gradients=needs_gradients)
    if not callable(gradients):
        raise MissingGradientsError(
            f"the objective needs new gradients, at the masks that {method} finds: {_EXPECTED}"
        )


def needed_gradients(gradients: Gradients | Arrays | None, *, of_kept: bool) -> Any:  # noqa: ANN401
    """The caller's function, or what it offers for a step that reads fewer gradients.

    A step in which survivors alone compete by products with the weights needs no gradients of
    weights that are zero. A function may have an ``of_nonzero`` that leaves those out, as that of
    `swiftforce.nn.Network.gradients_on` has.
    """
    if not of_kept or not callable(gradients):
        return gradients
    return getattr(gradients, "of_nonzero", gradients)


def gradients_at(gradients: Gradients | Arrays | None, masked_weights: Arrays) -> Any:  # noqa: ANN401
    """The gradients of a step: what the caller's function returns, or the caller's arrays.

    Raises
    ------
    MissingGradientsError
        If the function returns None.
    """
    if not callable(gradients):
        return gradients
    found = gradients(masked_weights)
    if found is None:
        raise MissingGradientsError(
            "gradients returned None: return the gradients in the structure of the weights"
        )
    return found


def checked_scores(
    tensors: Tensors, grads: Arrays | None, scores: Arrays | None
) -> tuple[Array, ...]:
    """The caller's scores of a step, as arrays that the core can read.

    Raises
    ------
    MissingGradientsError, HyperparameterError, StructureError, ShapeError, UnsupportedTypeError
    """
    if grads is not None:
        raise HyperparameterError(
            "the search has scores of the caller's own: pass scores=, not gradients"
        )
    if scores is None:
        raise MissingGradientsError("the search has scores of the caller's own: pass scores=")
    if callable(scores):
        raise StructureError("scores is a function: call it, and pass the scores that it returns")
    return tensors.matching(scores, "scores", copies=True)


def checked_gradients(tensors: Tensors, grads: Arrays | None, method: str) -> tuple[Array, ...]:
    """The gradients of a step, for a method that needs them, as arrays that the core can read.

    Raises
    ------
    MissingGradientsError, StructureError, ShapeError, UnsupportedTypeError
    """
    if grads is None:
        raise MissingGradientsError(
            f"the method {method!r} scores weights by their gradients: pass gradients"
        )
    if callable(grads):
        raise StructureError("grads is a function: call it, and pass the gradients that it returns")
    return tensors.matching(grads, "gradients", copies=True)
