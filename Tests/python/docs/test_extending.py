"""What docs/EXTENDING.md shows applies to the sources, as `git apply` sees it."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import swiftforce

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "EXTENDING.md").read_text()
SECTIONS = ("A schedule", "A method", "A saliency", "A layer", "An adapter")


def blocks(text: str) -> list[str]:
    return re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text between a heading and the next of its kind."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def refusal(diff: str, folder: Path = ROOT) -> str:
    """Why git does not apply a diff; nothing where it does."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git")
    # Paths count from the folder, whatever repository is around it.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        [git, "apply", "--check", "-"],
        cwd=folder,
        env={**clean, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
        input=diff,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr


@pytest.mark.parametrize("title", SECTIONS)
def test_the_blocks_of_a_section_apply(title: str) -> None:
    found = blocks(section(title))
    assert found
    assert not [error for block in found if (error := refusal(block))]
    assert not refusal("".join(found))


def test_the_page_has_no_other_blocks() -> None:
    assert blocks(PAGE) == [block for title in SECTIONS for block in blocks(section(title))]
    assert PAGE.count("```diff\n") == len(blocks(PAGE))


@pytest.mark.parametrize("title", SECTIONS)
def test_every_file_that_is_changed_is_named_once(title: str) -> None:
    names = re.findall(r"^\+\+\+ b/(.+)$", "".join(blocks(section(title))), re.MULTILINE)
    assert len(set(names)) == len(names)


def test_the_adapter_runs_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("autograd", reason="needs autograd")
    for path, added in re.findall(
        r"^\+\+\+ b/python/(.+)\n@@.*\n((?:\+.*\n)+)", section("An adapter"), re.MULTILINE
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(re.sub(r"^\+", "", added, flags=re.MULTILINE))
    monkeypatch.setattr(
        swiftforce, "__path__", [*swiftforce.__path__, str(tmp_path / "swiftforce")]
    )
    adapter = importlib.import_module("swiftforce.autograd.pruning")
    try:
        outcome = doctest.testmod(adapter)
        assert outcome.attempted > 3
        assert not outcome.failed
    finally:
        for name in ("swiftforce.autograd.pruning", "swiftforce.autograd"):
            del sys.modules[name]
        del swiftforce.autograd


DIFF = """--- a/numbers.txt
+++ b/numbers.txt
@@ -7,2 +7,3 @@
 two
+two and a half
 three
"""


@pytest.mark.parametrize(
    ("numbers", "applies"),
    [
        ("one\ntwo\nthree\nfour\n", True),
        ("zero\n" * 30 + "two\nthree\n", True),  # elsewhere than the diff says
        ("one\ntwo\nfour\n", False),
        ("one\ntwo\ntwo and a half\nthree\n", False),  # as if it were applied already
        ("", False),
    ],
)
def test_a_diff_that_no_longer_applies(numbers: str, applies: bool, tmp_path: Path) -> None:
    (tmp_path / "numbers.txt").write_text(numbers)
    assert (not refusal(DIFF, tmp_path)) == applies
    assert (tmp_path / "numbers.txt").read_text() == numbers
