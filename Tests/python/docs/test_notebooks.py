"""The notebooks of examples/ run from start to end, and show what they were committed with.

Run again, a cell must show the same, to the letter; pictures need only be there. What depends on
the machine, because training does, is in cells with the tag ``varies``: they must show the same
kinds of things, and as plain text the same words around other numbers. Warnings are shown on
purpose, in cells with the tag ``warns``. The cell with the tag ``parameters`` says how much data a
notebook uses; here it is less, and made up.
"""

from __future__ import annotations

import copy
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import swiftforce as sf
from kinds import write_images

pytest.importorskip("nbclient", reason="needs nbclient: pip install --group notebooks")
pytest.importorskip("ipykernel", reason="needs ipykernel: pip install --group notebooks")
nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install --group notebooks")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
EXECUTE: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "run_notebooks.py"))
read, executed, normalised = (EXECUTE[name] for name in ("read", "executed", "normalised"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
SMALL = "TRAIN = 320\nTEST = 100\nEPOCHS = 1"

VARIES, WARNS, PARAMETERS = "varies", "warns", "parameters"

#: What of an output is compared; pictures and models differ where libraries do.
TEXTS = ("text/plain", "text/html")
NUMBER = re.compile(r"[\d.,]*\d")
#: A folder, an address in memory, a time of day.
FROM_ELSEWHERE = re.compile(r"(?<![\w.<:/])/\w+/|0x[0-9a-f]{6,}|\d\d:\d\d:\d\d")

Notebook = Any
Cell = Any
Shown = dict[str, str]


@pytest.fixture(autouse=True)
def small_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of the size of Fashion-MNIST where notebooks look for it; libraries on one thread."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    write_images(folder, train=400, test=200, side=28, classes=10)
    monkeypatch.setenv("SWIFTFORCE_DATA", str(folder))
    for library in ("OPENBLAS", "OMP"):
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")


def tags(cell: Cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(notebook: Notebook) -> list[Cell]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Cell) -> list[Shown]:
    """What each output shows, by what it is: text that is compared, or nothing."""
    outputs = []
    for output in cell.outputs:
        if output.output_type == "stream":
            outputs.append({output.name: output.text})
        else:
            data = output.get("data", {})
            outputs.append({kind: data[kind] if kind in TEXTS else "" for kind in data})
    return outputs


def words(outputs: list[Shown]) -> list[Shown]:
    """The same without numbers, without columns, and without warnings and cards."""
    return [
        {
            kind: " ".join(NUMBER.sub("#", text).split()) if kind != "text/html" else ""
            for kind, text in output.items()
        }
        for output in outputs
        if "stderr" not in output
    ]


def check(committed: Notebook, again: Notebook) -> None:
    """Complains where what is committed is not what the notebook shows."""
    for old, new in zip(code_cells(committed), code_cells(again), strict=True):
        compared: Callable[[list[Shown]], list[Shown]] = words if VARIES in tags(old) else list
        assert compared(shown(old)) == compared(shown(new)), (
            f"cell {old.id!r} shows something else than was committed: make notebooks"
        )


def small(notebook: Notebook) -> Notebook:
    """A notebook with less data."""
    changed = copy.deepcopy(notebook)
    for cell in code_cells(changed):
        if PARAMETERS in tags(cell):
            assert re.findall(r"^\w+", cell.source, re.M) == re.findall(r"^\w+", SMALL, re.M)
            cell.source = SMALL
    return changed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_was_committed(path: Path) -> None:
    if "import torch" in path.read_text():
        pytest.importorskip("torch", reason="needs torch")
    committed = read(path)
    before = {each: each.stat().st_mtime_ns for each in EXAMPLES.rglob("*")}
    check(committed, executed(small(committed)))
    assert {each: each.stat().st_mtime_ns for each in EXAMPLES.rglob("*")} == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_was_run_and_tells_nothing_of_where(path: Path) -> None:
    committed = read(path)
    assert path.read_text() == EXECUTE["text_of"](normalised(committed))
    cells = code_cells(committed)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert len({cell.id for cell in committed.cells}) == len(committed.cells)
    assert {tag for cell in cells for tag in tags(cell)} <= {VARIES, WARNS, PARAMETERS}
    for cell in cells:
        assert "error" not in [output.output_type for output in cell.outputs]
        for output in shown(cell):
            text = "".join(output.values())
            assert not FROM_ELSEWHERE.search(text), f"{cell.id}: {text}"
            if "stderr" in output:
                assert WARNS in tags(cell), f"{cell.id}: {text}"
                kinds = re.findall(r"^cell:\d+: (\w+): ", text, re.M)
                assert kinds
                assert all(issubclass(getattr(sf, kind), sf.SwiftForceWarning) for kind in kinds)


# ---------------------------------------------------------------------- the rule itself


def made_of(*sources: str, tag: str = "") -> Notebook:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    for cell in cells:
        cell.metadata["tags"] = [tag] if tag else []
    return nbformat.v4.new_notebook(cells=cells)


def result(text: str, kind: str = "text/plain") -> Any:
    return nbformat.v4.new_output("execute_result", {kind: text, "text/plain": text})


@pytest.mark.parametrize(
    ("tag", "old", "new", "same"),
    [
        ("", [result("12 kept")], [result("12 kept")], True),
        ("", [result("12 kept")], [result("13 kept")], False),
        ("", [result("12 kept")], [], False),
        ("", [result("<b>12</b>", "text/html")], [result("<b>13</b>", "text/html")], False),
        (VARIES, [result("force  9.5 %")], [result("force 10.52 %")], True),
        (VARIES, [result("force  9.5 %")], [result("snip   9.5 %")], False),
        (VARIES, [result("1,200 of 3.5")], [result("7 of 1")], True),
        (VARIES, [result("12")], [], False),
        (VARIES, [nbformat.v4.new_output("stream", name="stderr", text="a warning")], [], True),
        (VARIES, [nbformat.v4.new_output("stream", name="stdout", text="a word")], [], False),
    ],
)
def test_what_counts_as_the_same(tag: str, old: list[Any], new: list[Any], same: bool) -> None:
    committed, again = made_of("", tag=tag), made_of("", tag=tag)
    committed.cells[0].outputs, again.cells[0].outputs = old, new
    if same:
        check(committed, again)
    else:
        with pytest.raises(AssertionError, match="something else than was committed"):
            check(committed, again)


@pytest.mark.parametrize("text", ["/home/me/x", "at 0x7f3a2b4c", "12:34:56", "in '/tmp/run'"])
def test_what_tells_of_elsewhere(text: str) -> None:
    assert FROM_ELSEWHERE.search(text)
    assert not FROM_ELSEWHERE.search("<b>1/2 of 12:30</b> a/b/c https://example.org/page/1")


# --------------------------------------------------------------------------- executing


def test_a_notebook_is_run_by_this_interpreter_in_a_folder_of_its_own(tmp_path: Path) -> None:
    source = "import os, swiftforce\nprint(os.listdir())\nprint(swiftforce.__file__)"
    done = executed(made_of(source, "import warnings; warnings.warn('so')"))
    assert shown(done.cells[0]) == [{"stdout": f"[]\n{sf.__file__}\n"}]
    assert shown(done.cells[1])[0]["stderr"].startswith("cell:1: UserWarning: so")


def test_files_are_written_normalised_and_only_when_all_cells_ran(tmp_path: Path) -> None:
    path = tmp_path / "some.ipynb"
    notebook = made_of("1 + 1", "'second'")
    notebook.metadata["authors"] = [{"name": "somebody"}]
    notebook.cells[0].metadata["execution"] = {"iopub.status.busy": "2021-05-04T00:00:00Z"}
    nbformat.write(notebook, path)
    EXECUTE["main"]([str(path)])
    written = read(path)
    assert path.read_text() == EXECUTE["text_of"](normalised(written))
    assert written.metadata == EXECUTE["METADATA"]
    assert [cell.metadata for cell in written.cells] == [{}, {}]
    assert [cell.execution_count for cell in written.cells] == [1, 2]
    assert [shown(cell) for cell in written.cells] == [
        [{"text/plain": "2"}],
        [{"text/plain": "'second'"}],
    ]
    EXECUTE["main"]([str(path)])
    assert read(path) == written

    written.cells[1].source = "1 / 0"
    nbformat.write(written, path)
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        EXECUTE["main"]([str(path)])
    assert path.read_bytes() == before
