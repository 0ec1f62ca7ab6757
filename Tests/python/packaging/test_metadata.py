"""What the package says about itself: its version, extras and citation agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import swiftforce

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_every_extra_brings_progress_bars(extra: str) -> None:
    needed = list(PROJECT["optional-dependencies"][extra])
    for requirement in needed:
        if own := re.match(r"swiftforce\[(.+)\]", requirement):
            for other in own[1].split(","):
                needed += PROJECT["optional-dependencies"][other]
    assert any(requirement.startswith("tqdm") for requirement in needed)


@pytest.mark.parametrize(
    "folder",
    [Path(swiftforce.__file__).parent, ROOT / "docs", ROOT / "examples"],
    ids=lambda folder: folder.name,
)
def test_extras_are_named_as_they_can_be_added_to_what_is_installed(folder: Path) -> None:
    """``pip install 'swiftforce[torch]'`` does that for a wheel and for a repository alike."""
    texts = [
        path.read_text()
        for path in folder.rglob("*")
        # The other one says how to install it from the repository.
        if path.suffix in {".py", ".md", ".ipynb"} and path.name != "index.md"
    ]
    named = {name for text in texts for name in re.findall(r"pip install (\S*\[\w+\]'?)", text)}
    extras = PROJECT["optional-dependencies"]
    assert named and named <= {f"'swiftforce[{extra}]'" for extra in extras}


def test_the_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\S+)", text, re.MULTILINE)
    assert released[:2] == ["Unreleased", swiftforce.__version__]


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    said = dict(re.findall(r"^([a-z-]+): (\S+)$", text, re.MULTILINE))
    assert said["version"] == swiftforce.__version__
    date = rf"^## {re.escape(said['version'])} - {said['date-released']}$"
    assert re.search(date, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert said["license"] == PROJECT["license"]
    assert said["repository-code"] == PROJECT["urls"]["Repository"]
