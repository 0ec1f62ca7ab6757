"""Installs a wheel as a user would, and runs the tests on it, for one Python after the other.

Each Python gets a new environment outside of the source tree. With nothing but the wheel and numpy
in it, the first steps and a short demonstration are run; then the tests, from a copy of them. What
is run sees a PATH without a compiler or Swift, and no LD_LIBRARY_PATH.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What the tests read of the source tree; the package is not among it.
COPIED = (
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md"),
    *("SECURITY.md", "mkdocs.yml", "pyproject.toml"),
    *("Tests", "benchmarks", "docs", "examples", "tools"),
)
#: Programs of the system that tests run, or programs that they run.
PROGRAMS = ("env", "nm", "readelf", "sh", "uname")
#: Variables that a user's machine has, too.
VARIABLES = ("CI", "HOME", "LANG", "SWIFTFORCE_DATA", "TMPDIR")
DEMO = ["--samples", "2000", "--epochs", "1", "--steps", "5", "--sparsity", "0.9", "0.99"]


def main() -> None:
    """Try the wheel that the command names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--pythons", nargs="+", required=True, metavar="python3.11")
    parser.add_argument("--options", default="", help="of pytest, in one argument")
    given = parser.parse_args()
    found = {name: path for name in given.pythons if (path := interpreter(name))}
    for name in given.pythons:
        if name not in found:
            print(f"{name}: not on this machine, not tried", flush=True)
    if not found:
        raise SystemExit("there is no Python to try the wheel with")
    for name, path in found.items():
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="swiftforce-wheel-") as folder:
            try_on(path, given.wheel.resolve(), Path(folder), shlex.split(given.options))
        print(f"{name}: {given.wheel.name} works, {time.monotonic() - start:.0f} s", flush=True)


def interpreter(name: str) -> str | None:
    """A Python of that name that runs: of the PATH, or of pyenv where it is there."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in (shutil.which(name), *map(str, versions.glob(f"*/bin/{name}"))):
        command = [path, "-c", "import ensurepip, venv"]
        if path and not subprocess.run(command, capture_output=True, check=False).returncode:
            return path
    return None


def try_on(python: str, wheel: Path, folder: Path, options: list[str]) -> None:
    """Everything in one environment of its own."""
    run([python, "-m", "venv", folder / "venv"])
    own = folder / "venv/bin/python"
    pip = [own, "-m", "pip", "install", "--quiet"]
    run([*pip, "--upgrade", "pip"])
    bare = bare_environment(folder)

    run([*pip, wheel])
    run([own, "-I", ROOT / "tools/first_steps.py"], environment=bare, folder=folder)
    run([own, "-m", "swiftforce", "demo", *DEMO], environment=bare, folder=folder)

    run([*pip, f"{wheel}[all]", *test_requirements(own)], folder=ROOT)
    copy = folder / "copy"
    copy.mkdir()
    for name in COPIED:
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copied(ROOT / name, copy / name)
    run([own, "-m", "pytest", *options], environment=bare, folder=copy)


def test_requirements(python: Path) -> list[str]:
    """What the tests need: without torch where pip would have to fetch gigabytes for it."""
    constraints = ["--constraint", "constraints.txt"]
    probe = [python, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*probe, *constraints, "torch"], cwd=ROOT, capture_output=True, check=False
    )
    if done.returncode == 0:
        return [*constraints, "--group", "test"]
    print("no torch for this Python on this machine: tests of it are skipped", flush=True)
    return ["--group", "test-without-torch"]


def bare_environment(folder: Path) -> dict[str, str]:
    """Variables of a machine on which nothing can be built."""
    programs = folder / "programs"
    programs.mkdir()
    for name in PROGRAMS:
        if path := shutil.which(name):
            (programs / name).symlink_to(path)
    kept = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    return kept | {"PATH": os.pathsep.join([str(folder / "venv/bin"), str(programs)])}


def run(
    command: list[str | Path],
    *,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> None:
    """Run a command, or stop with its exit status."""
    done = subprocess.run(command, env=environment, cwd=folder, check=False)
    if done.returncode:
        words = " ".join(map(str, command))
        print(f"`{words}` failed with {done.returncode}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
