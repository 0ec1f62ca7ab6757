"""Times of gradients, steps of FORCE, training and evaluation of a network, against torch.

Run from the top of the repository: `make bench`, or `python -m benchmarks.engine --quick`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import swiftforce as sf
import torch
from swiftforce import nn

from benchmarks import engine_memory, networks, reference
from benchmarks.classifiers import Kind, samples
from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import Times, in_turn, machine_facts
from benchmarks.plan import keep_for, threads_text
from benchmarks.rows import Row

OURS = "swiftforce"
TORCH = "torch"
CHANNELS_LAST = "torch, channels last"


@dataclass(frozen=True)
class Plan:
    """Networks, sizes and repeats.

    Attributes
    ----------
    kinds : tuple of Kind
        Networks whose gradients are timed; steps and memory are those of the first.
    batch : int
        Samples of 3 by 32 by 32 in a batch.
    sparsities : tuple of float
        For steps of FORCE. Of 60 steps to 99 %, the 9th keeps half and the 30th a tenth.
    images : int
        Images of 1 by 28 by 28 for evaluation.
    sizes : tuple of int
        Batch sizes of torch's evaluation.
    threads : int
        For both libraries.
    repeats, short_repeats : int
        Timed runs; more for evaluation, which is short.
    """

    kinds: tuple[Kind, ...] = (Kind("vgg", 19), Kind("resnet", 50))
    batch: int = 128
    sparsities: tuple[float, ...] = (0.5, 0.9)
    images: int = 10_000
    sizes: tuple[int, ...] = (128, 1000)
    threads: int = 2
    repeats: int = 5
    short_repeats: int = 11


QUICK = Plan(
    kinds=(Kind("resnet", 20),),
    batch=4,
    sparsities=(0.9,),
    images=200,
    sizes=(100,),
    repeats=2,
    short_repeats=2,
)


def gradient_rows(plan: Plan) -> Iterator[Row]:
    """A forward and a backward pass, for the gradients of all weights."""
    x, y = samples(plan.batch)
    for kind in plan.kinds:
        net = kind.make()
        calls = {
            OURS: networks.gradients(net, x, y),
            TORCH: networks.torch_gradients(net, x, y),
            CHANNELS_LAST: networks.torch_gradients(net, x, y, torch.channels_last),
        }
        networks.check_gradients(calls[OURS](), calls[TORCH]())
        case = f"{kind}, batch of {plan.batch}"
        yield from _compared(plan, "gradients", case, in_turn(calls, plan.repeats), ">= 1.0")


def step_rows(plan: Plan) -> Iterator[Row]:
    """Gradients at the masked weights, and new masks from them."""
    x, y = samples(plan.batch)
    kind = plan.kinds[0]
    net = kind.make()
    size = sum(weight.size for weight in net.weights.values())
    for sparsity in plan.sparsities:
        keep = keep_for(size, sparsity)
        calls = {
            # Masks of the first step are compared. The second is not timed: it allocates memory.
            OURS: networks.force_steps(net, x, y, keep, plan.repeats + 2),
            reference.NAME: networks.torch_force_steps(net, x, y, keep),
        }
        networks.check_masks(calls[OURS](), calls[reference.NAME](), keep)
        case = f"{kind}, batch of {plan.batch}, {100 * sparsity:g} % removed"
        yield from _compared(plan, "steps", case, in_turn(calls, plan.repeats), ">= 1.5")


def memory_rows(plan: Plan) -> Iterator[Row]:
    """Peak memory of a step of training beyond weights, gradients and activations."""
    kind = plan.kinds[0]
    required = networks.required_bytes(kind.make(), plan.batch)
    what = "weights, gradients and activations"
    facts = {"section": "memory", "case": f"{kind}, batch of {plan.batch}", "unit": "B"}
    facts["threads"] = plan.threads
    yield Row(**facts, what=what, median=required)
    for library in (engine_memory.OURS, engine_memory.TORCH):
        peak = engine_memory.extra_memory(library, kind, plan.batch, plan.threads)
        if peak is None:
            yield Row(**facts, what=library, note="this system does not report it")
            continue
        beyond = max(0, peak - required)
        target = "<= 25%" if library == engine_memory.OURS else ""
        ratio = beyond / required
        yield Row(**facts, what=library, median=beyond, against=what, ratio=ratio, target=target)


def evaluation_rows(plan: Plan) -> Iterator[Row]:
    """Loss and accuracy of LeNet-5 on images."""
    x, y = samples(plan.images, (1, 28, 28))
    net = nn.lenet5(seed=1)
    calls = {OURS: networks.evaluation(net, x, y)}
    for size in plan.sizes:
        calls[f"torch, batches of {size}"] = networks.torch_evaluation(net, x, y, size)
    for name, call in calls.items():
        if name != OURS:
            networks.check_evaluation(calls[OURS](), call())
    found = in_turn(calls, plan.short_repeats)
    case = f"LeNet-5, {plan.images:,} images"
    yield from _compared(plan, "evaluation", case, found, ">= 1.5", images=plan.images)


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "gradients": gradient_rows,
    "steps": step_rows,
    "memory": memory_rows,
    "evaluation": evaluation_rows,
}


def _compared(
    plan: Plan, section: str, case: str, found: dict[str, Times], target: str, images: int = 0
) -> Iterator[Row]:
    """Rows of swiftforce and of the others against it; images per second if `images` is not 0."""
    for name, times in found.items():
        ours = found[OURS]
        compared = (
            {}
            if name == OURS
            else {
                "against": OURS,
                "ratio": times.median / ours.median,
                "ratio_of_best": times.best / ours.best,
                "target": target,
            }
        )
        yield Row(
            section,
            case,
            name,
            images / times.median if images else times.median,
            images / times.best if images else times.best,
            unit="images/s" if images else "s",
            threads=plan.threads,
            **compared,
        )


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    threads = threads_text(plan.threads)
    return {
        "gradients": f"Gradients of all weights, {threads}",
        "steps": f"A step of FORCE, {threads}",
        "memory": "Peak memory of a step of training beyond weights, gradients and activations",
        "evaluation": f"Loss and accuracy, {threads}",
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    arguments = options(__doc__.splitlines()[0], SECTIONS).parse_args()
    plan = QUICK if arguments.quick else Plan()
    results = open_results(arguments, "engine")
    # Steps keep few weights from the start, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    facts = machine_facts()
    measure(results, arguments, facts, lambda name: SECTIONS[name](plan))
    show(results, arguments, "engine", titles(plan))


if __name__ == "__main__":
    main()
