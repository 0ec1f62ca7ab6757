"""`import swiftforce` takes little besides numpy: the rest is imported when it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import swiftforce as sf

#: Frameworks, what extras bring, and what of the standard library takes milliseconds.
LATER = {
    *("torch", "jax", "optax", "ml_dtypes", "mpi4py"),
    *("matplotlib", "rich", "tqdm", "safetensors"),
    *("argparse", "email", "hashlib", "importlib.metadata", "tarfile", "zipfile"),
    *("asyncio", "concurrent.futures", "logging", "multiprocessing", "subprocess", "unittest"),
    *("swiftforce.cli", "swiftforce.datasets", "swiftforce.nn", "swiftforce.experiments"),
}
PROGRAM = """
import json, sys
import numpy
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def imported(statement: str) -> set[str]:
    """Modules that a statement imports in a new process where numpy is imported already."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_what_takes_long_is_imported_when_it_is_used() -> None:
    found = imported("import swiftforce")
    assert "swiftforce._core" in found
    assert not found & LATER


@pytest.mark.parametrize("name", ["checks", "datasets", "nn"])
@pytest.mark.slow
def test_parts_are_imported_when_they_are_named(name: str) -> None:
    assert f"swiftforce.{name}" in imported(f"import swiftforce; swiftforce.{name}")
    assert f"swiftforce.{name}" in imported(f"from swiftforce import {name}")
    assert not imported(f"import swiftforce.{name}") & {"torch", "jax", "matplotlib", "argparse"}


def test_every_public_name_is_there() -> None:
    assert dir(sf) == sorted(sf.__all__)
    for name in sf.__all__:
        assert getattr(sf, name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'swiftforce' has no attribute 'snap'"):
        sf.snap  # noqa: B018
    assert not hasattr(sf, "models_")
