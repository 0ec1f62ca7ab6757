"""A layer of zeros is named as the cause of scores that are all zero."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf
from ranks import Group, Member
from swiftforce.result.zero_scores import ZeroScores
from swiftforce.search import search_state


def told(call: Any) -> list[tuple[type, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [(one.category, str(one.message)) for one in caught]


def gradients(weights: Any) -> Any:
    """Those of a chain of layers, at a last layer of zeros."""
    return {name: np.zeros_like(one) for name, one in weights.items() if name != "head"} | {
        "head": np.ones_like(weights["head"])
    }


def test_weights_of_zeros_are_named_once() -> None:
    weights = {"body": np.ones((4, 4), np.float32), "head": np.zeros((4, 2), np.float32)}
    found = told(lambda: sf.force(weights, gradients, keep=8, steps=3))
    kinds = [kind for kind, _ in found]
    assert kinds == [sf.DegenerateSaliencyWarning, sf.LayerCollapseWarning]
    assert "every score of the first step is zero" in found[0][1]
    assert "head is zero" in found[0][1]


def test_a_result_and_its_file_name_them_as_the_warning_did(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    weights = {"body": np.ones((4, 4), np.float32), "head": np.zeros((4, 2), np.float32)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = sf.force(weights, gradients, keep=8, steps=3)
    texts = tuple(str(one.message) for one in caught)
    found.save(tmp_path / "m")
    loaded = sf.load(tmp_path / "m")
    assert found.warnings == loaded.warnings == texts
    assert found.zeros == loaded.zeros
    assert "head is zero" in f"{found}"


def test_a_file_that_does_not_name_them_tells_nothing_untrue(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    weights = {"body": np.ones((4, 4), np.float32), "head": np.zeros((4, 2), np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sf.force(weights, gradients, keep=8, steps=3)
    replace(found, zeros=None).save(tmp_path / "m")
    assert not any("removed weights" in text for text in sf.load(tmp_path / "m").warnings)


@pytest.mark.parametrize("method", ["force", "snip"])
def test_results_of_models_name_them_as_the_warning_did(method: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    import swiftforce.torch as sft
    from torch import nn

    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))
    nn.init.zeros_(model[1].weight)
    batches = [(torch.randn(8, 6), torch.randint(3, (8,)))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = sft.prune(model, batches, nn.CrossEntropyLoss(), method=method, sparsity=0.5)
    found.save(tmp_path / "m")
    texts = {str(one.message) for one in caught}
    assert any("1.weight is zero" in text for text in found.warnings)
    assert set(found.warnings) <= texts
    assert sft.load(tmp_path / "m", model).warnings == found.warnings


def test_layers_behind_one_branch_of_zeros_are_named() -> None:
    weights = {
        name: np.full((4, 4), name != "branch.out", np.float32)
        for name in ("body", "branch.in", "branch.out")
    }
    given = {
        name: np.full((4, 4), name != "branch.in", np.float32)
        for name in ("body", "branch.in", "branch.out")
    }
    (kind, text), *_ = told(lambda: sf.snip(weights, given, keep=8))
    assert kind is sf.DegenerateSaliencyWarning
    assert text.startswith("every score of branch.in, branch.out is zero in the first step")
    assert "branch.out is zero" in text


def test_an_empty_tensor_is_no_tensor_of_zeros() -> None:
    weights = {"empty": np.ones(0, "f4"), "one": np.ones(1, "f4"), "w": np.float32([1, 0, 2])}
    grads = {"empty": np.ones(0, "f4"), "one": np.ones(1, "f4"), "w": np.float32([0, 1, 2])}
    assert told(lambda: sf.force(weights, lambda _: grads, keep=2, steps=1)) == []


def test_a_piece_of_zeros_is_not_a_tensor_of_zeros() -> None:
    halves = np.zeros(4, np.float32), np.ones(4, np.float32)

    def work(member: Member) -> int:
        half = halves[member.rank]
        search = sf.MaskSearch(
            {"w": half},
            keep=2,
            communicator=member,
            pieces=[sf.Piece((8,), 4 * member.rank)],
            steps=1,
        )
        search.step({"w": np.ones(4, np.float32)})
        return search.result().keep  # a warning would be an error

    assert Group(2).run(work) == [2, 2]


@pytest.mark.parametrize("error", [MemoryError, ValueError])
def test_a_step_that_is_taken_does_not_fail_for_what_warnings_say(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(search_state.ZeroScores, "of", fails)
    search = sf.MaskSearch(np.zeros(4, np.float32), keep=2, steps=2)
    assert search.step(np.ones(4, np.float32)).step == search.taken == 1


def test_gradients_of_zeros_alone_are_told_as_before() -> None:
    weights = {"a": np.ones(4, np.float32), "b": np.ones(4, np.float32)}
    found = told(lambda: sf.snip(weights, {k: 0 * v for k, v in weights.items()}, keep=2))
    assert "chosen by their positions" in found[0][1]


@pytest.mark.parametrize("method", ["force", "snip", "grasp", "synflow"])
@pytest.mark.parametrize("where", ["head", "norm", "scale"])
def test_torch_looks_at_all_parameters(method: str, where: str) -> None:
    torch = pytest.importorskip("torch")
    import swiftforce.torch as sft
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
            self.gamma, self.head = nn.Parameter(torch.ones(6)), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.gamma * self.norm(self.body(x)))

    torch.manual_seed(0)
    model = Block()
    zero = {"head": model.head.weight, "norm": model.norm.weight, "scale": model.gamma}[where]
    nn.init.zeros_(zero)
    if where == "norm":
        nn.init.zeros_(model.norm.bias)
    batches = [(torch.randn(8, 6), torch.randint(3, (8,)))]
    steps = {"steps": 2} if method in {"force", "synflow"} else {}
    found = told(
        lambda: sft.prune(
            model, batches, nn.CrossEntropyLoss(), method=method, sparsity=0.5, **steps
        )
    )
    name = {"head": "head.weight", "norm": "norm.weight", "scale": "gamma"}[where]
    texts = [text for kind, text in found if kind is sf.DegenerateSaliencyWarning]
    assert len(texts) == 1
    assert f"{name} is zero" in texts[0]


def test_jax_looks_at_all_leaves() -> None:
    pytest.importorskip("jax")
    import jax.numpy as jnp
    import swiftforce.jax as sfj

    params = {
        "body": {"kernel": jnp.ones((4, 3))},
        "norm": {"scale": jnp.zeros(3)},
        "head": {"kernel": jnp.ones((3, 2))},
    }

    def loss(params: Any, batch: Any) -> Any:
        hidden = batch @ params["body"]["kernel"] * params["norm"]["scale"]
        return (hidden @ params["head"]["kernel"] - 1.0).mean()

    found = told(lambda: sfj.prune(params, loss, [jnp.ones((5, 4))], sparsity=0.5, steps=2))
    assert any("norm/scale is zero" in text for _, text in found)


def test_the_number_of_comparisons_grows_with_the_number_of_tensors() -> None:
    compared = []

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(1)
            return str(self) == other

    count = 2000
    zeros, ones = np.zeros(1, np.float32), np.ones(1, np.float32)
    names = [Name(f"{i}.weight") for i in range(count)]
    weights = [zeros if i % 2 else ones for i in range(count)]
    # Equal names that are other objects, as the parameters of a model have.
    others = {Name(str(name)): zeros for name in names}
    found = ZeroScores.of(names, weights, [ones] * count).with_factors(others)
    assert len(found.layers) == count // 2
    assert len(found.factors) == count
    assert len(compared) < 10 * count
