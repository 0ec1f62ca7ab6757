"""Other tensors in place of a model's own, for as long as something is computed with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from swiftforce.errors import UnsupportedTypeError
from swiftforce.torch.containers import contents, put
from swiftforce.torch.snapshot import Parts, Structure, attributes, set_attribute


@contextmanager
def replaced_tensors(
    model: nn.Module, replace: Callable[[torch.Tensor], torch.Tensor], what: str
) -> Iterator[None]:
    """Put other tensors into a model, wherever it refers to its own, and take them out at the end.

    Each place is written once, also if several names lead to it, and all attributes and containers
    come back as they were, so that what the model has cached inside is dropped. The backward pass
    belongs inside, too: activation checkpointing computes from the parameters once more.
    `torch.func.functional_call` does none of this. If an interrupt ends the restoration, that of
    the `ModelState` around it finishes it.

    Parameters
    ----------
    model : nn.Module
    replace : callable
        From a tensor of the model (parameter, buffer or other) to the one in its place; the same
        one if it stays.
    what : str
        What is computed, for messages.

    Raises
    ------
    UnsupportedTypeError
        If a scripted module has tensors to be replaced, which its code would not see.
    """
    parts = Parts(model)
    structure = Structure(parts)
    new = {id(one): replace(one) for one in parts.tensors}
    for one in parts.objects:
        if isinstance(one, torch.jit.ScriptModule) and any(
            new[id(own)] is not own for own in (*one.parameters(), *one.buffers())
        ):
            raise UnsupportedTypeError(
                f"{what} computes with other weights in place of the model's own, which the "
                f"scripted module {one.original_name} cannot have: pass the model before "
                "torch.jit.script"
            )
    try:
        for one in parts.objects:
            for name, value in attributes(one).items():
                if (other := _changed(value, new)) is not value:
                    set_attribute(one, name, other)
        for container in parts.containers:
            before = contents(container)
            held = [_changed(one, new) for one in before]  # Of a dictionary, pairs.
            if any(a is not b for a, b in zip(held, before, strict=True)):
                put(container, held)
        yield
    finally:
        structure.restore()


def _changed(value: Any, new: dict[int, torch.Tensor]) -> Any:  # noqa: ANN401
    if isinstance(value, torch.Tensor):
        return new.get(id(value), value)
    if isinstance(value, tuple):
        parts = [_changed(one, new) for one in value]
        if any(a is not b for a, b in zip(parts, value, strict=True)):
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
