"""What `sft.compact` removes from masked networks, by method, and what a step of training gains.

Run from the top of the repository: `make bench`, or `python -m benchmarks.compact --quick`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import swiftforce as sf
import swiftforce.torch as sft
import torch
from torch.nn.functional import cross_entropy

from benchmarks import torch_models as models
from benchmarks.classifiers import Kind
from benchmarks.command import measure, open_results, options, show
from benchmarks.measure import Call, in_turn, machine_facts
from benchmarks.plan import threads_text
from benchmarks.rows import Row

MASKED = "masked, dense"
METHODS = ("synflow", "force", "force_nested", "iterative_snip")
VGG19, RESNET18, RESNET20 = Kind("vgg", 19), Kind("resnet", 18), Kind("resnet", 20)
#: The method whose step of training is timed: the others leave what their multiply-adds say.
TIMED = "synflow"
#: The time of its masked step over that of its compact one.
TARGET = ">= 3.5"


@dataclass(frozen=True)
class Plan:
    """Networks, sizes and repeats.

    Attributes
    ----------
    kinds : tuple of Kind
        The networks.
    batch : int
        Samples of 3 by 32 by 32 in a batch; images of noise.
    batches : int
        Different batches, which the steps of a search use in turn.
    steps, synflow_steps : int
        Steps of a search.
    sparsity : float
        Share of the weights that a search removes.
    threads : int
    repeats : int
        Timed steps of training.
    """

    kinds: tuple[Kind, ...] = (VGG19, RESNET18)
    batch: int = 64
    batches: int = 8
    steps: int = 30
    synflow_steps: int = 100
    sparsity: float = 0.99
    threads: int = 1
    repeats: int = 9

    def case(self, kind: Kind) -> str:
        """A network and its sparsity, in words."""
        return f"{kind}, {100 * self.sparsity:g} % removed"


QUICK = Plan(
    kinds=(RESNET20,), batch=4, batches=2, steps=2, synflow_steps=10, sparsity=0.9, repeats=2
)


@cache
def masks_of(plan: Plan, kind: Kind, method: str) -> dict[str, torch.Tensor]:
    """The masks that a method finds."""
    model = models.model_of(kind)
    if method == "synflow":
        found = sft.prune(
            model,
            [torch.zeros(1, 3, 32, 32)],
            method=method,
            sparsity=plan.sparsity,
            steps=plan.synflow_steps,
        )
    else:
        found = sft.prune(
            model,
            models.batches_of(plan.batches, plan.batch),
            sft.losses.target_logit,
            method=method,
            sparsity=plan.sparsity,
            steps=plan.steps,
            progress=False,
        )
    return dict(found.masks)


def masked_and_compact(
    plan: Plan, kind: Kind, method: str
) -> tuple[torch.nn.Module, torch.fx.GraphModule]:
    """A masked network, and what is left of it."""
    model = sft.apply(models.model_of(kind), masks_of(plan, kind, method))
    return model, sft.compact(model, (2, 3, 32, 32))


def product_rows(plan: Plan) -> Iterator[Row]:
    """Dense multiply-adds before, over those after."""
    for kind in plan.kinds:
        facts = {"section": "products", "case": plan.case(kind), "threads": plan.threads}
        for method in METHODS:
            _, small = masked_and_compact(plan, kind, method)
            found: sft.Compaction = small.compaction
            yield Row(**facts, what=method, against="multiply-adds left", ratio=found.gain)
            before, after = found.size
            yield Row(
                **facts, what=method, median=after, unit="B", against="bytes", ratio=before / after
            )


def step_rows(plan: Plan) -> Iterator[Row]:
    """Steps of training of the masked network, over those of the compact one."""
    for kind in plan.kinds:
        model, small = masked_and_compact(plan, kind, TIMED)
        found = in_turn({MASKED: _step(plan, model), TIMED: _step(plan, small)}, plan.repeats)
        yield Row(
            section="step",
            case=plan.case(kind),
            threads=plan.threads,
            what=TIMED,
            median=found[TIMED].median,
            best=found[TIMED].best,
            against=MASKED,
            ratio=found[MASKED].ratio_to(found[TIMED]),
            ratio_of_best=found[MASKED].best / found[TIMED].best,
            target=TARGET if kind == VGG19 else "",
        )


def _step(plan: Plan, model: torch.nn.Module) -> Call:
    """A step of SGD with momentum."""
    ((x, y),) = models.batches_of(1, plan.batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


#: Sections by name, in the order of the table.
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "products": product_rows,
    "step": step_rows,
}


def titles(plan: Plan) -> dict[str, str]:
    """Headings of the sections, in order."""
    return {
        "products": "What is left of dense networks",
        "step": f"A step of training, batch of {plan.batch}, {threads_text(plan.threads)}",
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    arguments = options(__doc__.splitlines()[0], SECTIONS).parse_args()
    plan = QUICK if arguments.quick else Plan()
    found = open_results(arguments, "compact")
    # The images are noise, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    measure(found, arguments, machine_facts(), lambda name: SECTIONS[name](plan))
    show(found, arguments, "compact", titles(plan))


if __name__ == "__main__":
    main()
