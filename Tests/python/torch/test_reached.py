"""Weights that a batch does not reach, and the words for those that none reaches."""

from __future__ import annotations

from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from delicate_models import CLASSES, WIDTH, Checkpointed, Delicate, dense  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


class Routed(Delicate):
    """Sends each batch to the expert that its first number names."""

    def __init__(self, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(dense() for _ in range(experts))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.experts[self.chosen](x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.chosen = int(x[0, 0])
        return super().forward(x)


def data(*firsts: float, size: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    found = []
    for i, first in enumerate(firsts):
        drawn = torch.Generator().manual_seed(i)
        x = torch.randn(size + i, WIDTH, generator=drawn)
        x[0, 0] = first
        found.append((x, torch.randint(CLASSES, (size + i,), generator=drawn)))
    return found


def prune(model: nn.Module, batches: Any, **options: Any) -> Any:
    return sft.prune(model, batches, cross_entropy, **{"sparsity": 0.5, **options})


@pytest.mark.parametrize("method", ["force", "snip", "grasp"])
def test_an_expert_counts_as_zero_for_batches_that_are_not_routed_to_it(method: str) -> None:
    options = {"steps": 2} if method == "force" else {}
    found = prune(Routed(2), data(0, 1, 1), batches_per_step=3, method=method, **options)
    assert found.keep == found.size // 2
    assert all(mask.any() for mask in found.masks.values())


def test_the_mean_is_over_all_samples_also_of_batches_that_do_not_reach_a_weight() -> None:
    torch.manual_seed(0)
    model, batches = Routed(2).double(), [(x.double(), y) for x, y in data(0, 1, 1)]
    found = prune(model, batches, batches_per_step=3, method="snip")
    total = {name: torch.zeros_like(one) for name, one in model.named_parameters()}
    for x, y in batches:
        model.zero_grad(set_to_none=True)
        cross_entropy(model(x), y, reduction="sum").backward()
        for name, one in model.named_parameters():
            total[name] += 0 if one.grad is None else one.grad / 15
    norm = torch.cat([total[name].flatten() for name in found.masks]).norm()
    assert found.history[0].gradient_norm == pytest.approx(float(norm), rel=1e-6)


def test_steps_may_reach_different_experts() -> None:
    assert prune(Routed(2), data(0, 1), steps=2).keep > 0


def test_an_expert_that_no_batch_reaches_is_named_and_not_called_useless() -> None:
    with pytest.raises(sf.MissingGradientsError) as caught:
        prune(Routed(3), data(0, 1), steps=4)
    assert "experts.2.weight" in str(caught.value)
    assert "experts.0" not in str(caught.value)
    assert "batches_per_step" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "use"),
    [
        ("if the model never does, exclude it", lambda model, x: x),
        ("is detached", lambda model, x: x + model.other(x).detach()),
        ("use_reentrant=False", lambda model, x: x + checkpoint(model.other, x.detach(),
                                                                use_reentrant=True)),
        ("torch.no_grad", lambda model, x: x + torch.no_grad()(model.other)(x)),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("method", ["force", "grasp"])
def test_the_cause_is_told(words: str, use: Any, method: str) -> None:
    model = Delicate()
    model.other = dense()
    model.between = lambda x: use(model, x)
    options = {"steps": 2} if method == "force" else {}
    with pytest.raises(sf.MissingGradientsError, match=words) as caught:
        prune(model, data(0), method=method, **options)
    assert "other.weight" in str(caught.value)
    assert ("exclude" in str(caught.value)) == ("exclude" in words)


@pytest.mark.parametrize("method", ["force", "snip", "synflow"])
def test_a_reentrant_checkpoint_gives_the_mask_of_the_other_kind(method: str) -> None:
    def found(*, reentrant: bool) -> Any:
        torch.manual_seed(0)
        model = Checkpointed(reentrant=reentrant).double()
        batches = [(x.double(), y) for x, y in data(0, 1)]
        options = {} if method == "snip" else {"steps": 3}
        return prune(model, batches, method=method, **options).masks

    plain = found(reentrant=False)
    for name, mask in found(reentrant=True).items():
        assert torch.equal(mask, plain[name])


def test_grasp_says_what_it_needs_of_a_reentrant_checkpoint() -> None:
    with pytest.raises(sf.UnsupportedTypeError, match="use_reentrant=False"):
        prune(Checkpointed(reentrant=True), data(0), method="grasp")
    assert prune(Checkpointed(reentrant=False), data(0), method="grasp").keep > 0
