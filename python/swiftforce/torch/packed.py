"""Packed models of torch: of masked weights, the kept values and their positions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from swiftforce.errors import StructureError, UnsupportedTypeError
from swiftforce.files import PackedTensor, read_packed, write_packed
from swiftforce.inputs import Array
from swiftforce.torch.arguments import check_model
from swiftforce.torch.mask_hooks import masked_parameters
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.wrappers import unwrapped

#: The names of torch's types in safetensors files.
_NAMES = {
    **{torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"},
    **{torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8"},
    **{torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8"},
    **{torch.bool: "BOOL", torch.complex64: "C64"},
    **{torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2"},
    **{torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ"},
}
DTYPES = {name: dtype for dtype, name in _NAMES.items()}
#: Types of the same size whose tensors torch gives to numpy.
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class PackedState(NamedTuple):
    """What a packed model holds.

    Attributes
    ----------
    state : dict of str to tensor
        The ``state_dict``, on the CPU: ``model.load_state_dict(found.state)`` loads it.
    masks : dict of str to bool tensor
        Of the parameters that had masks: ``sft.apply(model, found.masks)`` goes on with them.
    """

    state: dict[str, torch.Tensor]
    masks: dict[str, torch.Tensor]


def save_packed(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a masked model without its zeros: at 99 % removed, 1.3 % of the bytes in float32.

    Of each parameter with a mask (see `apply`) the kept values are stored, and their positions: a
    byte or so each, or a bit for each weight where that is less. All else in the ``state_dict`` is
    stored whole, but for other tensors with many zeros. A tensor with several names is stored once.
    An existing file is replaced as a whole or not at all.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    path : path
        The file.

    Raises
    ------
    StructureError
        If the ``state_dict`` has an entry that is no tensor, or one that is sharded or on the meta
        device.
    UnsupportedTypeError
        If `model` is no module, or a tensor has a type or a layout that files do not have.
    RemovedWeightsError
        If a removed weight is not +0, because something else wrote to it: apply the masks again.
    ImportError
        If safetensors is not installed.
    OSError

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(20, 2)
    >>> _ = sft.apply(model, sft.prune(model, method="magnitude", sparsity=0.9))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "packed.safetensors")
    ...     sft.save_packed(model, path)
    ...     found = sft.load_packed(path)
    >>> bool((found.state["weight"] == model.weight).all()), int(found.masks["weight"].sum())
    (True, 4)
    """
    inner = unwrapped(check_model(model, may_be_sparse=True))
    masks = {name: one.mask for name, one in masked_parameters(inner).items()}
    state = inner.state_dict()
    names = names_by_tensor(state)
    if lost := masks.keys() - state.keys():
        raise StructureError(f"the state_dict has no {sorted(lost)[0]!r}, which has a mask")
    packed = []
    for same in names:
        mask = next((masks[name] for name in same if name in masks), None)
        packed.append(_packed(same[0], state[same[0]], mask))
    tied = {other: same[0] for same in names for other in same[1:]}
    write_packed(path, packed, tied=tied)


def names_by_tensor(state: Mapping[str, Any]) -> list[list[str]]:
    """The names in a state, those of one tensor together."""
    names: dict[Any, list[str]] = {}
    for name, value in state.items():
        names.setdefault(_identity(name, value), []).append(name)
    return list(names.values())


def _identity(name: str, value: Any) -> Any:  # noqa: ANN401 - of a state
    """What tensors have in common that are one by several names.

    Raises
    ------
    StructureError
        If the entry is no tensor, or a sharded one.
    UnsupportedTypeError
        If files do not have its type.
    """
    if not isinstance(value, torch.Tensor):
        raise StructureError(
            f"{name!r} in the state_dict is of type {type(value).__name__}, not a tensor: "
            "save it beside the packed model"
        )
    if is_sharded(value):
        raise StructureError(
            f"{name!r} is sharded: gather the whole model first, with "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict and full_state_dict=True"
        )
    name_of_dtype(name, value)
    views = value.is_conj(), value.is_neg()
    return value.device, value.data_ptr(), value.dtype, value.shape, value.stride(), views


def _packed(name: str, value: torch.Tensor, mask: torch.Tensor | None) -> PackedTensor:
    kept = None if mask is None else np.ascontiguousarray(mask.cpu().numpy())
    return PackedTensor.of(name, name_of_dtype(name, value), bits_of_tensor(value), kept)


def name_of_dtype(name: str, tensor: torch.Tensor) -> str:
    """The name of a tensor's type in safetensors files.

    Raises
    ------
    UnsupportedTypeError
        If they do not have its type or its layout.
    StructureError
        If it holds no values.
    """
    if tensor.is_meta:
        raise StructureError(f"{name!r} is on the meta device, which holds no values")
    if tensor.is_nested or tensor.dtype not in _NAMES or tensor.layout != torch.strided:
        raise UnsupportedTypeError(
            f"{name!r} is {tensor.dtype}, {tensor.layout}, which files do not have: convert it to "
            "a plain dense tensor first"
        )
    return _NAMES[tensor.dtype]


def bits_of_tensor(tensor: torch.Tensor) -> Array:
    """The elements of a tensor as integers, on the CPU."""
    there = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    elements: Array = there.view(BITS[there.itemsize]).numpy()
    return elements


def load_packed(path: str | os.PathLike[str]) -> PackedState:
    """Read a packed model, of `save_packed`, ``swiftforce pack`` or `swiftforce.save_packed`.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    PackedState
        A tuple of ``state`` and ``masks``.

    Raises
    ------
    PackedFileError
        If the file is damaged or of another kind.
    UnsupportedTypeError
        If a tensor is of a type that is not read here, such as one of less than a byte.
    ImportError
        If safetensors is not installed.
    OSError
    """
    packed, _ = read_packed(path)
    found = PackedState({}, {})
    for tensor in packed:
        if tensor.dtype not in DTYPES:
            raise UnsupportedTypeError(
                f"{tensor.name!r} is {tensor.dtype}, which is not read here: use swiftforce unpack"
            )
        bits = torch.from_numpy(tensor.unpacked().view(f"i{tensor.values.itemsize}"))
        found.state[tensor.name] = bits.view(DTYPES[tensor.dtype])
        if tensor.is_masked:
            found.masks[tensor.name] = torch.from_numpy(tensor.kept)
    return found
