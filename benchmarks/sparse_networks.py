"""Networks with masks of FORCE: steps of training and inference, by the engine and by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import swiftforce as sf
import swiftforce.torch as sft
import torch
from swiftforce import _core, datasets, nn
from swiftforce.native import native_call
from swiftforce.nn.paths import unreachable_classes
from swiftforce.nn.samples import check_samples

from benchmarks.arrays import Array
from benchmarks.classifiers import Kind, samples
from benchmarks.measure import Call
from benchmarks.plan import keep_for
from Tests.python.support import torch_twin

Kernels = Literal["auto", "dense"]
Masks = dict[str, Array]

#: Largest difference of losses and logits, relative to the largest.
CLOSE = 1e-3
#: Samples in a batch of the search.
SEARCH_BATCH = 32


# ------------------------------------------------------------------------- masks


@lru_cache
def force_masks(
    kind: Kind, sparsities: tuple[float, ...], steps: int, *, fashion: bool = False
) -> dict[float, Masks]:
    """Masks of one search, copied whenever it reaches one of these sparsities.

    Parameters
    ----------
    steps : int
        Steps to the last sparsity by the exponential schedule, without those that are added to
        reach the others.
    fashion : bool
        Whether to search with Fashion-MNIST, of which layers keep other shares than of noise.

    Raises
    ------
    RuntimeError
        If half of the classes have lost all paths: the network would be fast for a wrong reason.
    """
    net = kind.make()
    size = sum(weight.size for weight in net.weights.values())
    wanted = {keep_for(size, sparsity): sparsity for sparsity in sparsities}
    keeps = {*sf.schedule_keeps("exponential", size, min(wanted), steps), *wanted}
    schedule = sorted(keeps, reverse=True)
    search = sf.MaskSearch(net.weights, method="force", schedule=schedule)
    x, y = (fashion_samples if fashion else samples)(4 * SEARCH_BATCH)
    # By this loss all classes keep paths at 99.5 %; by the cross entropy those of ResNet50 do not.
    gradients = net.gradients_on(x, y, batch_size=SEARCH_BATCH, loss="target_logit")
    found = {}
    for keep in schedule:
        search.step(gradients(search.masked_weights))
        if keep in wanted:
            lost = unreachable_classes(net.layers, net.input_shape, search.masks)
            if 2 * len(lost) >= net.classes:
                raise RuntimeError(f"{kind} has lost the paths to {len(lost)} classes")
            found[wanted[keep]] = {name: mask.copy() for name, mask in search.masks.items()}
    return found


def fashion_samples(n: int) -> tuple[Array, Array]:
    """The first images of Fashion-MNIST, with a frame, in three equal channels of 32 by 32."""
    data = datasets.fashion_mnist()
    framed = np.pad(data.train_x[:n], ((0, 0), (0, 0), (2, 2), (2, 2)))
    return np.repeat(framed, 3, axis=1), data.train_y[:n]


def share_of_products(kind: Kind, masks: Mapping[str, Array]) -> float:
    """Multiply-adds of the kept weights over those of all weights."""
    module = torch_twin.twin(kind.make(), torch.float32).eval()
    names = {id(value): name for name, value in torch_twin.parameters(module).items()}
    positions: dict[str, int] = {}
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            layer.register_forward_hook(
                lambda layer, _, y: positions.update({names[id(layer.weight)]: y[0, 0].numel()})
            )
    with torch.inference_mode():
        module(torch.zeros(1, 3, 32, 32))
    kept = sum(positions[name] * int(mask.sum()) for name, mask in masks.items())
    return kept / sum(positions[name] * mask.size for name, mask in masks.items())


def masked(kind: Kind, masks: Mapping[str, Array], kernels: Kernels = "auto") -> nn.Network:
    """A network with masks."""
    net = kind.make()
    net.apply(masks, kernels=kernels)
    return net


# ------------------------------------------------------------------------- training


def training_step(net: nn.Network, x: Array, y: Array, rate: float = 0.01) -> Callable[[], float]:
    """swiftforce: a step of training on all samples, for its loss.

    `Network.fit` copies and checks all parameters in each call, which is not part of a step.
    """
    inputs, labels = check_samples(x, y, net.input_shape, net.classes)

    def step() -> float:
        with native_call():
            loss, _ = _core.network_train(net._handle, inputs, labels, None, rate, 0.9, 5e-4)
        return loss

    return step


def torch_training_step(net: nn.Network, x: Array, y: Array) -> Callable[[], float]:
    """torch: the same, with the network's masks multiplied into the weights after each step."""
    module = torch_twin.twin(net, torch.float32)
    parameters = torch_twin.parameters(module)
    masked_weights = [parameters[name].data for name in net.masks]
    masks = [torch.from_numpy(mask).float() for mask in net.masks.values()]
    step_of_module = _step_of(module, x, y)

    def step() -> float:
        loss = step_of_module()
        torch._foreach_mul_(masked_weights, masks)
        return loss

    return step


def sparsified_training_step(net: nn.Network, x: Array, y: Array) -> Callable[[], float]:
    """The same in torch, with `sft.sparsify`."""
    return _step_of(sparsified(net, x), x, y)


def sparsified(net: nn.Network, x: Array) -> torch.nn.Module:
    """The network in torch, with its masks, over its kept weights."""
    module = torch_twin.twin(net, torch.float32)
    named = {id(value): name for name, value in module.named_parameters()}
    parameters = torch_twin.parameters(module)
    masks = {named[id(parameters[name])]: mask for name, mask in net.masks.items()}
    sft.apply(module, masks)
    sft.sparsify(module, torch.from_numpy(x))
    return module


def _step_of(module: torch.nn.Module, x: Array, y: Array) -> Callable[[], float]:
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def step_task(net: nn.Network, x: Array, y: Array) -> dict[str, Any]:
    """A network and its samples, as `sparse_peers` takes them.

    Tracing leaves no class of this repository in the module.
    """
    module = torch.fx.symbolic_trace(torch_twin.twin(net, torch.float32))
    return {"module": module, "x": torch.from_numpy(x), "y": torch.from_numpy(y)}


# ------------------------------------------------------------------------- inference


def inference(net: nn.Network, x: Array) -> Call:
    """swiftforce: logits."""
    return lambda: net.predict(x)


def torch_inference(net: nn.Network, x: Array) -> Call:
    """torch: the same."""
    return _inference_of(torch_twin.twin(net, torch.float32), x)


def sparsified_inference(net: nn.Network, x: Array) -> Call:
    """The same in torch, with `sft.sparsify`."""
    return _inference_of(sparsified(net, x), x)


def _inference_of(module: torch.nn.Module, x: Array) -> Call:
    module.eval()
    inputs = torch.from_numpy(x)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return module(inputs)

    return call


# ------------------------------------------------------------------------- checks of equal results


def check_logits(net: nn.Network, x: Array) -> None:
    """Compare logits with torch's.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    found, expected = net.predict(x), torch_inference(net, x)().numpy()
    if np.abs(found - expected).max() > CLOSE * np.abs(expected).max():
        raise RuntimeError("the logits of swiftforce and torch differ")


def check_losses(losses: Mapping[str, float]) -> None:
    """Compare the losses of several ways to train.

    Raises
    ------
    RuntimeError
        If they differ.
    """
    if not np.allclose([*losses.values()], next(iter(losses.values())), rtol=CLOSE):
        raise RuntimeError(f"losses differ: {losses}")
