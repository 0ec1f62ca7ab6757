"""Masked models in the formats of others: ONNX, torch.export and compressed rows (CSR)."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from swiftforce.errors import StructureError, UnknownNameError, UnsupportedTypeError
from swiftforce.files import (
    atomic_write,
    check_output_path,
    compressed_rows,
    csr_arrays,
    dtype_of,
    numpy_name,
    write_npz,
)
from swiftforce.inputs import Array
from swiftforce.torch.arguments import check_model
from swiftforce.torch.example_inputs import arguments_of, in_eval_mode
from swiftforce.torch.mask_hooks import masked_parameters
from swiftforce.torch.packed import bits_of_tensor, name_of_dtype, names_by_tensor
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.wrappers import unwrapped


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    example_input: Any = None,  # noqa: ANN401 - whatever the model takes
) -> None:
    """Write a model for other programs: the ending of the name says in which format.

    ========== ====================================================================================
    ``.onnx``  The model in eval mode as an ONNX graph, for onnxruntime, OpenVINO and others.
    ``.pt2``   The model in eval mode as a program of `torch.export`, for `torch.export.load`.
    ``.npz``   Its ``state_dict`` as arrays of numpy. Weights with a mask are in compressed rows:
               of ``w`` there are ``w.data``, ``w.indices``, ``w.indptr``, as in
               `scipy.sparse.csr_matrix`, and ``w.shape``. Rows are the first axis of the shape, and
               columns the others together, so a convolution is a matrix of (out, in x height x
               width). A tensor with several names has the first.
    ========== ====================================================================================

    The zeros of removed weights are stored in ``.onnx`` and ``.pt2``, which are as large as of a
    dense model; to store a smaller dense model (`compact`), export that. ``.npz`` needs no
    `example_input`; with a batch of two or more, a graph takes batches of any size, where the model
    does. An existing file is replaced as a whole or not at all, and the model is left as it was.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    path : path
        The file.
    example_input : tensor, sequence, mapping, or shape
        What the model takes: a tensor, a sequence of arguments, a mapping of keyword arguments, or
        a sequence of integers, which is the shape of a tensor.

    Raises
    ------
    UnknownNameError
        If the name has another ending.
    StructureError
        If `example_input` is missing or has no tensor, the model cannot be traced, or, for
        ``.npz``, it has no masks.
    UnsupportedTypeError
        If `model` is no module, or a tensor has a type or a layout that the format does not have.
    ImportError
        If a library is not installed: ONNX needs the extra ``export``.
    OSError

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np, torch, swiftforce.torch as sft
    >>> model = torch.nn.Linear(4, 2)
    >>> model = sft.apply(model, {"weight": torch.eye(2, 4) > 0})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.npz")
    ...     sft.export(model, path)
    ...     arrays = dict(np.load(path))
    >>> sorted(arrays)
    ['bias', 'weight.data', 'weight.indices', 'weight.indptr', 'weight.shape']
    >>> arrays["weight.indices"], arrays["weight.indptr"]
    (array([0, 1], dtype=int32), array([0, 1, 2], dtype=int32))
    """
    inner = unwrapped(check_model(model))
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in (".onnx", ".pt2", ".npz"):
        raise UnknownNameError(
            f"the name {target.name!r} does not say the format: let it end in .onnx, .pt2 or .npz"
        )
    check_output_path(target)
    if ending == ".npz":
        _write_csr(inner, target)
        return
    if ending == ".onnx":
        _check_onnx()
    if example_input is None:
        raise StructureError(f"{ending} files need example_input: pass what the model takes")
    program = _traced(inner, example_input)
    with atomic_write(target) as temporary:
        if ending == ".pt2":
            torch.export.save(program, temporary)
        else:
            _write_onnx(program, temporary)


def to_csr(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights with masks as sparse tensors of torch: a row for each output.

    A weight of more than two dimensions is a matrix of its first by all others, as convolutions are
    computed by `torch.nn.functional.unfold`; a vector is one row.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.

    Returns
    -------
    dict of name to tensor
        Of the layout `torch.sparse_csr`, on the devices of the parameters, by their names: copies
        of the kept weights, zeros among them included. Empty if there are no masks.

    Raises
    ------
    UnsupportedTypeError
        If `model` is no module.
    StructureError
        If a parameter is sharded or on the meta device.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = sft.apply(torch.nn.Linear(4, 2), {"weight": torch.eye(2, 4) > 0})
    >>> weight = sft.to_csr(model)["weight"]
    >>> weight.layout, weight.values().shape
    (torch.sparse_csr, torch.Size([2]))
    >>> x = torch.ones(4, 3)  # a column for each sample
    >>> torch.equal(weight @ x, model.weight @ x)
    True
    """
    inner = unwrapped(check_model(model))
    return {name: _csr(name, one) for name, one in _masked_weights(inner).items()}


def _csr(name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    weight, mask = pair
    indices, indptr = compressed_rows(mask.cpu().numpy())
    rows = len(indptr) - 1
    with warnings.catch_warnings():
        # What it says of a beta state is not about this call.
        warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(indptr).to(weight.device),
            torch.from_numpy(indices).to(weight.device),
            weight.detach()[mask],
            size=(rows, weight.numel() // max(rows, 1)),
            check_invariants=True,
        )


def _masked_weights(model: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The parameters with masks, and these.

    Raises
    ------
    StructureError
        If one holds no values, or a part of them.
    """
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for name, one in masked_parameters(model).items():
        if (weight := one.parameter) is None:
            continue
        if is_sharded(weight) or weight.is_meta:
            where = "sharded" if is_sharded(weight) else "on the meta device"
            raise StructureError(f"{name!r} is {where}: load the whole state into a plain model")
        found[name] = (weight, one.mask.to(weight.device))
    return found


def _write_csr(model: nn.Module, target: Path) -> None:
    """Write the state of a model, in compressed rows where it has masks."""
    masks = {name: mask for name, (_, mask) in _masked_weights(model).items()}
    if not masks:
        raise StructureError(
            f"{type(model).__name__} has no masks, so no weight is sparse: call "
            "swiftforce.torch.apply first"
        )
    state = model.state_dict()
    groups = names_by_tensor(state)

    def arrays() -> Iterator[tuple[str, Array]]:
        for same in groups:
            elements = _array(same[0], state[same[0]])
            mask = next((masks[name] for name in same if name in masks), None)
            if mask is None:
                yield same[0], elements
            else:
                yield from csr_arrays(same[0], elements, np.ascontiguousarray(mask.cpu().numpy()))

    with atomic_write(target) as temporary:
        write_npz(temporary, arrays())


def _array(name: str, value: torch.Tensor) -> Array:
    known = numpy_name(name_of_dtype(name, value))
    if known is None or dtype_of(known).kind == "V":
        raise UnsupportedTypeError(
            f"{name!r} is {value.dtype}, which npz files do not have: convert a copy of the model, "
            "by copy.deepcopy(model).float()"
        )
    return bits_of_tensor(value).view(dtype_of(known))


def _traced(model: nn.Module, example: Any) -> torch.export.ExportedProgram:  # noqa: ANN401
    """The graph of a model in eval mode.

    Raises
    ------
    StructureError
    """
    args, named = arguments_of(example, model)
    with in_eval_mode(model), torch.inference_mode(False), torch.no_grad():
        try:
            return torch.export.export(
                model, args, named, dynamic_shapes=_free_sizes(named or args)
            )
        except Exception as error:  # torch raises whatever a model leads it to
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise StructureError(
                f"torch.export cannot trace {type(model).__name__}: {line}"
            ) from error


def _free_sizes(value: Any) -> Any:  # noqa: ANN401
    """What torch is told of the sizes of inputs: the first one of each tensor may vary."""
    if isinstance(value, torch.Tensor):
        return {0: torch.export.Dim.AUTO} if value.dim() else None
    if isinstance(value, Mapping):
        return {name: _free_sizes(one) for name, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(_free_sizes, value))
    return None


def _check_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ImportError(
            "ONNX files need onnx and onnxscript: pip install 'swiftforce[export]'"
        ) from None


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a graph and its weights as one file.

    Raises
    ------
    UnsupportedTypeError
        If ONNX does not have an operation, or cannot hold so many bytes.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # It names operations of libraries that are not installed.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it does itself
            torch.onnx.export(
                program, (), str(path), dynamo=True, verbose=False, external_data=False
            )
    except torch.onnx.errors.OnnxExporterError as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UnsupportedTypeError(f"the model has no ONNX form: {line}") from error
    finally:
        logger.setLevel(level)
