"""Importing the adapter: what it needs, what it does not import, and what it shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")

import swiftforce.jax as sfj


@pytest.mark.slow
def test_only_the_adapter_imports_jax() -> None:
    code = "import sys, swiftforce; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, swiftforce.jax; assert 'optax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_jax() -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "try:\n    import swiftforce.jax\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "swiftforce.jax needs JAX: pip install 'swiftforce[jax]'\n"


def test_only_public_names_are_shown() -> None:
    assert dir(sfj) == sorted(sfj.__all__)
    assert all(hasattr(sfj, name) for name in sfj.__all__)
