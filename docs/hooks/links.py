"""Links that leave the documentation: to files of the repository, which the site does not hold.

A link to a notebook leads to its page. A link to another file leads to the repository. A link to
nothing is a warning, and so fails a strict build, as a broken link within the documentation does.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

#: Where the pages of notebooks are, below docs: see notebooks.py.
FOLDER = "notebooks"

_LOG = logging.getLogger("mkdocs.hooks.links")

#: A link whose target leaves a folder; or code, in which nothing is a link.
_LINK = re.compile(
    r"^```.*?^```|`+[^`\n]*`+|\[([^\]]*)\]\((\.\./[^)#\s]*)(?:#[^)\s]*)?\)",
    re.DOTALL | re.MULTILINE,
)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the links of a page that leave the documentation."""
    del files
    docs = Path(config.docs_dir)
    here = (docs / page.file.src_uri).parent

    def replaced(link: re.Match[str]) -> str:
        if link[2] is None:
            return link[0]
        target = Path(os.path.normpath(here / link[2]))
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            _LOG.warning("%s links to %s, which is not there", page.file.src_uri, link[2])
        path = target.relative_to(docs.parent)
        if path.suffix == ".ipynb":
            shown = os.path.relpath(docs / FOLDER / f"{path.stem}.md", here)
            return f"[{link[1]}]({shown})"
        return f"[{link[1]}]({config.repo_url}/blob/main/{path.as_posix()})"

    return _LINK.sub(replaced, markdown)
