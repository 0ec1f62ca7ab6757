"""Packed models: of a sparse tensor, the kept values and their positions.

Values are stored as the bits that they are, so tensors of any type come back exactly. What is not
stored is zero bits: a removed weight is +0. Tensors that would not be smaller so are stored whole.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from swiftforce.errors import PackedFileError, RemovedWeightsError
from swiftforce.files.checks import distinct, items, shape, shown, text, whole
from swiftforce.files.formats import FileFormat
from swiftforce.files.headers import bits_of, check_name
from swiftforce.files.positions import decoded, decoded_mask, encoded
from swiftforce.inputs import Array

#: Of a whole model. Parts of one have a format of their own, with the same contents.
PACKED = FileFormat("swiftforce-packed", 1, "a packed model", PackedFileError)


@dataclass(frozen=True)
class PackedTensor:
    """A tensor whose zeros are not stored, or a whole one.

    Attributes
    ----------
    name : str
    dtype : str
        Its name in safetensors files, for example ``BF16``.
    shape : tuple of int
    values : array of unsigned integers
        The bits of its elements, or of the kept ones in the order of their positions.
    coding : str, optional
        That of the positions of the kept elements; None for a tensor stored whole.
    code : array of uint8, optional
        The positions.
    is_masked : bool
        Whether the positions are those of a mask, not of what happens to be zero.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Array
    coding: str | None = None
    code: Array | None = None
    is_masked: bool = False

    @classmethod
    def of(cls, name: str, dtype: str, elements: Array, mask: Array | None = None) -> PackedTensor:
        """Pack a tensor.

        Parameters
        ----------
        name, dtype : str
        elements : array
            Its elements, C-contiguous, of any type of that size.
        mask : array of bool, optional
            True where a weight is kept, also if it is zero. By default what is not zero bits is.

        Raises
        ------
        RemovedWeightsError
            If a weight that the mask removes is not +0: its value would be lost.
        """
        bits = elements.reshape(-1).view(f"u{elements.dtype.itemsize}")
        if mask is None:
            kept = bits != 0
            coding, code = encoded(kept)
            if np.count_nonzero(kept) * bits.itemsize + code.nbytes >= bits.nbytes:
                return cls(name, dtype, elements.shape, bits)
        else:
            kept = mask.reshape(-1)
            if found := np.count_nonzero(bits[~kept]):
                raise RemovedWeightsError(
                    f"{found:,} weights of {name!r} are not +0 although their mask removes them: "
                    "apply the masks first"
                )
            return cls.part(name, dtype, elements, mask)
        return cls(name, dtype, elements.shape, bits[kept], coding, code)

    @classmethod
    def part(cls, name: str, dtype: str, elements: Array, mask: Array) -> PackedTensor:
        """Pack what a mask keeps of a tensor, whatever the rest is."""
        kept = mask.reshape(-1)
        coding, code = encoded(kept)
        bits = elements.reshape(-1).view(f"u{elements.dtype.itemsize}")[kept]
        return cls(name, dtype, elements.shape, bits, coding, code, is_masked=True)

    @property
    def is_whole(self) -> bool:
        """Whether all elements are stored."""
        return self.coding is None

    @property
    def kept(self) -> Array:
        """True where an element is stored."""
        if self.coding is None or self.code is None:
            return np.ones(self.shape, bool)
        size = math.prod(self.shape)
        return decoded_mask(self.coding, self.code, size, self.values.size).reshape(self.shape)

    def unpacked(self) -> Array:
        """All elements as unsigned integers, with zeros where none is stored.

        In the shape of the tensor, but for elements of less than a byte, which are bytes in a row.
        """
        if self.coding is None or self.code is None:
            return self.values if bits_of(self.dtype) < 8 else self.values.reshape(self.shape)
        elements = np.zeros(math.prod(self.shape), self.values.dtype)
        places = decoded(self.coding, self.code, elements.size, self.values.size)
        elements[places] = self.values
        return elements.reshape(self.shape)


def write_packed(
    path: str | os.PathLike[str],
    tensors: Sequence[PackedTensor],
    metadata: Mapping[str, str] | None = None,
    tied: Mapping[str, str] | None = None,
    kind: FileFormat = PACKED,
) -> None:
    """Write a packed model, as a whole or not at all.

    Parameters
    ----------
    path : path
    tensors : sequence of PackedTensor
    metadata : mapping of str to str, optional
        What else the checkpoint says of itself.
    tied : mapping of str to str, optional
        Further names, each with that of the tensor that it is another name of.
    kind : FileFormat

    Raises
    ------
    StructureError
        If a tensor cannot have its name.
    ImportError
        If safetensors is not installed.
    OSError
    """
    arrays: dict[str, Array] = {}
    about = []
    for number, tensor in enumerate(tensors):
        arrays[f"values.{number}"] = tensor.values
        check_name(tensor.name)
        if tensor.code is not None:
            arrays[f"positions.{number}"] = tensor.code
        kept = math.prod(tensor.shape) if tensor.is_whole else tensor.values.size
        about.append(
            [tensor.name, tensor.dtype, list(tensor.shape), kept, tensor.coding, tensor.is_masked]
        )
    kind.write(
        path,
        arrays,
        {"tensors": about, "metadata": dict(metadata or {}), "tied": dict(tied or {})},
    )


def read_packed(
    path: str | os.PathLike[str], kind: FileFormat = PACKED
) -> tuple[list[PackedTensor], dict[str, str]]:
    """The tensors of a packed model by all of their names, and its metadata.

    Raises
    ------
    PackedFileError
        If the file is damaged or of another kind; for other formats, their error.
    ImportError
        If safetensors is not installed.
    OSError
    """
    arrays, about = kind.read(path)
    try:
        tensors = [
            _tensor(arrays, number, entry)
            for number, entry in enumerate(items(about["tensors"], "the list of tensors"))
        ]
        by_name = {tensor.name: tensor for tensor in tensors}
        tied = [replace(by_name[own], name=name) for name, own in dict(about["tied"]).items()]
        tensors += tied
        distinct([_name(tensor.name, "a tied name") for tensor in tensors], "tensors")
        metadata = {
            _name(name, "metadata"): _name(value, "a value of the metadata")
            for name, value in dict(about["metadata"]).items()
        }
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise kind.error(f"{os.fspath(path)} is damaged: {error}") from None
    return tensors, metadata


def _tensor(arrays: Mapping[str, Array], number: int, entry: Any) -> PackedTensor:  # noqa: ANN401 - of a file
    name, dtype, sides, kept, coding, is_masked = items(entry, f"tensor {number}", 6)
    name = _name(name, f"the name of tensor {number}")
    sides = shape(sides, name)
    size, values = math.prod(sides), arrays[f"values.{number}"]
    kept = whole(kept, f"the number of values of {name}", most=size)
    bits = bits_of(text(dtype, f"the dtype of {name}"))
    # Elements of less than a byte are stored whole, as bytes.
    width, count = (8, size * bits / 8) if bits < 8 else (bits, kept)
    if values.dtype.kind != "u" or 8 * values.itemsize != width or values.shape != (count,):
        raise ValueError(f"{name} has {values.shape} values of {values.dtype} for {dtype}")
    if not isinstance(is_masked, bool):
        raise ValueError(f"{name} is masked: {shown(is_masked)}")
    if coding is None:
        if kept != size:
            raise ValueError(f"{name} has {kept} values for {size} elements")
        return PackedTensor(name, dtype, sides, values)
    if bits < 8:
        raise ValueError(f"{name} of {dtype} has positions")
    code = arrays[f"positions.{number}"]
    decoded(text(coding, f"the coding of {name}"), code, size, kept)
    return PackedTensor(name, dtype, sides, values, coding, code, is_masked)


def _name(value: object, what: str) -> str:
    """A text that headers may hold: half of a surrogate pair is none."""
    found = text(value, what)
    found.encode()
    return found
