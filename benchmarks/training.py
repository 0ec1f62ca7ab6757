"""How much memory a step of training takes, measured in a process of its own."""

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


def extra(what: str, kind: Kind, n: int, threads: int) -> int | None:
    """Peak bytes of making a network and taking a step on so many samples; None if unknown."""
    given = (what, kind.family, kind.depth, n, threads)
    found = memory.in_a_process("benchmarks.training", *given)
    return None if found is None else found["extra"]


def _ours(kind: Kind, x: Array, y: Array) -> Call:
    return lambda: kind.make().fit(x, y, epochs=1, batch_size=len(y))


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
    given = parser.parse_args()
    sf.set_num_threads(given.threads)
    if given.what == TORCH:
        import torch

        torch.set_num_threads(given.threads)
    prepare = {OURS: _ours, TORCH: _torch}[given.what]
    # What a library sets up once is not counted.
    prepare(Kind("resnet", 20), *samples(2))()
    call = prepare(Kind(given.family, given.depth), *samples(given.samples))
    print(json.dumps({"extra": memory.peak_beyond(call)}))


if __name__ == "__main__":
    _main()
