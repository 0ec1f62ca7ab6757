"""Scores of the caller's own, instead of gradients of a loss: which arguments go together.

What a function of scores is called with, and what it returns, is a matter of each framework.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from swiftforce.errors import HyperparameterError, MissingGradientsError, UnsupportedTypeError
from swiftforce.inputs import case_names, case_number


def check_given_scores(
    saliency: str | None, scores: object, others: Mapping[str, object], *, signature: str
) -> bool:
    """Whether the caller's function scores weights; refuses arguments that contradict each other.

    Parameters
    ----------
    saliency : str, optional
    scores : callable, optional
    others : mapping of str to object
        What gradients are computed from, by the names of arguments: None where left out.
    signature : str
        What the function looks like, such as ``scores(model)``.

    Raises
    ------
    UnknownNameError
        If there is no such saliency.
    HyperparameterError
        If there are scores for another saliency, or arguments that they leave without use.
    MissingGradientsError
        If there are no scores for the saliency ``given``.
    UnsupportedTypeError
        If they are no function.
    """
    known = case_names("saliency")
    is_given = saliency is not None and known[case_number("saliency", saliency)] == "given"
    if not is_given:
        if scores is not None:
            raise HyperparameterError(
                "scores are for saliency='given': pass that too, or leave scores out"
            )
        return False
    if scores is None:
        raise MissingGradientsError(
            f"saliency='given' needs scores of the caller's own: pass a function {signature}"
        )
    if inspect.isclass(scores) or not callable(scores):
        what = f"the class {scores.__name__}" if inspect.isclass(scores) else type(scores).__name__
        raise UnsupportedTypeError(f"scores must be a function {signature}, not {what}")
    for name, value in others.items():
        if value is not None:
            raise HyperparameterError(
                f"{name} has no use with saliency='given', by which {signature} alone says how "
                "important weights are: leave it out"
            )
    return True
