"""Whole searches on a network of the engine, against the published algorithms on torch."""

from __future__ import annotations

import swiftforce as sf
import torch

from benchmarks import networks
from benchmarks.arrays import Array
from benchmarks.classifiers import Kind
from benchmarks.measure import Call
from benchmarks.plan import keep_for
from benchmarks.reference import Reference
from Tests.python.support import torch_twin

REFERENCE = "published algorithm on torch"
#: Least ratios of its time to ours, by method.
TARGETS = {"iterative_snip": ">= 2.5", "force": ">= 2.0"}


def ours(method: str, kind: Kind, x: Array, y: Array, sparsity: float, steps: int) -> Call:
    """swiftforce: a whole search."""
    net = kind.make()
    search = {"iterative_snip": sf.iterative_snip, "force": sf.force}[method]
    gradients = net.gradients_on(x, y, loss="cross_entropy")
    return lambda: search(net.weights, gradients, sparsity=sparsity, steps=steps, progress=False)


def on_torch(method: str, kind: Kind, x: Array, y: Array, sparsity: float, steps: int) -> Call:
    """torch: the same steps."""
    net = kind.make()
    module = torch_twin.twin(net, torch.float32)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    size = sum(weight.size for weight in net.weights.values())
    keeps = sf.schedule_keeps("exponential", size, keep_for(size, sparsity), steps)

    def call() -> Reference:
        search = Reference(module, net.weights, weights_return=method == "force")
        for keep in keeps:
            search.step(inputs, labels, keep)
        return search

    return call


def check_search(kind: Kind, x: Array, y: Array) -> None:
    """Compare the first masks of both, and then the gradients of the kept weights.

    Later masks are not compared: differences by rounding grow from step to step, on torch, too.

    Raises
    ------
    RuntimeError
        If they differ by more than rounding.
    """
    net = kind.make()
    keep = keep_for(sum(weight.size for weight in net.weights.values()), 0.9)
    search = sf.MaskSearch(net.weights, method="force", schedule=[keep, keep])
    gradients = net.gradients_on(x, y, loss="cross_entropy")
    search.step(gradients(search.masked_weights))
    first = Reference(torch_twin.twin(net, torch.float32), net.weights)
    theirs = first.step(torch.from_numpy(x), torch.from_numpy(y), keep)
    networks.check_masks(search, theirs, keep)
    masks = {name: mask.copy() for name, mask in search.masks.items()}
    net.apply(masks, kernels="dense")
    expected = networks.torch_gradients(net, x, y)()
    found = gradients.of_nonzero(search.masked_weights)
    networks.check_gradients(
        {name: gradient * masks[name] for name, gradient in found.items()},
        {name: value * torch.from_numpy(masks[name]) for name, value in expected.items()},
    )
