"""The benchmark of damped searches runs, goes on where it stopped, and knows its columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swiftforce import datasets

pytestmark = [
    pytest.mark.usefixtures("_benchmarks"),
    pytest.mark.skipif(
        not Path("/usr/share/datasets/fashion-mnist").exists(), reason="needs Fashion-MNIST"
    ),
]
SMALL = ["--quick", "--train", "300", "--test", "100", "--steps", "3", "--losses", "target_logit"]


@pytest.fixture
def module() -> Any:
    from benchmarks import damping

    return damping


@pytest.fixture
def few(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    settings = [module.Setting("force", 0.9, 0.5), module.Setting("iterative_snip")]
    monkeypatch.setattr(module, "settings", lambda _: settings)
    return module


def test_it_goes_on_where_it_stopped(few: Any, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "rows.csv"
    few.main([*SMALL, "--output", str(path)])
    whole = path.read_text()
    rows = few.read(path)
    assert [(row["method"], row["momentum"], row["nested_from"]) for row in rows] == [
        ("force", "0.9", "0.5"),
        ("iterative_snip", "0.0", ""),
    ]
    assert all(float(row["objective"]) > 0 and 0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert all(row["keep"] == "2662" and row["churn"] == "0.0" for row in rows)
    # An interrupted line is written again; a complete one is not.
    path.write_text(whole[:-9])
    few.main([*SMALL, "--output", str(path)])
    again = few.read(path)
    assert again[0] == rows[0]
    assert again[1]["objective"] == rows[1]["objective"]
    few.main([*SMALL, "--output", str(path)])
    assert few.read(path) == again
    capsys.readouterr()
    few.main(["--summary", "--output", str(path)])
    assert "iterative_snip" in capsys.readouterr().out


def test_other_columns_are_refused(module: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="other columns"):
        module.read(tmp_path / "rows.csv")


def test_grids(module: Any) -> None:
    axes, pairs, full = (module.settings(grid) for grid in ("axes", "pairs", "full"))
    assert set(axes) < set(pairs)
    assert set(axes) < set(full)
    assert len(set(full)) == len(full)
    assert axes[0] == module.Setting("force")


def test_runs_have_the_same_batches(module: Any) -> None:
    """Searches take those of their seed; no search takes those of the objective."""
    data = datasets.fashion_mnist().subset(train=300, test=10)
    run = module.Run(
        "lenet_300_100", "cross_entropy", "force", 0.0, None, 1.0, 0.9, 3, 2, 128, 0, 300, 10
    )
    network = module.NETWORKS[run.network].build(data.train_x.shape[1:], data.classes, seed=3)
    found = [
        module.gradients_of(network, data, run, loss="cross_entropy", seed=seed)(network.weights)
        for seed in (3, 3, module.FRESH)
    ]
    first, same, fresh = (gradients["0.weight"].tobytes() for gradients in found)
    assert first == same != fresh
