"""A search in one call: its progress, and what callers pass as gradients."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from kinds import network
from oracle import assert_same_masks

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def test_progress_needs_tqdm_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    weights, gradients = network(17)
    shown = sf.prune(weights, gradients, keep=7, steps=4, progress=True)
    assert "force" in capsys.readouterr().err
    quiet = sf.prune(weights, gradients, keep=7, steps=4)
    assert capsys.readouterr().err == ""
    assert_same_masks(shown.masks, quiet.masks)


def test_progress_without_tqdm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    weights, gradients = network(17)
    with pytest.raises(ImportError, match=r"pip install 'swiftforce\[demo\]'"):
        sf.prune(weights, gradients, keep=7, steps=4, progress=True)


# ------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("method", ["force", "snip"])
def test_a_function_that_returns_none(method: str) -> None:
    def gradients(masked: list[Any]) -> None:
        """Forgets its return statement."""

    with pytest.raises(sf.MissingGradientsError) as caught:
        sf.prune(network(1)[0], gradients, method=method, keep=1)
    assert str(caught.value) == (
        "gradients returned None: return the gradients in the structure of the weights"
    )


@pytest.mark.parametrize(
    ("gradients", "text"),
    [
        (dict, "gradients is the class dict: pass a function from masked weights to gradients"),
        ("mse", "gradients is the text 'mse': pass a function from masked weights to gradients"),
        (b"mse", "gradients is the text b'mse': pass a function"),
    ],
)
def test_a_class_or_a_name_instead_of_a_function(gradients: Any, text: str) -> None:
    for method in ("force", "snip"):
        with pytest.raises(sf.UnsupportedTypeError) as caught:
            sf.prune(network(1)[0], gradients, method=method, keep=1)
        assert str(caught.value).startswith(text)
        assert isinstance(caught.value, TypeError)


def test_a_function_instead_of_gradients() -> None:
    weights, gradients = network(1)
    search = sf.MaskSearch(weights, keep=3, steps=2)
    with pytest.raises(sf.StructureError, match="grads is a function: call it"):
        search.step(gradients)
    assert search.step(gradients(search.masked_weights)).step == 1


# ------------------------------------------------------------------------- steps


@pytest.mark.filterwarnings("always::swiftforce.StepsIgnoredWarning")
@pytest.mark.parametrize("method", ["snip", "magnitude", "random"])
@pytest.mark.parametrize(
    "call",
    [
        lambda w, **options: sf.prune(w, w, **options),
        lambda w, **options: sf.MaskSearch(w, **options),  # noqa: PLW0108 - its line is checked
        lambda w, **options: sf.prune(w, w, schedule=[2], **{**options, "keep": None}),
    ],
    ids=["prune", "MaskSearch", "a list of one entry"],
)
def test_steps_of_a_one_shot_method_are_ignored(method: str, call: Any) -> None:
    weights = np.float32([1, 2, 3, 4])
    with pytest.warns(sf.StepsIgnoredWarning) as caught:
        found = call(weights, method=method, keep=2, steps=60)
    assert found.steps == 1
    assert [str(one.message) for one in caught] == [f"{method} takes one step: steps=60 is ignored"]
    assert caught[0].filename == __file__
    assert caught[0].lineno == call.__code__.co_firstlineno


@pytest.mark.filterwarnings("error")
def test_one_step_of_a_one_shot_method_is_no_mistake() -> None:
    weights = np.float32([1, 2, 3, 4])
    assert sf.prune(weights, weights, method="snip", keep=2, steps=1).steps == 1
