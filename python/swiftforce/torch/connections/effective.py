"""Effective density: the weights of a model that lie on a path from its input to its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import CheckpointError

from swiftforce.checks import EffectiveDensity, EffectiveLayer
from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.result import Pruning, masks_of
from swiftforce.torch.arguments import check_model
from swiftforce.torch.connections.function_call import FunctionCall
from swiftforce.torch.connections.layers import metadata
from swiftforce.torch.connections.rules import COMPOSED, RULES
from swiftforce.torch.eager import eager
from swiftforce.torch.liveness import Liveness, UnknownPathError, map_tensors, tensors_in
from swiftforce.torch.model_state import ModelState
from swiftforce.torch.parameters import computed_names, prunable
from swiftforce.torch.replaced_tensors import replaced_tensors
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.sparse import checked_masks
from swiftforce.torch.states import masks as applied
from swiftforce.torch.wrappers import unwrapped


def effective_density(
    model: nn.Module,
    masks: Pruning[Any] | Mapping[str, Any] | None = None,
    *,
    inputs: Any,  # noqa: ANN401 - whatever the model takes
) -> EffectiveDensity:
    """Count the weights that lie on a path from a model's input to its output.

    This is `swiftforce.checks.effective_density` for a torch model. It runs one forward and one
    backward pass with masks in place of weights, and replaces each torch function by a rule that
    says how paths continue through it. A function without a rule is an error, never a guess. The
    model is not changed.

    Parameters
    ----------
    model : nn.Module
        The model, on any device. It may be compiled, or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array, optional
        True where a weight is kept, in the parameters' shapes. By default the masks that are
        applied to the model; if there are none, all `prunable` weights are kept. A parameter
        without a mask counts as kept; so does all of one from which its layer computes the weight
        that it multiplies by, as in weight standardisation, whatever its mask.
    inputs : tensor, sequence, mapping, or shape
        The model's inputs: a tensor (of a batch ``(x, y)``, the ``x``), a sequence of arguments, a
        mapping of keyword arguments, or a sequence of integers, which is the shape of a
        floating-point tensor. Only the shape of a floating-point tensor matters; other tensors
        (token ids, attention masks) are passed to the model unchanged. A batch of one is enough.

    Returns
    -------
    EffectiveDensity
        Counts for each parameter, and in ``masks`` bool tensors by parameter name: True where a
        kept weight lies on a path. `apply` takes them.

    Raises
    ------
    UnsupportedTypeError
        If `model` is not a module, or it calls a function without a rule; the message names the
        function. There are no rules for `nn.LSTM`, `nn.GRU` and `nn.RNN`, comparisons, sorts,
        ``argmax``, ``item``, losses, complex numbers, scripted modules, custom autograd functions,
        activation checkpoints, and anything computed without gradients.
    StructureError, ShapeError
        If a mask fits no parameter, `inputs` contains no tensor or an empty one, or the model
        returns no tensor.

    Notes
    -----
    As in the definition of Vysogorets and Kempe, a path leads through activations, normalisations,
    softmax and dropout elementwise. So a weight that acts only through the denominator of a softmax
    or the statistics of a normalisation is on no path, although it may have a gradient. A path
    leads through every pixel of a max pooling's window, through both terms of a sum, difference,
    maximum or minimum, and from an embedding's ids to every number of its output. No path starts at
    a bias or another constant. Paths are not followed across the batch, nor through lookups by
    computed indices. With these rules the count is exact, except where numbers cancel that are not
    drawn at random, as in ``x - x``.

    Through a product of two activations, a path leads from each factor where the other can be
    nonzero: where a path leads to the other, or constants make it nonzero, as in ``sigmoid(b)``,
    ``1 + b``, ``b.clamp(min=0.1)`` or ``cat([b, ones])``. An activation that can be nonzero is
    assumed to stay nonzero through later activation functions. Biases and other trained parameters
    without masks count as zero where they are added or joined, and as nonzero where they multiply.
    Frozen parameters and buffers keep their values.

    References
    ----------
    Vysogorets and Kempe, "Connectivity matters: neural network pruning through the lens of
    effective sparsity", JMLR 24 (2023).

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    >>> masks = {"0.weight": torch.tensor([[1, 0, 0], [0, 1, 1]]).bool(),
    ...          "2.weight": torch.tensor([[1, 0]]).bool()}
    >>> sft.effective_density(model, masks, inputs=(1, 3))
    <EffectiveDensity: 2 of 4 weights kept lie on a path>
    """
    model = unwrapped(check_model(model))
    kept = _kept(model, masks)
    live = Liveness()
    device = next(iter(kept.values())).device.type
    contexts = eager(), torch.autocast(device, enabled=False)
    with ModelState(model, (), None, mode="eval", contexts=contexts):
        leaves = {name: live.start_mask(mask) for name, mask in kept.items()}
        ends = [one.sum() for one in _live_outputs(model, leaves, inputs, live)]
        # The list may be empty, hence the zero.
        total = sum(ends, torch.zeros((), requires_grad=True))
        try:
            found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        except CheckpointError as error:
            raise UnsupportedTypeError(
                "effective_density cannot follow activation checkpointing, which computes a part "
                "of the model twice: switch it off for this call"
            ) from error
    joined = {name: mask & (one > 0) for (name, mask), one in zip(kept.items(), found, strict=True)}
    layers = [
        EffectiveLayer(name, tuple(mask.shape), mask.numel(), int(mask.sum()), int(on_path.sum()))
        for (name, mask), on_path in zip(kept.items(), joined.values(), strict=True)
    ]
    return EffectiveDensity(tuple(layers), joined)


def _kept(
    model: nn.Module, masks: Pruning[Any] | Mapping[str, Any] | None
) -> dict[str, torch.Tensor]:
    """The masks to count, checked against the model."""
    if masks is None:
        masks = applied(model) or {
            name: torch.ones_like(one, dtype=torch.bool) for name, one in prunable(model).items()
        }
    kept = checked_masks(model, masks_of(masks))
    if not kept:
        raise StructureError("there are no masks: pass the mask of at least one parameter")
    sharded = [name for name in kept if is_sharded(model.get_parameter(name))]
    if sharded:
        raise UnsupportedTypeError(
            f"{sharded[0]} is sharded: call effective_density on the model before it is sharded"
        )
    # What a layer computes from zeros need not be zero, so all of its weights act.
    computed = {id(model.get_parameter(name)) for name in computed_names(model)}
    return {
        name: torch.ones_like(mask) if id(model.get_parameter(name)) in computed else mask
        for name, mask in kept.items()
    }


def _live_outputs(
    model: nn.Module,
    leaves: Mapping[str, torch.Tensor],
    inputs: Any,  # noqa: ANN401
    live: Liveness,
) -> list[torch.Tensor]:
    """The live tensors among the model's outputs, for inputs that are live everywhere."""
    given = _live_inputs(inputs, live, next(iter(leaves.values())).device)
    args: tuple[Any, ...] = tuple(given) if isinstance(given, Sequence) else (given,)
    kwargs: dict[str, Any] = {}
    if isinstance(given, Mapping):
        args, kwargs = (), dict(given)
    masked = {id(model.get_parameter(name)): leaf for name, leaf in leaves.items()}
    parameters = {id(one) for one in model.parameters()}

    def replacement(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in masked:
            return masked[id(tensor)]
        is_trained = tensor.is_floating_point() and tensor.requires_grad
        if id(tensor) not in parameters or not is_trained:
            return tensor
        # Training makes them nonzero, whatever they are now. Random rather than one, so that 1 - w
        # is nonzero, too.
        return live.set_trained(torch.rand_like(tensor, dtype=torch.float32, requires_grad=False))

    try:
        with replaced_tensors(model, replacement, "effective_density"), _LivenessMode(live):
            output = model(*args, **kwargs)
        returned = tuple(tensors_in(output))
        ends = [one for one in returned if live.is_tracked(one) and live.is_live(one)]
    except UnknownPathError as error:
        raise UnsupportedTypeError(str(error)) from error
    if not returned:
        raise StructureError(f"the model returns no tensor, but {type(output).__name__}")
    return ends


def _live_inputs(inputs: Any, live: Liveness, device: torch.device) -> Any:  # noqa: ANN401
    """The model's inputs: floating-point tensors become live, others are recorded as such."""
    is_shape = isinstance(inputs, Sequence) and all(isinstance(one, Integral) for one in inputs)
    if is_shape and inputs:
        inputs = torch.empty(tuple(map(int, inputs)), device=device)

    def start(one: torch.Tensor) -> torch.Tensor:
        if not one.numel():
            raise ShapeError(f"inputs contain an empty tensor, of shape {tuple(one.shape)}")
        return live.start(one) if one.is_floating_point() else live.set_integer_input(one)

    live_inputs = map_tensors(inputs, start)
    if not any(True for _ in tensors_in(live_inputs)):
        raise StructureError(
            "inputs must be a tensor, a sequence or mapping of arguments with a tensor among them, "
            f"or a shape, not {type(inputs).__name__}"
        )
    return live_inputs


class _LivenessMode(TorchFunctionMode):
    """Dispatches each torch function of live tensors or masks to its propagation rule."""

    def __init__(self, live: Liveness) -> None:
        super().__init__()
        self._live = live

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - functions, methods and getters
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        call = FunctionCall(self._live, func, args, kwargs or {})
        given = tuple(tensors_in((args, call.kwargs)))
        tracked = [one for one in given if self._live.is_tracked(one)]
        from_ids = any(map(self._live.is_integer_input, given))
        rule = RULES.get(call.name)
        if not tracked and not (from_ids and call.name == "embedding"):
            out = func(*args, **call.kwargs)
            if rule is not metadata:
                self._record(given, (out, args[:1] if call.in_place else ()))
            return out
        if rule is None:
            raise call.unknown_path()
        if rule is not metadata and not torch.is_grad_enabled():
            raise UnknownPathError(
                "effective_density cannot follow what a model computes without gradients, or in a "
                "custom autograd function"
            )
        # Also where the model uses autocast: counts need more digits than float16 has.
        with (
            torch.autocast(given[0].device.type, enabled=False),
            self if rule in COMPOSED else nullcontext(),
        ):
            return rule(call)

    def _record(self, given: Sequence[torch.Tensor], constants: tuple[Any, ...]) -> None:
        """Record what constants were computed from."""
        if any(map(self._live.is_integer_input, given)):
            map_tensors(constants, self._live.set_integer_input)
        if any(map(self._live.is_trained, given)):
            map_tensors(constants, self._live.set_trained)
