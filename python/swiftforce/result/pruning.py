"""The result of a search: a record with methods that show, save and explain it.

The methods call functions over plain records in the modules beside this one, which are imported
when they are first used.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from swiftforce.inputs import Array, Arrays
from swiftforce.result import trust
from swiftforce.result.layers import Layer
from swiftforce.result.records import Masks_co, PruningRecord, fields_of
from swiftforce.result.saved_axes import saved_axes
from swiftforce.show import in_notebook, is_terminal, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure
    from rich.console import ConsoleOptions


@dataclass(frozen=True, eq=False)
class Pruning(PruningRecord[Masks_co]):
    """The result of a search.

    The type of the masks is its parameter: `Pruning[dict[str, Array]]` for weights in a dict.

    Attributes
    ----------
    masks : mapping, sequence or array of bool
        True where a weight is kept, in the structure and the shapes of the weights. With ranks,
        the masks of the weights on this rank.
    method : str
        The method that found the masks.
    layers : tuple of Layer
        How many weights of each tensor are kept. With pieces of tensors, of each whole tensor.
    history : tuple of Step
        What each step did.
    seed : int
        The seed of the random method.
    schedule : str
        The name of the schedule; ``custom`` if the caller passed a list.
    scope : Scope, optional
        What part of the model was searched; None where only weights were given.
    zeros : ZeroScores, optional
        Tensors whose every score was zero at the first step, and the tensors of zeros that cause
        it; None where this is not known.
    damping : Damping
        What kept the search from replacing most of its mask in each step.
    saliency, rule : str
        How weights were scored, and which competed in the next step, if the caller chose other than
        those of the method; else empty.
    allocation : Allocation, optional
        How the kept weights were shared out; None if scores alone decided.
    pattern : Pattern, optional
        Which weights lived or died together; None if each alone.

    Notes
    -----
    The same numbers give the same masks: on every CPU level, with any number of threads or ranks.
    Another machine or another version of a library computes gradients with other last digits, and
    a search of several steps may then keep mostly other weights. So compare methods over several
    seeds, not by one mask; `swiftforce.checks.overlap` compares two masks.
    """

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons not to trust the masks, in words; empty if there are none."""
        return trust.texts(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file, which `swiftforce.load` reads.

        Parameters
        ----------
        path : path
            The file.

        Raises
        ------
        StructureError
            If the masks are pieces of tensors, as with ranks that each have a part.
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written.
        """
        from swiftforce.result.mask_files import save

        save(self, path)

    def _save_packed(self, path: str | os.PathLike[str], masks: Sequence[Array]) -> None:
        """The same for a mapping of masks of which the bits are packed already."""
        from swiftforce.result.mask_files import write

        write(self, path, {f"mask.{position}": bits for position, bits in enumerate(masks)})

    def to_dict(self) -> dict[str, Any]:
        """Everything but the masks, as numbers, strings, lists and dicts, for an experiment's log.

        Sums of scores above the largest float64 are None, since JSON has no infinity.

        Examples
        --------
        >>> import numpy as np, swiftforce as sf
        >>> found = sf.magnitude({"fc": np.float32([1, -2, 3, 4])}, sparsity=0.5).to_dict()
        >>> found["sparsity"], found["warnings"], found["layers"][0]
        (0.5, [], {'name': 'fc', 'shape': [4], 'size': 4, 'kept': 2, 'density': 0.5})
        >>> found["history"][0]["removed"]
        2
        """
        found = {
            "method": self.method,
            "schedule": self.schedule,
            "seed": self.seed,
            "damping": asdict(self.damping),
            **saved_axes(self.saliency, self.rule, self.allocation, self.pattern),
            "objective": _json_value(self.objective),
            "size": self.size,
            "keep": self.keep,
            "sparsity": self.sparsity,
            "steps": self.steps,
            "degenerate": self.degenerate,
            "warnings": list(self.warnings),
            "layers": [_json_layer(layer) for layer in self.layers],
            "history": [
                {name: _json_value(value) for name, value in asdict(step).items()}
                for step in self.history
            ],
        }
        if self.scope is not None:
            found |= {"model_sparsity": self.model_sparsity, "scope": asdict(self.scope)}
        return found

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON.

        Parameters
        ----------
        indent : int, optional
            Spaces for each level; one line by default.
        """
        found = self.to_dict()
        text = json.dumps(found, indent=indent, ensure_ascii=False, allow_nan=False)
        if text.replace("\n", "").isprintable():
            return text
        # Names may hold characters that a terminal would obey.
        return json.dumps(found, indent=indent, allow_nan=False)

    def plot(self) -> Figure:
        """Draw the density of each layer, and what each of several steps did.

        A notebook shows the figure at once. The figure follows matplotlib's style sheets.

        Returns
        -------
        matplotlib.figure.Figure
            Call its ``savefig`` to write a file.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            from swiftforce.result.plots import figure_of
        except ImportError as error:
            raise ImportError(f"{error}: pip install 'swiftforce[demo]'") from None
        figure = figure_of(self)
        if in_notebook():
            figure.show_in_notebook()
        return figure

    def __str__(self) -> str:
        """A table of the layers, what the search did, and warnings.

        The table has bars if standard output is a terminal and rich is installed; ``rich.print``
        adds colours. A format string always has the plain text.
        """
        return tables.rendered(self) if is_terminal(sys.stdout) else format(self)

    def __format__(self, specification: str) -> str:
        """The plain table."""
        from swiftforce.result.table import plain_text

        return format(plain_text(self), specification)

    def __rich_console__(self, console: object, options: ConsoleOptions) -> Iterator[object]:
        """What rich prints."""
        from swiftforce.result.table import rich_parts

        return rich_parts(self, options.max_width)

    def _repr_html_(self) -> str:
        """The card that notebooks show."""
        from swiftforce.result.card import html_of

        return html_of(self)

    def __repr__(self) -> str:
        """One line."""
        return f"<Pruning {tables.printable(self.method)}: {self.keep} of {self.size} weights kept>"


def _json_layer(layer: Layer) -> dict[str, Any]:
    """A layer; the parts that are lost only if there are any."""
    fields = {**asdict(layer), "shape": list(layer.shape), "density": layer.density}
    lost = fields.pop("lost")
    return {**fields, "lost": list(lost)} if lost else fields


def _json_value(value: Any) -> Any:  # noqa: ANN401 - of any field
    """A value as JSON represents it."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(path: str | os.PathLike[str], weights: Arrays | None = None) -> Pruning[Any]:
    """Read what `Pruning.save` wrote.

    Parameters
    ----------
    path : path
        The file.
    weights : mapping, sequence or array, optional
        Weights that the masks must fit: the same names and shapes, in any order and of any type.

    Returns
    -------
    Pruning
        With the masks in the structure in which they were saved; names are strings.

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not a file of masks.
    WeightsDifferError
        If the masks do not fit the weights: the message says which are missing, unknown, or of
        another shape.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    from swiftforce.result import mask_files

    return Pruning(**fields_of(mask_files.read(path, weights)))
