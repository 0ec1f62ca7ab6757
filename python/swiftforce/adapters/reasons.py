"""Why an array is pruned or left out."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an array is pruned or left out; the value is the text that tables show."""

    # Pruned.
    LAYER = "its layer multiplies by it"
    NAME = "a weight by its name and shape"
    INCLUDED = "matched by include"
    # Left out by the caller's patterns.
    NOT_INCLUDED = "not matched by include"
    EXCLUDED = "matched by exclude"
    # Matrices that are left out by default.
    FROZEN = "not trained"
    ROUTER = "chooses experts"
    COMPUTED = "its layer multiplies by another weight that it computes from this one"
    UNKNOWN = "its layer computes in its own way"
    QUANTISED = "quantised"
    # Not matrices of products.
    TIED = "an embedding that a layer shares"
    TABLE = "an embedding or a table"
    POSITION = "a table of positions"
    TOKEN = "learned tokens"
    NORM = "of a normalisation"
    BIAS = "a bias"
    SCALE = "a scale or an offset"
    STATE = "of a recurrent state"
    MASK = "a mask"
    STACKED = "one vector for each layer of a stack"
    VECTOR = "a vector or a number"
    UNUSED = "no product or convolution uses it"
    COMPLEX = "complex numbers"
    NOT_FLOATING = "not floating-point"
    # No parameters.
    BUFFER = "a buffer, not a parameter"


#: The reasons of arrays that products or convolutions use: the matrices of a model.
MATRICES = frozenset(
    {
        *(Reason.LAYER, Reason.NAME, Reason.ROUTER),
        *(Reason.COMPUTED, Reason.UNKNOWN, Reason.QUANTISED),
    }
)
#: Of those, the reasons of arrays that are pruned by default if they are trained.
WEIGHTS = frozenset({Reason.LAYER, Reason.NAME})
#: The reasons of arrays that are no parameters of a model.
NO_PARAMETERS = frozenset({Reason.NOT_FLOATING, Reason.BUFFER})
