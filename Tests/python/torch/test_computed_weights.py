"""Layers that multiply by a weight which they compute from their parameter are left out."""

from __future__ import annotations

import collections
import copy
import random
import threading
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce as sf  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
from swiftforce.adapters import Reason  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch_models import CLASSES, batches  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Standardised(nn.Conv2d):
    """As in timm: batch norm over each kernel; keeps what it multiplied by."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0)
        self.acted = weight.reshape_as(self.weight)
        return F.conv2d(x, self.acted, self.bias, self.stride, self.padding)


class Squashed(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, torch.exp(self.weight), self.bias)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (
        Standardised(1, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        Squashed(24, 8),
        nn.Linear(8, CLASSES),
    )
    return nn.Sequential(*layers)


DATA = batches((1, 4, 4))
NAMES = ["0.weight", "3.weight", "4.weight"]


def search(model: nn.Module, **options: Any) -> Any:
    given = {"loss": F.cross_entropy, "sparsity": 0.5, **options}
    return sft.prune(model, DATA, **given)


@pytest.mark.parametrize("method", ["force", "snip", "grasp", "magnitude", "synflow"])
@pytest.mark.parametrize("mode", ["train", "eval", "as_is"])
def test_they_are_left_out_and_named(method: str, mode: str) -> None:
    if (method, mode) == ("synflow", "train"):
        mode = "eval"
    net = model()
    before = copy.deepcopy(net.state_dict())
    with pytest.warns(sf.PartlySearchedWarning, match=r"3.weight \(192\): its layer multiplies by"):
        found = search(net, method=method, mode=mode)
    assert list(found.masks) == ["4.weight"]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    table = {one.name: one.reason for one in sft.prunable(net).decisions}
    assert [table[name] for name in NAMES] == [Reason.COMPUTED, Reason.COMPUTED, Reason.LAYER]


def test_include_searches_them_and_warns() -> None:
    net = model()
    with pytest.warns(sf.MasksLostWarning, match=r"^0.weight, 3.weight: the layer computes"):
        found = search(net, include=NAMES, method="snip")
    assert list(found.masks) == NAMES
    with pytest.warns(sf.MasksLostWarning, match=r"^0.weight, 3.weight: the layer computes"):
        sft.apply(net, found)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())
    for name, mask in found.masks.items():
        assert not net.get_parameter(name)[~mask].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(model(), include="4.weight", method="snip")


def test_masks_of_a_plain_layer_for_one_that_computes_its_weight_are_warned_of() -> None:
    plain, net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), nn.Sequential()
    net.append(nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)))
    net.append(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    original = "0.parametrizations.weight.original"
    found = sft.prune(plain, method="magnitude", sparsity=0.5).masks
    masks = {original: found["0.weight"], "1.parametrizations.weight.original1": found["1.weight"]}
    before = copy.deepcopy(net.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sf.MasksLostWarning, match=f"^{original}: the layer computes"):
            sft.apply(net, masks)
        assert not sft.masks(net)
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
        # A mask that removes nothing loses nothing.
        sft.apply(net, {**masks, original: torch.ones(4, 4, dtype=torch.bool)})
    assert bool(net[0].weight.all())
    assert not net[1].weight[~found["1.weight"]].any()


class Centred(nn.Conv2d):
    """As in many repositories."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        std = weight.flatten(1).std(dim=1).view(-1, 1, 1, 1) + 1e-5
        return F.conv2d(x, weight / std, self.bias, self.stride, self.padding)


@pytest.mark.parametrize("kind", [Standardised, Centred])
def test_effective_density_counts_all_of_their_weights(kind: type[nn.Conv2d]) -> None:
    net = model()
    net[0] = kind(1, 6, 3)
    net[3] = nn.Linear(24, 8)
    masks = {name: torch.zeros_like(net.get_parameter(name), dtype=torch.bool) for name in NAMES}
    masks["3.weight"][:] = masks["4.weight"][:] = True
    for applied in (False, True):
        if applied:
            with pytest.warns(sf.MasksLostWarning):
                sft.apply(net, masks)
        found = sft.effective_density(net, None if applied else masks, inputs=(1, 1, 4, 4))
        counts = {layer.name: (layer.kept, layer.effective) for layer in found.layers}
        sizes = {name: net.get_parameter(name).numel() for name in NAMES}
        assert counts == {name: (size, size) for name, size in sizes.items()}


class Hoarder(nn.Linear):
    """Its forward pass writes all that the layer holds, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.cache: dict[str, Any] = {"w": torch.ones(2)}
        self.lists = {"seen": [torch.zeros(1)]}
        self.counts: dict[str, int] = collections.defaultdict(int)
        self.plain = torch.ones(3)
        self.inner = nn.ReLU()
        self.inner.seen = []
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.cache["w"] = self.weight * 2
        self.lists["seen"].append(x)
        self.counts["calls"] += 1
        self.inner.seen.append(x)
        self.plain.add_(self.plain.new_ones(3))
        self.calls.add_(1)
        self.last = x
        torch.rand(3)
        random.random()
        return F.linear(x, self.cache["w"], self.bias)


def test_looking_at_a_layer_changes_nothing_that_it_holds() -> None:
    torch.manual_seed(0)
    layer = Hoarder()
    net = nn.Sequential(layer)
    layer.whole = [net]  # a cycle
    kept = layer.cache["w"], layer.lists["seen"][0]
    states = torch.get_rng_state(), random.getstate()
    table = {one.name: one.reason for one in sft.prunable(net).decisions}
    assert table["0.weight"] is Reason.LAYER
    assert list(layer.cache) == ["w"]
    assert layer.cache["w"] is kept[0]
    assert layer.lists["seen"] == [kept[1]]
    assert not layer.counts
    assert layer.inner.seen == []
    assert not hasattr(layer, "last")
    assert torch.equal(layer.plain, torch.ones(3))
    assert torch.equal(layer.calls, torch.zeros(3))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def test_what_cannot_be_copied_is_not_known() -> None:
    layer = Squashed(4, 3)
    layer.lock = threading.Lock()
    net = nn.Sequential(layer, nn.Linear(3, 2))
    assert sft.prunable(net).decisions[0].reason is Reason.UNKNOWN


def test_looking_at_compiled_models_leaves_the_stance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the search fails before the first forward pass."""
    from torch._dynamo import eval_frame

    net = nn.Sequential(Squashed(4, 3), nn.Linear(3, CLASSES))
    net[0].lock = threading.Lock()

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("swiftforce.torch.observation.ModelState.__enter__", fails)
    with pytest.raises(ZeroDivisionError):
        sft.prune(net, batches((4,)), F.cross_entropy, method="snip", sparsity=0.5)
    assert eval_frame._stance.stance == "default"
