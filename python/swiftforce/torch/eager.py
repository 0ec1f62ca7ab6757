"""Eager execution of compiled functions, for calls that must see each operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def eager() -> Iterator[None]:
    """Run compiled functions eagerly; torch's own stance takes effect before it is entered."""
    with torch.compiler.set_stance("force_eager"):
        yield
