"""Time of a search by `swiftforce.torch` beyond torch's gradients, and of masks in training.

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
from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import BetweenSteps, garbage_collection_off, in_turn, machine_facts
from benchmarks.plan import keep_for, threads_text
from benchmarks.rows import Row
from benchmarks.torch_memory import GRADIENTS, PRUNE

STEP = f"a step of {PRUNE}"
WITHOUT = "without masks"
WITH = "with masks"

VGG19, RESNET18, RESNET20 = Kind("vgg", 19), Kind("resnet", 18), Kind("resnet", 20)


@dataclass(frozen=True)
class Plan:
    """Networks, sizes and repeats.

    Attributes
    ----------
    searched : Kind
        The network that is searched.
    trained : Kind
        The network that takes steps of training.
    batch : int
        Samples of 3 by 32 by 32 in a batch.
    batches : int
        Different batches, which the steps of a search use in turn.
    steps : int
        Steps of a search.
    sparsity : float
        Share of the weights that a search removes.
    threads : int
        For torch and for the selection.
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
        """The search, in words."""
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


def step_rows(plan: Plan) -> Iterator[Row]:
    """Steps of a search, against forward and backward alone at the same masked weights."""
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
            ratio=1 - alone.ratio_to(times),
            ratio_of_best=1 - alone.best / times.best,
            target=target,
        )


def search_rows(plan: Plan) -> Iterator[Row]:
    """A whole search, against the published algorithm, in alternating steps."""
    model, batches = _searched(plan)
    size = models.size_of(model)
    keeps = sf.schedule_keeps("exponential", size, keep_for(size, plan.sparsity), plan.steps)
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


def memory_rows(plan: Plan) -> Iterator[Row]:
    """Peak memory of a search beyond that of forward and backward, in separate processes."""
    kind = plan.searched
    case = f"{kind}, batch of {plan.batch}"
    facts = {"section": "memory", "case": case, "threads": plan.threads, "unit": "B"}
    peaks = {
        what: torch_memory.extra_memory(what, kind, plan.batch, plan.threads, plan.sparsity)
        for what in torch_memory.MASK
    }
    alone = peaks.pop(GRADIENTS)
    if alone is None:
        yield Row(**facts, what=GRADIENTS, note="this system does not report it")
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


def training_rows(plan: Plan) -> Iterator[Row]:
    """Steps of training with and without masks, on models that start equal."""
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
            ratio=times.ratio_to(plain) - 1,
            ratio_of_best=times.best / plain.best - 1,
            target="<= 2%" if what == WITH else "",
        )


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "step": step_rows,
    "search": search_rows,
    "memory": memory_rows,
    "training": training_rows,
}


def _searched(plan: Plan) -> tuple[torch.nn.Module, list[models.Batch]]:
    """The model and its batches, after a check that both ways find the same masks."""
    model = models.model_of(plan.searched)
    batches = models.batches_of(plan.batches, plan.batch)
    models.check_searches(model, batches, keep_for(models.size_of(model), plan.sparsity))
    return model, batches


def _search(plan: Plan, model: torch.nn.Module, batches: BetweenSteps) -> float:
    """Seconds of a whole search, with the calls between its steps."""
    with garbage_collection_off():
        start = time.perf_counter()
        sft.prune(
            model,
            batches,
            loss=cross_entropy,
            method="force",
            sparsity=plan.sparsity,
            steps=plan.steps,
            progress=False,
        )
        return time.perf_counter() - start


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    threads = threads_text(plan.threads)
    return {
        "step": f"Steps of FORCE on torch, {threads}",
        "search": f"A whole search on torch, {threads}",
        "memory": "Peak memory of a search on torch",
        "training": f"A step of training in torch, {threads}",
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    arguments = options(__doc__.splitlines()[0], SECTIONS).parse_args()
    plan = QUICK if arguments.quick else Plan()
    found = open_results(arguments, "torch")
    # The images are noise, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    measure(found, arguments, machine_facts(), lambda name: SECTIONS[name](plan))
    show(found, arguments, "torch", titles(plan))


if __name__ == "__main__":
    main()
