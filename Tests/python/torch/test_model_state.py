"""The state of a model and of random number generators is restored, however a search ends."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from interrupts import Place, first_and_last, place_of  # noqa: E402
from swiftforce.torch.model_state import ModelState  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402
from torch_models import batches, bits  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]

SHAPE = (2, 6, 6)
Call = Callable[..., torch.Tensor]


class StoppedError(Exception):
    """An error of the caller's loss or batches."""


@pytest.fixture
def model() -> nn.Module:
    """A model with everything that a search could change."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()),
        *(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 5), nn.Linear(5, torch_models.CLASSES)),
    )
    model(torch.randn(4, *SHAPE))  # Statistics that differ from the initial ones.
    with torch.no_grad():
        model[5].weight[0, :5] = -0.0
        model[0].weight[0, 0, 0, 0] = -0.0
    model[0].weight.grad = torch.randn_like(model[0].weight)
    model[1].bias.grad = torch.randn_like(model[1].bias)
    model[7].weight.requires_grad_(False)  # Frozen, but pruned.
    model[5].bias.requires_grad_(False)
    model[1].eval()  # Some modules are in eval mode, as in fine-tuning.
    model[3].eval()
    return model


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that must not change."""
    return {
        "parameters": [(name, id(one), bits(one)) for name, one in model.named_parameters()],
        "dtypes and memory": [(one.dtype, one.data_ptr()) for one in model.parameters()],
        "requires_grad": [one.requires_grad for one in model.parameters()],
        "gradients": [
            None if one.grad is None else (id(one.grad), bits(one.grad))
            for one in model.parameters()
        ],
        "buffers": [(name, id(one), bits(one)) for name, one in model.named_buffers()],
        "training": [module.training for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "torch": bits(torch.get_rng_state()),
        "numpy": repr(np.random.get_state()),
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def random_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that draws from every random number generator."""
    weight = 1 + np.random.rand() + random.random() + float(torch.rand(()))
    return cross_entropy(output, target) * weight


def search(model: nn.Module, loss: Call = random_loss, **options: Any) -> sf.Pruning:
    given = {"sparsity": 0.6, "include": ["[0578].weight"], **options}
    return sft.prune(model, batches(SHAPE), loss=loss, **given)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("method", sft.methods())
def test_after_a_search_all_is_as_before(model: nn.Module, method: str, mode: str) -> None:
    before = state(model)
    progressive = method in {"force", "iterative_snip", "grasp_it", "synflow"}
    options = {"steps": 4} if progressive else {}
    search(model, method=method, mode=None if method == "synflow" else mode, **options)
    assert state(model) == before


@contextmanager
def interrupted(at: int) -> Iterator[list[Place]]:
    """Raise KeyboardInterrupt at the start of function call number `at` of a search, if not 0.

    Yields where functions were called.
    """
    files = {"search.py", "gradients.py", "objective.py", "memory.py", "mask_search.py"}
    places: list[Place] = []

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        # An exception in a generator that is being deleted is ignored.
        if event != "call" or code.co_flags & inspect.CO_GENERATOR:
            return
        if Path(code.co_filename).name in files:
            places.append(place_of(frame))
            if len(places) == at:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        yield places
    finally:
        sys.setprofile(None)


@pytest.mark.slow
def test_an_interrupt_anywhere_leaves_all_as_before(model: nn.Module) -> None:
    """At the first and at the last call from every place."""
    before = state(model)
    for _ in range(2):  # A first search calls more functions.
        with interrupted(0) as places:
            search(model, cross_entropy, steps=2)
    chosen = first_and_last(places)
    assert len(chosen) > 20
    for at in chosen:
        with pytest.raises(KeyboardInterrupt), interrupted(at):
            search(model, cross_entropy, steps=2)
        assert state(model) == before, at


def failing(step: int, error: BaseException) -> Call:
    calls = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == step:
            raise error
        return random_loss(output, target)

    return loss


@pytest.mark.parametrize("error", [StoppedError(), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("step", [1, 2, 4])
def test_after_an_exception_in_the_loss_all_is_as_before(
    model: nn.Module, step: int, error: BaseException
) -> None:
    before = state(model)
    with pytest.raises(type(error)) as caught:
        search(model, failing(step, error), steps=4)
    assert caught.value is error
    assert state(model) == before


@pytest.mark.parametrize("call", [1, 2])
def test_after_an_exception_in_grasp_all_is_as_before(model: nn.Module, call: int) -> None:
    before = state(model)
    with pytest.raises(StoppedError):
        search(model, failing(call, StoppedError()), method="grasp")
    assert state(model) == before


def test_after_an_exception_in_the_batches_all_is_as_before(model: nn.Module) -> None:
    def loader() -> Any:
        yield from batches(SHAPE)
        raise StoppedError

    before = state(model)
    with pytest.raises(StoppedError):
        sft.prune(model, loader(), loss=random_loss, sparsity=0.5, steps=9)
    assert state(model) == before


def test_after_an_exception_in_the_model_all_is_as_before(model: nn.Module) -> None:
    before = state(model)
    with pytest.raises(RuntimeError, match="channels"):
        sft.prune(model, batches((3, 6, 6)), loss=random_loss, sparsity=0.5, steps=3)
    assert state(model) == before


@pytest.mark.parametrize("step", [1, 3])
def test_a_nan_gradient_names_its_parameter_and_changes_nothing(
    model: nn.Module, step: int
) -> None:
    calls = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        nothing = model[5].weight[0, 7] * 0  # Finite, but its derivative is not.
        return cross_entropy(output, target) + (nothing.sqrt() * 0 if len(calls) == step else 0)

    before = state(model)
    with pytest.raises(sf.NonFiniteError, match=r"gradients\['5\.weight'\]") as caught:
        search(model, loss, steps=4)
    assert (caught.value.count, caught.value.first_index) == (1, 7)
    assert len(calls) == step
    assert state(model) == before


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_and_changes_nothing(
    model: nn.Module, bad: float
) -> None:
    before = state(model)
    with pytest.raises(sf.NonFiniteError, match="the loss of a batch is"):
        search(model, lambda output, target: cross_entropy(output, target) * bad, steps=4)
    assert state(model) == before


@pytest.mark.parametrize("method", ["magnitude", "force", "grasp"])
def test_a_weight_that_is_nan_is_an_error_and_stays(model: nn.Module, method: str) -> None:
    with torch.no_grad():
        model[5].weight[2, 3] = float("nan")
    before = state(model)
    with pytest.raises(sf.NonFiniteError) as caught:
        search(model, method=method)
    if method == "magnitude":
        assert caught.value.tensor == "weights['5.weight']"
        assert caught.value.first_index == 2 * 64 + 3
    assert state(model) == before


def test_steps_in_between_do_see_masked_weights(model: nn.Module) -> None:
    """Without this, the tests above would prove nothing."""
    zeros = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        zeros.append(sum(int((model[i].weight == 0).sum()) for i in (0, 5, 7, 8)))
        assert model.training
        return cross_entropy(output, target)

    search(model, loss, steps=3)
    assert zeros[0] == 6  # Those of the fixture.
    assert zeros[0] < zeros[1] < zeros[2]


def test_gradients_are_enabled_inside_whatever_the_caller_has(model: nn.Module) -> None:
    found = search(model, cross_entropy, steps=3)
    with torch.no_grad():
        before = state(model)
        torch_models.assert_same(search(model, cross_entropy, steps=3).masks, found.masks)
        assert state(model) == before


def test_a_search_can_be_called_in_the_inference_mode() -> None:
    model, data = torch_models.mlp(), batches()
    with torch.inference_mode():
        assert sft.prune(model, data, loss=cross_entropy, sparsity=0.5, steps=2).keep == 40


def test_a_buffer_may_share_its_elements() -> None:
    model = torch_models.mlp()
    model.register_buffer("positions", torch.zeros(1).expand(5))
    assert sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=2).keep == 40


class RunningMean(nn.Module):
    """Keeps a running mean of its inputs in a buffer that is None at first."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch_models.mlp()
        self.register_buffer("seen", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        new = x.detach().mean()
        self.seen = new if self.seen is None else 0.9 * self.seen + 0.1 * new
        return self.body(x)


def test_a_buffer_that_the_model_replaces_comes_back() -> None:
    model = RunningMean()
    model(batches()[0][0])
    before = state(model)
    sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=3)
    assert state(model) == before


def test_a_buffer_that_the_search_filled_is_empty_again() -> None:
    model = RunningMean()
    sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=3)
    assert model.seen is None


def test_what_the_caller_does_next_is_as_if_there_had_been_no_search() -> None:
    """Training with dropout and shuffled batches gives the same weights after a search."""
    x, y = batches(sizes=(24,))[0]

    def trained(*, pruned: bool) -> list[bytes]:
        model = nn.Sequential(*torch_models.mlp(), nn.Dropout(0.4))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(5)
        loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
        if pruned:
            sft.prune(model, loader, loss=cross_entropy, sparsity=0.5, steps=7)
        for _ in range(2):
            for given, target in loader:
                optimizer.zero_grad()
                cross_entropy(model(given), target).backward()
                optimizer.step()
        return [bits(parameter) for parameter in model.parameters()]

    assert trained(pruned=True) == trained(pruned=False)


def test_a_loader_with_a_generator_of_its_own_shuffles_as_if_there_had_been_no_search() -> None:
    generator = torch.Generator().manual_seed(3)
    x, y = batches(sizes=(24,))[0]
    loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True, generator=generator)
    before = generator.get_state()
    sft.prune(torch_models.mlp(), loader, loss=cross_entropy, sparsity=0.5, steps=2)
    assert torch.equal(generator.get_state(), before)


class Awkward(nn.Module):
    """A sparse buffer, and one whose shape a forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("neighbours", torch.eye(3).to_sparse())
        self.register_buffer("grows", torch.zeros(2))
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.grows.resize_(3).fill_(1.0)
        return self.body(x)


def test_awkward_buffers_come_back_and_keep_no_other_from_it() -> None:
    model = Awkward()
    sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=2)
    assert torch.equal(model.neighbours.to_dense(), torch.eye(3))
    assert torch.equal(model.grows, torch.zeros(2))
    assert int(model.body[1].num_batches_tracked) == 0
    assert not model.body[1].running_mean.any()


def test_an_optimizer_in_the_backward_pass_takes_no_step() -> None:
    model = torch_models.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    before = state(model)
    sft.prune(model, batches(), loss=cross_entropy, sparsity=0.5, steps=2)
    assert state(model) == before


def test_what_the_contexts_put_into_a_model_stays_until_they_are_left() -> None:
    """The caches of earlier batches are dropped, as a model in eval mode may keep."""
    model = torch_models.mlp()

    @contextmanager
    def marked() -> Iterator[None]:
        model.mark = 1
        yield
        del model.mark

    with ModelState(model, model.parameters(), None, mode="eval", contexts=[marked()]) as inside:
        model.cache = 2
        inside.begin_batch()
        assert model.mark == 1
        assert not hasattr(model, "cache")
    assert not hasattr(model, "mark")
