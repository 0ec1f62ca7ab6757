"""Gradients, Hessian-gradient products and synaptic flow, against what defines them."""

from __future__ import annotations

import copy
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


@pytest.mark.xfail(
    strict=True,
    reason="torch's RuntimeError is raised, which names no way out",
    raises=RuntimeError,
)
def test_a_loss_without_a_graph_is_a_loss_that_depends_on_nothing() -> None:
    def detached(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return cross_entropy(output.detach(), target)

    with pytest.raises(sf.MissingGradientsError, match="does not depend"):
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


@pytest.mark.xfail(
    strict=True, reason="autograd.grad runs hooks of tensors: a masking hook masks the scores"
)
def test_hooks_of_a_tensor_do_not_change_what_is_found() -> None:
    """Scripts with masks of their own have them: ``register_hook(lambda g: g * mask)``."""
    model = torch_models.mlp()
    plain = prune(model, batches(), steps=3).masks
    model[0].weight.register_hook(torch.zeros_like)
    assert_same(prune(model, batches(), steps=3).masks, plain)


@pytest.mark.xfail(strict=True, reason="all batches of a step are taken before the first is used")
def test_batches_need_not_fit_into_memory_together() -> None:
    """40 batches a step, as the paper has them for ImageNet, are 6 GB; one at a time is enough."""

    class Watched(list):
        """A batch that can be watched."""

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


def best(model: nn.Module, scores: torch.Tensor, keep: int) -> Masks:
    """Masks of the weights of largest scores."""
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
        assert_same(found.masks, best(model, scores, keep))
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
        assert_same(found.masks, best(model, losses, keep))


def test_the_outputs_of_grasp_are_divided_by_200_unless_the_loss_is_the_callers_alone() -> None:
    model, data = tiny(), data_of(8)

    def threshold(**options: object) -> float:
        """The smallest score that is kept, which no two temperatures agree on."""
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


@pytest.mark.xfail(
    strict=True,
    raises=RuntimeError,
    reason="the attention that torch picks has no second derivative; sdpa_kernel(MATH) has",
)
def test_grasp_scores_a_transformer() -> None:
    found = prune(torch_models.transformer(), batches((5, 8)), method="grasp")
    assert found.keep == round(found.size / 2)


@pytest.mark.xfail(
    strict=True,
    raises=RuntimeError,
    reason="what torch.compile makes has no second derivative; the model inside has",
)
def test_grasp_scores_a_compiled_model() -> None:
    compiled = torch.compile(torch_models.mlp(), backend="aot_eager")
    found = prune(compiled, batches(), method="grasp")
    assert_same(found.masks, prune(torch_models.mlp(), batches(), method="grasp").masks)


@pytest.mark.xfail(strict=True, reason="only the generator of torch on the CPU is put back")
def test_grasp_draws_the_same_numbers_twice_of_every_generator() -> None:
    drawn = []

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        drawn.append((float(torch.rand(())), np.random.rand(), random.random()))
        return cross_entropy(output, target) * (1 + sum(drawn[-1]))

    prune(torch_models.mlp(), batches(), loss=loss, method="grasp")
    assert drawn[0] == drawn[1]


# ------------------------------------------------------------------------------ SynFlow


def plain_synflow(model: nn.Module, shape: tuple[int, ...], keep: int, steps: int) -> Masks:
    """Algorithm 1 of Tanaka et al., written out in float64."""
    twin = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for value in twin.state_dict().values():
            value.abs_()
    weights = matrices(twin)
    dense = {name: value.detach().clone() for name, value in weights.items()}
    masks = [np.ones(tuple(value.shape), bool) for value in dense.values()]
    n = sum(value.numel() for value in dense.values())
    for k in oracle.schedule_keeps("exponential", n, keep, steps):
        with torch.no_grad():
            for (name, value), mask in zip(weights.items(), masks, strict=True):
                value.copy_(dense[name] * torch.from_numpy(mask))
        twin.zero_grad()
        twin(torch.ones(1, *shape, dtype=torch.float64)).sum().backward()
        scores = [(dense[name] * value.grad).numpy() for name, value in weights.items()]
        masks = oracle.select(scores, k, masks)
    return named(dense, masks)


def settled(model: nn.Module) -> nn.Module:
    """The model with statistics and scales of both signs."""
    torch.manual_seed(8)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, -1, 1)
            nn.init.uniform_(module.bias, -1, 1)
    return model


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (torch_models.mlp(), (6,)),
        (torch_models.lenet5(), (1, 16, 16)),
        (settled(torch_models.vgg11()), (3, 32, 32)),
        (settled(torch_models.resnet18()), (3, 16, 16)),
    ],
    ids=["mlp", "LeNet-5", "VGG11", "ResNet18"],
)
def test_synflow_is_the_algorithm_of_its_paper(model: nn.Module, shape: tuple[int, ...]) -> None:
    size = sum(value.numel() for value in matrices(model).values())
    keep = oracle.keep_count(size, 0.9)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    found = sft.prune(model, batches(shape), method="synflow", keep=keep, steps=12)
    assert_same(found.masks, plain_synflow(model, shape, keep, 12))
    assert found.method == "synflow"
    assert sum(step.revived for step in found.history) == 0
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())


def test_synflow_takes_a_hundred_steps_where_none_are_named() -> None:
    assert sft.prune(torch_models.mlp(), batches(), method="synflow", sparsity=0.5).steps == 100


def test_synflow_uses_of_the_data_no_more_than_a_shape() -> None:
    images = [image for image, _ in batches((1, 16, 16))]
    options = {"method": "synflow", "sparsity": 0.9, "steps": 5}
    some = sft.prune(torch_models.lenet5(), images, **options)
    other = sft.prune(torch_models.lenet5(), iter([torch.full_like(images[0], np.nan)]), **options)
    assert_same(some.masks, other.masks)


def test_synflow_takes_biases_absolute() -> None:
    """A large negative bias would switch a unit off; its absolute value does the contrary."""
    model = torch_models.mlp()
    options = {"method": "synflow", "sparsity": 0.5, "steps": 3}
    with torch.no_grad():
        model[0].bias.fill_(5)
    positive = sft.prune(model, batches(), **options).masks
    with torch.no_grad():
        model[0].bias.fill_(-5)
    assert_same(sft.prune(model, batches(), **options).masks, positive)


def test_synflow_does_not_overflow_on_a_deep_network() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(32, 32, bias=False) for _ in range(60)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=1)
    model = nn.Sequential(*layers)
    flow = torch.ones(1, 32)
    for layer in layers:
        flow = flow @ layer.weight.abs().T
    assert flow.isinf().all()  # what float32 comes to
    found = sft.prune(model, [torch.ones(1, 32)], method="synflow", sparsity=0.9, steps=4)
    assert_same(found.masks, plain_synflow(model, (32,), found.keep, 4))
