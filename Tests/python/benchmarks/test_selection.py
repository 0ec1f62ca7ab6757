"""The selection benchmark runs with small sizes, and its table has every row."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import swiftforce as sf
from benchmarking import ROOT, measured, run_quick

PAGE = "before\n<!-- begin selection -->\nold\n<!-- end selection -->\nafter\n"
OURS = ("scan", "snip", "step, gradients alternate", "step, gradients drift")
PEERS = ("numpy partition", "torch topk, as FORCE's own code", "torch kthvalue")


PLACES = {
    "output": "out.jsonl",
    "document": "page.md",
    "overview": "overview.md",
    "picture": "picture.png",
}


def run(folder: Path, *options: str) -> str:
    return run_quick("benchmarks.selection", folder, PLACES, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def write_and_run(folder: Path) -> None:
        (folder / "overview.md").write_text("<!-- begin overview -->\n<!-- end overview -->\n")
        run(folder)

    return measured(tmp_path_factory, PAGE, write_and_run)


def rows(folder: Path, page: str = "page.md") -> list[list[str]]:
    lines = (folder / page).read_text().splitlines()
    return [re.split(r"\s*\|\s*", line)[1:-1] for line in lines if line.startswith("|")]


def threads() -> list[str]:
    most = sf.get_num_threads()
    return ["1 thread", *([f"{most} threads"] if most > 1 else [])]


@pytest.mark.slow
def test_every_row_is_there(folder: Path) -> None:
    cases = [f"{sparsity} % removed, {text}" for text in threads() for sparsity in (90, 99)]
    cases += ["10^4 float32", "300,000 float32"]
    expected = {(case, what) for case in cases for what in OURS + PEERS}
    expected |= {(f"200,000 float32, {text}", "force, 5 steps to 99 %") for text in threads()}
    expected |= {("1,000 float32", what) for what in ("snip", *PEERS)}
    expected |= {("200,000 float32", what) for what in ("snip", OURS[2], *PEERS)}
    expected |= {("300,000 float32", f"{what}: per weight") for what in OURS}
    missing = expected - {(row[0], row[1]) for row in rows(folder)}
    assert not missing
    assert any(row[0] == f"200,000 bfloat16, {threads()[-1]}" for row in rows(folder))


@pytest.mark.slow
def test_every_row_has_a_figure_or_a_reason(folder: Path) -> None:
    figures = [row for row in rows(folder) if not row[0].startswith(("case", "---"))]
    assert len(figures) > 40
    for row in figures:
        assert len(row) == 8
        assert re.fullmatch(r"[\d.]+ (ns|us|ms|s|MB)", row[2]) or re.search("[a-z]", row[5]), row


@pytest.mark.slow
def test_targets_stand_beside_their_figures(folder: Path) -> None:
    found = {row[7].removesuffix(" met").removesuffix(" missed") for row in rows(folder)}
    assert {">= 8", "<= 30 us", "<= 1.2"} <= found


@pytest.mark.slow
def test_the_page_around_the_table_stays(folder: Path) -> None:
    text = (folder / "page.md").read_text()
    assert text.startswith("before\n<!-- begin selection -->\n")
    assert text.endswith("<!-- end selection -->\nafter\n")
    assert "old" not in text
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_table_has_the_figures_of_all(folder: Path) -> None:
    heading, _, *found = rows(folder, "overview.md")
    assert len(heading) == 10
    weights = [(row[0], row[1]) for row in found]
    most = str(sf.get_num_threads())
    assert ("1,000 float32", most) in weights and ("300,000 float32", most) in weights
    assert {("200,000 float32", one) for one in {"1", most}} <= set(weights)
    for row in found:
        assert re.fullmatch(r"[\d.]+ (ns|us|ms|s)", row[2])
        assert row[0] == "1,000 float32" or float(row[3]) > 0
        assert row[8] == ("5" if "bfloat16" in row[0] else "9")


@pytest.mark.slow
def test_peers_that_are_not_installed_are_named(folder: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = sys.modules['ml_dtypes'] = None;"
        "from benchmarks import selection; selection.main()"
    )
    output = folder / "alone.jsonl"
    sections = ["--quick", "--sections", "small", "bfloat16", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", program, *sections],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("torch is not installed") == 2
    assert done.stdout.count("ml_dtypes is not installed") == len(threads())


@pytest.mark.filterwarnings("ignore::swiftforce.LayerCollapseWarning")
@pytest.mark.parametrize("check", ["check_masks", "check_order"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_wrong_mask_stops_the_benchmark(monkeypatch, check: str, dtype: str) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import arrays, peers

    given = arrays.problem(20_000, dtype)
    getattr(peers, check)(given, 2000)

    def swapped(*arguments, keep: int):
        found = snip(*arguments, keep=keep)
        mask = max(found.masks, key=len)
        mask[[mask.argmax(), mask.argmin()]] = False, True
        return found

    snip = sf.snip
    monkeypatch.setattr(sf, "snip", swapped)
    with pytest.raises(RuntimeError):
        getattr(peers, check)(given, 2000)
    monkeypatch.setattr(sf, "snip", lambda *arguments, keep: snip(*arguments, keep=keep + 1))
    with pytest.raises(RuntimeError):
        getattr(peers, check)(given, 2000)
