"""Damped searches of models, their objective, and the loss of the published code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch_models import batches, mlp  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]

DATA = batches(sizes=(6,) * 5)
OPTIONS: dict[str, Any] = {"loss": functional.cross_entropy, "sparsity": 0.9, "steps": 5}
DAMPINGS = [
    {"momentum": 0.9},
    {"removed_factor": 0.25},
    {"nested_from": 0.5},
    {"momentum": 0.5, "removed_factor": 0.5, "nested_from": 4},
]


def gradients(model: Any) -> Any:
    """What the numpy functions take: gradients of the next batch, at masked weights."""
    names = list(sft.prunable(model))
    data = iter(DATA)

    def at(masked: dict[str, Any]) -> dict[str, Any]:
        x, y = next(data)
        weights = {name: torch.tensor(masked[name], requires_grad=name in names) for name in masked}
        out = torch.func.functional_call(model, weights, (x,))
        found = torch.autograd.grad(functional.cross_entropy(out, y), list(weights.values()))
        return {name: one.numpy() for name, one in zip(weights, found, strict=True)}

    return at


@pytest.mark.parametrize("damping", DAMPINGS, ids=str)
def test_masks_are_those_of_the_numpy_function(damping: dict[str, Any]) -> None:
    model = mlp()
    found = sft.force(model, DATA, **OPTIONS, **damping)
    weights = {name: p.detach().numpy().copy() for name, p in sft.prunable(model).items()}
    expected = sf.force(weights, gradients(model), sparsity=0.9, steps=5, **damping)
    for name, mask in expected.masks.items():
        assert (found.masks[name].numpy() == mask).all(), name
    assert found.damping == expected.damping != sf.Damping()
    assert found.history == expected.history


def test_momentum_of_iterative_snip() -> None:
    plain = sft.iterative_snip(mlp(), DATA, **OPTIONS)
    damped = sft.iterative_snip(mlp(), DATA, **OPTIONS, momentum=0.9)
    same = sft.prune(mlp(), DATA, **OPTIONS, method="iterative_snip", momentum=0.9)
    assert damped.history == same.history != plain.history


@pytest.mark.parametrize("method", ["force", "iterative_snip"])
def test_objective(method: str) -> None:
    model = mlp()
    found = sft.prune(model, DATA, **OPTIONS | {"steps": 4}, method=method, objective=True)
    weights = {name: p.detach().numpy() for name, p in sft.prunable(model).items()}
    at = gradients(model)
    for _ in range(4):
        at(weights)  # The search took these batches.
    masked = {name: np.where(found.masks[name].numpy(), w, 0) for name, w in weights.items()}
    own = at(masked)
    expected = sum(float(np.abs(w * own[name]).sum()) for name, w in masked.items())
    assert found.objective == pytest.approx(expected, rel=1e-5)
    assert sft.prune(model, DATA, **OPTIONS, method=method).objective is None


def test_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "s"
    options = OPTIONS | {"momentum": 0.9, "checkpoint": path}
    whole = sft.force(mlp(), DATA, **OPTIONS, momentum=0.9, objective=True)

    def three(output: Any, target: Any) -> Any:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(0)
        return functional.cross_entropy(output, target)

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        sft.force(mlp(), DATA, **options | {"loss": three})
    again = sft.force(mlp(), DATA, **options, objective=True)
    assert again.history == whole.history
    # It is read from the file, which has the objective, too.
    assert sft.force(mlp(), DATA, **options, objective=True).history == whole.history
    others = ({"momentum": 0.8}, {"momentum": 0.90000001}, {"momentum": 0.0}, {"nested_from": 2})
    for changes in others:
        with pytest.raises(sf.SearchFileError, match=r"momentum 0\.9\b|nested from step 2"):
            sft.force(mlp(), DATA, **options | changes)


@pytest.mark.parametrize(
    ("method", "options", "why"),
    [
        ("synflow", {"momentum": 0.5}, "not for synflow"),
        ("synflow", {"objective": True}, "objective is for"),
        ("grasp", {"removed_factor": 0.5}, "not for grasp"),
        ("grasp", {"objective": True}, "objective is for"),
        ("magnitude", {"objective": True}, "objective is for"),
        ("magnitude", {"momentum": 0.5}, "momentum must be 0"),
        ("iterative_snip", {"nested_from": 2}, "nested_from must be left out"),
        ("force", {"momentum": 1}, "momentum must be in"),
    ],
)
def test_what_is_refused(method: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(sf.HyperparameterError, match=why):
        sft.prune(mlp(), DATA, functional.cross_entropy, method=method, sparsity=0.5, **options)


def test_target_logit() -> None:
    logits = torch.randn(6, 4, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0, 2])
    loss = sft.losses.target_logit(logits, labels)
    assert loss.item() == pytest.approx(-logits[torch.arange(6), labels].mean().item())
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = torch.zeros(6, 4)
    expected[torch.arange(6), labels] = -1 / 6
    assert torch.allclose(gradient, expected)
    found = sft.force(mlp(), DATA, sft.losses.target_logit, sparsity=0.9, steps=5)
    assert found.keep > 0
