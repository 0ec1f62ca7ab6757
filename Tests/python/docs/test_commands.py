"""What pages tell to type is there: commands, make targets, extras, files that links lead to.

Commands in ```sh blocks are run; of those in the text the names are looked up.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import checkpoint_files
import pytest
from swiftforce import cli

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Code in a line of text, and blocks that are made by indenting.
CODE = re.compile(r"`([^`\n]+)`|^ {4}(.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)|(?:src|srcset)=\"([^\"]+)\"")

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


def commands(page: Path) -> list[list[str]]:
    """The lines of its blocks of commands."""
    lines = "\n".join(BLOCK.findall(page.read_text())).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def typed(page: Path) -> Iterator[str]:
    """All code that is no block of Python."""
    text = re.sub(r"^```(\w*)\n.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from ("".join(found) for found in CODE.findall(text))
    yield from (" ".join(words) for words in commands(page))


def names(pattern: str) -> list[tuple[str, str]]:
    """What a pattern finds in the code of all pages, with the name of the page."""
    return [
        (page.name, name)
        for page in PAGES
        for code in typed(page)
        for name in re.findall(pattern, code)
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda p: p.name)
def test_commands_of_a_page_do_what_they_say(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("model", "gradients")):
        tensors = checkpoint_files.tensors(seed)
        checkpoint_files.write(Path(f"{name}.safetensors"), tensors)
    for program, *arguments in commands(page):
        assert program == "swiftforce", f"there is no way to try {program}"
        # The size of the measurement is not what is tried.
        quick = ["--quick"] if arguments[0] == "bench" else []
        assert cli.main([*arguments, *quick]) == 0
        files = [word for word in arguments if word.endswith((".safetensors", ".png"))]
        assert all(Path(file).exists() for file in files)


def test_commands_are_found() -> None:
    assert [words[1] for words in commands(ROOT / "README.md")] == ["prune", "inspect", "apply"]
    guide = commands(ROOT / "docs" / "guides" / "command_line.md")
    assert [words[1] for words in guide] == [
        "prune",
        *["inspect"] * 3,
        "apply",
        "pack",
        "unpack",
        "bench",
    ]


def test_make_targets_are_there() -> None:
    rules = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    found = names(r"\bmake ([a-z][a-z-]*)")
    assert ("README.md", "demo") in found
    assert ("CONTRIBUTING.md", "test-fast") in found
    assert [each for each in found if each[1] not in rules] == []


def test_commands_in_the_text_are_there() -> None:
    found = names(r"^(?:python -m )?swiftforce ([a-z]+)")
    assert ("command_line.md", "demo") in found
    known = ("prune", "inspect", "apply", "pack", "unpack", "export", "bench", "demo", "figure")
    assert [each for each in found if each[1] not in known] == []
    for name in known:
        with pytest.raises(SystemExit, match=r"^0$"):
            cli.main([name, "--help"])


def test_extras_are_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = names(r"'\.\[(\w+)\]'")
    assert ("README.md", "torch") in found
    assert {name for _, name in found} <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target, _, picture in LINK.findall(page.read_text()):
        link = target or picture
        if not re.match(r"https?:", link):
            assert (page.parent / link).exists(), link
