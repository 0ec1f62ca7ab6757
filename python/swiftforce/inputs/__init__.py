"""What callers pass: arrays in their structures, numbers, and names of methods and schedules.

Everything that comes in is checked here, once, before another package sees it. What is done with
it lives elsewhere: nothing here searches, writes files or draws.
"""

from swiftforce.inputs.arrays import (
    BFLOAT16,
    FLOAT32,
    FLOATS,
    MASK,
    MASKS,
    SINGLES,
    Array,
    Arrays,
    checked,
    read_only,
)
from swiftforce.inputs.memory import check_distinct, lies_in, spans
from swiftforce.inputs.numbers import check_seed, check_sparsity, integer
from swiftforce.inputs.tensors import Tensors, differences
from swiftforce.inputs.vocabulary import method_info, methods, names, number, saliencies, schedules

__all__ = [
    "Array",
    "Arrays",
    "BFLOAT16",
    "FLOAT32",
    "FLOATS",
    "MASK",
    "MASKS",
    "SINGLES",
    "Tensors",
    "check_distinct",
    "check_seed",
    "check_sparsity",
    "checked",
    "differences",
    "integer",
    "lies_in",
    "method_info",
    "methods",
    "names",
    "number",
    "read_only",
    "saliencies",
    "schedules",
    "spans",
]
