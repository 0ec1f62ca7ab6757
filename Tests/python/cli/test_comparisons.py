"""The commands ``demo`` and ``figure``: printed text, pictures, and errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import run
from swiftforce import Comparison, cli

SHORT = ("--steps", "2", "--epochs", "1", "--sparsity", "0.9", "0.5")


def cells(output: str, part: int = 2) -> dict[str, list[str]]:
    """A table: its first column, and the others."""
    table = output.split("\n\n")[part].splitlines()
    return {row.split("  ")[0]: re.split(r"\s{2,}", row)[1:] for row in table}


def assert_table(output: str) -> None:
    table, speeds = cells(output), cells(output, 4)
    for each in (table, speeds):
        assert each.pop("method") == ["50 %", "90 %"]
        assert list(each) == ["FORCE", "dense", "SNIP"]
    assert speeds["dense"] == ["1.0", "1.0"]
    for row in table.values():
        assert len(row) == 2
        assert all(re.fullmatch(r"\d{1,3}\.\d\d", cell) for cell in row)
        assert all(0 <= float(cell) <= 100 for cell in row)
    assert table["dense"][0] == table["dense"][1]


@pytest.mark.slow
def test_the_whole_command(idx_folder: Path, tmp_path: Path) -> None:
    done = run(
        "demo",
        *SHORT,
        *("--methods", "force", "dense", "snip", "force"),
        *("--data", str(idx_folder)),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "small VGG on Fashion-MNIST: 160 training images, 60 test images, 2 steps, "
        "1 epoch, seed 0\nseed 0: dense: accuracy 0."
    )
    assert "5 of 5 trials\n\nTest accuracy in % by share of weights removed\n\n" in done.stdout
    assert_table(done.stdout)
    assert done.stdout.endswith("picture: demo.png\n")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.png", "images"]


@pytest.mark.slow
def test_without_anything_but_numpy(idx_folder: Path, tmp_path: Path) -> None:
    done = run(
        *("demo", *SHORT, "--methods", "force", "dense", "snip", "--data", str(idx_folder)),
        cwd=tmp_path,
        blocked=("matplotlib", "tqdm", "tqdm.auto", "rich", "rich.table", "safetensors"),
    )
    assert done.returncode == 0, done.stderr
    assert_table(done.stdout)
    assert "no picture: matplotlib is not installed (pip install 'swiftforce[demo]')" in done.stdout
    parts = ["dense", "force 0.5", "snip 0.5", "force 0.9", "snip 0.9"]
    assert done.stderr.splitlines() == [f"seed 0: {part}" for part in parts]
    assert not (tmp_path / "demo.png").exists()


def test_options_are_followed(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "other.svg"
    status = cli.main(
        [
            *("demo", "--data", str(idx_folder), "--samples", "50", "--seed", "7", "--steps", "1"),
            *("--epochs", "1", "--methods", "random", "--sparsity", "0", "--output", str(picture)),
        ]
    )
    assert status == 0
    shown = capsys.readouterr().out
    assert "50 training images, 60 test images, 1 steps, 1 epoch, seed 7" in shown
    assert cells(shown)["method"] == ["0 %"]
    assert picture.read_text().startswith("<?xml")


def test_notes_of_collapsed_layers(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(
        [
            *("demo", "--data", str(idx_folder), "--methods", "random", "--sparsity", "0.9999"),
            *("--steps", "1", "--epochs", "1", "--output", str(tmp_path / "a.png")),
        ]
    )
    assert status == 0
    assert "\nnote: seed 0: random 0.9999: no weight is kept in " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--data", "nowhere"), "fashion-mnist not found in 'nowhere'"),
        (("--samples", "161"), "161"),
        (("--seed", "-1"), "seed must be in 0"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(
    arguments: tuple[str, ...], text: str, idx_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = () if "--data" in arguments else ("--data", str(idx_folder))
    assert cli.main(["demo", *SHORT, *data, *arguments]) == 1
    last = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("swiftforce: ")
    assert text in last


@pytest.mark.slow
def test_missing_data_prints_nothing_else(tmp_path: Path) -> None:
    done = run("demo", "--data", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_damaged_file_is_one_line(idx_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (idx_folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08")
    assert cli.main(["demo", "--data", str(idx_folder)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train-labels-idx1-ubyte" in captured.err
    assert len(captured.err.splitlines()) == 1


def test_a_place_that_no_picture_can_go_to_is_refused_before_any_work(
    idx_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "no folder" / "a.png")
    arguments = ["demo", *SHORT, "--methods", "snip", "--data", str(idx_folder), "--output", place]
    assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no folder" in captured.err


def test_a_picture_of_an_unknown_format_is_one_line(idx_folder: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "a.nonsense")
    arguments = ["demo", *SHORT, "--methods", "snip", "--data", str(idx_folder), "--output", place]
    assert cli.main(arguments) in (1, 2)


# ------------------------------------------------------------------------- figure


@pytest.fixture
def figure_of(idx_folder: Path, tmp_path: Path, small_network: str):
    """Runs the command on tiny images and a small network; its file is figure.csv."""
    settings = (
        *("--results", str(tmp_path / "figure.csv"), "--network", small_network),
        *("--methods", "dense", "force", "snip", "uniform_random", "--sparsity", "0.9", "0.5"),
        *("--seeds", "0", "1", "--steps", "2", "--epochs", "1"),
    )
    return lambda *more: cli.main(["figure", "--data", str(idx_folder), *settings, *more])


@pytest.mark.slow
def test_a_figure_from_nothing(
    figure_of: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert figure_of() == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "Small on Fashion-MNIST: 160 training images, 60 test images; results: "
    )
    assert "14 of 14 trials\n" in shown
    assert "are missing" not in shown
    heading, *body = shown.split("\n\n")[2].splitlines()
    assert heading.split() == ["method", "50", "%", "90", "%"]
    labels = ["dense", "FORCE", "SNIP", "random, uniform per layer"]
    assert [re.split("  +", row)[0] for row in body] == labels
    number = r"\d{1,3}\.\d\d"
    cell = rf"{number} \({number} to {number}\)"
    assert all(re.fullmatch(rf"[\w, ]+ +{cell} +{cell}", row) for row in body)
    pictures = ["figure.png", "figure_churn.png", "figure_layers.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.csv", *pictures, "images"]
    content = (tmp_path / "figure.csv").read_bytes()
    assert content.count(b"\n") == 15

    # A second run has nothing to do and prints the same table.
    assert figure_of() == 0
    again = capsys.readouterr()
    assert again.err == ""
    assert again.out.split("\n\n")[2] == shown.split("\n\n")[2]
    assert (tmp_path / "figure.csv").read_bytes() == content


@pytest.mark.slow
def test_drawing_needs_the_file_alone(
    figure_of: Callable[..., int],
    tmp_path: Path,
    idx_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    assert figure_of("--seeds", "1") == 0
    capsys.readouterr()
    for path in (*idx_folder.iterdir(), *tmp_path.glob("*.png")):
        path.unlink()
    content = (tmp_path / "figure.csv").read_bytes()
    assert figure_of("--draw-only") == 0
    shown = capsys.readouterr().out
    assert "[1/2 seeds]" in shown
    assert "7 of 14 runs are missing: run the same command again to continue" in shown
    assert len(list(tmp_path.glob("*.png"))) == 3
    assert (tmp_path / "figure.csv").read_bytes() == content
    assert figure_of("--draw-only", "--epochs", "2") == 1
    assert "has no run with these settings" in capsys.readouterr().err
    assert figure_of("--draw-only", "--samples", "100") == 1


def test_hours_that_are_over(
    figure_of: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert figure_of("--hours", "1e-12") == 0
    shown = capsys.readouterr().out
    assert shown.endswith("14 of 14 runs are missing: run the same command again to continue\n")
    assert not (tmp_path / "figure.csv").exists()


def test_masks_alone(
    figure_of: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--epochs", "0", "--seeds", "0", "--loss", "cross_entropy")
    assert figure_of(*more, "--methods", "force", "FORCE momentum=0.5 shuffled") == 0
    shown = capsys.readouterr().out
    assert "Objective S(c) by share of weights removed: mean" in shown
    assert "FORCE momentum=0.5 shuffled  " in shown
    assert not (tmp_path / "figure.png").exists()
    (first, *_) = Comparison.read_csv(tmp_path / "figure.csv").rows
    assert (first["accuracy"], first["epochs"], first["loss"]) == (None, 0, "cross_entropy")


def test_divergence_is_noted(
    figure_of: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert figure_of("--learning-rate", "1e30", "--methods", "dense", "--seeds", "5") == 0
    assert "\nnote: training diverged: seed 5: dense\n" in capsys.readouterr().out


def test_a_figure_without_matplotlib(
    figure_of: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert figure_of("--methods", "snip", "--seeds", "0") == 0
    assert "no picture: matplotlib is not installed" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--data", "nowhere"), "fashion-mnist not found in 'nowhere'"),
        (("--samples", "161"), "161"),
        (("--seeds", "0", "-1"), "seed must be in 0"),
    ],
)
def test_a_figure_that_cannot_be_done_is_one_line(
    arguments: tuple[str, ...],
    text: str,
    figure_of: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert figure_of(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("swiftforce: ")
    assert text in captured.err
    assert len(captured.err.splitlines()) == 1


def test_results_without_a_folder_are_refused_before_any_work(
    figure_of: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert figure_of("--results", "no folder/a.csv") == 1
    error = "swiftforce: there is no folder 'no folder' for the results\n"
    assert capsys.readouterr().err == error


def test_a_file_that_holds_something_else_stays(
    figure_of: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "figure.csv").write_text("a,b\n1,2\n")
    assert figure_of() == 1
    assert "is not a file of runs" in capsys.readouterr().err
    assert (tmp_path / "figure.csv").read_text() == "a,b\n1,2\n"


def test_names_in_any_spelling() -> None:
    words = ["figure", "--network", "Small-VGG", "--methods", "FORCE", "Iterative-SNIP", "Dense"]
    options = cli._parser().parse_args(words)
    assert options.network == "small_vgg"
    assert options.methods == ["force", "iterative_snip", "dense"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--methods", "uniform_randon"), "no method 'uniform_randon'; did you mean 'uniform_ran"),
        (("--methods", "force", "dens"), "there is no method 'dens'; did you mean 'dense'?"),
        (("--network", "resnet51"), "there is no network 'resnet51'; did you mean 'resnet5"),
        (("--network", "lenet_5"), "did you mean 'lenet5'?"),
        (("--methods", "force momentun=1"), "'momentun=1' in 'force momentun=1' is not"),
        (("--epochs", "-1"), "must be a whole number of at least 0, not -1"),
    ],
)
def test_names_that_are_misspelt(
    arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.main(["demo", *arguments])
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"), [("vgg", "small_vgg"), ("resnet", "resnet20"), ("ResNet", "resnet20")]
)
def test_families_of_networks(given: str, meant: str) -> None:
    options = cli._parser().parse_args(["figure", "--network", given])
    assert options.network == meant
