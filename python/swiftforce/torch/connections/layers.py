"""Propagation rules of layers: linear, pooling, embedding, attention, normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.connections.arithmetic import addition, product, structural
from swiftforce.torch.connections.function_call import FunctionCall
from swiftforce.torch.liveness import IGNORED_SCORE, indicator


def weighted_layer(call: FunctionCall) -> Any:  # noqa: ANN401
    """A linear layer or a convolution; no path leads through its bias."""
    given, weight, bias = call.arguments(*_WEIGHTED_ARGUMENTS)
    if call.live.is_live(bias):
        raise call.unknown_path()
    options = {
        name: value for name, value in call.kwargs.items() if name not in _WEIGHTED_ARGUMENTS
    }

    def function(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = call.function(x, w, None, *call.args[3:], **options)
        return found

    return product(call, function, given, weight)


_WEIGHTED_ARGUMENTS = ("input", "weight", "bias")


def matrix_product_and_sum(call: FunctionCall) -> Any:  # noqa: ANN401
    """``addmm``: a matrix product to which a constant is added."""
    bias, first, second = call.args[:3]
    if call.in_place or call.live.is_live(bias):
        raise call.unknown_path()
    return product(call, torch.matmul, first, second)


def reduction(call: FunctionCall) -> Any:  # noqa: ANN401
    """A maximum, minimum, variance or standard deviation along dimensions.

    A path continues from every number that it is taken of.
    """
    is_variance = call.name in {"std", "var"}
    if len(call.args) > 1 and isinstance(call.args[1], torch.Tensor):
        return addition(call)
    tensor, dim, keep = call.arguments("input", "dim", "keepdim")
    if isinstance(dim, bool) or (is_variance and len(call.args) > 2):
        raise call.unknown_path()
    options = {"dim": dim, "keepdim": bool(keep)}
    out = structural(FunctionCall(call.live, torch.sum, (tensor,), options), sums=True)
    if dim is None or call.name not in {"max", "min"}:
        return out
    position = torch.zeros_like(out, dtype=torch.int64, requires_grad=False)
    return getattr(torch.return_types, call.name)((out, position))


def max_pool(call: FunctionCall) -> Any:  # noqa: ANN401
    """A max pooling: a path continues from every pixel of a window."""
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    tensor, kernel, stride, padding, dilation, ceil, indices = call.arguments(*names)
    sides = dilation if isinstance(dilation, (list, tuple)) else (dilation or 1,)
    if indices or any(side != 1 for side in sides):
        raise call.unknown_path()
    mean: Any = getattr(functional, call.name.replace("max", "avg"))
    options = {"stride": stride, "padding": padding or 0, "ceil_mode": bool(ceil)}
    return structural(FunctionCall(call.live, mean, (tensor, kernel), options), sums=True)


def adaptive_max_pool(call: FunctionCall) -> Any:  # noqa: ANN401
    """An adaptive max pooling."""
    tensor, size, indices = call.arguments("input", "output_size", "return_indices")
    if indices:
        raise call.unknown_path()
    mean: Any = getattr(functional, call.name.replace("max", "avg"))
    return structural(FunctionCall(call.live, mean, (tensor, size), {}), sums=True)


def interpolation(call: FunctionCall) -> Any:  # noqa: ANN401
    """An interpolation with nonnegative coefficients."""
    names = ("input", "size", "scale_factor", "mode")
    if call.arguments(*names)[3] == "bicubic":
        raise call.unknown_path()
    return structural(call, sums=True)


def padding(call: FunctionCall) -> Any:  # noqa: ANN401
    """Padding: no path starts at what is added."""
    given, pad, mode, value = call.arguments("input", "pad", "mode", "value")
    live, mode = call.live, mode or "constant"
    path = functional.pad(given, pad, mode)
    if not live.is_live(given):
        if value:
            raise call.unknown_path()
        return call.result(indicator(path))
    fill = float(live.support(value)) if value else None
    return call.result(indicator(path), functional.pad(live.support(given), pad, mode, fill))


def masked_fill(call: FunctionCall) -> Any:  # noqa: ANN401
    """``masked_fill`` by a constant, possibly one that marks scores for attention to ignore."""
    tensor, mask, value = call.arguments("input", "mask", "value")
    live = call.live
    if not live.is_live(tensor) or live.is_tracked(value) or live.is_tracked(mask):
        raise call.unknown_path()
    return call.result(
        tensor.masked_fill(mask, 0), live.support(tensor).masked_fill(mask, live.support(value))
    )


def selection(call: FunctionCall) -> Any:  # noqa: ANN401
    """``where``, with a condition that does not depend on the input."""
    condition, first, second = call.arguments("condition", "input", "other")
    live = call.live
    if live.is_tracked(condition) or not isinstance(condition, torch.Tensor):
        raise call.unknown_path()
    if not (live.is_live(first) or live.is_live(second)):
        raise call.unknown_path()
    path = torch.where(condition, live.path(first), live.path(second))
    return call.result(
        indicator(path), torch.where(condition, live.support(first), live.support(second))
    )


def embedding(call: FunctionCall) -> torch.Tensor:
    """An embedding: a path leads from each input id, through any row of the table, to its output.

    No path starts at an id that is not an input, such as a position.
    """
    ids, table = call.arguments("input", "weight")
    live = call.live
    if live.is_live(ids):
        raise UnsupportedTypeError(
            "the model's input is an embedding's indices: pass inputs=ids, a tensor of integers"
        )
    if not live.is_integer_input(ids):
        return call.result(indicator(functional.embedding(ids, table)))
    ones = live.start(torch.empty((*ids.shape, table.shape[1]), device=table.device))
    if not live.is_mask(table):
        return ones
    through = FunctionCall(live, torch.mul, (ones, table), {})
    found: torch.Tensor = product(through, lambda x, w: x * w.sum(0), ones, table)
    return found


def attention(call: FunctionCall) -> Any:  # noqa: ANN401
    """``scaled_dot_product_attention``, written as matrix products and a softmax."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    query, key, value, mask, _, is_causal = call.arguments(*names)
    if call.kwargs.get("enable_gqa"):
        key, value = (
            one.repeat_interleave(query.shape[-3] // one.shape[-3], -3) for one in (key, value)
        )
    scores = query @ key.transpose(-2, -1)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        is_used = mask if mask.dtype == torch.bool else mask > IGNORED_SCORE
        scores = scores.masked_fill(~is_used, -torch.inf)
    return scores.softmax(-1) @ value


def multi_head_attention(call: FunctionCall) -> Any:  # noqa: ANN401
    """`nn.MultiheadAttention`, written as matrix products and a softmax."""
    given = call.arguments(*_ATTENTION_ARGUMENTS)
    heads, projection, output_weight = given[4], given[5], given[11]
    inputs = list(given[:3])
    options = call.kwargs
    if options.get("static_k") is not None or options.get("static_v") is not None:
        raise call.unknown_path()
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


_ATTENTION_ARGUMENTS = (
    *("query", "key", "value", "embed_dim_to_check", "num_heads", "in_proj_weight"),
    *("in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight"),
)


def _ignored(options: Mapping[str, Any], shape: torch.Size) -> list[torch.Tensor]:
    """Where attention's masks say to ignore a score, broadcastable to the scores' shape."""
    found = []
    by_key, by_pair = options.get("key_padding_mask"), options.get("attn_mask")
    if by_key is not None:
        found.append(_is_ignored(by_key).reshape(-1, 1, 1, shape[-1]))
    if by_pair is not None:
        mask = _is_ignored(by_pair)
        found.append(mask if mask.dim() == 2 else mask.reshape(shape))
    return found


def _is_ignored(mask: torch.Tensor) -> torch.Tensor:
    return mask if mask.dtype == torch.bool else mask <= IGNORED_SCORE


def gated_linear_unit(call: FunctionCall) -> Any:  # noqa: ANN401
    """``glu``: one half of the features times the sigmoid of the other half."""
    tensor, dim = call.arguments("input", "dim")
    first, second = tensor.chunk(2, -1 if dim is None else dim)
    return first * second.sigmoid()


def normalization(call: FunctionCall) -> Any:  # noqa: ANN401
    """A normalisation: a product with its scale; no path leads through statistics or bias."""
    live = call.live
    if call.function in {torch.batch_norm, torch.instance_norm}:  # Their arguments differ.
        raise call.unknown_path()
    tensor, scale = call.tensor, call.arguments(*_NORMALIZATION_ARGUMENTS[call.name])[-1]
    others = [*call.args[1:], *call.kwargs.values()]
    if any(live.is_live(one) for one in others if one is not tensor and one is not scale):
        raise call.unknown_path()
    if scale is None:
        return product(call, torch.mul, tensor, 1.0)
    if call.name not in {"layer_norm", "rms_norm"}:
        scale_shape = (-1, *(1,) * (tensor.dim() - 2))
        return product(call, lambda x, w: x * w.reshape(scale_shape), tensor, scale)
    return product(call, torch.mul, tensor, scale)


_CHANNEL_ARGUMENTS = ("input", "running_mean", "running_var", "weight")
#: The arguments of normalisations, up to the scale.
_NORMALIZATION_ARGUMENTS = {
    **dict.fromkeys(("batch_norm", "instance_norm"), _CHANNEL_ARGUMENTS),
    **dict.fromkeys(("layer_norm", "group_norm", "rms_norm"), ("input", "shape", "weight")),
}


def iteration(call: FunctionCall) -> Any:  # noqa: ANN401
    """``for part in tensor``."""
    return iter(structural(FunctionCall(call.live, torch.unbind, call.args[:1], {})))


def metadata(call: FunctionCall) -> Any:  # noqa: ANN401
    """A query of shape, dtype or device, or a new constant of these: on no path."""
    return call.function(*call.args, **call.kwargs)
