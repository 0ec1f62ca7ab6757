"""The weights of a model that lie on a path from its input to its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Integral
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from swiftforce.checks import EffectiveDensity, EffectiveLayer
from swiftforce.errors import ShapeError, StructureError, UnsupportedTypeError
from swiftforce.result import Pruning
from swiftforce.torch.calls import Call
from swiftforce.torch.live import Live, UnknownPathError, replaced, tensors_in
from swiftforce.torch.parameters import prunable, unwrapped
from swiftforce.torch.path_layers import asked
from swiftforce.torch.path_rules import COMPOSED, RULES
from swiftforce.torch.preserved import preserved
from swiftforce.torch.sharded import is_sharded
from swiftforce.torch.sparse import _checked
from swiftforce.torch.sparse import masks as applied


def effective_density(
    model: nn.Module,
    masks: Pruning | Mapping[str, Any] | None = None,
    *,
    inputs: Any,  # noqa: ANN401 - whatever the model takes
) -> EffectiveDensity:
    """Count the weights that lie on a path from a model's input to its output.

    As `swiftforce.checks.effective_density`, for models of torch: the forward pass is run once with
    masks in place of weights and with each function of torch replaced by what it does to paths, and
    back. A function whose effect is not known is an error, never a guess. The model is left as it
    was.

    Parameters
    ----------
    model : nn.Module
        On any device; may be compiled or wrapped by DistributedDataParallel.
    masks : Pruning, or mapping of name to bool tensor or array, optional
        True where kept; by default those that are applied to the model, and all weights that are
        `prunable` where none are. Parameters without a mask are taken as kept.
    inputs : tensor, sequence, mapping, or shape
        What the model takes: a tensor (of a batch ``(x, y)``, the ``x``), a sequence of arguments,
        a mapping of keyword arguments, or a sequence of integers, the shape of a tensor of floats.
        Of tensors of floats only the shape matters; others (token ids, attention masks) are passed
        on as they are. A batch of one is enough.

    Returns
    -------
    EffectiveDensity
        Its masks are bool tensors by the names of the parameters, for `apply`, say.

    Raises
    ------
    UnsupportedTypeError
        If it is no module, or calls a function whose effect on paths is not known; the message
        names it. Among these are `nn.LSTM`, `nn.GRU` and `nn.RNN`, comparisons, sorts, ``argmax``,
        ``item``, losses, complex numbers, scripted modules, custom autograd functions, checkpoints
        with ``use_reentrant=True``, and all that is computed without gradients.
    StructureError, ShapeError
        If a mask fits no parameter, `inputs` hold no tensor or an empty one, or the model returns
        no tensor.

    Notes
    -----
    A path leads through activations, normalisations, softmaxes and dropout as they are, number by
    number, as in the definition of Vysogorets and Kempe. So a weight that acts only through the
    denominator of a softmax or the statistics of a normalisation is counted as on no path, though
    it may have a gradient. A path leads through every pixel of a max pool's window, through both
    terms of a sum or a difference, and from an embedding's ids to all it holds; the largest of
    several may be each of them. It begins neither at a bias nor at any other constant. The batch is
    not followed, nor are lookups by what was computed. For all this the count is exact, but where
    numbers that are not drawn at random cancel, as in ``x - x``.

    Through a product of two activations a path leads from each where the other can be other than
    zero: where a path leads to that, or it was made of constants that are not zero, as in
    ``sigmoid(b)``, ``1 + b``, ``b.clamp(min=0.1)`` or ``cat([b, ones])``. What is once other than
    zero is taken to stay so in activations. Biases and other trained parameters without masks are
    taken as zero where they are added or joined, and as other than zero where they multiply; frozen
    parameters and buffers are taken as they are.

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
    if not isinstance(model, nn.Module):
        raise UnsupportedTypeError(f"effective_density needs a module, not {type(model).__name__}")
    model = unwrapped(model)
    kept = _kept(model, masks)
    live = Live()
    device = next(iter(kept.values())).device.type
    with (
        preserved(model, (), None, train=False),
        torch.compiler.set_stance("force_eager"),
        torch.autocast(device, enabled=False),
    ):
        leaves = {name: live.begin_mask(mask) for name, mask in kept.items()}
        ends = [one.sum() for one in _ends(model, leaves, inputs, live)]
        # The zero: there may be no end.
        total = sum(ends, torch.zeros((), requires_grad=True))
        found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    joined = {name: mask & (one > 0) for (name, mask), one in zip(kept.items(), found, strict=True)}
    layers = [
        EffectiveLayer(name, tuple(mask.shape), mask.numel(), int(mask.sum()), int(on_path.sum()))
        for (name, mask), on_path in zip(kept.items(), joined.values(), strict=True)
    ]
    return EffectiveDensity(tuple(layers), joined)


def _kept(model: nn.Module, masks: Pruning | Mapping[str, Any] | None) -> dict[str, torch.Tensor]:
    """The masks to count in."""
    if masks is None:
        masks = applied(model) or {
            name: torch.ones_like(one, dtype=torch.bool) for name, one in prunable(model).items()
        }
    kept = _checked(model, masks.masks if isinstance(masks, Pruning) else masks)
    if not kept:
        raise StructureError("there are no masks")
    sharded = [name for name in kept if is_sharded(model.get_parameter(name))]
    if sharded:
        raise UnsupportedTypeError(f"{sharded[0]} is sharded: paths need the whole of it")
    return kept


def _ends(
    model: nn.Module,
    leaves: Mapping[str, torch.Tensor],
    inputs: Any,  # noqa: ANN401
    live: Live,
) -> list[torch.Tensor]:
    """The live ones of what the model returns for inputs that are live everywhere."""
    begun = _begun(inputs, live, next(iter(leaves.values())).device)
    args: tuple[Any, ...] = tuple(begun) if isinstance(begun, Sequence) else (begun,)
    kwargs: dict[str, Any] = {}
    if isinstance(begun, Mapping):
        args, kwargs = (), dict(begun)
    masked = {id(model.get_parameter(name)) for name in leaves}
    # Whatever they hold now, training makes them other than zero. Not ones: of 1 - w, zero is left.
    others = {
        name: live.set_trained(torch.rand_like(one, dtype=torch.float32, requires_grad=False))
        for name, one in model.named_parameters()
        if id(one) not in masked and one.is_floating_point() and one.requires_grad
    }
    try:
        with _Followed(live):
            output = functional_call(model, {**others, **leaves}, args, kwargs)
        returned = tuple(tensors_in(output))
        ends = [one for one in returned if live.concerns(one) and live.is_live(one)]
    except UnknownPathError as error:
        raise UnsupportedTypeError(str(error)) from error
    if not returned:
        raise StructureError(f"the model returns no tensor, but a {type(output).__name__}")
    return ends


def _begun(inputs: Any, live: Live, device: torch.device) -> Any:  # noqa: ANN401
    """The inputs of a model, live everywhere; of those that are no floats it is noted."""
    is_shape = isinstance(inputs, Sequence) and all(isinstance(one, Integral) for one in inputs)
    if is_shape and inputs:
        inputs = torch.empty(tuple(map(int, inputs)), device=device)

    def begin(one: torch.Tensor) -> torch.Tensor:
        if not one.numel():
            raise ShapeError(f"inputs hold an empty tensor, of shape {tuple(one.shape)}")
        return live.begin(one) if one.is_floating_point() else live.set_given(one)

    begun = replaced(inputs, begin)
    if not any(True for _ in tensors_in(begun)):
        raise StructureError(
            "inputs must be a tensor, a sequence or mapping of arguments with a tensor among them, "
            f"or a shape, not {type(inputs).__name__}"
        )
    return begun


class _Followed(TorchFunctionMode):
    """Inside, functions of torch do to live tensors and masks what they do to paths."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self._live = live

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - functions, methods and getters
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        call = Call(self._live, func, args, kwargs or {})
        given = tuple(tensors_in((args, call.kwargs)))
        concerned = [one for one in given if self._live.concerns(one)]
        from_ids = any(map(self._live.is_given, given))
        rule = RULES.get(call.name)
        if not concerned and not (from_ids and call.name == "embedding"):
            out = func(*args, **call.kwargs)
            if rule is not asked:
                self._note(given, (out, args[:1] if call.in_place else ()))
            return out
        if rule is None:
            raise call.unknown()
        if rule is not asked and not torch.is_grad_enabled():
            raise UnknownPathError(
                "effective_density cannot follow what a model computes without gradients, or in a "
                "custom autograd function"
            )
        # Also where the model casts: counts need more digits than it leaves.
        with (
            torch.autocast(given[0].device.type, enabled=False),
            self if rule in COMPOSED else nullcontext(),
        ):
            return rule(call)

    def _note(self, given: Sequence[torch.Tensor], constants: tuple[Any, ...]) -> None:
        """Note what constants were computed of."""
        if any(map(self._live.is_given, given)):
            replaced(constants, self._live.set_given)
        if any(map(self._live.is_trained, given)):
            replaced(constants, self._live.set_trained)
