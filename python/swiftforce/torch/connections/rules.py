"""The propagation rule of each torch function, by the function's name.

A function without a rule is an error, never a guess. To support one more, add its name to the rule
that describes it: most are *unary* or *structural*.
"""

from __future__ import annotations

from functools import partial

from swiftforce.torch.connections.arithmetic import (
    addition,
    division,
    einsum,
    matrix_product,
    multiplication,
    power,
    structural,
    unary,
)
from swiftforce.torch.connections.function_call import Rule
from swiftforce.torch.connections.layers import (
    adaptive_max_pool,
    attention,
    embedding,
    gated_linear_unit,
    interpolation,
    iteration,
    masked_fill,
    matrix_product_and_sum,
    max_pool,
    metadata,
    multi_head_attention,
    normalization,
    padding,
    reduction,
    selection,
    weighted_layer,
)

_NAMES: dict[Rule, str] = {
    unary: """
        relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardtanh tanh softsign
        hardshrink softshrink tanhshrink rrelu prelu abs absolute neg negative positive sqrt square
        sin tan asin atan sinh asinh atanh erf expm1 log1p sign clamp clip clamp_min clamp_max
        nan_to_num round floor ceil dropout dropout1d dropout2d dropout3d alpha_dropout
        feature_alpha_dropout normalize local_response_norm weight_norm clone contiguous detach data
        to float double half bfloat16 type type_as cpu cuda sigmoid hardsigmoid logsigmoid softplus
        exp exp2 cos cosh rsqrt reciprocal softmax log_softmax softmin
    """,
    structural: """
        view view_as reshape reshape_as flatten unflatten ravel permute transpose swapaxes swapdims
        t T mT H mH adjoint movedim moveaxis squeeze unsqueeze expand expand_as broadcast_to repeat
        repeat_interleave tile cat concat concatenate stack hstack vstack dstack split
        split_with_sizes chunk tensor_split unsafe_chunk unbind select narrow getitem index_select
        gather take_along_dim diagonal flip roll rot90 unfold pixel_shuffle pixel_unshuffle
        channel_shuffle tril triu copy setitem
    """,
    partial(structural, sums=True): """
        sum mean nansum nanmean cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
        adaptive_avg_pool2d adaptive_avg_pool3d fold
    """,
    addition: "add iadd radd sub isub rsub subtract maximum minimum",
    multiplication: "mul imul rmul multiply",
    matrix_product: "matmul bmm mm mv dot inner",
    partial(matrix_product, swapped=True): "rmatmul",
    einsum: "einsum",
    weighted_layer: """
        linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    """,
    matrix_product_and_sum: "addmm",
    division: "div idiv truediv itruediv divide true_divide",
    partial(division, swapped=True): "rdiv rtruediv",
    power: "pow",
    reduction: "max min amax amin std var",
    max_pool: "max_pool1d max_pool2d max_pool3d",
    adaptive_max_pool: "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    interpolation: "interpolate",
    padding: "pad",
    masked_fill: "masked_fill",
    selection: "where",
    embedding: "embedding",
    attention: "scaled_dot_product_attention",
    gated_linear_unit: "glu",
    multi_head_attention: "multi_head_attention_forward",
    normalization: "batch_norm layer_norm group_norm instance_norm rms_norm",
    iteration: "iter",
    metadata: """
        shape dtype device layout ndim is_cuda is_cpu is_mps is_nested is_sparse is_quantized
        is_leaf requires_grad grad_fn names itemsize nbytes size dim ndimension numel nelement
        stride storage_offset is_floating_point is_complex is_contiguous get_device element_size len
        zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty
        new_full new_tensor is_inference is_autocast_enabled
    """,
}
#: The rule of each function, by its name without underscores at its ends.
RULES: dict[str, Rule] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
#: Rules that call other torch functions, whose rules then apply.
COMPOSED: frozenset[Rule] = frozenset({attention, multi_head_attention, gated_linear_unit})
