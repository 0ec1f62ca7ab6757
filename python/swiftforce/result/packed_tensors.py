"""Packed models of numpy arrays: of sparse ones, the kept values and their positions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.files import (
    PackedTensor,
    dtype_of,
    name_in_file,
    numpy_name,
    read_packed,
    write_packed,
)
from swiftforce.inputs import Array
from swiftforce.result.masks import masks_by_name
from swiftforce.result.records import PruningRecord


class Unpacked(NamedTuple):
    """What a packed model holds.

    Attributes
    ----------
    tensors : dict of str to array
        All tensors, with zeros where none is stored.
    masks : dict of str to array of bool
        Of the tensors that were packed with a mask: True where a weight is kept.
    """

    tensors: dict[str, Array]
    masks: dict[str, Array]


def save_packed(
    tensors: Mapping[str, Array],
    path: str | os.PathLike[str],
    masks: PruningRecord[Any] | Mapping[str, Array] | None = None,
) -> None:
    """Write arrays without their zeros: at 99 % removed, 1.3 % of the bytes in float32.

    Of each sparse array the values are stored, and their positions: a byte or so each, or a bit for
    each element where that is less. Others are stored whole. `load_packed` gives all back, bit for
    bit, and so does ``swiftforce unpack``. An existing file is replaced as a whole or not at all.

    Parameters
    ----------
    tensors : mapping of str to array
        Weights, and what else belongs to the model: of any numeric type and shape.
    path : path
        The file.
    masks : Pruning, or mapping of str to array of bool, optional
        True where a weight is kept, by the names of `tensors`: kept weights are stored also where
        they are zero. By default what is not +0 is kept.

    Raises
    ------
    RemovedWeightsError
        If a weight that a mask removes is not +0: apply the masks first.
    UnsupportedTypeError
        If an array has a type that files do not have, or bytes in another order.
    WeightsDifferError
        If there is no array of a mask's name and shape.
    StructureError
        If a name is no text.
    ImportError
        If safetensors is not installed.
    OSError

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, swiftforce as sf
    >>> weights = {"w": np.float32([[0, 2], [0, 0]]), "b": np.float32([1, 2])}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "packed.safetensors")
    ...     sf.save_packed(weights, path, masks={"w": np.array([[True, True], [False, False]])})
    ...     sf.load_packed(path).masks
    {'w': array([[ True,  True],
           [False, False]])}
    """
    arrays = {name: np.asarray(array) for name, array in tensors.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    kept = {} if masks is None else masks_by_name(masks, shapes, "`masks`")
    packed = []
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise StructureError(f"{name!r} is no text: give arrays by names that files can hold")
        dtype = name_in_file(array.dtype)
        if dtype is None or not array.dtype.isnative:
            raise UnsupportedTypeError(
                f"{name!r} is of {array.dtype}: convert it to numbers in the order of this machine"
            )
        elements = np.ascontiguousarray(array).reshape(array.shape)
        packed.append(PackedTensor.of(name, dtype, elements, kept.get(name)))
    write_packed(path, packed)


def load_packed(path: str | os.PathLike[str]) -> Unpacked:
    """Read a packed model, of `save_packed`, ``swiftforce pack`` or `swiftforce.torch.save_packed`.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Unpacked
        A tuple of ``tensors`` and ``masks``.

    Raises
    ------
    PackedFileError
        If the file is damaged or of another kind.
    UnsupportedTypeError
        If a tensor is of a type that numpy does not have.
    ImportError
        If safetensors is not installed, or a tensor is bfloat16 and ml_dtypes is not.
    OSError
    """
    packed, _ = read_packed(path)
    found = Unpacked({}, {})
    for tensor in packed:
        known = numpy_name(tensor.dtype)
        if known is None:
            raise UnsupportedTypeError(
                f"{tensor.name!r} is {tensor.dtype}, which numpy does not have: "
                "use swiftforce.torch.load_packed, or swiftforce unpack"
            )
        found.tensors[tensor.name] = tensor.unpacked().view(dtype_of(known))
        if tensor.is_masked:
            found.masks[tensor.name] = tensor.kept
    return found
