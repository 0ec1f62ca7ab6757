"""Architectures of timm, torchvision and transformers: masks are exact and no model is harmed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import swiftforce as sf
import swiftforce.torch as sft
import torch
from architectures import Architecture, architectures
from snapshots import Snapshot, differences, snapshot
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")

SPARSITY = 0.9
TABLES = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
#: How a layer is computed that multiplies by its own weight, not by one that it computes from it.
PLAIN = (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward)


@pytest.fixture(scope="module", params=list(architectures()), ids=lambda one: one.name)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Architecture, nn.Module, object]]:
    """An architecture, its model and a batch; the model has gradients, as in training."""
    torch.manual_seed(0)
    architecture: Architecture = request.param
    model, batch = architecture.model(), architecture.batch()
    architecture.loss(model, batch).backward()
    yield architecture, model, batch


def taken(case: tuple[Architecture, nn.Module, object]) -> Snapshot:
    architecture, model, batch = case
    return snapshot(model, lambda: architecture.call(model, batch))


#: The library has no gradients in this mode: RWKV writes its cache in place, and the few texts of
#: a batch leave experts of Switch unused.
NO_GRADIENTS = {
    ("transformers/RwkvForCausalLM", "eval"),
    ("transformers/SwitchTransformersForConditionalGeneration", "eval"),
}


@contextmanager
def works_or_says_why(name: str) -> Iterator[None]:
    """Allow errors of the package's own, and print them."""
    try:
        yield
    except sf.SwiftForceError as error:
        print(f"{name}: {type(error).__name__}: {error}")


def test_weights_are_chosen(case) -> None:
    _, model, _ = case
    chosen = {id(parameter) for parameter in sft.prunable(model).values()}
    wrong = [
        name
        for name, module in model.named_modules()
        if isinstance(module, TABLES)
        for parameter in module.parameters(recurse=False)
        if id(parameter) in chosen
    ]
    assert not wrong
    matrices = sum(
        parameter.numel()
        for module in model.modules()
        if type(module).forward in PLAIN
        for parameter in module.parameters(recurse=False)
        if parameter.dim() > 1
    )
    found = sum(parameter.numel() for parameter in sft.prunable(model).values())
    assert found >= matrices / 2


def test_force_is_exact_and_leaves_the_model(case) -> None:
    architecture, model, batch = case
    before = taken(case)
    pruning = sft.force(
        model, [batch], batch_loss=architecture.loss, sparsity=SPARSITY, steps=3, progress=False
    )
    assert not differences(before, taken(case))
    total = sum(layer.size for layer in pruning.layers)
    assert pruning.keep == max(1, round(total * (1 - SPARSITY)))
    assert sum(int(mask.sum()) for mask in pruning.masks.values()) == pruning.keep


@pytest.mark.parametrize("mode", ["train", "eval", "as_is"])
def test_snip_leaves_the_model(case, mode: str) -> None:
    architecture, model, batch = case
    before = taken(case)
    may_fail = (architecture.name, mode) in NO_GRADIENTS
    with works_or_says_why(architecture.name) if may_fail else nullcontext():
        sft.prune(
            model,
            [batch],
            batch_loss=architecture.loss,
            method="snip",
            sparsity=SPARSITY,
            mode=mode,
        )
    assert not differences(before, taken(case))


@pytest.mark.parametrize("method", ["synflow", "grasp"])
def test_other_methods_leave_the_model(case, method: str) -> None:
    architecture, model, batch = case
    before = taken(case)
    more = {"steps": 2} if method == "synflow" else {}
    with works_or_says_why(f"{architecture.name}: {method}"):
        pruning = sft.prune(
            model, [batch], batch_loss=architecture.loss, method=method, sparsity=SPARSITY, **more
        )
        assert sum(int(mask.sum()) for mask in pruning.masks.values()) == pruning.keep
    assert not differences(before, taken(case))


def test_effective_density_leaves_the_model(case) -> None:
    architecture, model, batch = case
    pruning = sft.prune(model, method="magnitude", sparsity=SPARSITY)
    before = taken(case)
    inputs = (
        {k: v for k, v in batch.items() if k != "labels"} if isinstance(batch, dict) else batch[0]
    )
    with works_or_says_why(f"{architecture.name}: effective_density"):
        found = sft.effective_density(model, pruning, inputs=inputs)
        assert 0 <= found.density <= found.kept / found.size
    assert not differences(before, taken(case))


def test_sparse_layers_compute_what_the_masked_model_does(case) -> None:
    architecture, model, batch = case
    inputs = (
        {k: v for k, v in batch.items() if k != "labels"} if isinstance(batch, dict) else batch[0]
    )
    masks = sft.prune(model, method="random", sparsity=SPARSITY).masks
    sft.apply(model, masks)
    plain = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.eval()
    expected = architecture.call(model, batch)
    with works_or_says_why(f"{architecture.name}: sparsify"):
        plan = sft.sparsify(model, inputs)
        assert any(layer.kernels == "sparse" for layer in plan)
        model.eval()
        found = architecture.call(model, batch)
        assert type(found) is torch.Tensor
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()
        model.train()
        architecture.loss(model, batch).backward()
        assert {name: tensor.shape for name, tensor in model.state_dict().items()} == plain
        sft.desparsify(model)
    sft.remove(model)


def test_removed_weights_stay_zero(case) -> None:
    architecture, model, batch = case
    pruning = sft.prune(
        model, [batch], batch_loss=architecture.loss, method="snip", sparsity=SPARSITY
    )
    plain = {name: tensor.shape for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    sft.apply(model, pruning, optimizer)
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == plain
    for _ in range(3):
        optimizer.zero_grad()
        architecture.loss(model, batch).backward()
        optimizer.step()
    named = dict(model.named_parameters(remove_duplicate=False))
    assert all(not named[name][~mask].any() for name, mask in pruning.masks.items())
    sft.remove(model)
