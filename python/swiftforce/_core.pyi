"""The native core. The arguments of each function are those of its C function, in order."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

from numpy.typing import NDArray

_Result = TypeVar("_Result")
_Array = NDArray[Any]
_Arrays = Sequence[_Array]
_Layer = tuple[int, int, int, bool, int, int, int, int, int, int, float, float]
_Side = tuple[int, int, int, int]
_Sizes = tuple[int, int, _Side, _Side]

STATUSES: tuple[str, ...]
OPERANDS: tuple[str, ...]
AXES: tuple[str, ...]

class NativeError(Exception): ...

@final
class View: ...  # a buffer; Python can say so in types from 3.12 on

def names(axis: int, /) -> tuple[str, ...]: ...
def cpu_levels() -> tuple[str, ...]: ...
def threads() -> int: ...
def set_threads(threads: int, /) -> None: ...
def ieee(function: Callable[[], _Result], /) -> _Result: ...
def saliency_reads(number: int, /) -> tuple[bool, bool]: ...
def method(number: int, /) -> dict[str, Any]: ...
def keep_count(n: int, sparsity: float, /) -> int: ...
def schedule(kind: int, n: int, keep: int, steps: int, /) -> tuple[int, ...]: ...
def addresses(arrays: _Arrays, /) -> tuple[int, ...]: ...
def permutation(order: _Array, seed: int, stream: int, /) -> None: ...
def saliency(
    kind: int, weights: _Arrays, gradients: _Arrays | None, scores: _Arrays, seed: int, /
) -> None: ...
def allocate(
    allocation: int,
    sizes: Sequence[int],
    ends: Sequence[int],
    bounds: Sequence[int] | None,
    keep: int,
    /,
) -> tuple[int, ...]: ...
def bounds_range(
    sizes: Sequence[int], bounds: Sequence[int], /
) -> tuple[tuple[int, ...], tuple[int, ...]]: ...
def select(
    scores: _Arrays,
    masks: _Arrays,
    keep: int,
    bounds: Sequence[int] | None,
    counts: Sequence[int] | None,
    units: tuple[int, int, int, int, Sequence[int]] | None,
    costs: Sequence[int] | None,
    /,
) -> dict[str, Any]: ...
def scan(arrays: _Arrays, /) -> int: ...  # for benchmarks: the time no selection can go below
def search_create(
    method: int,
    schedule: int,
    keep: int,
    steps: int,
    keeps: Sequence[int] | None,
    sizes: Sequence[int],
    seed: int,
    total: int,
    taken: int,
    momentum: float,
    removed_factor: float,
    nested_from: int,
    saliency: int,
    rule: int,
    bounds: Sequence[int] | None,
    counts: Sequence[int] | None,
    units: tuple[int, int, int, int, Sequence[int]] | None,
    costs: Sequence[int] | None,
    wholes: tuple[int, Sequence[int]] | None,
    /,
) -> object: ...
def search_once(
    method: int,
    keep: int,
    seed: int,
    weights: _Arrays,
    gradients: _Arrays | None,
    masks: _Arrays,
    limits: tuple[Any, Any, Any, Any],
    /,
) -> dict[str, Any]: ...
def search_step(
    search: object,
    weights: _Arrays,
    gradients: _Arrays | None,
    previous: _Arrays | None,
    masks: _Arrays,
    masked: _Arrays | None,
    accumulated: _Arrays | None,
    sum: Callable[[bytearray], None] | None,
    starts: Sequence[int] | None,
    pieces: tuple[Sequence[int], Sequence[int], Sequence[int]] | None,
    /,
) -> dict[str, Any]: ...
def search_taken(search: object, /) -> int: ...
def search_report(search: object, step: int, tensors: int, /) -> dict[str, Any]: ...
def search_objective(
    search: object,
    weights: _Arrays,
    gradients: _Arrays | None,
    masks: _Arrays,
    sum: Callable[[bytearray], None] | None,
    starts: Sequence[int] | None,
    pieces: tuple[Sequence[int], Sequence[int], Sequence[int]] | None,
    /,
) -> float: ...
def network_create(
    layers: Sequence[_Layer],
    input_shape: Sequence[int] | None,
    seed: int,
    /,
) -> object: ...
def network_sizes(network: object, /) -> tuple[int, int]: ...
def network_parameters(network: object, /) -> tuple[tuple[int, int, tuple[int, ...]], ...]: ...
def network_view(network: object, parameter: int, /) -> View: ...
def network_apply(network: object, masks: _Arrays | None, sparse: bool, /) -> None: ...
def network_plan(network: object, /) -> tuple[tuple[int, bool, int, int], ...]: ...
def network_masks(network: object, masks: _Arrays, /) -> bool: ...
def network_magnitudes(network: object, /) -> tuple[float, ...]: ...
def network_remember(network: object, /) -> None: ...
def network_restore(network: object, /) -> None: ...
def network_forget(network: object, /) -> None: ...
def network_reset(network: object, /) -> None: ...
def network_gradients(
    network: object,
    weights: _Arrays | None,
    gradients: _Arrays,
    inputs: _Array,
    labels: _Array,
    rows: _Array | None,
    together: int,
    running: bool,
    of_zeros: bool,
    loss: int,
    temperature: float,
    /,
) -> tuple[float, int]: ...
def network_train(
    network: object,
    inputs: _Array,
    labels: _Array,
    rows: _Array | None,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    /,
) -> tuple[float, int]: ...
def network_evaluate(
    network: object, inputs: _Array, labels: _Array, rows: _Array | None, /
) -> tuple[float, int]: ...
def network_forward(network: object, inputs: _Array, logits: _Array, /) -> None: ...
def layer_forward(
    layer: _Layer,
    shape: tuple[int, int, int],
    samples: int,
    source: _Array,
    parameters: _Arrays,
    output: _Array,
    saved: _Array,
    /,
) -> None: ...
def layer_backward(
    layer: _Layer,
    shape: tuple[int, int, int],
    samples: int,
    source: _Array,
    parameters: _Arrays,
    output: _Array,
    saved: _Array,
    output_gradient: _Array,
    source_gradient: _Array | None,
    parameter_gradients: _Arrays | None,
    /,
) -> None: ...
def sparse_limit(sizes: _Sizes, /) -> int: ...
def sparse_create(sizes: _Sizes, mask: _Array, /) -> object: ...
def sparse_forward(
    operation: object,
    samples: int,
    source: _Array,
    values: _Array,
    bias: _Array | None,
    output: _Array,
    /,
) -> None: ...
def sparse_backward(
    operation: object,
    samples: int,
    source: _Array,
    values: _Array,
    output_gradient: _Array,
    source_gradient: _Array | None,
    value_gradient: _Array | None,
    bias_gradient: _Array | None,
    /,
) -> None: ...
