"""Peak memory of a search on torch, measured in a separate process."""

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
from benchmarks.measure import Call, repeated
from benchmarks.plan import keep_for
from benchmarks.torch_models import batches_of, gradients, model_of, reference_steps, size_of

GRADIENTS = "forward and backward"
PRUNE = "sft.prune"
#: Bytes of the returned masks for each weight.
MASK = {GRADIENTS: 0, PRUNE: 1, reference.NAME: 4}
#: A search uses all of its memory from its third step on.
STEPS = 4


def extra_memory(
    what: str, kind: Kind, n: int, threads: int, sparsity: float
) -> dict[str, int] | None:
    """Peak bytes beyond a model and a batch; None if the system does not report them.

    Returns
    -------
    dict
        ``extra`` bytes, ``masks`` among them that the call returns, ``weights`` to compare with.
    """
    arguments = (what, kind.family, kind.depth, n, threads, sparsity)
    return memory.run_in_process(
        "benchmarks.torch_memory", *arguments, environment=memory.MALLOC_SETTINGS
    )


def _call(what: str, model: torch.nn.Module, n: int, sparsity: float) -> Call:
    batches = batches_of(1, n)
    if what == GRADIENTS:
        # As often as a search: several runs have another peak than one.
        return repeated(gradients(model, batches[0]), STEPS)
    if what == PRUNE:
        return lambda: sft.prune(
            model,
            batches,
            loss=cross_entropy,
            method="force",
            sparsity=sparsity,
            steps=STEPS,
            progress=False,
        )
    size = size_of(model)
    keeps = sf.schedule_keeps("exponential", size, keep_for(size, sparsity), STEPS)
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
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", sf.SwiftForceWarning)  # as in torch_force.py
    sf.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    # One-time allocations of libraries are not counted.
    _call(arguments.what, model_of(Kind("resnet", 20)), 2, arguments.sparsity)()
    model = model_of(Kind(arguments.family, arguments.depth))
    call = _call(arguments.what, model, arguments.samples, arguments.sparsity)
    size = size_of(model)
    found = {"extra": memory.extra_peak(call), "masks": MASK[arguments.what] * size}
    print(json.dumps(found | {"weights": 4 * size}))


if __name__ == "__main__":
    _main()
