"""Files, folders and types that ARCHITECTURE.md and EXTENDING.md name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "docs" / name for name in ("ARCHITECTURE.md", "EXTENDING.md")]
FOLDERS = ("Sources", "Tests", "python", "benchmarks", "tools", "docs", "examples")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w./-]+\.(?:py|swift|c|h|md|toml)")
FOLDER = re.compile(r"(?:Sources|Tests|python|docs|SwiftForce\w+)(?:/\w+)+")
TYPE = re.compile(r"[A-Z][a-z]+(?:[A-Z][A-Za-z]*)?")
DECLARED = re.compile(
    r"\b(?:class|struct|enum|protocol|typealias) (\w+)|^([A-Z]\w+) = ", re.MULTILINE
)
pytestmark = pytest.mark.skipif(
    not (ROOT / "Sources").is_dir(), reason="the Swift sources are not here"
)
#: Types of other projects.
FOREIGN = {"Literal", "TorchFunctionMode"}


def paths() -> set[str]:
    """All files and folders of the repository, from its top."""
    there = {path for folder in FOLDERS for path in [ROOT / folder, *(ROOT / folder).rglob("*")]}
    names = {path.relative_to(ROOT).as_posix() for path in there}
    return names | {path.name for path in ROOT.iterdir() if path.is_file()}


def missing(text: str, there: set[str]) -> list[str]:
    """What a page names as code and is not there; the end of a path is enough."""
    ends = {path.split("/", cut)[-1] for path in there for cut in range(path.count("/") + 1)}
    return [
        name
        for code in CODE.findall(text)
        for name in code.split()
        if (FILE.fullmatch(name) or FOLDER.fullmatch(name)) and name not in ends
    ]


def declared() -> set[str]:
    """The types that the sources declare, and the stems of their files."""
    sources = [
        *(ROOT / "Sources").rglob("*.swift"),
        *(ROOT / "Tests").rglob("*.swift"),
        *(ROOT / "python").rglob("*.py"),
    ]
    found = [name for path in sources for name in DECLARED.findall(path.read_text())]
    return {kind or alias for kind, alias in found} | {path.stem for path in sources}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text()
    assert sum(bool(FILE.fullmatch(code)) for code in CODE.findall(text)) > 30
    assert missing(text, paths()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_types_that_a_page_names_are_there(page: Path) -> None:
    types = {code for code in CODE.findall(page.read_text()) if TYPE.fullmatch(code)}
    assert types - declared() - FOREIGN - set(FOLDERS) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`python/a/b.py`, `a/b.py` and `b.py`, run by `python a/b.py --all`", []),
        ("`Sources/Core/Method`", []),
        ("`a/c.py`", ["a/c.py"]),
        ("`xb.py`", ["xb.py"]),
        ("`Sources/Core/Rules`", ["Sources/Core/Rules"]),
    ],
)
def test_a_file_that_is_not_there_is_named(text: str, found: list[str]) -> None:
    there = {"python/a/b.py", "Sources/Core/Method", "Sources/Core/Method/Rule.swift"}
    assert missing(text, there) == found
