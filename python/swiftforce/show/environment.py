"""Where output goes: to a terminal, to a notebook, or somewhere else."""

from __future__ import annotations

import sys


def is_terminal(stream: object) -> bool:
    """Whether a stream is a terminal.

    Any object may stand in for ``sys.stdout`` and ``sys.stderr``, also one without ``isatty``.
    """
    isatty = getattr(stream, "isatty", None)
    try:
        return isatty is not None and bool(isatty())
    except ValueError:  # a closed file
        return False


def in_notebook() -> bool:
    """Whether the code runs in a kernel of IPython: a notebook, JupyterLab, VS Code, Colab."""
    ipython = sys.modules.get("IPython")
    # IPython on a terminal has a shell too, but no kernel.
    return ipython is not None and hasattr(getattr(ipython, "get_ipython", object)(), "kernel")
