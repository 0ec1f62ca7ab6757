"""Effective density: the share of weights on a path from a network's input to its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from swiftforce.errors import UnsupportedTypeError
from swiftforce.inputs import MASK, MASKS, SINGLES, Array, Arrays, Tensors
from swiftforce.nn import Network, Paths
from swiftforce.show import tables


@dataclass(frozen=True)
class EffectiveLayer:
    """The counts of one tensor of weights.

    Attributes
    ----------
    name : str
        The name of the tensor in ``network.weights``.
    shape : tuple of int
    size : int
        Number of weights.
    kept : int
        Number of weights that the mask keeps.
    effective : int
        Number of kept weights that lie on a path from input to output.
    """

    name: str
    shape: tuple[int, ...]
    size: int
    kept: int
    effective: int

    @property
    def density(self) -> float:
        """Share of its weights that are kept and lie on a path; 1 if the tensor is empty."""
        return self.effective / self.size if self.size else 1.0

    @property
    def direct_density(self) -> float:
        """Share of its weights that are kept; 1 if the tensor is empty."""
        return self.kept / self.size if self.size else 1.0


@dataclass(frozen=True, eq=False)
class EffectiveDensity:
    """The kept weights that lie on a path from a network's input to its output.

    Attributes
    ----------
    layers : tuple of EffectiveLayer
        In the order of the weights.
    masks : mapping of str to bool array or tensor
        True where a weight is kept and lies on a path.
    """

    layers: tuple[EffectiveLayer, ...]
    masks: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Number of prunable weights."""
        return sum(layer.size for layer in self.layers)

    @property
    def kept(self) -> int:
        """Number of kept weights."""
        return sum(layer.kept for layer in self.layers)

    @property
    def effective(self) -> int:
        """Number of kept weights that lie on a path."""
        return sum(layer.effective for layer in self.layers)

    @property
    def density(self) -> float:
        """The effective density: share of all weights that are kept and lie on a path."""
        return self.effective / self.size

    @property
    def direct_density(self) -> float:
        """Share of all weights that are kept."""
        return self.kept / self.size

    def __str__(self) -> str:
        """A table of the layers."""
        rows: list[tuple[str, ...]] = [
            ("layer", "shape", "weights", "kept", "on a path", "density", "effective")
        ]
        rows += [_row(layer, layer.name, str(layer.shape)) for layer in self.layers]
        rows.append(_row(self, "all", ""))
        return (
            f"{self.effective:,} of {self.kept:,} weights kept lie on a path from input to output "
            f"(density {self.direct_density:.4g}, effective {self.density:.4g})\n"
            f"{tables.plain(rows, left=2)}"
        )

    def __repr__(self) -> str:
        """One line."""
        return f"<EffectiveDensity: {self.effective} of {self.kept} weights kept lie on a path>"


def _row(counts: EffectiveLayer | EffectiveDensity, name: str, shape: str) -> tuple[str, ...]:
    numbers = (f"{number:,}" for number in (counts.size, counts.kept, counts.effective))
    return (name, shape, *numbers, f"{counts.direct_density:.4g}", f"{counts.density:.4g}")


def effective_density(network: Network, masks: Arrays | None = None) -> EffectiveDensity:
    """Count the kept weights that lie on a path from input to output.

    A kept weight has no effect if no kept path leads from the input to it, or from it to an output.
    At most it adds a constant, as a bias does. At high sparsity many kept weights have no effect,
    so two masks of equal density can differ in how many weights they really use.

    The count is exact and depends only on which units are connected. Units are features, or the
    pixels of each channel, so a kernel weight that only meets padding is on no path. A path leads
    through weights, rectifiers, normalisations and every pixel of a pooling window. It starts at an
    input, never at a bias, and ends at any class.

    Parameters
    ----------
    network : swiftforce.nn.Network
        The network, pruned or not. It is not changed.
    masks : Pruning, or mapping of str to array of bool, optional
        True where a weight is kept, with one mask for each entry of ``network.weights``. By default
        the masks that are applied to the network, or all weights if there are none.

    Returns
    -------
    EffectiveDensity

    Raises
    ------
    UnsupportedTypeError
        If `network` is not a network of `swiftforce.nn`, or a mask is not an array of bool. For
        torch models there is `swiftforce.torch.effective_density`.
    ShapeError, StructureError, LayoutError
        If the masks do not fit the weights.

    Notes
    -----
    Takes about as long as three evaluations of one sample, and as much memory as its activations.

    References
    ----------
    Vysogorets and Kempe, "Connectivity matters: neural network pruning through the lens of
    effective sparsity", JMLR 24 (2023).

    Examples
    --------
    >>> import numpy as np, swiftforce as sf
    >>> from swiftforce import nn
    >>> net = nn.Network([nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)])
    >>> masks = {"0.weight": np.array([[1, 0, 0], [0, 1, 1]], bool),
    ...          "2.weight": np.array([[1, 0]], bool)}
    >>> print(sf.checks.effective_density(net, masks))
    2 of 4 weights kept lie on a path from input to output (density 0.5, effective 0.25)
    layer     shape   weights  kept  on a path  density  effective
    0.weight  (2, 3)        6     3          1      0.5     0.1667
    2.weight  (1, 2)        2     1          1      0.5        0.5
    all                     8     4          2      0.5       0.25
    """
    if not isinstance(network, Network):
        raise UnsupportedTypeError(
            f"network must be a swiftforce.nn.Network, not {type(network).__name__}: for a torch "
            "model call swiftforce.torch.effective_density"
        )
    tensors = Tensors(network.weights, "weights", SINGLES)
    if masks is None:
        masks = network.masks or {
            name: np.ones(weight.shape, MASK) for name, weight in network.weights.items()
        }
    given = tensors.matching(getattr(masks, "masks", masks), "masks", MASKS)
    named = dict(zip(tensors.names, given, strict=True))
    paths = Paths(named)
    paths.forward(network.layers, np.ones(network.input_shape, MASK))
    paths.backward(network.layers, np.ones(network.classes, MASK))
    return _counted(named, {name: paths.effective[name] for name in named})


def _counted(masks: Mapping[str, Array], effective: Mapping[str, Array]) -> EffectiveDensity:
    layers = []
    for name, mask in masks.items():
        counts = int(np.count_nonzero(mask)), int(np.count_nonzero(effective[name]))
        layers.append(EffectiveLayer(name, mask.shape, mask.size, *counts))
    return EffectiveDensity(tuple(layers), effective)
