"""What an array is by its name, its shape and its neighbours: a weight, or why it is none.

The same rule decides for checkpoints, for pytrees, and for those parameters of a torch model whose
modules do not say what they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from swiftforce.adapters.reasons import Reason

Shape = tuple[int, ...]

#: What the last part of a name says, digits at its end left out. The first that matches decides.
_OWN: tuple[tuple[Reason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern))
    for reason, pattern in (
        # Those of position biases are tables. In attention heads and in stacked layers, biases
        # have two or more dimensions.
        (Reason.POSITION, r"bias_table$|(^|_)(rel_)?(pos|positions?|positional|rel)(_|$)"),
        (Reason.BIAS, r"(^|_)bias(es)?(_|$)"),
        (Reason.TABLE, r"embed|(^|_)emb(_|$)|code(book|vector)s?$|(^|_)prototypes?$"),
        (Reason.TOKEN, r"(^|_)(tokens?|latents?|queries|prompts?|registers?)$|^cls$"),
        (Reason.STATE, r"^(init|initial)_|(^|_)(a_log|log_a|hidden_state)$|^a_(real|imag)$"),
        (Reason.STATE, r"^time_(decay|first|faaaa|mix(_\w+)?|maa_[a-z])$|^log_(?!scale)|^dt$"),
        (Reason.SCALE, r"(^|_)(scales?(_inv)?|alpha|beta|gamma|temperature|tau|gain|offset)$"),
        (Reason.SCALE, r"(^|_)(lambda|slopes?|translate|weight_g)$"),
        (Reason.MASK, r"(^|_)masks?$"),
    )
)
#: What the part before it says of a ``weight``.
_MODULE: tuple[tuple[Reason, re.Pattern[str]], ...] = tuple(
    (reason, re.compile(pattern))
    for reason, pattern in (
        (Reason.NORM, r"norm|(^|_)(ln|bn|gn|rms)(_|$)"),
        (Reason.POSITION, r"bias"),
        # Patch embeddings are products. "wte", "wpe" and "shared" are those of GPT-2 and T5.
        (Reason.TABLE, r"^(?!.*patch).*embed|(^|_)emb(_|$)|^(wte|wpe|shared)$"),
    )
)
#: Names of modules that choose experts, and names that do so where there are experts beside them.
_ROUTER = re.compile(r"(^|_)rout(er|ers|ing)(_|$)")
_GATE = re.compile(r"(^|_)(gate|gating|wg)$")
#: Names of arrays that may be a matrix of one row or column.
_MATRIX = re.compile(r"weight|kernel|proj|^w(_|$)")
#: Names of biases that stand beside a weight.
_BIASES = ("bias", "b", "offset")


def is_weight(name: str, dimensions: int) -> bool:
    """Whether the name of an array of floating-point numbers is that of a layer's weight.

    Parameters
    ----------
    name : str
        Parts are separated by dots, as in torch, or by slashes, as in paths of pytrees.
    dimensions : int
        Number of dimensions of the array. A weight has two or more.

    Examples
    --------
    >>> from swiftforce.adapters import is_weight
    >>> is_weight("layers.0.mlp.up_proj.weight", 2), is_weight("embed_tokens.weight", 2)
    (True, False)
    >>> is_weight("patch_embedding/kernel", 4), is_weight("batch_norm/scale", 4)
    (True, False)
    """
    return NameRule({name: (2,) * dimensions}).reason(name) is Reason.NAME


class NameRule:
    """The rule of names, for all arrays of a model.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shape of each array by its name. Neighbours matter: a gate beside experts is a router,
        and a weight of its bias's shape belongs to a normalisation.
    """

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = shapes
        self._parts = {name: parts_of(name) for name in shapes}
        self._by_parts = {parts: tuple(shapes[name]) for name, parts in self._parts.items()}

    def reason(self, name: str) -> Reason:
        """`Reason.NAME` for a weight; else why the array is none."""
        shape, parts = self._shapes[name], self._parts[name]
        if len(shape) < 2:
            return Reason.VECTOR
        *modules, own = parts
        if "parametrizations" in modules and own != "original1":
            # By weight norm, "original0" holds the norms and "original1" the weight.
            return Reason.SCALE if own == "original0" else Reason.COMPUTED
        if "parametrizations" in modules:
            at = modules.index("parametrizations")
            modules, own = modules[:at], modules[-1]
        if own == "weight_orig":
            return Reason.COMPUTED
        if self.is_router(name):
            return Reason.ROUTER
        found = _first(_OWN, _without_digits(own)) or self._of_module(modules, own)
        return found or self._of_shape(parts, shape) or Reason.NAME

    def _of_shape(self, parts: tuple[str, ...], shape: Shape) -> Reason | None:
        """What the shapes of an array and its neighbours say, if it is no weight."""
        if self._is_bias_of(parts, shape):
            return Reason.BIAS
        if self._is_stacked_vector(parts, shape):
            return Reason.STACKED
        if _is_reshaped_vector(shape) and not _MATRIX.search(parts[-1]):
            return Reason.VECTOR
        return None

    def is_router(self, name: str) -> bool:
        """Whether an array chooses experts, rather than computing with them."""
        parts = self._parts[name]
        for place, part in enumerate(parts):
            beside = self._inside[parts[:place]] - self._inside[parts[: place + 1]]
            if _ROUTER.search(part) and beside:
                return True
            if _GATE.search(part) and parts[:place] in self._beside_experts:
                return True
        return False

    def _of_module(self, modules: list[str], own: str) -> Reason | None:
        """What the module says of its weight."""
        # A "kernel" is a dense layer or a convolution, also in a module called an embedding: the
        # patch embedding of a vision transformer.
        if not modules or own == "kernel":
            return None
        module = modules[-1]
        if module.isdigit() and len(modules) > 1:
            # A list of norms, and no other list, such as a sequence of layers.
            module = modules[-2] if modules[-2].endswith("s") else ""
            module = module if re.search(r"(norm|embed|embedding|emb|ln)s$", module) else ""
        found = _first(_MODULE, _without_digits(module))
        # An embedding table has two dimensions, or three if it is stacked; a kernel has more.
        many = len(self._by_parts.get((*modules, own), ())) > 3
        return None if found is Reason.TABLE and many else found

    @cached_property
    def _inside(self) -> Counter[tuple[str, ...]]:
        """The number of arrays inside each module, by the parts of its name."""
        every = self._parts.values()
        return Counter(parts[:place] for parts in every for place in range(len(parts) + 1))

    @cached_property
    def _beside_experts(self) -> set[tuple[str, ...]]:
        """The parts of the names of modules that have experts."""
        return {
            parts[:place]
            for parts in self._parts.values()
            for place, part in enumerate(parts)
            if "expert" in part
        }

    def _is_bias_of(self, parts: tuple[str, ...], shape: Shape) -> bool:
        """Whether an array is the "b" of a "w", as in haiku, or "b_1" of "w_1"."""
        *modules, own = parts
        weight = self._by_parts.get((*modules, "w" + own[1:]), ())
        return own.startswith("b") and len(own) < 5 and len(weight) > len(shape)

    def _is_stacked_vector(self, parts: tuple[str, ...], shape: Shape) -> bool:
        """Whether an array holds one vector for each layer of a stack."""
        *modules, own = parts
        if own in _BIASES:
            return False
        beside = (self._by_parts.get((*modules, bias)) for bias in _BIASES)
        if any(one == shape for one in beside):
            return True
        prefixes = (parts[:length] for length in range(len(parts)))
        return len(shape) == 2 and any(one in self._stacks for one in prefixes)

    @cached_property
    def _stacks(self) -> set[tuple[str, ...]]:
        """The parts of the names of modules whose arrays all have an axis for layers in front.

        A matrix of three dimensions beside a bias of two shows that its module is such a stack, and
        so are those around it whose arrays all have the same first axis.
        """
        lengths: dict[tuple[str, ...], set[int]] = {}
        for parts, shape in self._by_parts.items():
            for length in range(len(parts)):
                lengths.setdefault(parts[:length], set()).add(shape[0] if shape else 0)
        found = set()
        for module, count in self._stacked_layers():
            for length in range(len(module) + 1):
                if lengths[module[:length]] == {count}:
                    found.add(module[:length])
        return found

    def _stacked_layers(self) -> Iterator[tuple[tuple[str, ...], int]]:
        for parts, bias in self._by_parts.items():
            *modules, own = parts
            if own in _BIASES and len(bias) == 2:
                for weight in ("weight", "kernel", "w"):
                    shape = self._by_parts.get((*modules, weight), ())
                    if len(shape) > 2 and shape[0] == bias[0] and bias[1] in shape[1:]:
                        yield tuple(modules), bias[0]


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a name in lower case, without those that say nothing of an array."""
    parts = re.split("[./]", name.lower())
    # Boxes, such as the variables of flax.nnx, end with "value" after the name of the variable; an
    # entry of a list has its position, and one of several adapters of peft its name.
    while len(parts) > 1 and (
        parts[-1] in ("value", "default") or (parts[-1].isdigit() and len(parts[-2]) > 1)
    ):
        parts.pop()
    return tuple(parts)


def _without_digits(part: str) -> str:
    """``ln_1`` as ``ln``, ``weight_ih_l0`` as ``weight_ih``."""
    return re.sub(r"(?<=[a-z])_?l?\d+(_reverse)?$", "", part)


def _is_reshaped_vector(shape: Shape) -> bool:
    """Whether a shape is that of a vector that was given axes for broadcasting, as (1, C, 1, 1)."""
    return len(shape) > 2 and sum(length > 1 for length in shape) == 1


def _first(rows: tuple[tuple[Reason, re.Pattern[str]], ...], text: str) -> Reason | None:
    return next((reason for reason, pattern in rows if pattern.search(text)), None)
