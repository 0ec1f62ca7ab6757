r"""Formulas as MathML, which browsers show by themselves: no script, and nothing from elsewhere.

In a page, ``$...$`` stands in a line and ``$$...$$`` by itself. The extension arithmatex finds them
and leaves ``\(...\)`` and ``\[...\]``.
"""

from __future__ import annotations

import html
import logging
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_LOG = logging.getLogger("mkdocs.hooks.formulas")
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</\1>', re.DOTALL
)
#: A command that the converter left as it was, because it does not know it.
_LEFT = re.compile(r">\s*(\\[A-Za-z]+)")


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the formulas of a page."""
    del config, files

    def converted(formula: re.Match[str]) -> str:
        source = html.unescape(formula[2] or formula[3])
        shown = convert(source, display="inline" if formula[1] == "span" else "block")
        if left := _LEFT.search(shown):
            _LOG.warning("%s: %s in a formula is unknown", page.file.src_uri, left[1])
        return shown

    return _FORMULA.sub(converted, content)
