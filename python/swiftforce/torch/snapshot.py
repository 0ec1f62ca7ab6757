"""Everything that a model consists of, as it was: attributes, containers, tensors, generators.

A forward pass may write any of it: statistics, momentum encoders, caches, counters. Followed are
modules with their attributes and slots, containers, functions with what they refer to by closures,
tensors and numpy arrays. Random number generators are restored. Other objects are not followed, of
whatever class: a trainer, a data set, a tokenizer, a configuration.
"""

from __future__ import annotations

import copyreg
import random
from collections import UserDict, UserList
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from swiftforce.torch.containers import contents, is_container, is_unchanged, put
from swiftforce.torch.sharded import is_sharded

#: The attributes that every module has.
_OF_MODULES = frozenset(vars(nn.Module()))
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type, torch.dtype, torch.device)
#: Modules, and containers that keep what they hold in attributes.
_FOLLOWED = (nn.Module, SimpleNamespace, UserDict, UserList)
_MISSING = object()


class Parts:
    """What a model consists of.

    Attributes
    ----------
    objects : list
        Modules, and containers that keep what they hold in attributes.
    containers : list of dict, list, set or deque
    tensors : list of tensor
        Parameters, buffers and others, each once.
    arrays : list of numpy array
    others : list
        What is not followed.
    """

    def __init__(self, model: nn.Module, *, own: bool = False) -> None:
        """Follow a model; with `own`, leave out what every module has (parameters, hooks)."""
        self.objects: list[Any] = []
        self.containers: list[Any] = []
        self.tensors: list[torch.Tensor] = []
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.others: list[Any] = []
        seen: set[int] = set()
        left: list[Any] = list(model.modules()) if own else [model]
        while left:
            value = left.pop()
            if not isinstance(value, _ATOMS) and id(value) not in seen:
                seen.add(id(value))
                left += self._follow(value, own=own)

    def _follow(self, value: Any, *, own: bool) -> Iterable[Any]:  # noqa: ANN401, PLR0911 - by type
        """Record a value, and return what it holds."""
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            if is_traceable_wrapper_subclass(value):
                return [getattr(value, name) for name in value.__tensor_flatten__()[0]]
            return ()
        if is_container(value):
            self.containers.append(value)
            held = contents(value)
            inside = [one for _, one in held] if isinstance(value, dict) else held
            return [*inside, getattr(value, "__dict__", None)]  # Subclasses have attributes.
        if issubclass(type(value), tuple):
            return tuple.__iter__(value)
        if issubclass(type(value), frozenset):
            return frozenset.__iter__(value)
        if isinstance(value, MethodType):
            return (value.__self__,)
        if isinstance(value, partial):
            return (value.func, value.args, value.keywords)
        if isinstance(value, FunctionType):
            cells = value.__closure__ or ()
            defaults = (value.__defaults__ or (), value.__kwdefaults__ or {})
            return (*defaults, *(one for cell in cells if (one := _content(cell)) is not _MISSING))
        if isinstance(value, np.ndarray):
            self.arrays.append(value)
            return ()
        if not isinstance(value, _FOLLOWED):
            self.others.append(value)
            return ()
        self.objects.append(value)
        if isinstance(value, torch.jit.ScriptModule):  # It keeps them outside of its attributes.
            return [*value.parameters(), *value.buffers()]
        left_out = _OF_MODULES if own and isinstance(value, nn.Module) else ()
        return [one for name, one in attributes(value).items() if name not in left_out]


def _content(cell: CellType) -> Any:  # noqa: ANN401
    try:
        return cell.cell_contents
    except ValueError:  # It is empty.
        return _MISSING


def attributes(value: object) -> dict[str, Any]:
    """The attributes of an object, those in slots included."""
    slots = copyreg._slotnames(type(value))  # type: ignore[attr-defined]
    in_slots = {name: getattr(value, name, _MISSING) for name in slots}
    return {
        **{name: one for name, one in in_slots.items() if one is not _MISSING},
        **getattr(value, "__dict__", {}),
    }


def set_attribute(one: Any, name: str, value: Any) -> None:  # noqa: ANN401
    """Set an attribute past ``__setattr__``, which modules override."""
    if name in copyreg._slotnames(type(one)):  # type: ignore[attr-defined]
        object.__setattr__(one, name, value)
    else:
        one.__dict__[name] = value


class Structure:
    """The attributes and containers of a model: which objects they hold, not what those are.

    Parameters
    ----------
    parts : Parts
    own : bool
        Leave out the attributes that every module has, such as parameters and hooks.
    """

    def __init__(self, parts: Parts, *, own: bool = False) -> None:
        left_out = _OF_MODULES if own else frozenset()
        self._objects = [
            (one, type(one), {k: v for k, v in attributes(one).items() if k not in left_out})
            for one in parts.objects
        ]
        self._left_out = left_out
        # Parameters that are sharded are swapped by those who shard them.
        self._containers = [
            (one, contents(one)) for one in parts.containers if not _holds_sharded(one)
        ]

    def restore(self) -> None:
        """Put all back, also if one of them fails."""
        with ExitStack() as stack:
            for one, kind, before in self._objects:
                stack.callback(self._restore_object, one, kind, before)
            for container, held in self._containers:
                stack.callback(_restore_container, container, held)

    def _restore_object(self, one: Any, kind: type, before: dict[str, Any]) -> None:  # noqa: ANN401
        if type(one) is not kind:
            one.__class__ = kind
        now = attributes(one)
        own = getattr(one, "__dict__", {})
        for name in now.keys() - before.keys() - self._left_out:
            if name in own:
                del own[name]
            else:
                object.__delattr__(one, name)
        for name, value in before.items():
            if now.get(name, _MISSING) is value:
                continue
            set_attribute(one, name, value)


def _holds_sharded(container: Any) -> bool:  # noqa: ANN401
    return isinstance(container, dict) and any(
        isinstance(one, torch.Tensor) and is_sharded(one) for _, one in contents(container)
    )


def _restore_container(container: Any, held: list[Any]) -> None:  # noqa: ANN401
    if not is_unchanged(container, held):
        put(container, held)


class Memory:
    """Where a tensor has its elements; a forward pass may give it others: ``tensor.data = ...``."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.elements = tensor.data
        self._is_plain = tensor.layout == torch.strided and not is_traceable_wrapper_subclass(
            tensor
        )
        self._size = self.elements.untyped_storage().nbytes() if self._is_plain else 0

    def put_back(self) -> None:
        """Give the tensor its own elements again, whatever they hold now."""
        if not self._is_plain:
            return
        storage = self.elements.untyped_storage()
        if storage.nbytes() < self._size:
            storage.resize_(self._size)
        if _place(self.tensor) != _place(self.elements):
            self.tensor.data = self.elements


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (
        *(tensor.data_ptr(), tensor.dtype, tensor.device),
        *(tensor.shape, tensor.stride(), tensor.storage_offset()),
    )


class KeptTensor:
    """A tensor of a model: its elements, its gradient, its hooks, and whether it requires one.

    Parameters
    ----------
    tensor : tensor
    copies : bool
        Whether its elements are copied, to host memory, and restored.
    """

    def __init__(self, tensor: torch.Tensor, *, copies: bool) -> None:
        self._tensor = tensor
        self._memory = Memory(tensor)
        self._version = 0 if tensor.is_inference() else tensor._version
        self._is_leaf = tensor.is_leaf
        self._requires_grad = tensor.requires_grad
        self._gradient = tensor.grad if self._is_leaf else None
        self._hooks = (tensor._backward_hooks, tensor._post_accumulate_grad_hooks)
        wrapped = is_traceable_wrapper_subclass(tensor)  # Its parts are tensors of their own.
        self._copy: torch.Tensor | None = None
        if copies and not wrapped and not tensor.is_meta:
            self._copy = tensor.detach().to("cpu", copy=True)

    def suspend(self) -> None:
        """Take gradient and hooks away: a hook could mask gradients, or take a step."""
        if self._is_leaf:
            self._tensor.grad = None
            self._tensor._backward_hooks = None
            self._tensor._post_accumulate_grad_hooks = None  # type: ignore[assignment]

    def restore(self) -> None:
        """Put all back."""
        tensor = self._tensor
        if self._is_leaf and tensor.grad_fn is not None:
            tensor.detach_()  # It was written in place by what depends on a parameter.
        self._memory.put_back()
        if self._copy is not None:
            self._restore_elements(self._copy)
        if self._is_leaf:
            if tensor.requires_grad != self._requires_grad:
                tensor.requires_grad_(self._requires_grad)
            tensor._backward_hooks, tensor._post_accumulate_grad_hooks = self._hooks
            tensor.grad = self._gradient

    def _restore_elements(self, copy: torch.Tensor) -> None:
        """Write the elements if they differ: some cannot be written, such as expanded ones."""
        elements = self._memory.elements
        before = copy.to(elements.device)
        if elements.layout == torch.strided and not elements.is_quantized:
            if torch.equal(_bits(elements), _bits(before)):
                return
        elif not self._tensor.is_inference() and self._tensor._version == self._version:
            return
        with torch.inference_mode(elements.is_inference()), torch.no_grad():
            elements.copy_(before)


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements as integers, so that signs of zeros and NaN are compared, too."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.view(_INTEGERS[tensor.element_size()])


class Snapshot:
    """A model as it is, to be restored bit for bit.

    It copies all parameters, buffers and other tensors to host memory, but those of `without`,
    which someone else restores.
    """

    def __init__(self, model: nn.Module, *, without: Iterable[torch.Tensor]) -> None:
        self.parts = Parts(model)
        left_out = {id(one) for one in without}
        for one in without:
            if is_traceable_wrapper_subclass(one):
                left_out |= {id(getattr(one, name)) for name in one.__tensor_flatten__()[0]}
        self._structure = Structure(self.parts)
        self._tensors = [
            KeptTensor(one, copies=id(one) not in left_out) for one in self.parts.tensors
        ]
        self._arrays = [(one, np.array(one)) for one in self.parts.arrays]
        self._generators = [put_back for one in self.parts.others for put_back in _generators(one)]

    def suspend(self) -> None:
        """Take gradients and hooks of the tensors away."""
        for one in self._tensors:
            one.suspend()

    def restore(self) -> None:
        """Put all back, also if one of them fails."""
        with ExitStack() as stack:
            for put_back in self._generators:
                stack.callback(put_back)
            for array, before in self._arrays:
                stack.callback(_restore_array, array, before)
            for one in self._tensors:
                stack.callback(one.restore)
            stack.callback(self._structure.restore)


def _restore_array(array: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> None:
    if array.tobytes() != before.tobytes():
        np.copyto(array, before)


def _generators(value: object) -> Iterator[Callable[[], None]]:
    """What restores a random number generator; nothing for other objects."""
    if isinstance(value, torch.Generator):
        before = value.get_state()
        yield lambda: (value.set_state(before), None)[1]
    elif isinstance(value, random.Random):
        yield partial(value.setstate, value.getstate())
    elif isinstance(value, np.random.RandomState):
        yield partial(value.set_state, value.get_state())
    elif isinstance(value, np.random.Generator):
        state = value.bit_generator.state
        yield lambda: setattr(value.bit_generator, "state", state)
