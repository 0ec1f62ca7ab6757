"""What layers do to paths: weights, pools, choices, embeddings, attention, normalisations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from swiftforce.torch.calls import Call
from swiftforce.torch.live import CLOSED
from swiftforce.torch.path_arithmetic import added, product, structural


def weighted(call: Call) -> Any:  # noqa: ANN401
    """A linear layer or a convolution; its bias is on no path."""
    given, weight = call.named("input", "weight")
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
    given, pad, mode = call.named("input", "pad", "mode")
    options = {"mode": mode or "constant"}
    return structural(Call(call.live, functional.pad, (given, pad), options))


def filled(call: Call) -> Any:  # noqa: ANN401
    """``masked_fill``: a constant in some places, which attention may be told to ignore."""
    tensor, mask, value = call.named("input", "mask", "value")
    live = call.live
    number = float(value) if not live.concerns(value) else 1.0
    if not live.is_live(tensor) or live.concerns(value) or live.concerns(mask):
        raise call.unknown()
    out = tensor.masked_fill(mask, 0)
    twin = live.twin_of(tensor)
    if twin is not None or number:
        twin = tensor.detach() if twin is None else twin
        twin = twin.masked_fill(mask, -torch.inf if number <= CLOSED else float(number != 0))
    return call.result(out, twin)


def chosen(call: Call) -> Any:  # noqa: ANN401
    """``where``: one or the other, by a condition that does not depend on the input."""
    condition, first, second = call.named("condition", "input", "other")
    live = call.live
    if live.concerns(condition) or not isinstance(condition, torch.Tensor) or first is None:
        raise call.unknown()
    total: Any = None
    for value, where in ((first, condition), (second, ~condition)):
        if live.is_live(value):
            kept = filled(Call(live, torch.Tensor.masked_fill, (value, ~where, 0.0), {}))
        elif isinstance(value, torch.Tensor) and value.dim():
            continue
        else:
            kept = float(value)
        total = kept if total is None else _either(call, total, kept, where)
    if not live.is_live(total):
        raise call.unknown()
    return total


def _either(call: Call, first: Any, second: Any, where: torch.Tensor) -> Any:  # noqa: ANN401
    """The first, and the second in some places, where the first is zero if it is live."""
    live = call.live
    if live.is_live(first) and live.is_live(second):
        return added(Call(live, torch.add, (first, second), {}))
    if live.is_live(second):
        first, second, where = second, first, ~where
    return filled(Call(live, torch.Tensor.masked_fill, (first, where, second), {}))


def looked_up(call: Call) -> torch.Tensor:
    """An embedding: its input leads to every number of a row, through any row of the table."""
    ids, table = call.named("input", "weight")
    live = call.live
    shape = (*ids.shape, table.shape[1])
    ones = live.begin(torch.empty(shape, device=table.device))
    if not live.is_mask(table):
        return ones
    found: torch.Tensor = product(call, lambda x, w: x * w.sum(0), ones, table)
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
    tensor, scale = call.tensor, _scale(call)
    if scale is None or not live.is_mask(scale):
        if any(map(live.is_live, (*call.args[1:], *call.kwargs.values()))):
            raise call.unknown()
        twin = live.twin_of(tensor) if live.is_live(tensor) else None
        return call.result(tensor.clone(), twin)
    if call.name not in {"layer_norm", "rms_norm"}:
        scale_shape = (-1, *(1,) * (tensor.dim() - 2))
        return product(call, lambda x, w: x * w.reshape(scale_shape), tensor, scale)
    return product(call, torch.mul, tensor, scale)


def _scale(call: Call) -> Any:  # noqa: ANN401
    position = {"batch_norm": 3, "instance_norm": 3}.get(call.name, 2)
    if "weight" in call.kwargs or len(call.args) <= position:
        return call.kwargs.get("weight")
    return call.args[position]


def iterated(call: Call) -> Any:  # noqa: ANN401
    """``for part in tensor``."""
    return iter(structural(Call(call.live, torch.unbind, call.args[:1], {})))


def asked(call: Call) -> Any:  # noqa: ANN401
    """A question about shape or type, or a new constant of the same: on no path."""
    return call.function(*call.args, **call.kwargs)
