"""Every script runs as a reader would run it, and ends as it says; notebooks: test_notebooks.py."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")


EXAMPLES = Path(__file__).parents[3] / "examples"
TRAIN_TORCH = EXAMPLES / "train_torch.py"
#: For the stand-in for Fashion-MNIST: images of 4 by 4 pixels in 4 classes.
WEIGHTS = 32 * 9 + 32 * 64 * 9 + 64 * 128 * 9 + 128 * 4

#: The last convolution sees one pixel there, so that most of its weights have scores of zero.
TINY_IMAGES = pytest.mark.filterwarnings("ignore::swiftforce.DegenerateSaliencyWarning")

Main = Callable[[list[str]], None]


@pytest.fixture
def example(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the script defines, with the tiny data set where it looks for it."""
    monkeypatch.setenv("SWIFTFORCE_DATA", str(idx_folder))
    return runpy.run_path(str(TRAIN_TORCH))


def accuracies(output: str) -> list[float]:
    return [float(text) for text in re.findall(r"^epoch \d+: accuracy (\S+) %$", output, re.M)]


def test_every_example_is_tested_here_or_is_a_notebook() -> None:
    scripts = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    notebooks = {path.name for path in EXAMPLES.glob("*.ipynb")}
    assert scripts - notebooks == {TRAIN_TORCH.name}


@pytest.mark.slow
def test_a_script_is_run_as_it_stands(idx_folder: Path) -> None:
    options = ("--method", "snip", "--epochs", "2", "--samples", "100")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(TRAIN_TORCH), *options],
        env={**os.environ, "SWIFTFORCE_DATA": str(idx_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept = round(0.05 * WEIGHTS)
    assert done.stdout.startswith(f"snip: {kept:,} of {WEIGHTS:,} weights kept (sparsity 0.95)")
    assert re.search(r"^8\.weight +\(128, 64, 3, 3\) +73,728 ", done.stdout, re.M)
    assert re.search(r"^found in [\d.]+ s$", done.stdout, re.M)
    assert len(accuracies(done.stdout)) == 2
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(rf"{kept:,} of {WEIGHTS:,} weights are not zero, [\d.]+ s in all", last)


@pytest.mark.slow
@TINY_IMAGES
@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--dense"], WEIGHTS),
        (["--method", "iterative_snip", "--sparsity", "0.5"], WEIGHTS // 2),
    ],
)
def test_dense_and_sparse_learn(
    example: dict[str, Any], options: list[str], kept: int, capsys: pytest.CaptureFixture[str]
) -> None:
    example["main"]([*options, "--epochs", "6"])
    shown = capsys.readouterr().out
    assert accuracies(shown)[-1] > 70  # chance: 25
    assert f"{kept:,} of {WEIGHTS:,} weights are not zero" in shown
    assert ("density" in shown) is ("--dense" not in options)


@pytest.mark.slow
@TINY_IMAGES
@pytest.mark.parametrize(
    "options", [["--dense"], ["--method", "snip", "--sparsity", "0.9"]], ids=["dense", "sparse"]
)
def test_a_run_that_was_stopped_goes_on_to_the_same_end(
    example: dict[str, Any], options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Main = example["main"]
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    main([*options, "--epochs", "3", "--checkpoint", str(whole)])
    expected = accuracies(capsys.readouterr().out)

    namespace = main.__globals__
    train, epochs = namespace["train"], []

    def stopped(*arguments: object) -> None:
        epochs.append(train(*arguments))
        if len(epochs) == 2:
            raise KeyboardInterrupt

    namespace["train"] = stopped
    with pytest.raises(KeyboardInterrupt):
        main([*options, "--epochs", "3", "--checkpoint", str(parts)])
    namespace["train"] = train
    found = accuracies(capsys.readouterr().out)
    # Other options are not asked again: the masks are those of the checkpoint.
    main(["--epochs", "3", "--checkpoint", str(parts)])
    shown = capsys.readouterr().out
    assert "resumes after epoch 1" in shown
    assert found + accuracies(shown) == expected
    assert len(expected) == 3
    states = [torch.load(path) for path in (whole, parts)]
    assert equal(*states)
    assert bool(states[1]["masks"]) is ("--dense" not in options)


def equal(one: object, other: object) -> bool:
    """Whether two states hold the same, to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return one == other
