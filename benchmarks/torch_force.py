"""What a search by `swiftforce.torch` costs beyond torch's gradients, and masks in training.

Run from the top of the repository: `make bench`, or `python -m benchmarks.torch_force --quick`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import swiftforce as sf
import swiftforce.torch as sft
import torch
from torch.nn.functional import cross_entropy

from benchmarks import reference, torch_memory
from benchmarks import torch_models as models
from benchmarks.classifiers import Kind
from benchmarks.command import measure, options, results, show
from benchmarks.measure import BetweenSteps, in_turn, machine, without_collections
from benchmarks.plan import in_threads, kept
from benchmarks.rows import Row
from benchmarks.torch_memory import GRADIENTS, PRUNE

STEP = f"a step of {PRUNE}"
WITHOUT = "without masks"
WITH = "with masks"

VGG19, RESNET18, RESNET20 = Kind("vgg", 19), Kind("resnet", 18), Kind("resnet", 20)


@dataclass(frozen=True)
class Plan:
    """How much of everything is measured.

    Attributes
    ----------
    searched : Kind
        The network that is searched.
    trained : Kind
        The network that takes steps of training.
    batch : int
        Samples of 3 by 32 by 32 in a batch.
    batches : int
        Different ones, which the steps of a search take in turn.
    steps : int
        Of a search.
    sparsity : float
        Share of the weights that it removes.
    threads : int
        Of torch and of the selection.
    repeats : int
        Timed steps of training.
    """

    searched: Kind = VGG19
    trained: Kind = RESNET18
    batch: int = 128
    batches: int = 4
    steps: int = 60
    sparsity: float = 0.995
    threads: int = 2
    repeats: int = 31

    @property
    def case(self) -> str:
        """What is searched, in words."""
        removed = f"{100 * self.sparsity:g} % removed"
        return f"{self.searched}, batch of {self.batch}, {self.steps} steps to {removed}"


QUICK = Plan(
    searched=RESNET20,
    trained=RESNET20,
    batch=4,
    batches=2,
    steps=3,
    sparsity=0.9,
    repeats=2,
)


def of_a_step(plan: Plan) -> Iterator[Row]:
    """Steps of a search, and forward and backward alone before each, at the same masked weights."""
    model, batches = _searched(plan)
    gradients, again = GRADIENTS, f"{GRADIENTS}, once more"
    call = models.gradients(model, batches[0])
    between = BetweenSteps(batches, {gradients: call, again: call})
    _search(plan, model, between)
    facts = {"section": "step", "case": plan.case, "threads": plan.threads, "percent": True}
    alone = between.times(gradients)
    yield Row(**facts, what=gradients, median=alone.median, best=alone.best)
    for what, times, target in (
        (again, between.times(again), ""),
        (STEP, between.steps, "<= 3%"),
    ):
        yield Row(
            **facts,
            what=what,
            median=times.median,
            best=times.best,
            against=gradients,
            ratio=1 - alone.over(times),
            ratio_of_best=1 - alone.best / times.best,
            target=target,
        )


def of_a_search(plan: Plan) -> Iterator[Row]:
    """A whole search of ours and one by the published algorithm, step by step in turn."""
    model, batches = _searched(plan)
    size = models.size_of(model)
    keeps = sf.schedule_keeps("exponential", size, kept(size, plan.sparsity), plan.steps)
    theirs = models.reference_steps(models.model_of(plan.searched), batches, keeps)
    between = BetweenSteps(batches, {reference.NAME: theirs})
    both = _search(plan, model, between)
    seconds = between.total(reference.NAME)
    ours = both - seconds
    facts = {"section": "search", "case": plan.case, "threads": plan.threads}
    yield Row(**facts, what=PRUNE, median=ours)
    yield Row(
        **facts,
        what=reference.NAME,
        median=seconds,
        against=PRUNE,
        ratio=seconds / ours,
        ratio_of_best=between.times(reference.NAME).best / between.steps.best,
        target=">= 1.25",
    )


def of_memory(plan: Plan) -> Iterator[Row]:
    """The peak of a search beyond that of forward and backward, in processes of their own."""
    kind = plan.searched
    case = f"{kind}, batch of {plan.batch}"
    facts = {"section": "memory", "case": case, "threads": plan.threads, "unit": "B"}
    peaks = {
        what: torch_memory.extra(what, kind, plan.batch, plan.threads, plan.sparsity)
        for what in torch_memory.MASK
    }
    alone = peaks.pop(GRADIENTS)
    if alone is None:
        yield Row(**facts, what=GRADIENTS, note="this system does not tell")
        return
    yield Row(**facts, what=GRADIENTS, median=alone["extra"])
    for what, found in peaks.items():
        yield Row(**facts, what=f"masks that {what} returns", median=found["masks"])
        beyond = max(0, found["extra"] - found["masks"] - alone["extra"])
        yield Row(
            **facts,
            what=f"{what}, beyond both",
            median=beyond,
            against="one copy of the weights",
            ratio=beyond / found["weights"],
            target="<= 1.0" if what == PRUNE else "",
        )


def of_training(plan: Plan) -> Iterator[Row]:
    """Steps of training with masks applied, and without, on models that were equal before."""
    (batch,) = models.batches_of(1, plan.batch)
    again = f"{WITHOUT}, another model"
    calls = {
        WITHOUT: models.training_step(plan.trained, batch),
        again: models.training_step(plan.trained, batch),
        WITH: models.training_step(plan.trained, batch, plan.sparsity),
    }
    models.check_removed(calls[WITH](), plan.sparsity)
    found = in_turn(calls, plan.repeats)
    case = f"{plan.trained}, batch of {plan.batch}, {100 * plan.sparsity:g} % removed"
    facts = {"section": "training", "case": case, "threads": plan.threads, "percent": True}
    plain = found.pop(WITHOUT)
    yield Row(**facts, what=WITHOUT, median=plain.median, best=plain.best)
    for what, times in found.items():
        yield Row(
            **facts,
            what=what,
            median=times.median,
            best=times.best,
            against=WITHOUT,
            ratio=times.over(plain) - 1,
            ratio_of_best=times.best / plain.best - 1,
            target="<= 2%" if what == WITH else "",
        )


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "step": of_a_step,
    "search": of_a_search,
    "memory": of_memory,
    "training": of_training,
}


def _searched(plan: Plan) -> tuple[torch.nn.Module, list[models.Batch]]:
    """The model and its batches, of which the masks of ours and the reference are compared."""
    model = models.model_of(plan.searched)
    batches = models.batches_of(plan.batches, plan.batch)
    models.check_searches(model, batches, kept(models.size_of(model), plan.sparsity))
    return model, batches


def _search(plan: Plan, model: torch.nn.Module, batches: BetweenSteps) -> float:
    """Seconds of a whole search, with what takes turns with its steps."""
    with without_collections():
        start = time.perf_counter()
        sft.prune(model, batches, loss=cross_entropy, sparsity=plan.sparsity, steps=plan.steps)
        return time.perf_counter() - start


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    threads = in_threads(plan.threads)
    return {
        "step": f"Steps of FORCE on torch, {threads}",
        "search": f"A whole search on torch, {threads}",
        "memory": "Peak memory of a search on torch",
        "training": f"A step of training in torch, {threads}",
    }


def main() -> None:
    """Measure what is missing, and show all that there is."""
    given = options(__doc__.splitlines()[0], SECTIONS).parse_args()
    plan = QUICK if given.quick else Plan()
    found = results(given, "torch")
    # The images are noise: what a mask does to a network that sees them means nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    measure(found, given, machine(), lambda name: SECTIONS[name](plan))
    show(found, given, "torch", titles(plan))


if __name__ == "__main__":
    main()
