"""Says what is wrong with a wheel that is to run on other machines, or that nothing is.

What is looked at is what a user's `pip install` and `import` depend on and no test of the package
sees: the tags, the list of files, the libraries that are expected of the system, the licences, the
metadata, and the size.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from elftools.elf.elffile import ELFFile
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from tools.bundled import FOLDER, expression, parts
from tools.index_readme import relative_links

EXTENSION = "swiftforce/_core.abi3.so"
LIBRARIES = "swiftforce.libs"
#: Of glibc and GCC's runtime, which the manylinux tags promise.
SYSTEM = frozenset(
    {
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libgcc_s.so.1",
        "libm.so.6",
        "libstdc++.so.6",
    }
)
MB = 1_000_000
LARGEST = 45 * MB


def main() -> None:
    """Look at the wheel that the command names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel
    found = [*faults(wheel), *promise_faults(wheel)]
    if found:
        raise SystemExit("\n".join(f"{wheel.name}: {fault}" for fault in found))
    print(f"{wheel.name}: {wheel.stat().st_size / MB:.1f} MB, as it should be")


def faults(wheel: Path) -> Iterator[str]:
    """What is wrong with the file, in words."""
    yield from tag_faults(wheel.name)
    if wheel.stat().st_size > LARGEST:
        yield f"has {wheel.stat().st_size / MB:.1f} MB, more than {LARGEST / MB:.0f}"
    with ZipFile(wheel) as archive:
        yield from record_faults(archive)
        yield from library_faults(archive)
        yield from licence_faults(archive)
        yield from metadata_faults(archive)


def tag_faults(name: str) -> Iterator[str]:
    """Of the file's name: CPython 3.11 and later, any Linux with a glibc that is new enough."""
    for tag in parse_wheel_filename(name)[3]:
        if (tag.interpreter, tag.abi) != ("cp311", "abi3"):
            yield f"is for {tag.interpreter}-{tag.abi}, not cp311-abi3"
        if not tag.platform.startswith("manylinux"):
            yield f"is for {tag.platform}, which is no manylinux"


def promise_faults(wheel: Path) -> Iterator[str]:
    """Where the name promises an older glibc than `auditwheel` finds to be needed."""
    command = [sys.executable, "-m", "auditwheel", "show", wheel]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    needed = re.search(r'the following platform tag:\s+"(\w+)"', shown)
    if not needed or needed[1] not in wheel.name:
        yield f"runs where auditwheel says: {shown.strip()}"


def record_faults(archive: ZipFile) -> Iterator[str]:
    """Files that are not as RECORD lists them."""
    record = about(archive, "RECORD")
    listed = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
    files = {name for name in archive.namelist() if not name.endswith("/")}
    yield from (f"lists {name}, which is not there" for name in listed.keys() - files)
    for name in sorted(files - {record}):
        digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(name)).digest())
        if listed.get(name) != f"sha256={digest.decode().rstrip('=')}":
            yield f"has another {name} than it lists"


def library_faults(archive: ZipFile) -> Iterator[str]:
    """One extension; what it and its libraries need is beside them or part of every system."""
    elves = [name for name in archive.namelist() if re.search(r"\.so($|\.)", name)]
    inside = {PurePosixPath(name).name for name in elves if name.startswith(f"{LIBRARIES}/")}
    extensions = [name for name in elves if PurePosixPath(name).name not in inside]
    if extensions != [EXTENSION]:
        yield f"has the extensions {extensions}, not one"
    if not any("openblas" in name for name in inside):
        yield "has no OpenBLAS"
    for name in elves:
        elf = ELFFile(io.BytesIO(archive.read(name)))
        if elf.get_section_by_name(".symtab"):
            yield f"{name} has symbols that nobody needs: strip it"
        needed, paths = dynamic(elf)
        if strange := sorted(needed - inside - SYSTEM):
            yield f"{name} needs {', '.join(strange)}"
        if strange := sorted(path for path in paths if not path.startswith("$ORIGIN")):
            yield f"{name} looks for libraries in {', '.join(strange)}"


def dynamic(elf: ELFFile) -> tuple[set[str], set[str]]:
    """The libraries that a file needs, and the folders where it looks for them."""
    needed, paths = set(), set()
    for tag in elf.get_section_by_name(".dynamic").iter_tags():
        if tag.entry.d_tag == "DT_NEEDED":
            needed.add(tag.needed)
        elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
            paths.update(getattr(tag, tag.entry.d_tag[3:].lower()).split(":"))
    return needed, paths


def licence_faults(archive: ZipFile) -> Iterator[str]:
    """Licences that are named and not there, or there and not named; those of parts that lack."""
    path = about(archive, "METADATA")
    metadata = message_from_bytes(archive.read(path))
    folder = path.removesuffix("METADATA") + "licenses/"
    named = set(metadata.get_all("License-File", []))
    there = {n.removeprefix(folder) for n in archive.namelist() if n.startswith(folder)}
    yield from (f"names the licence {name}, which is not there" for name in sorted(named - there))
    yield from (f"does not name the licence {name}" for name in sorted(there - named))
    libraries = [n.split("/")[1] for n in archive.namelist() if n.startswith(f"{LIBRARIES}/")]
    try:
        needed, inside = expression(libraries), parts(libraries)
    except LookupError as error:
        yield str(error.args[0])
        return
    if (found := metadata["License-Expression"]) != needed:
        yield f"is under {found}, and what it holds is under {needed}"
    texts = {f"{FOLDER}/{text}" for part in inside for text in part.texts}
    for text in ("LICENSE", *sorted(texts)):
        if not any(name.startswith(text) for name in there):
            yield f"has no licence {text}"


def metadata_faults(archive: ZipFile) -> Iterator[str]:
    """A version without licence expressions, and links that lead nowhere on a package index."""
    metadata = message_from_bytes(archive.read(about(archive, "METADATA")))
    if (version := Version(metadata["Metadata-Version"])) < Version("2.4"):
        yield f"has metadata of version {version}, which has no licence expressions"
    for link in relative_links(metadata.get_payload(decode=True).decode()):
        yield f"has the link {link} in its description, which leads nowhere on a package index"


def about(archive: ZipFile, name: str) -> str:
    """The path of a file that says something about the wheel."""
    (path,) = (n for n in archive.namelist() if re.fullmatch(rf"[^/]+\.dist-info/{name}", n))
    return path


if __name__ == "__main__":
    main()
