"""Overlap: how many of the weights that one mask keeps another mask keeps, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from swiftforce.checks.masks import tensors_of
from swiftforce.inputs import MASKS, Array, Arrays
from swiftforce.result import Pruning
from swiftforce.show import tables


@dataclass(frozen=True)
class LayerOverlap:
    """The counts of one tensor of weights.

    Attributes
    ----------
    name : str
        The name of the tensor; ``masks`` if it is all there is.
    shape : tuple of int
    size : int
        Number of weights.
    kept_a, kept_b : int
        Number of weights that each mask keeps.
    kept_both : int
        Number of weights that both masks keep.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept_a: int
    kept_b: int
    kept_both: int

    @property
    def jaccard(self) -> float:
        """Weights kept by both, as a share of those kept by any; 1 if there are none."""
        return _share(self.kept_both, self.kept_a + self.kept_b - self.kept_both)

    @property
    def share_of_a(self) -> float:
        """Share of the weights kept by a that b keeps, too; 1 if a keeps none."""
        return _share(self.kept_both, self.kept_a)

    @property
    def expected(self) -> float:
        """How many weights two random masks that keep as many would both keep, on average."""
        return self.kept_a * self.kept_b / self.size if self.size else 0.0


@dataclass(frozen=True)
class Overlap:
    """What two masks have in common, by layer and in total.

    Attributes
    ----------
    layers : tuple of LayerOverlap
        In the order of the first masks.
    """

    layers: tuple[LayerOverlap, ...]

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(layer.size for layer in self.layers)

    @property
    def kept_a(self) -> int:
        """Number of weights that the first masks keep."""
        return sum(layer.kept_a for layer in self.layers)

    @property
    def kept_b(self) -> int:
        """Number of weights that the second masks keep."""
        return sum(layer.kept_b for layer in self.layers)

    @property
    def kept_both(self) -> int:
        """Number of weights that both keep."""
        return sum(layer.kept_both for layer in self.layers)

    @property
    def jaccard(self) -> float:
        """Weights kept by both, as a share of those kept by any; 1 if there are none."""
        return _share(self.kept_both, self.kept_a + self.kept_b - self.kept_both)

    @property
    def share_of_a(self) -> float:
        """Share of the weights kept by a that b keeps, too; 1 if a keeps none."""
        return _share(self.kept_both, self.kept_a)

    @property
    def expected(self) -> float:
        """How many weights random masks of these layer densities would both keep, on average."""
        return sum(layer.expected for layer in self.layers)

    def __str__(self) -> str:
        """A table of the layers."""
        rows: list[tuple[str, ...]] = [
            ("layer", "shape", "weights", "a", "b", "both", "by chance", "share of a", "jaccard")
        ]
        rows += [_row(layer, layer.name, str(layer.shape)) for layer in self.layers]
        rows.append(_row(self, "all", ""))
        return (
            f"{self.kept_both:,} weights are kept by both, of {self.kept_a:,} kept by a and "
            f"{self.kept_b:,} kept by b (by chance {self.expected:,.1f})\n"
            f"{tables.plain(rows, left=2)}"
        )

    def __repr__(self) -> str:
        """One line."""
        return f"<Overlap: {self.kept_both} of {self.kept_a} and {self.kept_b} weights kept>"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _row(counts: LayerOverlap | Overlap, name: str, shape: str) -> tuple[str, ...]:
    kept = (counts.size, counts.kept_a, counts.kept_b, counts.kept_both)
    shares = (counts.share_of_a, counts.jaccard)
    return (
        *(name, shape),
        *(f"{number:,}" for number in kept),
        f"{counts.expected:,.1f}",
        *(f"{share:.4g}" for share in shares),
    )


def overlap(a: Pruning[Any] | Arrays, b: Pruning[Any] | Arrays) -> Overlap:
    """Count the weights that two masks both keep.

    This tells how much a mask depends on a seed, a method, or the last digits of the gradients.
    Compare the count with `Overlap.expected`: masks that find many weights in the same small layers
    share some by chance alone. `swiftforce.torch.overlap` and `swiftforce.jax.overlap` compare the
    masks of models and pytrees.

    Parameters
    ----------
    a, b : Pruning, or mapping, sequence or array of bool
        True where a weight is kept. Both have the same names and shapes. Not changed.

    Returns
    -------
    Overlap

    Raises
    ------
    StructureError
        If there are no masks, the names of the tensors differ, or the masks are one rank's pieces
        of tensors.
    ShapeError
        If two masks of a tensor differ in shape.
    UnsupportedTypeError, LayoutError

    Notes
    -----
    Of each tensor, the weights kept by both take one byte for each weight while they are counted.

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"fc": np.float32([5, -4, 3, 2]), "head": np.float32([9, 1])}
    >>> first = sf.magnitude(weights, keep=3)
    >>> other = sf.magnitude({"fc": np.float32([1, 4, 3, 2]), "head": weights["head"]}, keep=3)
    >>> print(sf.checks.overlap(first, other))
    2 weights are kept by both, of 3 kept by a and 3 kept by b (by chance 1.5)
    layer  shape  weights  a  b  both  by chance  share of a  jaccard
    fc     (4,)         4  2  2     1        1.0         0.5   0.3333
    head   (2,)         2  1  1     1        0.5           1        1
    all                 6  3  3     2        1.5      0.6667      0.5
    """
    first = tensors_of(a, "masks a")
    # Checked alone, too: what differs may be that it is only a piece.
    tensors_of(b, "masks b")
    second = first.matching(getattr(b, "masks", b), "masks b", MASKS)
    # An array that is all there is has no name but its role.
    names = ("masks",) if first.structure == "array" else first.names
    return Overlap(tuple(map(_counted, names, first.arrays, second)))


def _counted(name: str, a: Array, b: Array) -> LayerOverlap:
    counts = (int(np.count_nonzero(kept)) for kept in (a, b, a & b))
    return LayerOverlap(name, a.shape, a.size, *counts)
