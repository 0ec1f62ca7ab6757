"""Calls under limits of memory: a program with a scenario, threads, a kind of limit, and limits.

For each limit a process of its own makes the call. Whatever the limit, it must succeed or raise
MemoryError, and with enough memory the same call must then succeed with the right result.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import swiftforce as sf
from native_calls import PLAIN
from swiftforce import _core, nn
from swiftforce.native import native_call

TENSORS = 20_000
#: For each kind of limit what it counts, by its name in /proc/self/status.
COUNTED = {"AS": "VmSize", "DATA": "VmData"}
ENDINGS = {0: "succeeded", 1: "MemoryError", 2: "another error", 3: "wrong after MemoryError"}


class Alone:
    """One rank."""

    rank, size = 0, 1

    def sum_integers(self, values: Any) -> None: ...

    def sum_floats(self, values: Any) -> None: ...

    def offset(self, count: int) -> int:
        return 0


def many(value: float = 1.0) -> list[Any]:
    return [np.full(1, value * (i % 7), np.float32) for i in range(TENSORS)]


def large() -> tuple[Any, Any]:
    weights, gradients = np.random.default_rng(0).standard_normal((2, 1_000_000), dtype=np.float32)
    return weights, gradients


def deep() -> list[Any]:
    return [layer for _ in range(150) for layer in (nn.Linear(4, 4), nn.ReLU())]


def images() -> list[Any]:
    return [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Residual([nn.Conv2d(8, 8, 3, padding=1)]),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, groups=8),
        nn.GlobalAvgPool2d(),
        nn.Linear(8, 4),
    ]


def trained(net: nn.Network, x: Any, y: Any) -> Any:
    net = net.copy()
    net.fit(x, y, epochs=1, batch_size=64, learning_rate=1e-3)
    return [net.weights[name].copy() for name in net.weights]


def of_network(layers: list[Any], shape: Any) -> dict[str, Callable[[], Any]]:
    net = nn.Network(layers, input_shape=shape)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((150, int(np.prod(shape))), dtype=np.float32)
    y = rng.integers(0, 4, 150)
    masks = {name: rng.random(weight.shape) < 0.5 for name, weight in net.weights.items()}
    return {
        "create": lambda: next(
            iter(nn.Network(layers, input_shape=shape, seed=3).weights.values())
        ),
        "predict": lambda: net.predict(x),
        "evaluate": lambda: net.evaluate(x, y).loss,
        "gradients": lambda: list(net.gradients_on(x, y)(net.weights).values()),
        "train": lambda: trained(net, x, y),
        "apply": lambda: net.copy().apply(masks),
    }


def stepped(**options: Any) -> Callable[[], Any]:
    """Steps of a search that lives on after a step that failed."""
    weights, gradients = many(), many(2.0)
    search = sf.MaskSearch(weights, keep=500, steps=3, **options)
    search.step(gradients)

    def call() -> Any:
        if search.taken == 1:
            search.step(gradients)
        return search.masks, search.taken

    return call


def measured() -> Callable[[], Any]:
    """The objective of a search that lives on if that fails."""
    weights, gradients = many(), many(2.0)
    search = sf.MaskSearch(weights, keep=500, steps=3)
    search.step(gradients)
    return lambda: (search.objective(gradients), search.taken)


def many_steps() -> Callable[[], Any]:
    """So many steps that their records need more memory than a call may use unasked."""
    steps, before = 45_000, 20_000
    search = _core.search_create(2, 0, 1, 0, (1,) * steps, (1,), *PLAIN)
    ones, masks = [np.ones(1, np.float32)], [[np.ones(1, np.bool_)] for _ in range(2)]

    def until(end: int) -> int:
        with native_call():
            for step in range(_core.search_taken(search), end):
                previous, new = masks[step % 2] if step else None, masks[1 - step % 2]
                _core.search_step(search, ones, ones, previous, new, *[None] * 5)
        return _core.search_taken(search)

    until(before)
    return lambda: until(steps)


def many_searches() -> Callable[[], Any]:
    """So many at a time that their table needs more memory than a call may use unasked."""
    alive: list[Any] = []

    def until(end: int) -> int:
        with native_call():
            while len(alive) < end:
                alive.append(_core.search_create(0, 0, 1, 1, None, (1,), *PLAIN))
        return len(alive)

    until(95_000)
    return lambda: until(105_000)


def scenarios() -> dict[str, Callable[[], Callable[[], Any]]]:
    """For each name what prepares a call without a limit, and returns the call."""

    found: dict[str, Callable[[], Callable[[], Any]]] = {
        "step": stepped,
        "shared step": lambda: stepped(communicator=Alone()),
        "damped step": lambda: stepped(momentum=0.9, removed_factor=0.5),
        "objective": measured,
        "many steps": many_steps,
        "many searches": many_searches,
        "search": lambda: lambda: sf.force(many(), lambda _: many(2.0), keep=9, steps=2).masks,
        "schedule": lambda: lambda: sf.schedule_keeps("linear", 10**9, keep=5, steps=10**6),
        "long search": lambda: (
            lambda: sf.MaskSearch(np.ones(10**6, np.float32), schedule=range(10**6, 0, -1)).steps
        ),
        "permutation": lambda: lambda: sf.permutation(10**6, 1),
    }
    for name in ("snip", "magnitude", "random"):
        found[f"{name} of many"] = lambda name=name: _prepared(name, many(), many(2.0))
        found[f"{name} of large"] = lambda name=name: _prepared(name, *large())
    found["saliency"] = lambda: _saliency(many(), many(2.0))
    found["select"] = lambda: _select(many())
    for name, layers, shape in (("deep", deep, (4,)), ("images", images, (3, 16, 16))):
        for call in ("create", "predict", "evaluate", "gradients", "train", "apply"):
            found[f"{name}: {call}"] = lambda call=call, layers=layers, shape=shape: of_network(
                layers(), shape
            )[call]
    return found


def _prepared(name: str, weights: Any, gradients: Any) -> Callable[[], Any]:
    arrays = (weights, gradients) if name == "snip" else (weights,)
    return lambda: getattr(sf, name)(*arrays, keep=500).masks


def _saliency(weights: Any, gradients: Any) -> Callable[[], Any]:
    return lambda: sf.saliency(weights, gradients)


def _select(scores: Any) -> Callable[[], Any]:
    return lambda: sf.select(scores, keep=500)


def digest(result: Any) -> bytes:
    """Of all numbers in a result."""
    if isinstance(result, (list, tuple)) and not isinstance(result[0], int):
        return hashlib.sha256(b"".join(map(digest, result))).digest()
    return hashlib.sha256(np.ascontiguousarray(result).tobytes()).digest()


def in_child(work: Callable[[], bytes]) -> bytes:
    """What `work` returns in a process of its own, so that this one stays as it is."""
    readable, writable = os.pipe()
    if os.fork() == 0:
        os.write(writable, work())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        found = pipe.read()
    os.wait()
    return found


def ending(call: Callable[[], Any], expected: bytes, kind: str, megabytes: float) -> int:
    """What the call does under the limit, and after it."""
    status = Path("/proc/self/status").read_text()
    base = int(status.split(f"{COUNTED[kind]}:")[1].split()[0]) * 1024
    limit = getattr(resource, f"RLIMIT_{kind}")
    unlimited = resource.getrlimit(limit)
    resource.setrlimit(limit, (base + int(megabytes * 2**20), unlimited[1]))
    try:
        result, code = call(), 0
    except MemoryError:
        code = 1
    except BaseException as error:  # whatever it is, the parent has to hear of it
        resource.setrlimit(limit, unlimited)
        print(repr(error), file=sys.stderr)
        return 2
    resource.setrlimit(limit, unlimited)
    if code:
        result = call()
    return code if digest(result) == expected else 3


def endings(
    prepare: Callable[[], Callable[[], Any]], kind: str, limits: list[float]
) -> Iterator[str]:
    expected = in_child(lambda: digest(prepare()()))
    call = prepare()
    for megabytes in limits:
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(100)
            os._exit(ending(call, expected, kind, megabytes))
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            yield f"signal {os.WTERMSIG(status)} at {megabytes} MB"
        else:
            yield ENDINGS.get(os.WEXITSTATUS(status), f"code {os.WEXITSTATUS(status)}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sf.set_num_threads(int(sys.argv[2]))
    limits = [float(text) for text in sys.argv[4].split(",")]
    print(json.dumps(collections.Counter(endings(scenarios()[sys.argv[1]], sys.argv[3], limits))))
