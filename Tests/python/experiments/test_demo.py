"""The demonstration: what it compares, and its table of speeds."""

from __future__ import annotations

from swiftforce import Comparison
from swiftforce.comparison import trials_of
from swiftforce.experiments import compared_methods, demo


def test_what_is_compared_by_default() -> None:
    assert set(demo.METHODS) <= set(compared_methods())
    assert len(trials_of(demo.METHODS, demo.SPARSITIES, [0])) == 11


def test_speeds_are_relative_to_the_dense_network() -> None:
    seconds = {("dense", 0.0): 6.0, ("snip", 0.9): 3.0, ("snip", 0.99): 0.5}
    rows = [
        {"method": method, "sparsity": share, "seed": 0, "train_seconds": value, "warnings": []}
        for (method, share), value in seconds.items()
    ]
    found = Comparison(tuple(rows), ("dense", "snip"), (0.9, 0.99), (0,))
    assert demo.speeds(found).rows == (
        ("method", "90 %", "99 %"),
        ("dense", "1.0", "1.0"),
        ("SNIP", "2.0", "12.0"),
    )
