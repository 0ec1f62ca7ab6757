"""The README as a package index shows it, where a relative link leads nowhere.

setup.py runs this file, so it needs nothing but the standard library. Links lead to the tag of the
version that is built, so they still show what belongs to it after later changes.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path

#: A target of Markdown or HTML; or code, in which nothing is a link.
_LINK = re.compile(
    r"^```.*?^```|`[^`\n]+`|(?P<before>\]\(|\b(?:src|srcset|href)=\")(?P<target>[^)\"\s]+)",
    re.DOTALL | re.MULTILINE,
)
_PICTURES = (".gif", ".jpg", ".png", ".svg", ".webp")


def description(root: Path) -> str:
    """README.md of a source tree, with absolute links."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = runpy.run_path(str(root / "python/swiftforce/version.py"))["__version__"]
    readme = (root / "README.md").read_text(encoding="utf-8")
    return absolute(readme, project["urls"]["Repository"], f"v{version}")


def absolute(text: str, repository: str, tag: str) -> str:
    """A page with its relative links made absolute: to files of a repository, at a tag."""

    def replaced(link: re.Match[str]) -> str:
        target = link["target"]
        if not _is_relative(target):
            return link[0]
        kind = "raw" if target.lower().endswith(_PICTURES) else "blob"
        return f"{link['before']}{repository}/{kind}/{tag}/{target}"

    return _LINK.sub(replaced, text)


def relative_links(text: str) -> Iterator[str]:
    """The targets in a page that lead nowhere outside of the repository."""
    yield from (link["target"] for link in _LINK.finditer(text) if _is_relative(link["target"]))


def _is_relative(target: str | None) -> bool:
    """Whether a target is a path; one that starts with # is a place in the page itself."""
    return bool(target) and not re.match(r"#|[a-z]+:", target)
