"""Modules that compute over kept weights alone, in place of convolutions and linear layers.

A module keeps its place in the model, its name, its hooks and its other attributes: it changes its
class, and its parameter ``weight`` becomes the vector of kept values. States are those of the dense
module: what is saved is the dense weight, and dense weights are loaded.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import torch
from torch import nn

import swiftforce.torch.block_functions  # noqa: F401 - it registers them
from swiftforce.errors import DenseLayerWarning, StructureError
from swiftforce.torch.direct_calls import DirectCalls, is_observed, records_gradients
from swiftforce.torch.sample_blocks import (
    WIDTH,
    SampleBlocks,
    blocks_of,
    data_of,
    from_blocks,
    pack,
    to_blocks,
    unpack,
)
from swiftforce.torch.sparse_operations import CompiledMask, outputs, sparse_layer

#: The attribute of a module that holds what its weight was.
ATTRIBUTE = "_swiftforce_sparse"
#: The attribute of a parameter of kept values: the weight that it was, for optimizers' states.
MARK = "_swiftforce_kept"


class SparseWeight:
    """What the weight of a sparse module was.

    Parameters
    ----------
    mask : bool tensor
        True where a weight is kept, in the shape of the dense weight.
    dense_class : type
        The class of the dense module.
    torch_layout : bool
        Whether outputs are in the layout of torch.
    """

    def __init__(
        self, mask: torch.Tensor, dense_class: type[nn.Module], torch_layout: bool = False
    ) -> None:
        self.mask = mask
        self.dense_class = dense_class
        self.torch_layout = torch_layout
        self._rows = mask.t() if dense_class not in SPARSE_CLASSES else mask
        self.compiled = CompiledMask.of(self._rows)
        self.calls = DirectCalls(self.compiled, self._rows.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return SparseWeight, (self.mask, self.dense_class, self.torch_layout)

    @property
    def count(self) -> int:
        """The number of kept values."""
        return int(self.mask.sum())

    @property
    def shape(self) -> torch.Size:
        """That of the weight as (outputs, inputs, ...)."""
        return self._rows.shape

    def sizes(self, module: nn.Module, image: torch.Size) -> list[int]:
        """What an operation is compiled for; see `sparse_operations.Sizes`."""
        outputs, inputs = self.shape[:2]
        return [inputs, outputs, *_sides(module, image)]

    def values(self, dense: torch.Tensor) -> torch.Tensor:
        """The kept values of a dense weight, or of what belongs to each of its elements."""
        rows = dense.t() if self._rows is not self.mask else dense
        return rows[self._rows]

    def dense(self, values: torch.Tensor) -> torch.Tensor:
        """The dense weight of kept values; zeros elsewhere."""
        rows = values.new_zeros(self._rows.shape).masked_scatter(self._rows, values)
        return rows.t().contiguous() if self._rows is not self.mask else rows


class SparseModule(nn.Module):
    """A layer over its kept weights, with the parameters ``weight`` and ``bias``."""

    weight: Any
    bias: Any
    _swiftforce_sparse: SparseWeight

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        """Compute the outputs of a batch, in the layout of blocks if samples are its first axis."""
        if (output := self._direct(source)) is not None:
            return output
        if not self._computes_sparse(source):
            return self._dense_forward(source)
        rank = len(self._swiftforce_sparse.shape)
        if source.dim() == rank:
            return self._of_batch(source)
        if rank == 2 and source.dim() > 2:  # Rows of any axes, such as tokens.
            rows = source.reshape(-1, source.size(-1))
            output = self._direct(rows)
            rows = self._of_batch(rows) if output is None else output
            rows = from_blocks(rows) if isinstance(rows, SampleBlocks) else rows
            return rows.reshape(*source.shape[:-1], rows.size(-1))
        batch = source.unsqueeze(0)
        output = self._direct(batch)
        return (self._of_batch(batch) if output is None else output).squeeze(0)

    def _direct(self, source: torch.Tensor) -> torch.Tensor | None:
        """The outputs of few samples without gradients; None if a call is of another kind."""
        sparse = self._swiftforce_sparse
        output = sparse.calls.outputs(self._parameters, source, partial(sparse.sizes, self))
        if isinstance(output, SampleBlocks) and (sparse.torch_layout or torch.is_grad_enabled()):
            return from_blocks(output)
        return output

    def _of_batch(self, source: torch.Tensor) -> torch.Tensor:
        samples = source.size(0)
        records = records_gradients(source, self.weight, self.bias)
        width = WIDTH if records or samples >= WIDTH else samples
        sizes = self._swiftforce_sparse.sizes(self, source.shape[2:])
        number = self._swiftforce_sparse.compiled.number
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            data = pack(source, width)
            output = sparse_layer(data, self.weight, self.bias, number, sizes, samples)
            return unpack(output, samples)
        data = data_of(to_blocks(source, width))
        if records or is_observed():
            output = sparse_layer(data, self.weight, self.bias, number, sizes, samples)
        else:  # The way through the dispatcher takes longer than a product of few samples.
            mask = self._swiftforce_sparse.compiled
            output = outputs(data, self.weight, self.bias, mask, sizes)
        blocks = blocks_of(output, samples)
        # Lanes without a sample would add to gradients that functions sum over samples.
        is_partly_filled = torch.is_grad_enabled() and samples % WIDTH
        to_torch = self._swiftforce_sparse.torch_layout or is_partly_filled
        return from_blocks(blocks) if to_torch else blocks

    def _computes_sparse(self, source: torch.Tensor) -> bool:
        shape = self._swiftforce_sparse.shape
        axis = max(1, len(shape) - 1)  # That of the channels, from the end.
        fits = source.dim() >= axis and (len(shape) == 2 or source.dim() - axis <= 1)
        fits = fits and source.size(-axis) == shape[1]
        if self.weight.dim() != 1 or source.numel() == 0 or not fits:
            return False
        if torch.is_autocast_enabled(source.device.type):
            why = "autocast computes in another type"
        elif source.dtype != torch.float32 or self.weight.dtype != torch.float32:
            why = f"its kernels are of float32, not of {source.dtype} and {self.weight.dtype}"
        elif source.device.type != "cpu" or self.weight.device.type != "cpu":
            why = f"its kernels are of CPUs, not of {source.device}"
        else:
            return True
        warnings.warn(
            f"{type(self).__name__} computes over all of its weights, zeros among them: {why}",
            DenseLayerWarning,
            stacklevel=4,
        )
        return False

    def _dense_forward(self, source: torch.Tensor) -> torch.Tensor:
        sparse = self._swiftforce_sparse
        weight = self.weight if self.weight.dim() != 1 else sparse.dense(self.weight)
        output: torch.Tensor = torch.func.functional_call(
            _DenseForward(self), {"module.weight": weight}, (source,), strict=False
        )
        return output

    def reset_parameters(self) -> None:
        """Refuse new initial values, which are drawn for the dense weight."""
        raise StructureError(
            f"{type(self).__name__} holds its kept weights alone: call "
            "swiftforce.torch.desparsify(model) before new values are drawn"
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Mark the parameter of a copy, whose optimizer may get the state of dense weights."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self.weight.dim() == 1:
            setattr(self.weight, MARK, self._swiftforce_sparse)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:  # noqa: ANN401
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.weight.dim() == 1:
            values = destination[prefix + "weight"]
            destination[prefix + "weight"] = self._swiftforce_sparse.dense(values)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *arguments: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> None:
        sparse, weight = self._swiftforce_sparse, state_dict.get(prefix + "weight")
        if isinstance(weight, torch.Tensor) and weight.shape == sparse.mask.shape:
            state_dict[prefix + "weight"] = sparse.values(weight)
        super()._load_from_state_dict(state_dict, prefix, *arguments, **named)


class _DenseForward(nn.Module):
    """The forward pass of the dense class of a sparse module."""

    def __init__(self, module: SparseModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        dense_class: Any = self.module._swiftforce_sparse.dense_class
        return dense_class.forward(self.module, source)  # type: ignore[no-any-return]


class SparseConv1d(SparseModule, nn.Conv1d):
    """A `torch.nn.Conv1d` over its kept weights."""


class SparseConv2d(SparseModule, nn.Conv2d):
    """A `torch.nn.Conv2d` over its kept weights."""


class SparseLinear(SparseModule, nn.Linear):
    """A `torch.nn.Linear` over its kept weights."""


class SparseTransposedLinear(SparseModule):
    """A linear layer over its kept weights whose weight is (inputs, outputs), as GPT-2 has it."""


#: The sparse class of each dense one whose weight is (outputs, inputs, ...).
SPARSE_CLASSES: dict[type[nn.Module], type[SparseModule]] = {
    nn.Conv1d: SparseConv1d,
    nn.Conv2d: SparseConv2d,
    nn.Linear: SparseLinear,
}


def sparse_class(module: nn.Module) -> type[SparseModule] | None:
    """The sparse class for a dense module; None if there is none, as for subclasses."""
    kind = type(module)
    if kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils":
        return SparseTransposedLinear
    return SPARSE_CLASSES.get(kind)


def _sides(module: nn.Module, image: torch.Size) -> list[int]:
    """Inputs, kernel, stride and padding of rows, then of columns, for the size of an image."""
    sides: list[int] = []
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        padding = module.padding
        if isinstance(padding, str):
            padding = tuple((k - 1) // 2 if padding == "same" else 0 for k in module.kernel_size)
        for axis in zip(image, module.kernel_size, module.stride, padding, strict=True):
            sides += axis
    return [1, 1, 1, 0] * (2 - len(sides) // 4) + sides


def unsupported(module: nn.Module) -> str | None:
    """Why a convolution has no sparse kernels; None if it has them."""
    if not isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return None
    padding, kernel = module.padding, module.kernel_size
    reasons = {
        "it has groups": module.groups != 1,
        "it is dilated": any(one != 1 for one in module.dilation),
        f"its padding is {module.padding_mode!r}": module.padding_mode != "zeros",
        "its padding is not symmetric": padding == "same" and any(k % 2 == 0 for k in kernel),
        "its padding is as large as its kernel": not isinstance(padding, str)
        and any(p >= k for p, k in zip(padding, kernel, strict=True)),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def check_dense(model: nn.Module) -> None:
    """Refuse a model with sparse layers.

    Raises
    ------
    StructureError
    """
    for name, module in model.named_modules():
        if isinstance(module, SparseModule):
            raise StructureError(
                f"{name or type(module).__name__} holds its kept weights alone (sparsify): call "
                "swiftforce.torch.desparsify(model) first"
            )
