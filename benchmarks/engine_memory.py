"""Peak memory of a step of training, measured in a separate process."""

from __future__ import annotations

import argparse
import json

import swiftforce as sf

from benchmarks import memory
from benchmarks.arrays import Array
from benchmarks.classifiers import Kind, samples
from benchmarks.measure import Call

OURS = "swiftforce"
TORCH = "torch"


def extra_memory(what: str, kind: Kind, n: int, threads: int) -> int | None:
    """Peak bytes of making a network and a step on `n` samples; None if not reported."""
    arguments = (what, kind.family, kind.depth, n, threads)
    found = memory.run_in_process("benchmarks.engine_memory", *arguments)
    return None if found is None else found["extra"]


def _ours(kind: Kind, x: Array, y: Array) -> Call:
    return lambda: kind.make().fit(x, y, epochs=1, batch_size=len(y), progress=False)


def _torch(kind: Kind, x: Array, y: Array) -> Call:
    import torch

    from Tests.python.support import torch_twin

    layers = kind.make().layers
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)

    def call() -> None:
        module = torch_twin.sequence(layers)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        torch.nn.functional.cross_entropy(module(inputs), labels).backward()
        optimizer.step()

    return call


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=(OURS, TORCH))
    parser.add_argument("family")
    parser.add_argument("depth", type=int)
    parser.add_argument("samples", type=int)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    sf.set_num_threads(arguments.threads)
    if arguments.what == TORCH:
        import torch

        torch.set_num_threads(arguments.threads)
    prepare = {OURS: _ours, TORCH: _torch}[arguments.what]
    # One-time allocations of libraries are not counted.
    prepare(Kind("resnet", 20), *samples(2))()
    call = prepare(Kind(arguments.family, arguments.depth), *samples(arguments.samples))
    print(json.dumps({"extra": memory.extra_peak(call)}))


if __name__ == "__main__":
    _main()
