"""Which arguments go together where the caller scores weights."""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf
from swiftforce.adapters import check_given_scores


def check(saliency: Any, scores: Any, **others: Any) -> bool:
    return check_given_scores(saliency, scores, others, signature="scores(model)")


@pytest.mark.parametrize("saliency", [None, "magnitude", "Squared-Gradient"])
def test_other_saliencies_take_what_they_need(saliency: str | None) -> None:
    assert not check(saliency, None, loss=len, batches=[1])
    text = "scores are for saliency='given': pass that too, or leave scores out"
    with pytest.raises(sf.HyperparameterError, match=text):
        check(saliency, len)


@pytest.mark.parametrize("saliency", ["given", "Given"])
def test_given_scores_come_from_a_function_alone(saliency: str) -> None:
    assert check(saliency, len, loss=None, batches=None)
    with pytest.raises(sf.MissingGradientsError, match=r"pass a function scores\(model\)"):
        check(saliency, None)
    for wrong, what in (({}, "dict"), (dict, "the class dict"), ("len", "str")):
        with pytest.raises(sf.UnsupportedTypeError, match=f"must be a function .*, not {what}"):
            check(saliency, wrong)
    with pytest.raises(sf.HyperparameterError, match="batches has no use with saliency='given'"):
        check(saliency, len, loss=None, batches=[])


def test_an_unknown_saliency() -> None:
    with pytest.raises(sf.UnknownNameError, match="no saliency 'giver'; did you mean 'given'"):
        check("giver", len)
