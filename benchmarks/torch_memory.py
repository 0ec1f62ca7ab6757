"""How much memory a search on torch takes, measured in a process of its own."""

from __future__ import annotations

import argparse
import json
import warnings

import swiftforce as sf
import swiftforce.torch as sft
import torch
from torch.nn.functional import cross_entropy

from benchmarks import memory, reference
from benchmarks.classifiers import Kind
from benchmarks.measure import Call
from benchmarks.plan import kept
from benchmarks.torch_models import batches_of, gradients, model_of, reference_steps, size_of

GRADIENTS = "forward and backward"
PRUNE = "sft.prune"
#: Bytes of a mask that a call returns, for each weight.
MASK = {GRADIENTS: 0, PRUNE: 1, reference.NAME: 4}
#: The C library is to give back what is freed, from this many bytes on. What it keeps otherwise
#: depends on which thread freed what, and differs by more between two runs than what is measured.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "262144"}
#: From its third step on, all memory of a search is in use.
STEPS = 4


def extra(what: str, kind: Kind, n: int, threads: int, sparsity: float) -> dict[str, int] | None:
    """Peak bytes beyond a model and a batch that are there; None where memory cannot be told.

    Returns
    -------
    dict
        ``extra``; of that, ``masks`` that the call returns; ``weights`` to compare it with.
    """
    given = (what, kind.family, kind.depth, n, threads, sparsity)
    return memory.in_a_process("benchmarks.torch_memory", *given, environment=GIVEN_BACK)


def repeated(call: Call, times: int) -> Call:
    """A call that calls so many times, and keeps none of what comes back."""

    def several() -> None:
        for _ in range(times):
            call()

    return several


def _call(what: str, model: torch.nn.Module, n: int, sparsity: float) -> Call:
    batches = batches_of(1, n)
    if what == GRADIENTS:
        # As often as a search does: the peak of several passes is not that of one.
        return repeated(gradients(model, batches[0]), STEPS)
    if what == PRUNE:
        return lambda: sft.prune(model, batches, loss=cross_entropy, sparsity=sparsity, steps=STEPS)
    size = size_of(model)
    keeps = sf.schedule_keeps("exponential", size, kept(size, sparsity), STEPS)
    step = reference_steps(model, batches, keeps)
    return lambda: [step() for _ in range(STEPS)]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MASK)
    parser.add_argument("family")
    parser.add_argument("depth", type=int)
    parser.add_argument("samples", type=int)
    parser.add_argument("threads", type=int)
    parser.add_argument("sparsity", type=float)
    given = parser.parse_args()
    warnings.simplefilter("ignore", sf.SwiftForceWarning)  # as in torch_force.py
    sf.set_num_threads(given.threads)
    torch.set_num_threads(given.threads)
    # What a library sets up once is not counted.
    _call(given.what, model_of(Kind("resnet", 20)), 2, given.sparsity)()
    model = model_of(Kind(given.family, given.depth))
    call = _call(given.what, model, given.samples, given.sparsity)
    size = size_of(model)
    found = {"extra": memory.peak_beyond(call), "masks": MASK[given.what] * size}
    print(json.dumps(found | {"weights": 4 * size}))


if __name__ == "__main__":
    _main()
