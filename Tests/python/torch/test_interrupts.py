"""Ctrl-C at any moment, also the second one, leaves a model as it was, and is raised."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from interrupts import Place, first_and_last, place_of  # noqa: E402
from swiftforce.torch import interrupts, model_state, snapshot, weight_buffers  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import batches, bits  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]
_FILES = {one.__file__ for one in (interrupts, model_state, snapshot, weight_buffers)}


@pytest.fixture(autouse=True)
def _python_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*torch_models.mlp(), nn.BatchNorm1d(torch_models.CLASSES))


def state(net: nn.Module) -> Any:
    tensors = [bits(one) for one in net.state_dict().values()]
    flags = [module.training for module in net.modules()]
    return (
        tensors,
        flags,
        [one.requires_grad for one in net.parameters()],
        bits(torch.get_rng_state()),
    )


class Sends:
    """Sends signals when the functions of certain files begin: number `at`, and the next ones.

    `places` are those where such functions were called.
    """

    def __init__(self, at: int = 1, times: int = 0) -> None:
        self.at, self.times = at, times
        self.places: list[Place] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or frame.f_code.co_filename not in _FILES:
            return
        self.places.append(place_of(frame))
        if len(self.places) >= self.at and self.times:
            self.times -= 1
            os.kill(os.getpid(), signal.SIGINT)


def searched(net: nn.Module, sends: Sends) -> bool:
    """Whether a search was interrupted."""
    sys.setprofile(sends)
    try:
        sft.prune(net, batches(), cross_entropy, sparsity=0.5, steps=2)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_signal_while_the_state_is_saved_or_restored(times: int) -> None:
    """So many signals in turn, of which the first comes at the first or last call from a place."""
    net, quiet = model(), Sends()
    before = state(net)
    assert not searched(net, Sends())  # A first search calls more functions.
    assert not searched(net, quiet)
    chosen = first_and_last(quiet.places)
    assert len(chosen) > 100
    for at in chosen:
        sends = Sends(at, times)
        assert searched(net, sends), at
        assert sends.times < times
        assert state(net) == before, at


def test_the_second_interrupt_waits_until_all_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first comes in the loss, the others when each weight has been put back."""
    net = model()
    before, copyto, sent = state(net), weight_buffers.np.copyto, []

    def copies(*given: Any) -> None:
        copyto(*given)
        sent.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if not torch.equal(bits_of(net), dense):
            monkeypatch.setattr(weight_buffers.np, "copyto", copies)
            os.kill(os.getpid(), signal.SIGINT)
        return cross_entropy(output, target)

    def bits_of(net: nn.Module) -> torch.Tensor:
        return torch.cat([one.detach().flatten().clone() for one in net.parameters()])

    dense = bits_of(net)
    with pytest.raises(KeyboardInterrupt):
        sft.prune(net, batches(), loss, sparsity=0.5, steps=3)
    assert sent == [1, 1]
    assert state(net) == before


class TimedOutError(Exception):
    """What a handler of the caller raises."""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="there are no alarms")
def test_handlers_of_other_signals_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net, copyto = model(), weight_buffers.np.copyto
    before = state(net)

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimedOutError

    def copies(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        copyto(*given)

    monkeypatch.setattr(weight_buffers.np, "copyto", copies)
    handler = signal.signal(signal.SIGALRM, expire)
    try:
        with pytest.raises(TimedOutError):
            sft.prune(net, batches(), cross_entropy, method="snip", sparsity=0.5)
        assert signal.getsignal(signal.SIGALRM) is expire
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert state(net) == before


def test_a_loss_that_catches_an_interrupt_can_be_interrupted_again() -> None:
    seen = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append(1)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            if len(seen) == 2:
                raise
        return cross_entropy(output, target)

    with pytest.raises(KeyboardInterrupt):
        sft.prune(model(), batches(), loss, sparsity=0.5, steps=9)
    assert len(seen) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals")
@pytest.mark.parametrize("names", [("SIGINT", "SIGUSR1"), ("SIGUSR1", "SIGINT")])
@pytest.mark.parametrize("raises", [("SIGINT",), ("SIGUSR1",), ("SIGINT", "SIGUSR1")], ids="+".join)
def test_all_signals_that_waited_are_handled(
    names: tuple[str, str], raises: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, copyto, seen, left = model(), weight_buffers.np.copyto, [], list(names)
    before = state(net)

    def handle(number: int, frame: FrameType | None) -> None:
        seen.append(signal.Signals(number).name)
        if seen[-1] in raises:
            raise TimedOutError(seen[-1])

    def copies(*given: Any) -> None:
        while left:
            os.kill(os.getpid(), getattr(signal, left.pop(0)))
        copyto(*given)

    monkeypatch.setattr(weight_buffers.np, "copyto", copies)
    handlers = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        with pytest.raises(TimedOutError) as caught:
            sft.prune(net, batches(), cross_entropy, method="snip", sparsity=0.5)
    finally:
        for name, handler in handlers.items():
            signal.signal(getattr(signal, name), handler)
    assert tuple(seen) == names
    assert str(caught.value) == [name for name in names if name in raises][-1]
    assert state(net) == before


class Own(nn.Module):
    """Its name does not tell what the parameter is: the first batch does."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.kernel


class Drawn:
    """Batches that draw from all random number generators."""

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for x, y in batches():
            yield x + torch.rand(()) + np.random.rand() + random.random(), y


@pytest.mark.parametrize("sparsity", [0.5, 2.0])
@pytest.mark.parametrize(
    ("module", "name"),
    [(torch, "set_rng_state"), (np.random, "set_state"), (random, "setstate")],
)
def test_all_generators_are_restored_whichever_is_interrupted(
    module: Any, name: str, sparsity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generators() -> Any:
        return bits(torch.get_rng_state()), repr(np.random.get_state()), random.getstate()

    net, put_back = Own(), getattr(module, name)

    def puts_back(*given: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        put_back(*given)

    monkeypatch.setattr(module, name, puts_back)
    before = generators()
    with pytest.raises(KeyboardInterrupt):
        sft.prune(net, Drawn(), cross_entropy, sparsity=sparsity, steps=2)
    monkeypatch.undo()
    assert generators() == before
