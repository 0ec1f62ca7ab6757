"""The packages of swiftforce, as they lie on disk."""

from __future__ import annotations

import re
from pathlib import Path

import swiftforce

PACKAGE = Path(swiftforce.__file__).parent


def _imports_its_namesake(folder: Path) -> bool:
    pattern = re.compile(rf"^(?:import|from) {folder.name}\b", re.MULTILINE)
    return any(pattern.search(path.read_text()) for path in folder.glob("*.py"))


#: Frameworks that adapters are for: an adapter imports the framework that it is named after.
FRAMEWORKS = tuple(
    sorted(
        path.parent.name
        for path in PACKAGE.glob("*/__init__.py")
        if _imports_its_namesake(path.parent)
    )
)
