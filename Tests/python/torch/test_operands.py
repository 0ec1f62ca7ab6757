"""Masks act on what a layer multiplies by, also where it computes that from its parameter."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch_models import CLASSES, assert_same, batches  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Standardised(nn.Conv2d):
    """As in timm: batch norm over each kernel; keeps what it multiplied by."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, training=True, momentum=0.0)
        self.acted = weight.reshape_as(self.weight)
        return F.conv2d(x, self.acted, self.bias, self.stride, self.padding)


class Squashed(nn.Linear):
    """Its backward pass reads the weight that it computed."""

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


def weights_used(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights that linear layers and convolutions multiply by."""
    found: list[torch.Tensor] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func in (F.conv2d, F.linear):
                found.append(args[1])
            return func(*args, **(kwargs or {}))

    with Watch():
        model(DATA[0][0])
    return dict(zip(NAMES, found, strict=True))


def search(model: nn.Module, **options: Any) -> Any:
    given = {"loss": F.cross_entropy, "sparsity": 0.7, "steps": 4, **options}
    return sft.prune(model, DATA, **given)


@pytest.mark.parametrize("method", ["force", "snip", "grasp", "magnitude", "random"])
@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
def test_the_weights_that_act_are_as_sparse_as_the_masks(method: str) -> None:
    net = model()
    before = copy.deepcopy(net.state_dict())
    given = {} if method == "force" else {"steps": None}
    found = search(net, method=method, **given)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_pre_hooks for module in net.modules())
    assert list(found.masks) == NAMES
    sft.apply(net, found)
    for name, used in weights_used(net).items():
        assert not used[~found.masks[name]].any()
        assert used[found.masks[name]].all()
    assert torch.equal(net[0].acted != 0, found.masks["0.weight"])


def test_scores_are_those_of_the_weights_that_act() -> None:
    """The same search with the computed weights as parameters."""
    net = model()
    plain = nn.Sequential(nn.Conv2d(1, 6, 3), *net[1:3], nn.Linear(24, 8), net[4])
    used = weights_used(net)
    with torch.no_grad():
        for place in (0, 3):
            plain[place].weight.copy_(used[f"{place}.weight"])
            plain[place].bias.copy_(net[place].bias)
    assert_same(search(net).masks, search(plain).masks)


def test_removed_weights_stay_removed_in_training_and_in_copies() -> None:
    net = model()
    found = search(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    sft.apply(net, found, optimizer)
    for x, y in DATA * 2:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net[0].acted = None  # of a graph, which cannot be copied
    for one in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        for name, used in weights_used(one).items():
            assert not used[~found.masks[name]].any()
            assert not one.get_parameter(name)[~found.masks[name]].any()


def test_remove_takes_all_of_it_off() -> None:
    net = model()
    sft.apply(net, search(net))
    sft.remove(net)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert weights_used(net)["3.weight"].all()


def test_a_forward_pass_that_fails_leaves_nothing_behind() -> None:
    net = model()
    found = search(net)
    sft.apply(net, found)
    with pytest.raises(RuntimeError):
        net(torch.ones(2, 3, 4, 4))
    assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).sum() == 4
    assert not weights_used(net)["0.weight"][~found.masks["0.weight"]].any()


def test_effective_density_counts_the_weights_that_act() -> None:
    net = model()
    masks = {name: torch.ones_like(net.get_parameter(name), dtype=torch.bool) for name in NAMES}
    masks["3.weight"][:, :4] = False  # the first of six channels has four pixels
    for applied in (False, True):
        if applied:
            sft.apply(net, masks)
        found = sft.effective_density(net, None if applied else masks, inputs=(1, 1, 4, 4))
        effective = {layer.name: layer.effective for layer in found.layers}
        assert effective == {"0.weight": 45, "3.weight": 8 * 20, "4.weight": 8 * CLASSES}


@pytest.mark.filterwarnings("ignore::swiftforce.PartlySearchedWarning")
def test_synflow_leaves_them_out() -> None:
    assert list(sft.prune(model(), DATA, method="synflow", sparsity=0.5).masks) == ["4.weight"]
