"""What layers do to paths: weights, pools, choices, embeddings, attention, normalisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.calls import Call
from swiftforce.torch.live import CLOSED, alive
from swiftforce.torch.path_arithmetic import added, product, structural


def weighted(call: Call) -> Any:  # noqa: ANN401
    """A linear layer or a convolution; its bias is on no path."""
    given, weight, bias = call.named(*_WEIGHTED)
    if call.live.is_live(bias):
        raise call.unknown()
    options = {name: value for name, value in call.kwargs.items() if name not in _WEIGHTED}

    def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = call.function(x, w, None, *call.args[3:], **options)
        return found

    return product(call, function, given, weight)


_WEIGHTED = ("input", "weight", "bias")


def biased_product(call: Call) -> Any:  # noqa: ANN401
    """``addmm``: a product of matrices, and something that is added."""
    bias, first, second = call.args[:3]
    if call.in_place or call.live.is_live(bias):
        raise call.unknown()
    return product(call, torch.matmul, first, second)


def largest(call: Call) -> Any:  # noqa: ANN401
    """The largest or smallest along dimensions: any of them may be it. Spreads are the same."""
    is_spread = call.name in {"std", "var"}
    if len(call.args) > 1 and isinstance(call.args[1], torch.Tensor):
        return added(call)
    tensor, dim, keep = call.named("input", "dim", "keepdim")
    if isinstance(dim, bool) or (is_spread and len(call.args) > 2):
        raise call.unknown()
    options = {"dim": dim, "keepdim": bool(keep)}
    out = structural(Call(call.live, torch.sum, (tensor,), options), sums=True)
    if dim is None or call.name not in {"max", "min"}:
        return out
    position = torch.zeros_like(out, dtype=torch.int64, requires_grad=False)
    return getattr(torch.return_types, call.name)((out, position))


def pooled(call: Call) -> Any:  # noqa: ANN401
    """A max pool: any pixel of a window may be the largest."""
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    tensor, kernel, stride, padding, dilation, ceil, indices = call.named(*names)
    sides = dilation if isinstance(dilation, (list, tuple)) else (dilation or 1,)
    if indices or any(side != 1 for side in sides):
        raise call.unknown()
    mean: Any = getattr(functional, call.name.replace("max", "avg"))
    options = {"stride": stride, "padding": padding or 0, "ceil_mode": bool(ceil)}
    return structural(Call(call.live, mean, (tensor, kernel), options), sums=True)


def pooled_to_size(call: Call) -> Any:  # noqa: ANN401
    """An adaptive max pool."""
    tensor, size, indices = call.named("input", "output_size", "return_indices")
    if indices:
        raise call.unknown()
    mean: Any = getattr(functional, call.name.replace("max", "avg"))
    return structural(Call(call.live, mean, (tensor, size), {}), sums=True)


def resized(call: Call) -> Any:  # noqa: ANN401
    """An interpolation by weights that are not negative."""
    names = ("input", "size", "scale_factor", "mode")
    if call.named(*names)[3] == "bicubic":
        raise call.unknown()
    return structural(call, sums=True)


def padded(call: Call) -> Any:  # noqa: ANN401
    """Padding: by nothing that is on a path."""
    given, pad, mode, value = call.named("input", "pad", "mode", "value")
    live, mode = call.live, mode or "constant"
    path = functional.pad(given, pad, mode)
    if not live.is_live(given):
        if value:
            raise call.unknown()
        return call.result(alive(path))
    fill = float(live.twin(value)) if value else None
    return call.result(alive(path), functional.pad(live.twin(given), pad, mode, fill))


def filled(call: Call) -> Any:  # noqa: ANN401
    """``masked_fill``: a constant in some places, which attention may be told to ignore."""
    tensor, mask, value = call.named("input", "mask", "value")
    live = call.live
    if not live.is_live(tensor) or live.concerns(value) or live.concerns(mask):
        raise call.unknown()
    return call.result(
        tensor.masked_fill(mask, 0), live.twin(tensor).masked_fill(mask, live.twin(value))
    )


def chosen(call: Call) -> Any:  # noqa: ANN401
    """``where``: one or the other, by a condition that does not depend on the input."""
    condition, first, second = call.named("condition", "input", "other")
    live = call.live
    if live.concerns(condition) or not isinstance(condition, torch.Tensor):
        raise call.unknown()
    if not (live.is_live(first) or live.is_live(second)):
        raise call.unknown()
    path = torch.where(condition, live.path(first), live.path(second))
    return call.result(alive(path), torch.where(condition, live.twin(first), live.twin(second)))


def looked_up(call: Call) -> torch.Tensor:
    """An embedding: an id that was given leads to every number of a row, through any of the rows.

    One that was not, such as a position, is a constant.
    """
    ids, table = call.named("input", "weight")
    live = call.live
    if live.is_live(ids):
        raise UnsupportedTypeError(
            "the model looks its inputs up in a table: pass inputs=ids, a tensor of integers"
        )
    if not live.is_given(ids):
        return call.result(alive(functional.embedding(ids, table)))
    ones = live.begin(torch.empty((*ids.shape, table.shape[1]), device=table.device))
    if not live.is_mask(table):
        return ones
    through = Call(live, torch.mul, (ones, table), {})
    found: torch.Tensor = product(through, lambda x, w: x * w.sum(0), ones, table)
    return found


def attended(call: Call) -> Any:  # noqa: ANN401
    """Attention, in plain products."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    query, key, value, mask, _, is_causal = call.named(*names)
    if call.kwargs.get("enable_gqa"):
        key, value = (
            one.repeat_interleave(query.shape[-3] // one.shape[-3], -3) for one in (key, value)
        )
    scores = query @ key.transpose(-2, -1)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        looked_at = mask if mask.dtype == torch.bool else mask > CLOSED
        scores = scores.masked_fill(~looked_at, -torch.inf)
    return scores.softmax(-1) @ value


def attended_by_heads(call: Call) -> Any:  # noqa: ANN401
    """`nn.MultiheadAttention`, in plain products."""
    given = call.named(*_BY_HEADS)
    heads, projection, output_weight = given[4], given[5], given[11]
    inputs = list(given[:3])
    options = call.kwargs
    if options.get("static_k") is not None or options.get("static_v") is not None:
        raise call.unknown()
    if options.get("use_separate_proj_weight"):
        projections = [options[f"{name}_proj_weight"] for name in "qkv"]
    else:
        projections = projection.chunk(3)
    batched = inputs[0].dim() == 3
    if not batched:
        inputs = [one.unsqueeze(1) for one in inputs]
    # From (length, batch, features) to (batch, heads, length, features of a head).
    query, key, value = (
        functional.linear(one, weight).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for one, weight in zip(inputs, projections, strict=True)
    )
    scores = query @ key.transpose(-2, -1)
    for ignored in _ignored(options, scores.shape):
        scores = scores.masked_fill(ignored, -torch.inf)
    weights = scores.softmax(-1)
    joined = (weights @ value).permute(2, 0, 1, 3).flatten(2)
    out = functional.linear(joined, output_weight)
    if options.get("average_attn_weights", True):
        weights = weights.mean(1)
    if not batched:
        out, weights = out.squeeze(1), weights.squeeze(0)
    return out, weights if options.get("need_weights", True) else None


_BY_HEADS = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight"),
    *("in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight"),
)


def _ignored(options: Mapping[str, Any], shape: torch.Size) -> list[torch.Tensor]:
    """Where the masks of attention say to look away, in the shape of its scores."""
    found = []
    by_key, by_pair = options.get("key_padding_mask"), options.get("attn_mask")
    if by_key is not None:
        found.append(_closed(by_key).reshape(-1, 1, 1, shape[-1]))
    if by_pair is not None:
        mask = _closed(by_pair)
        found.append(mask if mask.dim() == 2 else mask.reshape(shape))
    return found


def _closed(mask: torch.Tensor) -> torch.Tensor:
    return mask if mask.dtype == torch.bool else mask <= CLOSED


def gated(call: Call) -> Any:  # noqa: ANN401
    """``glu``: one half of the features, times the sigmoid of the other."""
    tensor, dim = call.named("input", "dim")
    first, second = tensor.chunk(2, -1 if dim is None else dim)
    return first * second.sigmoid()


def normalised(call: Call) -> Any:  # noqa: ANN401
    """A normalisation: its scale is a product, its statistics and its bias are on no path."""
    live = call.live
    if call.function in {torch.batch_norm, torch.instance_norm}:  # other arguments
        raise call.unknown()
    tensor, scale = call.tensor, call.named(*_NORMALISED[call.name])[-1]
    others = [*call.args[1:], *call.kwargs.values()]
    if any(live.is_live(one) for one in others if one is not tensor and one is not scale):
        raise call.unknown()
    if scale is None:
        return product(call, torch.mul, tensor, 1.0)
    if call.name not in {"layer_norm", "rms_norm"}:
        scale_shape = (-1, *(1,) * (tensor.dim() - 2))
        return product(call, lambda x, w: x * w.reshape(scale_shape), tensor, scale)
    return product(call, torch.mul, tensor, scale)


_BY_CHANNEL = ("input", "running_mean", "running_var", "weight")
#: The arguments of normalisations, up to the scale.
_NORMALISED = {
    **dict.fromkeys(("batch_norm", "instance_norm"), _BY_CHANNEL),
    **dict.fromkeys(("layer_norm", "group_norm", "rms_norm"), ("input", "shape", "weight")),
}


def iterated(call: Call) -> Any:  # noqa: ANN401
    """``for part in tensor``."""
    return iter(structural(Call(call.live, torch.unbind, call.args[:1], {})))


def asked(call: Call) -> Any:  # noqa: ANN401
    """A question about shape or type, or a new constant of the same: on no path."""
    return call.function(*call.args, **call.kwargs)
