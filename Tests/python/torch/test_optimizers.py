"""Optimizers of torch, timm and schedule-free, and those that wrap others: zeros stay zeros."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import distributed, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.optim import Optimizer  # noqa: E402
from torch_models import CLASSES, Masks, batches, bits, random_masks  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")

STEPS = 5


class AlwaysMoves(Optimizer):
    """Moves every weight at every step, whatever its gradient."""

    def __init__(self, parameters: Any, **_: Any) -> None:
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(0.01)


def mlp() -> nn.Sequential:
    """Without biases, which Muon refuses."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, CLASSES, bias=False))


def train(model: nn.Module, optimizer: Any, steps: int = STEPS) -> None:
    data = batches()
    for turn in range(steps):
        x, y = data[turn % 3]

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(model(x.to(model[0].weight.dtype)).float(), y)
            loss.backward(create_graph=needs_graph(optimizer))
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()


def needs_graph(optimizer: Any) -> bool:
    return "Hessian" in type(optimizer).__name__ or "hessian" in type(optimizer).__name__


def clean(model: nn.Module, masks: Masks) -> bool:
    return all(
        not model.get_parameter(name)[~mask].any() and model.get_parameter(name)[mask].any()
        for name, mask in masks.items()
    )


# ------------------------------------------------------------------------------ all that there are


def classes(module: str) -> Iterator[Any]:
    """Optimizers of a package by name; a case that is skipped without it."""
    try:
        package = importlib.import_module(module)
    except (ImportError, RuntimeError):  # RuntimeError: timm needs a torchvision that fits torch.
        reason = f"needs {module}"
        yield pytest.param(None, id=module, marks=pytest.mark.skip(reason=reason))
        return
    for name, found in sorted(vars(package).items()):
        is_one = inspect.isclass(found) and issubclass(found, Optimizer)
        if is_one and name not in {"Optimizer", "SparseAdam", "Lookahead"}:
            closure = "Closure" in name
            yield pytest.param(
                found,
                id=f"{module}.{name}",
                marks=[pytest.mark.skip(reason="its steps need a closure of its own kind")]
                if closure
                else [],
            )


EVERY = [one for name in ("torch.optim", "timm.optim", "schedulefree") for one in classes(name)]
#: They mix the numbers of several weights, so they must be passed; these and their likes in timm.
MIXING = ("Adafactor", "AdafactorBigVision", "Muon", "Kron", "Mars", "NvNovoGrad")


def made(kind: type[Optimizer], model: nn.Module) -> Optimizer:
    options = {"lr": 0.01} if "lr" in inspect.signature(kind).parameters else {}
    optimizer = kind(model.parameters(), **options)
    if callable(getattr(optimizer, "train", None)):
        optimizer.train()
    return optimizer


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")  # of Hessians
@pytest.mark.parametrize("before", [0, 2], ids=["fresh", "used"])
@pytest.mark.parametrize("kind", EVERY)
def test_removed_weights_stay_zero_whatever_the_optimizer(
    kind: type[Optimizer], before: int
) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = made(kind, model)
    train(model, optimizer, before)
    sft.apply(model, masks, optimizer)
    start = bits(model[0].weight)
    for _ in range(STEPS):
        train(model, optimizer, 1)
        assert clean(model, masks)
    assert bits(model[0].weight) != start
    for change in ("eval", "train"):  # schedule-free exchanges the weights
        getattr(optimizer, change, lambda: None)()
        assert clean(model, masks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize("kind", EVERY)
def test_an_optimizer_that_treats_weights_separately_need_not_be_passed(
    kind: type[Optimizer],
) -> None:
    if kind.__name__ in MIXING:
        pytest.skip("mixes the numbers of several weights")
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks)
    optimizer = made(kind, model)
    for _ in range(STEPS):
        train(model, optimizer, 1)
        assert clean(model, masks)


def test_sparse_adam_keeps_removed_numbers_of_a_table_at_zero() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    mask = torch.arange(15).view(5, 3) % 2 == 0
    optimizer = torch.optim.SparseAdam(table.parameters())
    sft.apply(table, {"weight": mask}, optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        table(torch.tensor([0, 1, 4])).square().sum().backward()
        optimizer.step()
    assert not table.weight[~mask].any()


# ------------------------------------------------------------------------------ wrappers


class Wrapper(Optimizer):
    """As that of accelerate: an Optimizer that was never initialised as one."""

    def __init__(self, inside: Any) -> None:
        self.optimizer = inside

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    @property
    def state(self) -> Any:
        return self.optimizer.state

    def step(self, closure: Any = None) -> None:
        self.optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad()


class PlainWrapper:
    """As that of schedule-free: no Optimizer, and the one inside has another name."""

    def __init__(self, inside: Any) -> None:
        self.all_of_them = [inside]
        self.param_groups = inside.param_groups

    def step(self) -> None:
        self.all_of_them[0].step()

    def zero_grad(self) -> None:
        self.all_of_them[0].zero_grad()


class SharedTables(AlwaysMoves):
    """As that of Fabric: it has all attributes of the optimizer inside."""

    def __init__(self, inside: Any) -> None:
        self.__dict__ = {**vars(inside), "_inside": inside}

    def step(self, closure: Any = None) -> None:
        self._inside.step()


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "Wrapper": lambda p: Wrapper(AlwaysMoves(p)),
    "PlainWrapper": lambda p: PlainWrapper(AlwaysMoves(p)),
    "SharedTables": lambda p: SharedTables(AlwaysMoves(p)),
    "twice": lambda p: Wrapper(PlainWrapper(AlwaysMoves(p))),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_wrapper_is_followed_to_the_optimizer_inside(wrap: str) -> None:
    model, masks = mlp(), random_masks(mlp())
    optimizer = WRAPPED[wrap](model.parameters())
    sft.apply(model, masks, optimizer)
    train(model, optimizer)
    assert clean(model, masks)
    sft.remove(model)
    train(model, optimizer)
    assert not clean(model, masks)


def test_momentum_inside_a_wrapper_is_cleared() -> None:
    model, masks = mlp(), random_masks(mlp())
    inside = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, Wrapper(inside))
    sft.apply(model, masks, Wrapper(inside))
    momentum = inside.state[model[0].weight]["momentum_buffer"]
    assert not momentum[~masks["0.weight"]].any()
    assert momentum.any()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # as it is imported
def test_optimizers_of_torch_distributed_are_followed(tmp_path: Path) -> None:
    from torch.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
    from torch.distributed.optim import PostLocalSGDOptimizer, ZeroRedundancyOptimizer

    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for kind in ("zero", "local"):
            model, masks = mlp(), random_masks(mlp())
            if kind == "zero":
                optimizer = ZeroRedundancyOptimizer(model.parameters(), AlwaysMoves)
            else:
                averager = PeriodicModelAverager(period=2, warmup_steps=1)
                optimizer = PostLocalSGDOptimizer(AlwaysMoves(model.parameters()), averager)
            sft.apply(model, masks, optimizer)
            train(model, optimizer)
            assert clean(model, masks), kind
    finally:
        distributed.destroy_process_group()


class InFloat32:
    """As those for mixed precision: it trains copies of the weights, and rounds them back."""

    def __init__(self, model: nn.Module, kind: type[Optimizer]) -> None:
        self.model = model
        self.copies = [one.detach().float().requires_grad_() for one in model.parameters()]
        self.optimizer = kind(self.copies)

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    def zero_grad(self) -> None:
        self.model.zero_grad()

    def step(self) -> None:
        for weight, copied in zip(self.model.parameters(), self.copies, strict=True):
            copied.grad = weight.grad.float()
        self.optimizer.step()
        with torch.no_grad():
            for weight, copied in zip(self.model.parameters(), self.copies, strict=True):
                weight.copy_(copied)


@pytest.mark.parametrize("kind", [AlwaysMoves, torch.optim.Adam, torch.optim.Adafactor])
@pytest.mark.parametrize("before", [0, 2])
def test_copies_that_an_optimizer_trains_are_masked_as_well(
    kind: type[Optimizer], before: int
) -> None:
    model, masks = mlp().bfloat16(), random_masks(mlp())
    optimizer = InFloat32(model, kind)
    train(model, optimizer, before)
    sft.apply(model, masks, optimizer)
    for copied, mask in zip(optimizer.copies, masks.values(), strict=True):
        assert not copied[~mask].any()
    train(model, optimizer)
    assert clean(model, masks)


# ------------------------------------------------------------------------------ refused


class NeverInitialised(Optimizer):
    """Holds no optimizer, and calls no hooks."""

    def __init__(self, parameters: Any) -> None:
        self.param_groups = [{"params": list(parameters)}]

    def step(self, closure: Any = None) -> None:
        pass


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda _: object(), sf.UnsupportedTypeError, "not object"),
        (lambda _: torch.optim.SGD, sf.UnsupportedTypeError, r"class SGD: pass an instance"),
        (lambda m: torch.amp.GradScaler("cpu"), sf.UnsupportedTypeError, "GradScaler"),
        (
            lambda m: NeverInitialised(m.parameters()),
            sf.UnsupportedTypeError,
            "does not call hooks",
        ),
        (lambda m: Wrapper(NeverInitialised(m.parameters())), sf.UnsupportedTypeError, "Wrapper"),
        (lambda _: torch.optim.SGD(mlp().parameters()), sf.StructureError, "SGD trains none"),
        (
            lambda m: torch.optim.SGD([nn.utils.parameters_to_vector(m.parameters()).detach()]),
            sf.StructureError,
            "no copies",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_followed_changes_nothing(
    make: Any, error: type[Exception], match: str
) -> None:
    model = mlp()
    good, bad = torch.optim.SGD(model.parameters()), make(model)
    before = [bits(one) for one in model.parameters()]
    for given in (bad, [good, bad]):
        with pytest.raises(error, match=match):
            sft.apply(model, random_masks(model), given)
        assert [bits(one) for one in model.parameters()] == before
        assert sft.masks(model) == {}
        assert not good._optimizer_step_post_hooks


def test_none_is_no_optimizer() -> None:
    model, masks = mlp(), random_masks(mlp())
    sft.apply(model, masks, None)
    assert clean(model, masks)
