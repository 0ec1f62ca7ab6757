"""Small models that a forward pass or a change of mode changes: each in a way of its own."""

from __future__ import annotations

import copy
import random
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear, normalize
from torch.utils.checkpoint import checkpoint

WIDTH, CLASSES = 8, 4


def dense() -> nn.Linear:
    return nn.Linear(WIDTH, WIDTH)


class Delicate(nn.Module):
    """Two layers; subclasses say what is between them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = dense(), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.body(x)))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


class Registry(dict[str, Any]):
    """A dictionary whose constructor takes something else, and which refuses changes."""

    def __init__(self, title: str, owner: Any) -> None:
        super().__init__()
        self.title, self.owner = title, owner

    def __setitem__(self, key: str, value: Any) -> None:
        raise TypeError

    clear = copy = __iter__ = items = update = None  # type: ignore[assignment]


class Ordered(OrderedDict[str, Any]):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(first=first, second=second)


class Growing(list[Any]):
    def __init__(self, first: Any, *, limit: int) -> None:
        super().__init__([first])
        self.limit = limit

    def clear(self) -> None:
        raise TypeError


class Holds(Delicate):
    """Holds containers of all kinds, with constructors of their own, and writes into each."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry("registry", self)
        dict.__setitem__(self.registry, "weight", self.body.weight)
        self.ordered, self.growing = Ordered(1, 2), Growing(0, limit=3)
        self.plain = [1, 2]
        self.others = [deque([1, 2], maxlen=2), defaultdict(list), Counter("a"), UserDict(a=1)]
        self.names = {"a"}

    def between(self, x: torch.Tensor) -> torch.Tensor:
        dict.__setitem__(self.registry, "seen", x)
        dict.pop(self.registry, "weight", None)
        self.registry.title += "!"
        self.ordered.move_to_end("first")
        self.ordered["third"] = 3
        self.growing.append(len(x))
        self.growing.limit += 1
        self.plain.append(1)
        self.others[0].append(3)
        self.others[1]["a"].append(1)
        self.others[2]["a"] += 1
        self.others[3]["b"] = x
        self.names.add("b")
        return x.relu()


class SharedModule(Delicate):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.body
        self.blocks = nn.ModuleList([self.body, self.again])

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(x.relu())


class SharedParameter(Delicate):
    def __init__(self) -> None:
        super().__init__()
        self.other = dense()
        self.other.weight = self.body.weight

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.other(x)


class Cache(Delicate):
    """Keeps the product of its weights in eval mode, until train is called."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.cache: dict[str, Any] = {}
        self.holder = SimpleNamespace(kept=[], last=None)

    def train(self, mode: bool = True) -> Cache:
        super().train(mode)
        if mode:
            self.cache = {}
        return self

    def between(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            return x @ (self.table @ self.body.weight)
        if "product" not in self.cache:
            self.cache["product"] = self.table @ self.body.weight
        self.holder.kept.append(self.cache["product"])
        self.holder.last = x
        return x @ self.cache["product"]


class CacheInSlots(Delicate):
    __slots__ = ("kept",)

    def __init__(self) -> None:
        super().__init__()
        self.kept = None

    def between(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x.detach()
        return x.relu()


class Momentum(Delicate):
    """Moves a frozen copy towards itself, by new data and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = dense().requires_grad_(False)
        self.hidden = [copy.deepcopy(self.body)]

    def between(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.slow.weight.data = self.slow.weight.data * 0.9 + self.body.weight.data * 0.1
            self.slow.bias.mul_(0.5)
            self.hidden[0].weight.lerp_(self.body.weight, 0.1)
        return x + self.slow(x) + self.hidden[0](x).detach()


class Normalised(Delicate):
    """Normalises a weight in place, and that of another layer by replacing its data."""

    def between(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.norm())
            self.body.weight.data = normalize(self.body.weight.data)
        return x


class NewThings(Delicate):
    """Registers, replaces, resizes, writes and deletes buffers and parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("none", None)
        self.register_buffer("gone", torch.ones(2))
        self.register_buffer("grows", torch.ones(2), persistent=False)
        self.register_buffer("phase", torch.ones(2, dtype=torch.complex64))
        self.register_buffer("zero", torch.tensor([-0.0, float("nan")]))
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.extra = nn.Parameter(torch.ones(3))
        self.steps = 0

    def between(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.mean.detach_()
        self.none = x.detach().mean()
        self._buffers.pop("gone", None)
        self.register_buffer("new", torch.ones(1))
        self.extra = nn.Parameter(torch.zeros(3))
        with torch.no_grad():
            self.grows.resize_(5).fill_(2)
            self.phase.mul_(2j)
            self.zero.fill_(0)
        self.mean.add_(x.mean(0))  # Its gradient graph stays until the next batch.
        self.add_module("late", nn.Identity())
        return x


class Modes(Delicate):
    """Sets modes itself, and has batch normalisation that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.norm = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(WIDTH)
        self.frozen.eval()

    def between(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.train(not self.norm.training)
        return self.norm(self.frozen(x))


class OwnTrain(Delicate):
    """``train`` is something else: it takes an optimizer."""

    def train(self, optimizer: Any, epochs: int = 1) -> None:  # type: ignore[override]
        raise AssertionError


class Merging(Delicate):
    """Adds a frozen product to its weight in eval mode and takes it off in train mode, rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.randn(WIDTH, WIDTH), requires_grad=False)
        self.merged = False

    def train(self, mode: bool = True) -> Merging:
        super().train(mode)
        if mode == self.merged:
            self.body.weight.data += -self.delta if mode else self.delta
            self.merged = not mode
        return self

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.merged else x + linear(x, self.delta)


class Checkpointed(Delicate):
    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.inner = nn.Sequential(dense(), nn.BatchNorm1d(WIDTH), nn.ReLU(), dense())
        self.reentrant = reentrant

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


class Drops(Delicate):
    """Drops layers by chance, drawn from a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(dense() for _ in range(3))
        self.chance = random.Random(0)
        self.noise = torch.Generator().manual_seed(0)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            if self.chance.random() < 0.6:
                x = x + layer(x)
        return x + 0.01 * torch.randn(WIDTH, generator=self.noise)


class Experts(Delicate):
    """Routes each batch to one expert."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(dense() for _ in range(3))
        self.turn = 0

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.experts[int(x[0, 0].detach().abs() * 1e3) % 3](x)


def computed(wrap: Any) -> nn.Module:
    model = Delicate()
    model.body = wrap(model.body)
    model(torch.randn(3, WIDTH))
    return model


def bounded_embedding() -> nn.Module:
    """An embedding that scales its rows in place."""
    model = Delicate()
    model.table = nn.Embedding(5, WIDTH, max_norm=0.1)
    model.between = lambda x: x + model.table(torch.arange(len(x)) % 5)  # type: ignore[method-assign]
    return model


def closure() -> nn.Module:
    """A forward function that refers to the model by a closure, and caches there."""
    model, cache = Delicate(), {}

    def forward(x: torch.Tensor) -> torch.Tensor:
        if not model.training:
            cache.setdefault("weight", model.body.weight * 2)
        weight = model.body.weight if model.training else cache["weight"]
        return model.head(model.body(x) + linear(x, weight))

    model.forward = forward  # type: ignore[method-assign]
    return model


MODELS = {
    **{one.__name__: one for one in Delicate.__subclasses__() if one is not Checkpointed},
    "Reentrant": lambda: Checkpointed(reentrant=True),
    "NotReentrant": lambda: Checkpointed(reentrant=False),
    "weight_norm": lambda: computed(nn.utils.parametrizations.weight_norm),
    "old_weight_norm": lambda: computed(torch.nn.utils.weight_norm),
    "spectral_norm": lambda: computed(nn.utils.parametrizations.spectral_norm),
    "old_spectral_norm": lambda: computed(torch.nn.utils.spectral_norm),
    "orthogonal": lambda: computed(nn.utils.parametrizations.orthogonal),
    "lstm": lambda: nn.Sequential(nn.LSTM(WIDTH, WIDTH), Last(), nn.Linear(WIDTH, CLASSES)),
    "bounded_embedding": bounded_embedding,
    "closure": closure,
}


class Last(nn.Module):
    """The outputs of a recurrent layer, without its state."""

    def forward(self, pair: tuple[torch.Tensor, Any]) -> torch.Tensor:
        return pair[0]


class Notes:
    """What a model notes for a test: a search leaves it alone, since it is no container."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
