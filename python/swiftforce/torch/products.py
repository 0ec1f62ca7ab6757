"""Which parameters products and convolutions multiply by, found by watching a model compute.

A layer may compute its weight from a parameter, as weight standardisation does; a zero in the
parameter is then no zero in the layer. And a parameter of two dimensions need not be a matrix.
Module types and names do not tell, so operations are watched as torch dispatches them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from swiftforce.torch.liveness import tensors_in

#: Operations whose operands are multiplied as matrices or kernels.
PRODUCTS = frozenset(
    [
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "addbmm",
        "mv",
        "addmv",
        "dot",
        "vdot",
        "matmul",
        "linear",
        "bilinear",
        "_trilinear",
        "addr",
        "convolution",
        "_convolution",
        "convolution_overrideable",
        "cudnn_convolution",
        "miopen_convolution",
        "mkldnn_convolution",
        "_slow_conv2d_forward",
        "mkldnn_rnn_layer",
        "_cudnn_rnn",
        "_thnn_fused_lstm_cell",
        "_thnn_fused_gru_cell",
        "lstm",
        "gru",
        "_grouped_mm",
        "_scaled_grouped_mm",
        "_scaled_mm",
        "_int_mm",
        "_addmm_activation",
    ]
)
#: Operations that keep each element and its value, or that zero some.
_COPIES = frozenset(
    [
        "_to_copy",
        "clone",
        "copy",
        "copy_",
        "index",
        "index_select",
        "gather",
        "constant_pad_nd",
        "flip",
        "roll",
        "repeat",
        "detach",
        "_reshape_copy",
        "view_copy",
        "t_copy",
        "lift_fresh",
        "triu",
        "tril",
        "masked_fill",
        "neg",
        "abs",
        "relu",
        "sign",
        "sqrt",
        "dropout",
        "native_dropout",
        "fake_quantize_per_tensor_affine_cachemask",
        "fake_quantize_per_channel_affine_cachemask",
        "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
        "_fused_moving_avg_obs_fq_helper",
    ]
)
#: Operations that give a multiple of their first operand: zeros stay zeros.
_MULTIPLES = frozenset(["mul", "mul_", "div", "div_", "_weight_norm_interface"])
#: Operations whose result holds the elements of all operands.
_JOINS = frozenset(["cat", "stack"])
#: Operations that read no values.
_SHAPES = ("empty", "zeros", "ones", "full", "new_", "rand", "sym_", "size", "is_", "arange")

Names = frozenset[str]


class ProductWatch(TorchDispatchMode):
    """Watches which tensors are used, and which of them are multiplied as matrices or kernels.

    Views, casts, slices and multiples of a tensor count as the tensor itself: where it is zero,
    they are.

    Parameters
    ----------
    tensors : mapping of str to tensor
    certain : set of str
        Names of those that are known to be matrices. Of two factors of a product, if one is of
        these, the other is an input, not a weight.

    Attributes
    ----------
    multiplied, computed, used : set of str
        Names of the tensors that a product multiplied by; of which a product multiplied by what
        was computed element by element; that any operation read otherwise.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], certain: Iterable[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._certain = frozenset(certain)
        self.multiplied: set[str] = set()
        self.computed: set[str] = set()
        self.used: set[str] = set()
        self._names: Storages = {}
        self._computed: Storages = {}
        for name, tensor in tensors.items():
            _add(self._names, tensor, frozenset({name}))

    def names(self, tensor: object) -> Names:
        """The tensors that a tensor is a view, a copy or a multiple of."""
        return _names_in(self._names, tensor)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operation
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        operands = list(tensors_in((args, kwargs)))
        name = func._overloadpacket.__name__
        # What an operation of another library does is unknown: it may be a product.
        is_product = name in PRODUCTS or func.namespace not in ("aten", "prims")
        self._record_computed(operands, out, is_product=is_product)
        if not any(map(self.names, operands)):
            return out
        every: Names = frozenset().union(*map(self.names, operands))
        if is_product:
            weights = (every & self._certain) or every
            self.multiplied |= weights
            self.used |= every - weights
        elif not (name.startswith(_SHAPES) or func.is_view):  # A view has its base's storage.
            followed = self._followed(name, operands, out)
            for one in tensors_in(out):
                _add(self._names, one, followed)
            self.used |= every - followed
            for one in operands:
                self._add_computed(out, one, self.names(one) - followed)
        return out

    def _record_computed(
        self, operands: list[torch.Tensor], out: object, *, is_product: bool
    ) -> None:
        """Follow what was computed from tensors to the products that multiply by it."""
        for one in operands:
            names = _names_in(self._computed, one)
            if is_product:
                self.computed |= names
            else:
                self._add_computed(out, one, names)

    def _add_computed(self, out: object, operand: torch.Tensor, names: Names) -> None:
        for one in tensors_in(out):
            if names and one.numel() == operand.numel():
                _add(self._computed, one, names)

    def _followed(self, name: str, operands: list[torch.Tensor], out: object) -> Names:
        """The tensors that the result of an operation is a copy or a multiple of."""
        first, *others = operands
        names = self.names(first)
        if name in _COPIES:
            return self.names(operands[-1]) if name == "copy_" else names
        if name in _JOINS and all(map(self.names, operands)):
            return frozenset().union(*map(self.names, operands))
        if name not in _MULTIPLES:
            return frozenset()
        if name.startswith("mul") and others:
            second, also = others[0], self.names(others[0])
            # Of a weight and what scales it, the one is a matrix, and the other may be anything.
            if not names or (also & self._certain and not names & self._certain):
                first, names, second = second, also, first
            if isinstance(out, torch.Tensor) and out.shape != first.shape:
                # A factor of the result's size is an activation, which this scales.
                return names if second.numel() < out.numel() else frozenset()
        return names


#: By the identity of a storage, which is kept alive so that no other gets that identity.
Storages = dict[int, tuple[torch.UntypedStorage, Names]]


def _add(storages: Storages, tensor: torch.Tensor, names: Names) -> None:
    if names:
        storage = tensor.untyped_storage()
        before = storages.get(storage._cdata, (storage, frozenset[str]()))[1]
        storages[storage._cdata] = (storage, before | names)


def _names_in(storages: Storages, tensor: object) -> Names:
    # A tensor of a class of its own, such as a sharded one, may have no storage.
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        return frozenset()
    try:
        return storages[tensor.untyped_storage()._cdata][1]
    except (KeyError, NotImplementedError, RuntimeError):
        return frozenset()
