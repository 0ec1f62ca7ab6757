"""How damped searches, methods and scoring losses compare: one row of a CSV file for each run.

    python -m benchmarks.damping                       # hours; goes on where it stopped
    python -m benchmarks.damping --quick               # a minute: shows that it runs
    python -m benchmarks.damping --summary             # means over seeds of what is in the file

Every run starts from the initial weights, and draws the batches, of its seed. So at one network,
sparsity, seed and number of steps all runs see the same weights and the same batches, and take the
same number of gradients. The objective S(c) of their final masks is measured by the cross entropy,
whatever loss they were scored by, on batches that are drawn with another seed: the same batches for
all runs, and of the same data, but not those of the search.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import swiftforce as sf
from swiftforce import checks, datasets, nn
from swiftforce.errors import DivergedError
from swiftforce.experiments.architectures import NETWORKS
from swiftforce.nn.paths import unreachable_classes
from swiftforce.show import tables

OUTPUT = Path("build/bench/damping.csv")
#: Of the batches that the objective is measured on: no search has this seed.
FRESH = 1 << 40


@dataclass(frozen=True)
class Setting:
    """A method, with what damps it."""

    method: str
    momentum: float = 0.0
    nested_from: float | None = None
    removed_factor: float = 1.0

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `swiftforce.prune`."""
        return asdict(self)


def settings(grid: str) -> list[Setting]:
    """The settings of a grid.

    ``axes`` varies one setting at a time, ``pairs`` also two, ``full`` all together.
    """
    momenta = (0.5, 0.8, 0.9, 0.95, 0.99)
    shares = (0.25, 0.5, 0.75, 0.9)
    factors = (0.5, 0.25, 0.1)
    found = [Setting("force"), Setting("iterative_snip")]
    found += [Setting(method, m) for m in momenta for method in ("force", "iterative_snip")]
    found += [Setting("force", nested_from=share) for share in shares]
    found += [Setting("force", removed_factor=factor) for factor in factors]
    if grid != "axes":
        few = (0.5, 0.9)
        found += [Setting("force", m, share) for m in few for share in (0.5, 0.9)]
        found += [Setting("force", m, None, factor) for m in few for factor in (0.5, 0.25)]
        found += [Setting("force", 0.0, share, 0.25) for share in (0.5, 0.9)]
    if grid == "full":
        axes = itertools.product((0.0, *momenta), (None, *shares), (1.0, *factors))
        found += [Setting("force", *values) for values in axes]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Run:
    """What a run depends on besides the images: the columns that identify its row."""

    network: str
    loss: str
    method: str
    momentum: float
    nested_from: float | None
    removed_factor: float
    sparsity: float
    seed: int
    steps: int
    batch_size: int
    epochs: int
    train: int
    test: int

    @property
    def setting(self) -> Setting:
        """How it searches."""
        return Setting(self.method, self.momentum, self.nested_from, self.removed_factor)

    @property
    def key(self) -> tuple[str, ...]:
        """The same as text, as it stands in a file."""
        return tuple(_text(getattr(self, field.name)) for field in fields(self))


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes
    ----------
    objective : float
        S(c) of the final mask: the mean over fresh batches of the size of the search's.
    objective_of_loss : float
        The same by the loss that the run was scored by.
    churn : float
        Share of the kept weights that the last step brought back.
    revived : int
        Weights that all steps together brought back.
    empty_classes, empty_layers : int
        Classes that no path of kept weights leads to; layers that keep no weight.
    effective : int
        Kept weights on a path from input to output.
    accuracy, test_loss : float
        After training; empty without.
    """

    keep: int
    objective: float
    objective_of_loss: float
    churn: float
    revived: int
    empty_classes: int
    empty_layers: int
    effective: int
    accuracy: float | None
    test_loss: float | None
    search_seconds: float
    train_seconds: float


#: From masked weights to gradients.
Gradients = Callable[[dict[str, Any]], dict[str, Any]]
COLUMNS = tuple(field.name for kind in (Run, Outcome) for field in fields(kind))


def perform(run: Run, data: datasets.Dataset) -> Outcome:
    """Search, measure, train and test."""
    network = NETWORKS[run.network].build(data.train_x.shape[1:], data.classes, seed=run.seed)
    start = time.perf_counter()
    found = sf.prune(
        network.weights,
        gradients_of(network, data, run, loss=run.loss, seed=run.seed),
        sparsity=run.sparsity,
        steps=run.steps,
        progress=False,
        **run.setting.options,
    )
    searched = time.perf_counter()
    masked = {name: np.where(found.masks[name], w, 0) for name, w in network.weights.items()}
    accuracy = test_loss = None
    objectives = {
        loss: objective(network, masked, gradients_of(network, data, run, loss=loss, seed=FRESH))
        for loss in dict.fromkeys(("cross_entropy", run.loss))
    }
    effective = checks.effective_density(network, found)
    network.apply(found)
    trained = time.perf_counter()
    if run.epochs:
        accuracy, test_loss = train(network, data, run)
    last = found.history[-1]
    return Outcome(
        keep=found.keep,
        objective=objectives["cross_entropy"],
        objective_of_loss=objectives[run.loss],
        churn=last.revived / last.keep,
        revived=sum(step.revived for step in found.history),
        empty_classes=len(unreachable_classes(network.layers, network.input_shape, found.masks)),
        empty_layers=sum(layer.collapsed for layer in found.layers),
        effective=effective.effective,
        accuracy=accuracy,
        test_loss=test_loss,
        search_seconds=round(searched - start, 2),
        train_seconds=round(time.perf_counter() - trained, 2) if run.epochs else 0.0,
    )


def gradients_of(
    network: nn.Network, data: datasets.Dataset, run: Run, *, loss: str, seed: int
) -> Gradients:
    """Gradients of the batches of a seed."""
    return network.gradients_on(
        data.train_x, data.train_y, batch_size=run.batch_size, seed=seed, loss=loss
    )


def objective(
    network: nn.Network, masked: dict[str, Any], gradients: Gradients, batches: int = 8
) -> float:
    """The mean of S(c) over some batches."""
    sums = []
    for _ in range(batches):
        found = gradients(masked)
        sums.append(sum(float(np.abs(w * found[name]).sum()) for name, w in masked.items()))
    return float(np.mean(sums))


def train(network: nn.Network, data: datasets.Dataset, run: Run) -> tuple[float, float]:
    """The accuracy and the loss on the test images."""
    try:
        network.fit(
            data.train_x,
            data.train_y,
            epochs=run.epochs,
            batch_size=run.batch_size,
            learning_rate=0.1,
            milestones=(max(1, run.epochs // 2), max(1, run.epochs * 3 // 4)),
            seed=run.seed,
            progress=False,
        )
    except DivergedError as error:
        print(f"{run}: {error}", file=sys.stderr)
    tested = network.evaluate(data.test_x, data.test_y)
    return tested.accuracy, tested.loss


# ------------------------------------------------------------------------------ rows


def _text(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file; a last line that is not complete is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    rows = list(csv.DictReader(whole.decode().splitlines()))
    if rows and tuple(rows[0]) != COLUMNS:
        raise SystemExit(f"{path} has other columns: move it away")
    return rows


def append(path: Path, run: Run, outcome: Outcome) -> None:
    """Add a row, and make sure that it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists() or not path.stat().st_size
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        values = {**asdict(run), **asdict(outcome)}
        writer.writerow([_text(values[name]) for name in COLUMNS])
        file.flush()
        os.fsync(file.fileno())


def plan(arguments: argparse.Namespace) -> Iterator[Run]:
    """All runs, the first seed first, so that a part of them is worth something."""
    for seed, sparsity, network, loss, one in itertools.product(
        range(arguments.seeds),
        arguments.sparsities,
        arguments.networks,
        arguments.losses,
        settings(arguments.grid),
    ):
        yield Run(
            network=network,
            loss=loss,
            **one.options,
            sparsity=sparsity,
            seed=seed,
            steps=arguments.steps,
            batch_size=arguments.batch_size,
            epochs=arguments.epochs,
            train=arguments.train,
            test=arguments.test,
        )


def summary(rows: Sequence[dict[str, str]]) -> str:
    """Means over seeds."""
    by = [field.name for field in fields(Run) if field.name not in ("seed", "train", "test")]
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in by)].append(row)
    shown = ("objective", "churn", "empty_classes", "empty_layers", "effective", "accuracy")
    table = [("seeds", *by, *shown)]
    for key, members in groups.items():
        means = [_mean(row[name] for row in members) for name in shown]
        table.append((str(len(members)), *key, *means))
    return tables.plain(table, left=len(by))


def _mean(texts: Iterable[str]) -> str:
    numbers = [float(text) for text in texts if text]
    return f"{np.mean(numbers):.4g}" if numbers else ""


def main(given: Sequence[str] | None = None) -> None:
    """Run what is missing in the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), metavar="NAME")
    parser.add_argument("--sparsities", nargs="+", type=float)
    parser.add_argument("--losses", nargs="+", default=["cross_entropy", "target_logit"])
    parser.add_argument("--grid", choices=["axes", "pairs", "full"], default="axes")
    parser.add_argument("--seeds", type=int, help="number of seeds, from 0 on")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, help="of training; 0: none")
    parser.add_argument("--train", type=int, help="training images")
    parser.add_argument("--test", type=int, help="test images")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--summary", action="store_true", help="show what is in the file")
    quick = parser.parse_known_args(given)[0].quick
    parser.set_defaults(
        networks=["lenet_300_100"] if quick else ["small_vgg", "resnet20", "lenet_300_100"],
        sparsities=[0.99] if quick else [0.99, 0.995, 0.98, 0.95, 0.999],
        seeds=1 if quick else 5,
        epochs=1 if quick else 3,
        train=2_000 if quick else 60_000,
        test=1_000 if quick else 10_000,
    )
    arguments = parser.parse_args(given)
    rows = read(arguments.output)
    if arguments.summary:
        print(summary(rows))
        return
    done = {tuple(row[field.name] for field in fields(Run)) for row in rows}
    data = datasets.fashion_mnist().subset(train=arguments.train, test=arguments.test)
    left = [run for run in plan(arguments) if run.key not in done]
    print(f"{len(left)} runs to do, {len(done)} in {arguments.output}", file=sys.stderr)
    for number, run in enumerate(left, 1):
        with warnings.catch_warnings():
            # What they say is in the row.
            warnings.simplefilter("ignore", sf.SwiftForceWarning)
            outcome = perform(run, data)
        append(arguments.output, run, outcome)
        print(
            f"{number}/{len(left)} {run.network} {run.loss} {run.setting} "
            f"{run.sparsity}: S(c) {outcome.objective:.3g}, churn {outcome.churn:.2f}, "
            f"accuracy {outcome.accuracy}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
