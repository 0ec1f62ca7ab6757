"""Files of the weights that fine-tuning trained: with the model it began with, they are the model.

A file also has a digest of each tensor's other weights, by which a model that it does not belong to
is refused.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
import torch
from torch import nn

from swiftforce.errors import DeltaFileError, StructureError, WeightsDifferError
from swiftforce.files import FileFormat, PackedTensor, read_packed, write_packed
from swiftforce.inputs import Array
from swiftforce.torch.arguments import check_model
from swiftforce.torch.mask_hooks import masked_parameters
from swiftforce.torch.packed import BITS, bits_of_tensor, name_of_dtype, names_by_tensor
from swiftforce.torch.wrappers import unwrapped

_FORMAT = FileFormat("swiftforce-delta", 1, "trained weights", DeltaFileError)
#: Bytes of a digest.
_DIGEST = 16


def save_delta(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write what `finetune` trains of a model: with 1 % of the weights, 1.3 % of the bytes.

    Of each parameter that is partly frozen the trained values are stored, and their positions: a
    byte or so each, or a bit for each weight where that is less. Other trained parameters
    (``requires_grad``) and the buffers of the ``state_dict``, such as running statistics, are
    stored whole. Of all other weights there is a digest. `load_delta` puts the values into a copy
    of the model that fine-tuning began with. An existing file is replaced as a whole or not at all.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    path : path
        The file.

    Raises
    ------
    StructureError
        If `finetune` was not called for the model, its ``state_dict`` has an entry that is no
        tensor, or one that is sharded or on the meta device.
    UnsupportedTypeError
        If `model` is no module, or a tensor has a type or a layout that files do not have.
    ImportError
        If safetensors is not installed.
    OSError

    Examples
    --------
    >>> import copy, pathlib, tempfile
    >>> import torch, swiftforce.torch as sft
    >>> base = torch.nn.Linear(4, 2)
    >>> model = sft.finetune(copy.deepcopy(base), {"weight": torch.eye(2, 4) > 0})
    >>> with torch.no_grad():
    ...     _ = model.weight[model.weight != 0].add_(0)  # in place of training
    ...     model.weight[0, 0] += 1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "delta.safetensors")
    ...     sft.save_delta(model, path)
    ...     sft.load_delta(path, base)
    >>> bool((base.weight == model.weight).all())
    True
    """
    inner = unwrapped(check_model(model))
    masks = {name: one.mask for name, one in masked_parameters(inner, frozen=True).items()}
    if not masks:
        raise StructureError(
            f"no weight of {type(inner).__name__} is frozen: call swiftforce.torch.finetune before "
            "training, or save the whole model"
        )
    parameters = {id(one) for one in inner.parameters()}
    packed: list[PackedTensor] = []
    tied: dict[str, str] = {}
    digests: dict[str, str] = {}
    state = inner.state_dict(keep_vars=True)
    for name, *others in names_by_tensor(state):
        value = state[name]
        dtype, bits = name_of_dtype(name, value), bits_of_tensor(value)
        mask = next((masks[one] for one in (name, *others) if one in masks), None)
        is_trained = id(value) not in parameters or value.requires_grad
        stored = np.full(value.shape, is_trained)
        if mask is not None:
            stored = np.ascontiguousarray(mask.cpu().numpy())
        if stored.all():
            packed.append(PackedTensor.of(name, dtype, bits))
        elif stored.any():
            packed.append(PackedTensor.part(name, dtype, bits, stored))
        if not stored.all():
            digests |= dict.fromkeys((name, *others), _digest(dtype, bits, stored))
        if stored.all() or stored.any():
            tied |= dict.fromkeys(others, name)
    write_packed(path, packed, digests, tied, _FORMAT)


def load_delta(path: str | os.PathLike[str], model: nn.Module) -> None:
    """Put trained weights into a copy of the model that fine-tuning began with.

    The model is then the fine-tuned one, to the bit: parameters, and the buffers of its
    ``state_dict``. It is changed in place. What the model has in place of the trained weights does
    not matter, so that a later file of the same masks can be loaded after an earlier one; the other
    weights must be the same.

    Parameters
    ----------
    path : path
        The file.
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Raises
    ------
    DeltaFileError
        If the file is damaged or of another kind.
    WeightsDifferError
        If the model has tensors of other names, shapes or types, other values where weights were
        frozen, or one tensor for two that were trained apart.
    StructureError
        If the model has masks of `apply` that remove weights which the file has, or its
        ``state_dict`` has an entry that is no tensor, or one that is sharded or on the meta device.
    UnsupportedTypeError
        If `model` is no module.
    ImportError
        If safetensors is not installed.
    OSError

    Notes
    -----
    After an error, nothing has changed.
    """
    inner = unwrapped(check_model(model))
    packed, digests = read_packed(path, _FORMAT)
    stored = {tensor.name: tensor for tensor in packed}
    state = inner.state_dict()
    groups = names_by_tensor(state)
    where = os.fspath(path)
    if others := state.keys() ^ (stored.keys() | digests.keys()):
        name = sorted(others)[0]
        owner, lacks = ("model", where) if name in state else (where, "model")
        raise WeightsDifferError(f"the {owner} has {name!r}, which the {lacks} does not have")
    for group in groups:
        _check_is_one(where, [stored.get(name) for name in group], group)
        for name in group:
            _check_same(where, name, state[name], stored.get(name), digests.get(name))
    removed = {name: one.removed for name, one in masked_parameters(inner).items()}
    changes = []
    for group in groups:
        if (tensor := stored.get(group[0])) is None:
            continue
        value = state[group[0]]
        kept = torch.from_numpy(tensor.kept).to(value.device) if tensor.is_masked else None
        for name in group:
            if name in removed and bool(
                (removed[name] if kept is None else removed[name] & kept).any()
            ):
                raise StructureError(
                    f"{name!r} has a mask that removes weights which {where} has: take the masks "
                    "off by swiftforce.torch.remove first"
                )
        elements = tensor.unpacked() if kept is None else tensor.values
        bits = torch.from_numpy(elements.view(f"i{elements.itemsize}")).to(value.device)
        changes.append((value, kept, bits))
    with torch.no_grad():
        for value, kept, bits in changes:
            if kept is None:
                value.copy_(bits.view(value.dtype))
            else:
                there = BITS[value.itemsize]
                value.view(there).masked_scatter_(kept, bits.view(there))
    torch.clear_autocast_cache()  # It holds casts of the weights before.


def _check_is_one(where: str, tensors: list[PackedTensor | None], names: list[str]) -> None:
    """Refuse a model that has one tensor where the file has several."""
    contents = {id(None if tensor is None else tensor.values) for tensor in tensors}
    if len(contents) > 1:
        raise WeightsDifferError(
            f"{' and '.join(names[:2])} are one tensor in the model, and two in {where}"
        )


def _check_same(
    where: str,
    name: str,
    value: torch.Tensor,
    stored: PackedTensor | None,
    digest: str | None,
) -> None:
    """Refuse a tensor of another shape or type, or with other values where none are stored."""
    dtype, shape = name_of_dtype(name, value), tuple(value.shape)
    if stored is not None and (stored.dtype, stored.shape) != (dtype, shape):
        raise WeightsDifferError(
            f"{name!r} is {dtype} of shape {shape} in the model, and {stored.dtype} of shape "
            f"{stored.shape} in {where}"
        )
    if digest is None:
        return
    kept = np.zeros(shape, bool) if stored is None else stored.kept
    if _digest(dtype, bits_of_tensor(value), kept) != digest:
        raise WeightsDifferError(
            f"the model is not the one that was fine-tuned: frozen weights of {name!r} differ from "
            f"those that {where} was written for"
        )


def _digest(dtype: str, bits: Array, stored: Array) -> str:
    """A digest of a tensor's weights where none are stored."""
    others = np.where(stored, np.zeros((), bits.dtype), bits)
    total = hashlib.blake2b(f"{dtype} {bits.shape} ".encode(), digest_size=_DIGEST)
    total.update(np.ascontiguousarray(others).data)
    return total.hexdigest()
