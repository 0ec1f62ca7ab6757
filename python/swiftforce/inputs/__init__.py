"""What callers pass: arrays in their structures, numbers, and names of methods and schedules.

Everything that comes in is checked here, once, before another package sees it. Nothing here
searches, writes files or draws.
"""

from swiftforce.inputs.allocation import (
    Allocation,
    Amount,
    TensorValues,
    allocation_of,
)
from swiftforce.inputs.arrays import (
    BFLOAT16,
    FLOAT32,
    FLOATS,
    MASK,
    MASKS,
    SINGLES,
    Array,
    Arrays,
    Mask,
    checked_array,
    read_only,
)
from swiftforce.inputs.memory import check_distinct, lies_in, overlapping, spans
from swiftforce.inputs.nesting import node_from
from swiftforce.inputs.numbers import check_seed, check_sparsity, integer
from swiftforce.inputs.pattern import Pattern, Patterned, pattern_of
from swiftforce.inputs.tensors import Tensors, differences
from swiftforce.inputs.vocabulary import (
    LossName,
    MethodInfo,
    MethodName,
    RuleName,
    SaliencyName,
    ScheduleName,
    canonical_name,
    case_names,
    case_number,
    method_info,
    method_name,
    methods,
    saliencies,
    schedules,
)
from swiftforce.inputs.writing import write_whole

__all__ = [
    "Allocation",
    "Amount",
    "Array",
    "Arrays",
    "BFLOAT16",
    "FLOAT32",
    "FLOATS",
    "MASK",
    "MASKS",
    "LossName",
    "Mask",
    "MethodInfo",
    "MethodName",
    "Pattern",
    "Patterned",
    "RuleName",
    "SINGLES",
    "SaliencyName",
    "ScheduleName",
    "TensorValues",
    "Tensors",
    "allocation_of",
    "canonical_name",
    "case_names",
    "case_number",
    "check_distinct",
    "check_seed",
    "check_sparsity",
    "checked_array",
    "differences",
    "integer",
    "lies_in",
    "method_info",
    "method_name",
    "methods",
    "node_from",
    "overlapping",
    "pattern_of",
    "read_only",
    "saliencies",
    "schedules",
    "spans",
    "write_whole",
]
