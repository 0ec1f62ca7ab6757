"""The public functions that find masks: arguments, and one result however it is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch import core_search, progressive_methods, scoring  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import assert_same, batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

FUNCTIONS = {"force": sft.force, "iterative_snip": sft.iterative_snip}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_finds_what_prune_finds_by_its_name(name: str) -> None:
    options = {"sparsity": 0.7, "steps": 5, "schedule": "linear", "batches_per_step": 2}
    found = FUNCTIONS[name](mlp(), batches(), cross_entropy, **options)
    other = sft.prune(mlp(), batches(), loss=cross_entropy, method=name, **options)
    assert_same(found.masks, other.masks)
    assert (found.method, found.history) == (name, other.history)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_the_options_of_prune(name: str) -> None:
    """All but the method's name, and what belongs to single other methods."""
    left_out = {"method", "saliency", "rule", "scores", "temperature", "seed"}
    if name == "iterative_snip":  # No weight returns.
        left_out |= {"nested_from", "removed_factor"}
    expected = {
        key: (value.kind, value.default)
        for key, value in inspect.signature(sft.prune).parameters.items()
        if key not in left_out
    }
    found = {
        key: (value.kind, value.default)
        for key, value in inspect.signature(FUNCTIONS[name]).parameters.items()
    }
    assert found.keys() == expected.keys()
    del found["batches"], expected["batches"]  # Methods without gradients need no batches.
    assert found == expected


@pytest.mark.parametrize("call", [sft.force, sft.iterative_snip, sft.prune])
def test_options_reach_the_search(call: Any) -> None:
    found = call(
        mlp(),
        batches(),
        batch_loss=lambda model, batch: cross_entropy(model(batch[0]), batch[1]),
        keep=20,
        schedule=[40, 20],
        mode="eval",
        include="*.weight",
        exclude="2.*",
        progress=False,
    )
    assert (list(found.masks), found.keep, found.steps) == (["0.weight"], 20, 2)


@pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_warnings_of_a_function_point_to_its_caller(name: str) -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight.zero_()
    with pytest.warns(sf.LayerCollapseWarning, match=r"2\.weight") as caught:
        FUNCTIONS[name](model, batches(), cross_entropy, keep=20, steps=2)
    assert {warning.filename for warning in caught} == {__file__}


def test_literal_types_are_the_names() -> None:
    assert get_args(scoring.MethodName) == sft.methods()
    hints = get_type_hints(progressive_methods.force)
    assert "train" in str(hints["mode"])
    assert get_args(scoring.Mode) == ("train", "eval", "as_is")


def test_dir_shows_public_names_alone() -> None:
    assert dir(sft) == sorted(sft.__all__)
    assert {"force", "iterative_snip", "load", "prune"} <= set(dir(sft))
    assert all(hasattr(sft, name) for name in sft.__all__)


def test_without_torch_an_error_names_the_extra() -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "try:\n"
        "    import swiftforce.torch\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "swiftforce.torch needs PyTorch: pip install 'swiftforce[torch]'"


@pytest.mark.parametrize("progress", [None, False, True])
@pytest.mark.parametrize("call", [sft.force, sft.iterative_snip, sft.prune])
def test_progress_reaches_the_bar(
    call: Any, progress: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def bar(items: Any, *, description: str, shown: bool | None) -> Any:
        given.append(shown)
        return items

    monkeypatch.setattr(core_search, "bar", bar)
    call(mlp(), batches(), cross_entropy, sparsity=0.5, steps=2, progress=progress)
    call(mlp(), batches(), cross_entropy, sparsity=0.5, steps=2)
    assert given == [progress, None]
