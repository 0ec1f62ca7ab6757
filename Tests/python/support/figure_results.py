"""Results of runs for tests."""

from __future__ import annotations

from swiftforce.experiments.runs import Result, Run


def result(run: Run, accuracy: float = 0.5, **more: object) -> Result:
    values = {
        "keep": 10,
        "loss": 1.0,
        "train_accuracy": 0.5,
        "search_seconds": 1.0,
        "train_seconds": 3.0,
        "density": {"0.weight": 0.5, "2.weight": 0.0},
        "removed": (5, 3),
        "revived": (0, 1),
        "warnings": (),
        "versions": {},
    }
    return Result(run=run, accuracy=accuracy, **(values | more))
