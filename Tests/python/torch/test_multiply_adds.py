"""How many products one sample needs with each element of a weight, counted by loops."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import swiftforce as sf  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
from torch import nn  # noqa: E402


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Linear(3, 4), (2, 3), 1),
        (nn.Linear(3, 4), (2, 7, 3), 7),
        (nn.Conv1d(2, 4, 3, stride=2), (5, 2, 9), 4),
        (nn.Conv2d(4, 6, 3, padding=1, groups=2), (3, 4, 5, 6), 30),
        (nn.Conv2d(4, 4, 3, groups=4, dilation=2), (1, 4, 8, 8), 16),
        (nn.ConvTranspose2d(4, 2, 2, stride=2), (2, 4, 3, 3), 9),
        (nn.Conv3d(1, 2, 2), (2, 1, 3, 3, 3), 8),
    ],
    ids=str,
)
def test_a_layer_uses_each_weight_so_often(layer, shape, expected):
    assert sft.multiply_adds(layer, shape) == {"weight": expected}
    assert sft.multiply_adds(nn.Sequential(nn.ReLU(), layer), shape) == {"1.weight": expected}


def test_a_shared_layer_counts_each_use():
    linear = nn.Linear(3, 3)
    assert sft.multiply_adds(nn.Sequential(linear, nn.ReLU(), linear), (2, 3)) == {"0.weight": 2}


def test_layers_of_an_encoder_count_tokens_and_attention_is_left_out():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    assert sft.multiply_adds(layer, (2, 5, 16)) == {"linear1.weight": 5, "linear2.weight": 5}


def test_the_model_is_not_changed():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten())
    before = {name: one.clone() for name, one in model.state_dict().items()}
    state = torch.get_rng_state()
    sft.multiply_adds(model, (4, 1, 5, 5))
    assert model.training and all(one.training for one in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())


def test_a_search_keeps_a_share_of_the_multiply_adds():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    batches = [(torch.randn(16, 1, 8, 8), torch.randint(10, (16,))) for _ in range(4)]
    cost = sft.multiply_adds(model, (1, 1, 8, 8))
    assert cost == {"0.weight": 36, "3.weight": 1}
    pruning = sft.prune(
        model,
        batches,
        sft.losses.target_logit,
        method="iterative_snip",
        sparsity=0.8,
        steps=4,
        allocation=sf.Allocation(cost=cost),
    )
    assert pruning.cost_sparsity == pytest.approx(0.8, abs=36 / (8 * 9 * 36 + 2880))


def test_inputs_that_are_none():
    with pytest.raises(sf.StructureError, match="no tensor"):
        sft.multiply_adds(nn.Linear(2, 2), [])
    with pytest.raises(sf.StructureError, match="no sample"):
        sft.multiply_adds(nn.Linear(2, 2), (0, 2))
    with pytest.raises(sf.UnsupportedTypeError):
        sft.multiply_adds(3, (1, 2))
