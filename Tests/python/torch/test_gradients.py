"""Gradients and Hessian-gradient products, compared with their definitions."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import oracle  # noqa: E402
import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import Batches, Masks, assert_same, batches, matrices, named  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


# ------------------------------------------------------------------------------ gradients


def prune(model: nn.Module, data: Batches, **options: object) -> sf.Pruning:
    return sft.prune(model, data, **{"loss": cross_entropy, "sparsity": 0.5, **options})


def test_a_parameter_that_the_loss_does_not_use_is_named() -> None:
    model = torch_models.mlp()
    model.unused = nn.Linear(3, 3)
    model.forward = lambda x: model[2](model[1](model[0](x)))
    with pytest.raises(sf.MissingGradientsError, match=r"unused\.weight"):
        prune(model, batches(), steps=2)
    assert list(prune(model, batches(), steps=2, exclude="unused.*").masks) == [
        "0.weight",
        "2.weight",
    ]


def test_a_loss_without_a_graph_is_a_loss_that_depends_on_nothing() -> None:
    def detached(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output.detach(), target)

    with pytest.raises(sf.MissingGradientsError, match="depends on no parameter"):
        prune(torch_models.mlp(), batches(), loss=detached)


@pytest.mark.parametrize("method", ["force", "grasp"])
def test_hooks_of_accumulated_gradients_are_not_run(method: str) -> None:
    model, seen = torch_models.mlp(), []
    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(seen.append)
    options = {"steps": 3} if method == "force" else {}
    prune(model, batches(), method=method, **options)
    assert not seen
    cross_entropy(model(batches()[0][0]), batches()[0][1]).backward()
    assert len(seen) == 4


def test_hooks_of_a_tensor_do_not_change_what_is_found() -> None:
    """Scripts with masks of their own have them: ``register_hook(lambda g: g * mask)``."""
    model = torch_models.mlp()
    plain = prune(model, batches(), steps=3).masks
    model[0].weight.register_hook(torch.zeros_like)
    assert_same(prune(model, batches(), steps=3).masks, plain)


def test_batches_need_not_fit_into_memory_together() -> None:
    """The 40 batches per step of the paper on ImageNet are 6 GB; one at a time is enough."""

    class Watched(list):
        """A batch that can be weakly referenced."""

    made: list[weakref.ref[Watched]] = []
    alive = []

    def loader() -> Iterator[Watched]:
        for pair in batches(sizes=(3,) * 8):
            batch = Watched(pair)
            made.append(weakref.ref(batch))
            yield batch
            del batch

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        alive.append(sum(batch() is not None for batch in made))
        return cross_entropy(output, target)

    prune(torch_models.mlp(), loader(), loss=loss, steps=2, batches_per_step=4)
    assert max(alive) <= 2


# ------------------------------------------------------------------------------ GraSP


def tiny() -> nn.Sequential:
    """In float64, with a Hessian that can be written out; biases are not scored."""
    torch.manual_seed(4)
    layers = nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, torch_models.CLASSES)
    return nn.Sequential(*layers).double()


def data_of(*sizes: int) -> Batches:
    return batches((3,), sizes, torch.float64)


def of_vector(
    model: nn.Module, data: Batches, temperature: float
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    """The mean loss over all samples as a function of one vector of the weights, and the vector."""
    weights = matrices(model)
    sizes = [value.numel() for value in weights.values()]
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = vector.split(sizes)
        state = {
            name: part.view_as(value)
            for (name, value), part in zip(weights.items(), parts, strict=True)
        }
        return cross_entropy(functional_call(model, state, (x,)) / temperature, y)

    return loss, torch.cat([value.detach().flatten() for value in weights.values()])


def gradient(loss: Callable[[torch.Tensor], torch.Tensor], vector: torch.Tensor) -> torch.Tensor:
    return torch.autograd.functional.jacobian(loss, vector)


def masks_of_largest(model: nn.Module, scores: torch.Tensor, keep: int) -> Masks:
    """The masks that keep the largest scores."""
    weights = [value.detach().numpy() for value in matrices(model).values()]
    chosen = oracle.select([scores.numpy()], keep)[0]
    return named(matrices(model), oracle.split(chosen, weights))


@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
@pytest.mark.parametrize("temperature", [1.0, 2.5, 200.0])
@pytest.mark.parametrize("sizes", [(8,), (6, 3)])
def test_grasp_keeps_the_largest_products_of_weight_hessian_and_gradient(
    temperature: float, sizes: tuple[int, ...]
) -> None:
    model, data = tiny(), data_of(*sizes)
    loss, vector = of_vector(model, data, temperature)
    hessian = torch.autograd.functional.hessian(loss, vector)
    scores = vector * (hessian @ gradient(loss, vector))
    assert (scores < 0).any()
    assert (scores > 0).any()
    for keep in (1, 9, 20, 34):
        found = sft.prune(
            model,
            data,
            loss=cross_entropy,
            method="grasp",
            keep=keep,
            batches_per_step=len(sizes),
            temperature=temperature,
        )
        assert_same(found.masks, masks_of_largest(model, scores, keep))
    assert found.history[0].threshold == pytest.approx(float(scores.topk(34)[0][-1]), rel=1e-9)


@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
def test_what_grasp_removes_first_holds_the_norm_of_the_gradient_back_most() -> None:
    """Shrink one weight by a little; ranked by what that does to ||g||^2, GraSP keeps the first."""
    model, data = tiny(), data_of(8)
    loss, vector = of_vector(model, data, 1.0)

    def norm(vector: torch.Tensor) -> float:
        return float(gradient(loss, vector).square().sum())

    small = 1e-5
    loses = []
    for position in range(len(vector)):
        less, more = vector.clone(), vector.clone()
        less[position] *= 1 - small
        more[position] *= 1 + small
        loses.append((norm(more) - norm(less)) / (2 * small))
    losses = torch.tensor(loses, dtype=torch.float64)
    for keep in (4, 17, 30):
        found = sft.prune(
            model, data, loss=cross_entropy, method="grasp", keep=keep, temperature=1.0
        )
        assert_same(found.masks, masks_of_largest(model, losses, keep))


def test_the_outputs_of_grasp_are_divided_by_200_unless_the_loss_is_the_callers_alone() -> None:
    model, data = tiny(), data_of(8)

    def threshold(**options: object) -> float:
        """The smallest kept score, which differs from temperature to temperature."""
        found = sft.prune(model, data, method="grasp", keep=12, **options)
        return found.history[0].threshold

    hot, cold = (threshold(loss=cross_entropy, temperature=t) for t in (200.0, 1.0))
    assert hot != pytest.approx(cold)
    assert threshold(loss=cross_entropy) == hot
    alone = threshold(batch_loss=lambda model, batch: cross_entropy(model(batch[0]), batch[1]))
    assert alone == pytest.approx(cold)


def test_grasp_draws_the_same_dropout_for_the_gradient_and_the_product() -> None:
    model, (batch,) = torch_models.mlp(hidden=12).double(), batches(dtype=torch.float64, sizes=(9,))
    model.insert(2, nn.Dropout(0.5))
    torch.manual_seed(3)
    found = prune(model, [batch], method="grasp", temperature=1.0)
    torch.manual_seed(3)
    kept = torch.empty(9, 12, dtype=torch.float64).bernoulli_(0.5) / 0.5  # as dropout draws it

    def fixed(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        hidden = model[1](model[0](batch[0]))
        return cross_entropy(model[3](hidden * kept), batch[1])

    written_out = sft.prune(model, [batch], batch_loss=fixed, method="grasp", sparsity=0.5)
    assert_same(found.masks, written_out.masks)


def test_grasp_scores_a_transformer() -> None:
    found = prune(torch_models.transformer(), batches((5, 8)), method="grasp")
    assert found.keep == round(found.size / 2)


@pytest.mark.slow
def test_grasp_scores_a_compiled_model() -> None:
    compiled = torch.compile(torch_models.mlp(), backend="aot_eager")
    found = prune(compiled, batches(), method="grasp")
    assert_same(found.masks, prune(torch_models.mlp(), batches(), method="grasp").masks)


def test_grasp_draws_the_same_numbers_twice_of_every_generator() -> None:
    drawn = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        drawn.append((float(torch.rand(())), np.random.rand(), random.random()))
        return cross_entropy(output, target) * (1 + sum(drawn[-1]))

    prune(torch_models.mlp(), batches(), loss=loss, method="grasp")
    assert drawn[0] == drawn[1]


class Twice(nn.Module):
    """Two parameters that are added and share a gradient; one whose gradient is expanded."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.third = (nn.Linear(6, 5, bias=False) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.first.weight + self.second.weight)


@pytest.mark.parametrize("sizes", [(8,), (8, 8, 8), (8, 2, 5)])
def test_parameters_with_one_gradient_have_the_mean_of_it_each(sizes: tuple[int, ...]) -> None:
    model = Twice()
    data = [(torch.randn(size, 6), torch.randint(5, (size,))) for size in sizes]

    def loss(net: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(net(batch[0]), batch[1]) + net.third.weight.sum()

    found = []
    search = sft.prune(
        model,
        data,
        batch_loss=lambda net, batch: found.append(len(batch[1])) or loss(net, batch),
        method="snip",
        sparsity=0.5,
        batches_per_step=len(sizes),
    )
    assert found == list(sizes)
    everything = tuple(torch.cat(parts) for parts in zip(*data, strict=True))
    weights = [model.first.weight, model.second.weight, model.third.weight]
    expected = torch.autograd.grad(loss(model, everything), weights)
    norm = torch.cat([one.flatten() for one in expected]).norm()
    assert search.history[0].gradient_norm == pytest.approx(float(norm), rel=1e-5)
