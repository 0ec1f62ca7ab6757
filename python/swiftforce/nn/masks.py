"""The masks of a network: those that the core applies, and copies of them for whoever asks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from swiftforce import _core
from swiftforce.errors import (
    HyperparameterError,
    ShapeError,
    StructureError,
    UnreachableClassWarning,
)
from swiftforce.inputs import MASK, MASKS, SINGLES, Mask, Tensors, write_whole
from swiftforce.native import native_call
from swiftforce.nn.layers import AnyLayer
from swiftforce.nn.parameters import Parameters
from swiftforce.nn.paths import unreachable_classes
from swiftforce.result import PruningRecord, masks_of
from swiftforce.search import Turns

#: How masked layers compute: over kept weights alone where that is faster, or over all weights.
Kernels = Literal["auto", "dense"]


class AppliedMasks:
    """The masks that are applied to a native network.

    Parameters
    ----------
    handle : object
        The native network.
    shapes : mapping of str to tuple of int
        Of its weights.

    Attributes
    ----------
    applied : bool
        Whether there are masks.
    kernels : {"auto", "dense"}
        How the last masks were applied.
    """

    def __init__(self, handle: object, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._handle = handle
        self._shapes = shapes
        self._turns = Turns("call of apply on this network")
        self.applied = False
        self.kernels: Kernels = "auto"

    def apply(self, masks: Mapping[str, Mask] | None, kernels: Kernels = "auto") -> None:
        """Apply copies of masks in place of earlier ones; None takes them away.

        Parameters
        ----------
        masks : mapping of str to array of bool, or None
        kernels : {"auto", "dense"}
            Whether layers may compute over kept weights alone.

        Raises
        ------
        InUseError
            If it is called from within another such call.
        """
        if not isinstance(kernels, str) or kernels not in ("auto", "dense"):
            raise HyperparameterError(f"kernels must be 'auto' or 'dense', not {kernels!r}")
        self._turns.take(lambda: self._apply(masks, kernels))

    def _apply(self, masks: Mapping[str, Mask] | None, kernels: Kernels) -> None:
        def work() -> None:
            arrays = None if masks is None else (*masks.values(),)
            with native_call():
                _core.network_apply(self._handle, arrays, kernels == "auto")
            self.applied = masks is not None
            self.kernels = kernels

        write_whole(work)

    def copies(self) -> dict[str, Mask] | None:
        """Copies of the masks; None if there are none."""
        masks = {name: np.empty(shape, MASK) for name, shape in self._shapes.items()}
        with native_call():
            applied = _core.network_masks(self._handle, (*masks.values(),))
        return masks if applied else None


def masks_for(
    weights: Parameters, masks: PruningRecord[Any] | Mapping[str, Mask]
) -> dict[str, Mask]:
    """The masks of a result, or masks as they are, in the order of a network's weights.

    Raises
    ------
    ShapeError, StructureError, UnsupportedTypeError, LayoutError
    """
    try:
        arrays = Tensors(weights, "weights", SINGLES).matching(masks_of(masks), "masks", MASKS)
    except (ShapeError, StructureError) as error:
        raise type(error)(
            f"{error}: these are masks of another network; search with this network's weights"
        ) from None
    return dict(zip(weights, arrays, strict=True))


def warn_of_unreachable_classes(
    layers: Sequence[AnyLayer],
    input_shape: tuple[int, ...],
    classes: int,
    masks: Mapping[str, Mask],
    *,
    stacklevel: int,
) -> None:
    """Warn of classes that no path of kept weights leads to.

    Parameters
    ----------
    stacklevel : int
        Which caller the warning points to, as in `warnings.warn`.
    """
    unreachable = unreachable_classes(layers, input_shape, masks)
    if unreachable:
        warnings.warn(
            f"no path of kept weights leads from the input to {len(unreachable)} of "
            f"{classes} classes: {', '.join(map(str, unreachable))}",
            UnreachableClassWarning,
            stacklevel=stacklevel + 1,
        )
