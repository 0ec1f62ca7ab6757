"""On a package index, the links of the README lead to the repository and its pictures show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HOME, TAG = "https://host.example/project", "v1.0"


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a](docs/A.md)", f"[a]({HOME}/blob/{TAG}/docs/A.md)"),
        ("[a](docs/A.md#place)", f"[a]({HOME}/blob/{TAG}/docs/A.md#place)"),
        ("![a](docs/a.png)", f"![a]({HOME}/raw/{TAG}/docs/a.png)"),
        ('<img alt="x" src="a.SVG">', f'<img alt="x" src="{HOME}/raw/{TAG}/a.SVG">'),
        ('<source srcset="a.png">', f'<source srcset="{HOME}/raw/{TAG}/a.png">'),
        ('<a href="LICENSE">', f'<a href="{HOME}/blob/{TAG}/LICENSE">'),
        ("[![a](a.png)](B.md)", f"[![a]({HOME}/raw/{TAG}/a.png)]({HOME}/blob/{TAG}/B.md)"),
    ],
)
def test_relative_links_become_absolute(before: str, after: str) -> None:
    from tools import index_readme

    text = f"One {before} two"
    assert index_readme.absolute(text, HOME, TAG) == f"One {after} two"
    assert list(index_readme.relative_links(text))
    assert list(index_readme.relative_links(after)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://host.example/b.png)",
        "[a](mailto:a@host.example)",
        "[a](#place)",
        "`list[int](x)`",
        "```python\nlayers[0](x)\n```\n",
    ],
)
def test_other_links_and_code_stay(text: str) -> None:
    from tools import index_readme

    assert index_readme.absolute(text, HOME, TAG) == text
    assert list(index_readme.relative_links(text)) == []


def test_links_of_the_readme() -> None:
    from tools import index_readme

    text = (ROOT / "README.md").read_text()
    relative = list(index_readme.relative_links(text))
    assert any(link.endswith(".png") for link in relative)
    assert any(link.endswith(".md") for link in relative)
    absolute = index_readme.absolute(text, HOME, TAG)
    assert list(index_readme.relative_links(absolute)) == []
    assert len(re.findall(re.escape(HOME), absolute)) == len(relative)
