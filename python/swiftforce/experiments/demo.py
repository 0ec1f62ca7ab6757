"""The demonstration: find masks before training, train with them, and compare the methods."""

from __future__ import annotations

from swiftforce.comparison import DENSE, Comparison, ComparisonTable
from swiftforce.show import plots

#: What the demonstration compares by default.
METHODS = (DENSE, "force_nested", "force", "iterative_snip", "snip", "random")
SPARSITIES = (0.9, 0.99)


def speeds(results: Comparison) -> ComparisonTable:
    """How many times as fast training was as that of the dense network, by method and sparsity."""
    table = results.table("train_seconds", spread="none")
    shares = sorted(results.sparsities)
    rows = [table.rows[0]]
    for method in results.methods:
        cells = []
        for share in shares:
            dense, own = (
                sum(results.values("train_seconds", name, share)) for name in (DENSE, method)
            )
            cells.append(f"{dense / max(own, 1e-9):.1f}")
        rows.append((plots.style(method).label, *cells))
    return ComparisonTable(tuple(rows))
