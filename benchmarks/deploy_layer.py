"""One linear layer with a random mask and one sample: torch, `sft.sparsify` and scipy."""

from __future__ import annotations

import copy
import importlib.util

import swiftforce.torch as sft
import torch

from benchmarks.arrays import Array
from benchmarks.deploy_runners import TORCH, Logits
from benchmarks.plan import keep_for

SPARSIFIED = "torch, sparsify"
SCIPY = "scipy, CSR"


def layer_calls(inputs: int, outputs: int, sparsity: float) -> dict[str, Logits]:
    """Calls that return the outputs, by name; scipy's only where it is installed.

    They are for inference mode, which takes a few microseconds to enter.
    """
    generator = torch.Generator().manual_seed(1)
    dense = torch.nn.Linear(inputs, outputs)
    chosen = torch.randperm(outputs * inputs, generator=generator)
    mask = torch.zeros(outputs * inputs, dtype=torch.bool)
    mask[chosen[: keep_for(outputs * inputs, sparsity)]] = True
    sft.apply(dense, {"weight": mask.view(outputs, inputs)})
    sparse = copy.deepcopy(dense)
    x = torch.randn(1, inputs, generator=generator)
    sft.sparsify(sparse, x)
    calls = {TORCH: _of(dense, x), SPARSIFIED: _of(sparse, x)}
    if importlib.util.find_spec("scipy"):
        calls[SCIPY] = _scipy(dense, x)
    return calls


def _of(layer: torch.nn.Module, x: torch.Tensor) -> Logits:
    return lambda: layer(x).numpy()


def _scipy(layer: torch.nn.Linear, x: torch.Tensor) -> Logits:
    from scipy.sparse import csr_matrix

    weight = csr_matrix(layer.weight.detach().numpy())
    column, bias = x.numpy()[0], layer.bias.detach().numpy()

    def call() -> Array:
        outputs: Array = weight @ column + bias
        return outputs[None]

    return call
