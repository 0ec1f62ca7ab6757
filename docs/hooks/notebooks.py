"""The notebooks of examples/ as pages: their text, their code, and what they showed when they ran.

Nothing is run. A notebook becomes Markdown, so that it looks like every other page. What a cell
shows as HTML, such as the card of a result, is put into the finished page as it is.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: Where the pages are, below docs.
FOLDER = "notebooks"
_PLACE = '<div class="cell-output" data-html="{}"></div>'
_html: dict[str, list[str]] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and a file for each picture."""
    _html.clear()
    for path in sorted((Path(config.docs_dir).parent / "examples").glob("*.ipynb")):
        page = f"{FOLDER}/{path.stem}.md"
        _html[page] = []
        text = _markdown(json.loads(path.read_text(encoding="utf-8")), page, files, config)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the HTML of cells where it belongs."""
    del config, files
    for position, shown in enumerate(_html.get(page.file.src_uri, ())):
        content = content.replace(
            _PLACE.format(position), f'<div class="cell-output">{shown}</div>'
        )
    return content


def _markdown(notebook: dict[str, Any], page: str, files: Files, config: MkDocsConfig) -> str:
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(_linked(source))
            continue
        parts.append(f"```python\n{source}\n```")
        for position, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "text/html" in data:
                parts.append(_PLACE.format(len(_html[page])))
                _html[page].append("".join(data["text/html"]))
            elif "image/png" in data:
                name = f"{Path(page).stem}-{cell['id']}-{position}.png"
                picture = base64.b64decode(data["image/png"])
                files.append(File.generated(config, f"{FOLDER}/{name}", content=picture))
                parts.append(f"![figure]({name})")
            else:
                text = "".join(output["text"] if "text" in output else data["text/plain"])
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts)


def _linked(text: str) -> str:
    """Text whose links lead from the page to what they lead to from the notebook."""
    text = re.sub(r"\]\(([\w.-]+)\.ipynb", r"](\1.md", text)
    text = text.replace("](../docs/", "](../").replace("](../README.md", "](../index.md")
    return re.sub(r"\]\(([\w.-]+\.py)\)", r"](../../examples/\1)", text)
