"""What parameters are by the modules that own them, and the table that says so."""

from __future__ import annotations

import copy
import pickle

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.adapters import Reason  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import conv2d, linear  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def reasons(model: nn.Module) -> dict[str, Reason]:
    """The reasons of all parameters that are no vectors."""
    found = sft.prunable(model).decisions
    return {one.name: one.reason for one in found if one.reason is not Reason.VECTOR}


class Conv1D(nn.Module):
    """The linear layer of GPT-2 in transformers."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))


class Router(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).softmax(-1)


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(3, 4, 8))
        self.gate_up_proj_bias = nn.Parameter(torch.randn(3, 8))


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.router = Router(4, 3)
        self.experts = Experts()
        self.gate_proj = nn.Linear(4, 8)


class Padded(nn.Conv2d):
    """A forward pass of its own that changes nothing about the weight."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return conv2d(nn.functional.pad(x, (1, 1, 1, 1)), self.weight.to(x.dtype), self.bias)


class Scaled(nn.Linear):
    """Zeros stay zeros."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight * 3 / self.weight.shape[0] ** 0.5, self.bias)


class Standardised(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)


class Dynamic(nn.Linear):
    """Its weight depends on its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight + x.mean(), self.bias)


class Inner(nn.Conv2d):
    """Transforms its weight in a method that torch's forward pass calls."""

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return super()._conv_forward(x, weight - weight.mean(), bias)


class Strange(nn.Linear):
    def forward(self, x: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight + more)


def test_experts_are_weights_and_routers_are_not() -> None:
    assert reasons(Mixture()) == {
        "gate.weight": Reason.ROUTER,
        "router.weight": Reason.ROUTER,
        "experts.gate_up_proj": Reason.NAME,
        "experts.gate_up_proj_bias": Reason.BIAS,
        "gate_proj.weight": Reason.LAYER,
    }


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Conv1D(3, 2), Reason.LAYER),
        (Padded(2, 3, 3), Reason.LAYER),
        (Scaled(4, 3), Reason.LAYER),
        (Standardised(2, 3, 3), Reason.COMPUTED),
        (Inner(2, 3, 3), Reason.COMPUTED),
        (Dynamic(4, 3), Reason.COMPUTED),
        (Strange(4, 3), Reason.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_may_compute_its_weight(module: nn.Module, reason: Reason) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = nn.Sequential(module, nn.Linear(2, 2))
    state = torch.get_rng_state()
    assert reasons(model)["0.weight"] is reason
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


class Symmetric(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


def test_parametrizations_that_keep_zeros_are_pruned() -> None:
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(4, 4)),
        parametrizations.spectral_norm(nn.Linear(4, 4)),
        nn.Linear(4, 4),
    )
    parametrize.register_parametrization(model[2], "weight", Symmetric())
    assert reasons(model) == {
        "0.parametrizations.weight.original0": Reason.SCALE,
        "0.parametrizations.weight.original1": Reason.LAYER,
        "1.parametrizations.weight.original": Reason.LAYER,
        "2.parametrizations.weight.original": Reason.COMPUTED,
    }


def test_quantised_frozen_and_integer_parameters() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].requires_grad_(False)
    model.packed = nn.Parameter(torch.ones(4, 4, dtype=torch.uint8), requires_grad=False)
    model.codes = nn.Parameter(torch.ones(4, 4, dtype=torch.int64), requires_grad=False)
    assert reasons(model) == {
        "packed": Reason.QUANTISED,
        "codes": Reason.NOT_FLOATING,
        "0.weight": Reason.FROZEN,
        "1.weight": Reason.LAYER,
    }


# ------------------------------------------------------------------------------ names


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.body = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight
        self.twin = nn.Linear(8, 8)
        self.twin.weight = self.body.weight


def test_patterns_know_all_names_of_a_tied_parameter() -> None:
    model = Tied()
    assert list(sft.prunable(model, exclude="head.weight")) == ["body.weight"]
    assert list(sft.prunable(model, include="head.weight")) == ["embed.weight"]
    assert list(sft.prunable(model, include="*", exclude=["twin.weight", "*bias"])) == [
        "embed.weight"
    ]
    why = {one.name: one.why for one in sft.prunable(model).decisions}
    assert why["embed.weight"] == "an embedding that a layer shares; is tied to head.weight"
    assert why["body.weight"].endswith("is tied to twin.weight")


def test_patterns_may_have_the_names_in_wrappers() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    wrapped = nn.DataParallel(model)
    assert list(sft.prunable(wrapped, exclude="module.0.*")) == ["1.weight"]
    compiled = torch.compile(model, backend="eager")
    assert list(sft.prunable(compiled, include="_orig_mod.0.weight")) == ["0.weight"]
    model[0] = torch.compile(model[0], backend="eager")
    assert list(sft.prunable(model, include="0.weight")) == ["0._orig_mod.weight"]


# ------------------------------------------------------------------------------ the table


def test_the_table_says_what_is_chosen_and_why() -> None:
    found = sft.prunable(Tied())
    lines = repr(found).splitlines()
    assert lines[0].startswith("1 of 4 arrays are prunable: 64 of 240 numbers, 100 %")
    assert len([line for line in lines if line.startswith("pruned")]) == 1
    assert any("left out" in line and "an embedding" in line for line in lines)
    html = found._repr_html_()
    assert html.count("<tr") == len(lines) - 1
    assert "an embedding that a layer shares" in html


def test_copies_of_the_choice_show_themselves() -> None:
    found = sft.prunable(nn.Linear(2, 2))
    assert isinstance(found, dict)
    for again in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert repr(again) == repr(found)


def test_names_with_control_characters_are_escaped() -> None:
    model = nn.Module()
    model.register_module("a\x1b[1m<i>", nn.Linear(2, 2))
    found = sft.prunable(model)
    assert "\x1b" not in repr(found)
    assert "<i>" not in found._repr_html_()


# ------------------------------------------------------------------------------ the scope


def test_a_result_says_what_was_searched() -> None:
    model = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    pruning = sft.prune(model, method="magnitude", sparsity=0.5)
    assert pruning.scope == sf.Scope(24, 24, 0, 32 + 20 + 10)
    assert pruning.model_sparsity == 12 / 62
    assert "searched 100 % of the model's matrices" in format(pruning)
    assert "whole model: sparsity 0.1935 of 62 parameters" in pruning._repr_html_()
    assert pruning.warnings == ()


def test_a_small_part_is_warned_of() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    model[:2].requires_grad_(False)
    with pytest.warns(sf.PartlySearchedWarning, match=r"only 11.1 %.*0.weight \(64\): not trained"):
        pruning = sft.prune(model, method="magnitude", sparsity=0.5)
    assert any("1.weight (64)" in text for text in pruning.warnings)
    # What the caller leaves out is no surprise, but the share is told.
    pruning = sft.prune(model, method="magnitude", sparsity=0.5, include="2.weight")
    assert pruning.warnings == ()
    assert pruning.scope is not None
    assert pruning.scope.share == 16 / 144


def test_what_patterns_leave_out_is_not_warned_of() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    pruning = sft.prune(model, method="magnitude", sparsity=0.5, exclude="0.*")
    assert pruning.warnings == ()
    assert "searched 20 % of the model's matrices" in format(pruning)
