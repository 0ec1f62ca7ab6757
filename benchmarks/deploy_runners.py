"""What runs a sparse network: torch, onnxruntime, OpenVINO, scipy and the engine.

A runner takes a `Deployed` network and makes a call that returns logits. To measure another one,
add it to `RUNNERS`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import swiftforce.torch as sft
import torch
from swiftforce import nn

from benchmarks.arrays import Array
from Tests.python.support import torch_twin

Logits = Callable[[], Array]


@dataclass(frozen=True)
class Deployed:
    """A network with masks, ready to compute logits.

    Attributes
    ----------
    net : nn.Network
        In the engine.
    module : torch.nn.Module
        The same in torch, with masks, in eval mode.
    x : array of float32
        A batch of samples.
    folder : Path
        Has ``model.onnx``, if onnx is installed.
    threads : int
    """

    net: nn.Network
    module: torch.nn.Module
    x: Array
    folder: Path
    threads: int


Runner = Callable[[Deployed], Logits]


class CsrLinear(torch.nn.Module):
    """A linear layer whose weight is sparse in torch."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (samples, outputs)."""
        y = (self.weight @ x.T).T
        return y if self.bias is None else y + self.bias


class CsrConv2d(torch.nn.Module):
    """A convolution whose weight is sparse in torch, over copies of all patches."""

    def __init__(self, layer: torch.nn.Conv2d, weight: torch.Tensor) -> None:
        super().__init__()
        self.layer, self.weight = layer, weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (samples, outputs, height, width)."""
        layer = self.layer
        size = [
            (side + 2 * pad - kernel) // stride + 1
            for side, pad, kernel, stride in zip(
                x.shape[2:], layer.padding, layer.kernel_size, layer.stride, strict=True
            )
        ]
        patches = torch.nn.functional.unfold(
            x, layer.kernel_size, padding=layer.padding, stride=layer.stride
        )
        columns = patches.transpose(0, 1).reshape(patches.shape[1], -1)
        y = (self.weight @ columns).reshape(-1, len(x), *size).transpose(0, 1)
        return y if layer.bias is None else y + layer.bias[:, None, None]


def torch_dense(deployed: Deployed) -> Logits:
    """Compute with torch, which multiplies by the zeros."""
    return _of_module(deployed.module, deployed.x)


def torch_csr(deployed: Deployed, convolutions: bool = True) -> Logits:
    """Compute with sparse linear layers of torch and, over all patches, sparse convolutions."""
    module = copy.deepcopy(deployed.module)
    for name, weight in sft.to_csr(deployed.module).items():
        path = name.rpartition(".")[0]
        layer = module.get_submodule(path)
        if isinstance(layer, torch.nn.Linear):
            module.set_submodule(path, CsrLinear(weight, layer.bias))
        elif convolutions:
            module.set_submodule(path, CsrConv2d(layer, weight))
    return _of_module(module, deployed.x)


def torch_csr_linear(deployed: Deployed) -> Logits:
    """Compute with sparse linear layers of torch and dense convolutions."""
    return torch_csr(deployed, convolutions=False)


def torch_sparsify(deployed: Deployed) -> Logits:
    """Compute with torch and layers over their kept weights."""
    module = copy.deepcopy(deployed.module)
    sft.sparsify(module, torch.from_numpy(deployed.x))
    return _of_module(module, deployed.x)


def torch_compact(deployed: Deployed) -> Logits:
    """Compute with torch without dead units, dense."""
    small = sft.compact(deployed.module, torch.from_numpy(deployed.x), inference=True)
    return _of_module(small.eval(), deployed.x)


def _of_module(module: torch.nn.Module, x: Array) -> Logits:
    inputs = torch.from_numpy(x)

    @torch.inference_mode()
    def call() -> Array:
        logits: Array = module(inputs).numpy()
        return logits

    return call


def onnxruntime(deployed: Deployed) -> Logits:
    """Compute with onnxruntime on the CPU, dense."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = deployed.threads
    # Threads that wait by spinning would take the cores of the calls in between.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        deployed.folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    inputs = {session.get_inputs()[0].name: deployed.x}
    return lambda: session.run(None, inputs)[0]


def openvino(deployed: Deployed, **properties: Any) -> Logits:  # noqa: ANN401 - of the library
    """Compute with OpenVINO on the CPU in float32, dense."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": deployed.threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        **properties,
    }
    model = core.read_model(deployed.folder / "model.onnx")
    model.reshape(list(deployed.x.shape))
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: np.array(next(iter(request.infer([deployed.x]).values())))


def openvino_sparse(deployed: Deployed) -> Logits:
    """Compute with OpenVINO and its decompression of sparse weights, of int8 layers alone."""
    return openvino(deployed, CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE=0.5)


def scipy_csr(deployed: Deployed) -> Logits:
    """Compute linear layers with scipy and the rows of `sft.export`, on one thread."""
    from scipy.sparse import csr_matrix

    sft.export(deployed.module, deployed.folder / "rows.npz")
    arrays = np.load(deployed.folder / "rows.npz")
    layers = []
    for name, layer in deployed.module.named_children():
        if isinstance(layer, torch.nn.Linear):
            parts = tuple(arrays[f"{name}.weight.{part}"] for part in ("data", "indices", "indptr"))
            weight = csr_matrix(parts, tuple(arrays[f"{name}.weight.shape"]))
            layers.append((weight, arrays[f"{name}.bias"][:, None]))
        else:
            layers.append(layer)

    def call() -> Array:
        y = deployed.x.reshape(len(deployed.x), -1).T
        for layer in layers:
            if isinstance(layer, tuple):
                y = layer[0] @ y + layer[1]
            elif isinstance(layer, torch.nn.ReLU):
                y = np.maximum(y, 0)
        return y.T

    return call


def engine(deployed: Deployed) -> Logits:
    """Compute with the engine, over kept weights where that is faster."""
    return lambda: deployed.net.predict(deployed.x)


TORCH = "torch"
OURS = "swiftforce.nn"
#: By name, in the order of the tables. The first is what the others are compared with.
RUNNERS: Mapping[str, Runner] = {
    TORCH: torch_dense,
    "torch, CSR linear layers": torch_csr_linear,
    "torch, CSR": torch_csr,
    "scipy, CSR": scipy_csr,
    "onnxruntime": onnxruntime,
    "OpenVINO": openvino,
    "OpenVINO, sparse weights": openvino_sparse,
    "torch, compact": torch_compact,
    "torch, sparsify": torch_sparsify,
    OURS: engine,
}
#: What a runner needs to be installed.
NEEDS = {
    "scipy, CSR": "scipy",
    "onnxruntime": "onnxruntime",
    "OpenVINO": "openvino",
    "OpenVINO, sparse weights": "openvino",
}


def deployed(
    make: Callable[[], nn.Network], masks: Mapping[str, Array], x: Array, folder: Path, threads: int
) -> Deployed:
    """A network with masks whose statistics are those of the samples, here and in torch.

    Parameters
    ----------
    make : callable
        Makes the network.
    masks : mapping of str to array of bool
    x : array of float32
    folder : Path
    threads : int
    """
    net = make()
    module = torch_twin.twin(net, torch.float32)
    names = {id(one): name for name, one in module.named_parameters()}
    ours = torch_twin.parameters(module)
    sft.apply(module, {names[id(ours[name])]: mask for name, mask in masks.items()})
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        module(torch.from_numpy(x))
    module.eval()
    torch_twin.take(net, module)
    net.apply(masks)
    return Deployed(net, module, x, folder, threads)
