"""Libraries that compute over kept weights, each in a Python of its own.

`PeerProcess` runs this module with that Python, which needs torch and the library but nothing else
of this repository. The process reads tasks from a file, checks the library against torch, says that
it is ready, and does a task once for each line that has its number.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

SPARSEPROP = "sparseprop"
SPARSELAB = "sparselab"
LIBRARIES = (SPARSEPROP, SPARSELAB)
#: sparseprop's own rule in `swap_modules_with_sparse`: less sparse layers stay dense.
LEAST_SPARSITY = 0.8
#: Largest difference of results, relative to the largest result.
CLOSE = 1e-3


class PeerProcess:
    """A process that does tasks with a library, one whenever it is called.

    Parameters
    ----------
    python : str
        The Python to run.
    library : {"sparseprop", "sparselab"}
    tasks : list of dict
        What `layer_call` or `network_call` takes.
    threads : int

    Raises
    ------
    RuntimeError
        If the library is missing or computes something else.
    """

    def __init__(
        self, python: str, library: str, tasks: list[dict[str, Any]], threads: int
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tasks.pt"
            torch.save(tasks, file)
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.sparse_peers", library, str(file), str(threads)],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._expect("ready")

    def __call__(self, number: int) -> None:
        """Do a task once, by its place in the list."""
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        self._expect("done")

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._process.__exit__(kind, error, trace)

    def _expect(self, word: str) -> None:
        if self._process.stdout.readline().strip() != word:
            self._process.kill()
            self._process.__exit__(None, None, None)
            raise RuntimeError("a peer's process failed; its message is above")


def version_in(python: str, library: str) -> str:
    """The version of a library in the environment of a Python."""
    code = f"from importlib.metadata import version; print(version({library!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


# ------------------------------------------------------------------------- in the peer's process


def layer_call(library: str, task: dict[str, Any]) -> Callable[[], object]:
    """The three products of one layer.

    Parameters
    ----------
    task : dict
        ``weight``, masked, of a convolution or a linear layer; ``x``; ``stride``; ``padding``;
        ``times``: how often a call computes.
    """
    x = task["x"].requires_grad_()
    dense = _dense_layer(task)
    expected = dense(x)
    gradient = torch.randn_like(expected).contiguous()
    layers = (
        [_sparselab_linear(task["weight"])] if library == SPARSELAB else _sparseprop_layers(dense)
    )
    wanted = expected, torch.autograd.grad(expected, x, gradient)[0]
    calls = []
    for layer, values in layers:
        y = layer(x)
        found = y, torch.autograd.grad(y, x, gradient)[0]
        if all(map(_close, found, wanted)):
            calls.append(_products(layer, (x, values), gradient, task["times"]))
    if not calls:
        raise RuntimeError(f"{library} and torch compute different results")
    return min(calls, key=_seconds)


def network_call(_: str, task: dict[str, Any]) -> Callable[[], object]:
    """A step of training with sparseprop, which chooses for each layer what is faster.

    Parameters
    ----------
    task : dict
        ``module`` with masked weights, ``x``, ``y``.
    """
    from sparseprop.modules import sparsify_if_faster
    from sparseprop.utils import sparsity
    from torch.nn.functional import cross_entropy

    module, x, y = task["module"], task["x"], task["y"]
    shapes = _input_shapes(module, x[:1])
    expected = module(x[:16]).detach()
    for name, layer in list(module.named_modules()):
        if name in shapes and sparsity(layer) > LEAST_SPARSITY:
            faster = sparsify_if_faster(layer, (len(x), *shapes[name]))
            module.set_submodule(name, faster)
    if not _close(module(x[:16]), expected):
        raise RuntimeError("sparseprop and torch compute different logits")
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(module(x), y).backward()
        optimizer.step()

    return step


def _dense_layer(task: dict[str, Any]) -> torch.nn.Module:
    weight = task["weight"]
    outputs, inputs, *kernel = weight.shape
    if kernel:
        layer: torch.nn.Module = torch.nn.Conv2d(
            inputs, outputs, kernel[0], task["stride"], task["padding"], bias=False
        )
    else:
        layer = torch.nn.Linear(inputs, outputs, bias=False)
    layer.weight.data = weight
    return layer


def _sparseprop_layers(dense: torch.nn.Module) -> list[tuple[torch.nn.Module, torch.Tensor]]:
    """Every variant of sparseprop for a layer, with its kept weights."""
    from sparseprop.modules import SparseConv2d, SparseLinear

    if isinstance(dense, torch.nn.Linear):
        layers = [SparseLinear.from_dense(dense)]
    else:
        layers = [SparseConv2d.from_dense(dense, over) for over in (False, True)]
    return [(layer, layer.W_val) for layer in layers]


def _sparselab_linear(weight: torch.Tensor) -> tuple[torch.nn.Module, torch.Tensor]:
    """A linear layer of sparselab with these weights in place of its own random ones."""
    import sparselab

    outputs, inputs = weight.shape
    layer = sparselab.SparseLinear(inputs, outputs, bias=False)
    layer._csr = sparselab.layout.from_dense(weight)
    layer._values = torch.nn.Parameter(torch.from_numpy(np.asarray(layer._csr.values)))
    return layer, layer._values


def _products(
    layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], gradient: torch.Tensor, times: int
) -> Callable[[], None]:
    def call() -> None:
        for _ in range(times):
            torch.autograd.grad(layer(inputs[0]), inputs, gradient)

    return call


def _input_shapes(module: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Size]:
    """Shapes of a sample before each convolution and each linear layer, by name."""
    found: dict[str, torch.Size] = {}
    handles = [
        layer.register_forward_hook(
            lambda _, inputs, __, name=name: found.update({name: inputs[0].shape[1:]})
        )
        for name, layer in module.named_modules()
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    # One sample of one pixel has no variance.
    with torch.no_grad():
        module.eval()(x)
    module.train()
    for handle in handles:
        handle.remove()
    return found


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= CLOSE * expected.abs().max())


def _seconds(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _main() -> None:
    name, file, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    output, sys.stdout = sys.stdout, sys.stderr  # libraries print, too
    tasks = torch.load(file, weights_only=False)
    calls = [(network_call if "module" in task else layer_call)(name, task) for task in tasks]
    for call in calls:
        call()
    print("ready", file=output, flush=True)
    for line in sys.stdin:
        calls[int(line)]()
        print("done", file=output, flush=True)


if __name__ == "__main__":
    _main()
