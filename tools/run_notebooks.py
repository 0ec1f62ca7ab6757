"""Runs the notebooks of examples/, and writes them with what their cells show.

python -m tools.run_notebooks                       # all of them; `make notebooks` does it
python -m tools.run_notebooks examples/pytorch.ipynb

What is written does not tell when, where or by whom a notebook was run, so a diff shows what
changed. A notebook is written only if all of its cells ran.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))

#: All that a notebook says of what it was run by.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels of the interpreter that this runs in, whatever kernels are installed."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How to start one."""
        return KernelSpec(
            argv=make_ipkernel_cmd(python_arguments=["-Xfrozen_modules=off"]),
            display_name="Python 3",
            language="python",
        )


def read(path: Path) -> NotebookNode:
    """A notebook as it lies in a file."""
    return nbformat.read(path, as_version=4)


def executed(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook with what its cells show, run in a folder that is removed afterwards.

    Raises
    ------
    CellExecutionError
        If a cell fails.
    """
    shown = copy.deepcopy(notebook)
    with TemporaryDirectory() as folder:
        place = Path(folder, "work")
        place.mkdir()
        client = NotebookClient(
            shown,
            km=ThisInterpreter(transport="ipc", connection_file=str(Path(folder, "kernel.json"))),
            resources={"metadata": {"path": str(place)}},
            coalesce_streams=True,
            record_timing=False,
        )
        client.execute(cleanup_kc=True, env=environment(folder))
    return normalised(shown)


def environment(folder: str) -> dict[str, str]:
    """Variables of a kernel that sees the packages that this process sees, and no settings.

    Warnings name a cell as ``cell`` instead of a temporary file.
    """
    packages = os.pathsep.join(str(Path(place).resolve()) for place in sys.path)
    known = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    return {
        **known,
        "PYTHONPATH": packages,
        "IPYTHONDIR": str(Path(folder, "ipython")),
        "IPYKERNEL_CELL_NAME": "cell",
    }


def normalised(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook with its cells, their tags and what they show, and nothing else."""
    plain = copy.deepcopy(notebook)
    plain.metadata = nbformat.from_dict(METADATA)
    plain.nbformat, plain.nbformat_minor = 4, 5
    for cell in plain.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = NotebookNode()
    nbformat.validate(plain)
    return plain


def text_of(notebook: NotebookNode) -> str:
    """What a file of the notebook holds."""
    return nbformat.writes(notebook) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Run notebooks and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", type=Path, nargs="*", default=NOTEBOOKS, help="or all here")
    for path in parser.parse_args(arguments).notebooks:
        start = time.perf_counter()
        path.write_text(text_of(executed(read(path))), encoding="utf-8")
        print(f"{path.name}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
