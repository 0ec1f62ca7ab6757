"""What setup.py needs of a machine is checked before anything is copied or compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="setuptools is not installed")

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").is_file(), reason="the sources of the package are not here"
)
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "Package.swift", "README.md", "LICENSE")
FOLDERS = ("Sources", "python", "tools")
INSTALL_SWIFT = "install Swift 6.2 or later from https://swift.org/install"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a build reads."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder that is the whole PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def add_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_setup(project: Path, programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", *arguments],
        cwd=project,
        env={**os.environ, "PATH": str(programs), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(project: Path, programs: Path, command: str) -> str:
    """The last line of a command that fails and leaves nothing behind."""
    before = sorted(project.rglob("*"))
    done = run_setup(project, programs, command)
    assert done.returncode != 0
    assert sorted(project.rglob("*")) == before
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["build", "build_ext", "bdist_wheel", "editable_wheel"])
def test_a_build_without_swift_copies_nothing(command: str, project: Path, programs: Path) -> None:
    assert refusal(project, programs, command) == (
        f"error: swiftforce needs `swift` on the PATH to build: {INSTALL_SWIFT}"
    )


def test_a_swift_that_is_too_old_is_named(project: Path, programs: Path) -> None:
    for name in ("swift", "swiftc"):
        add_program(programs, name, "echo Swift version 5.10.1")
    assert refusal(project, programs, "build") == (
        f"error: swiftforce cannot be built with Swift version 5.10: {INSTALL_SWIFT}"
    )


def test_a_machine_without_openblas_is_told_what_to_install(project: Path, programs: Path) -> None:
    for name in ("swift", "swiftc"):
        add_program(programs, name, "echo Swift version 6.2")
    add_program(programs, "clang", "exit 1")
    assert refusal(project, programs, "build") == (
        "error: swiftforce needs cblas.h and libopenblas to build: "
        "install OpenBLAS (Debian: apt-get install libopenblas-dev)"
    )


def test_metadata_and_sdist_need_no_swift(project: Path, programs: Path) -> None:
    for command, product in [("dist_info", "*.dist-info/METADATA"), ("sdist", "dist/*.tar.gz")]:
        done = run_setup(project, programs, command)
        assert done.returncode == 0, done.stderr
        assert list(project.glob(product))
