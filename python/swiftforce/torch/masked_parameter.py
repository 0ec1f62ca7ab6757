"""A parameter and its mask: what is cleared, and the hook that clears its gradient."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from swiftforce.errors import StructureError
from swiftforce.torch.sharded import is_sharded, sharded_as

#: The attribute of a module that holds its hooks.
ATTRIBUTE = "_swiftforce_mask_hooks"
#: Marks a parameter whose gradient is hooked. `torch.utils.swap_tensors`, by which a model may be
#: converted, moves attributes with the memory that they belong to, but leaves the table of hooks.
MARK = "_swiftforce_is_hooked"


class MaskedParameter:
    """A parameter and its mask. The parameter is looked up by name each time: it may be replaced.

    It refers to the module's dictionary of parameters rather than to the module: a deep copy then
    refers to that of the module's copy, whichever object is copied first.

    Parameters
    ----------
    parameters : dict
        The parameters of the module itself.
    name : str
        The name of the parameter in the module.
    label : str
        Its name in the model, for messages.
    removed : bool tensor
        True where a weight is removed, in the shape of the parameter.
    freezes : bool
        Whether such weights keep their values, and only their training is what is removed.

    Attributes
    ----------
    is_sparse : bool
        Whether the module holds the kept values alone (`sparsify`), so that nothing is cleared.
    elsewhere : MaskedParameter, optional
        The same parameter in another module, which has the mask as well.
    optimizer_hooks : list of RemovableHandle
        Hooks of optimizers that clear the parameter.
    copies : list of tensor
        What optimizers train in its place, of a parameter that is partly frozen.
    """

    def __init__(
        self,
        parameters: dict[str, nn.Parameter | None],
        name: str,
        label: str,
        removed: torch.Tensor,
        *,
        is_sparse: bool = False,
        freezes: bool = False,
    ) -> None:
        self._parameters = parameters
        self.name = name
        self.label = label
        self.removed = removed
        self.is_sparse = is_sparse
        self.freezes = freezes
        self.copies: list[torch.Tensor] = []
        self.elsewhere: MaskedParameter | None = None
        self.optimizer_hooks: list[RemovableHandle] = []
        self._hook: RemovableHandle | None = None

    def __reduce__(self) -> tuple[Callable[..., MaskedParameter], tuple[Any, ...]]:
        make = partial(MaskedParameter, is_sparse=self.is_sparse, freezes=self.freezes)
        return make, (self._parameters, self.name, self.label, self.removed)

    def __setstate__(self, state: object) -> None:
        """Refuse what an earlier version pickled: its masks were buffers."""
        raise StructureError(
            "this model was saved as a whole by an earlier version of swiftforce: load it with "
            "that version, and save model.state_dict(), which this version reads"
        )

    @property
    def parameter(self) -> nn.Parameter | None:
        """The current parameter; None if there is none of its name that the mask fits."""
        found = self._parameters.get(self.name)
        return found if found is not None and self.fits(found) else None

    def fits(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor holds weights in the mask's shape: whole numbers are codes of weights.

        A code of 0 need not mean zero, and whole numbers have no gradient that could be hooked.
        """
        return tensor.shape == self.removed.shape and holds_weights(tensor)

    def is_trained_with(self, tensors: Container[int]) -> bool:
        """Whether one of these tensors, by their ids, is a parameter of the module.

        So it is if the module has no parameter of the name any more: another one may have it.
        """
        gone = self._parameters.get(self.name) is None
        own = (*self._parameters.values(), *self.copies)
        return gone or any(id(one) in tensors for one in own)

    @property
    def parameter_anywhere(self) -> nn.Parameter | None:
        """The current parameter; that of another module if this one has it no longer."""
        found = self.parameter
        if found is None and self.elsewhere is not None:
            return self.elsewhere.parameter_anywhere
        return found

    @property
    def is_lost(self) -> bool:
        """Whether the module has no parameter any more that the mask is for."""
        return self.parameter is None and not self.is_sparse

    @property
    def kept(self) -> int:
        """How many weights the mask keeps."""
        return self.removed.numel() - int(self.removed.sum())

    @property
    def mask(self) -> torch.Tensor:
        """The mask, as a new tensor: True where a weight is kept."""
        return ~self.removed

    @property
    def is_hooked(self) -> bool:
        """Whether the gradient of the current parameter is hooked, or need not be."""
        if self.is_sparse:
            return True
        found = self._parameters.get(self.name)
        if found is None or self._hook is None:
            return False
        hooks = found._post_accumulate_grad_hooks
        return hooks is not None and self._hook.id in hooks and MARK in found.__dict__

    def clear_weights(self, tensor: torch.Tensor) -> None:
        """Set weights to zero where they are removed; those that are frozen stay."""
        if not self.freezes:
            self.clear(tensor)

    def restore(self, tensor: torch.Tensor, before: torch.Tensor) -> None:
        """Give a tensor its earlier values back where weights are frozen."""
        frozen = self.removed.to(tensor.device)
        with torch.no_grad():
            if _is_float8(tensor):  # torch selects none of them.
                tensor, before = tensor.view(torch.uint8), before.view(torch.uint8)
            tensor.copy_(torch.where(frozen, before, tensor))

    def clear(self, tensor: torch.Tensor) -> None:
        """Set a tensor to zero where weights are removed; a product would leave NaN behind."""
        if tensor.is_meta:
            return
        clear(tensor, self.removed.to(tensor.device))

    def clear_gradient(self, parameter: torch.Tensor) -> None:
        """Clear the gradient of a parameter that was just computed."""
        gradient = parameter.grad
        if gradient is None:
            return
        if not parameter.is_meta:
            self.removed = self.removed.to(parameter.device)  # The model may have been moved.
        if not gradient.is_sparse:
            self.clear(gradient)
            return
        gradient = gradient.coalesce()
        rows = tuple(gradient.indices())
        gradient.values().masked_fill_(self.removed[rows], 0)
        parameter.grad = gradient

    def hook_gradient(self, parameter: nn.Parameter) -> None:
        """Hook the gradient of a parameter, even a frozen one, which may be trained later."""
        self.unhook()
        if parameter._post_accumulate_grad_hooks is not None:
            # After a swap of its memory, torch has forgotten the table of hooks.
            parameter._post_accumulate_grad_hooks = parameter._post_accumulate_grad_hooks
        is_trained = parameter.requires_grad
        parameter.requires_grad_(True)
        self._hook = parameter.register_post_accumulate_grad_hook(self.clear_gradient)
        parameter.requires_grad_(is_trained)
        setattr(parameter, MARK, True)
        # Move it to the front: hooks run in the order of the dict, and others may use the gradient.
        hooks = parameter._post_accumulate_grad_hooks
        others = {number: other for number, other in hooks.items() if number != self._hook.id}
        for number in others:
            del hooks[number]
        hooks.update(others)

    def unhook(self) -> None:
        """Remove the hook of the gradient."""
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = None
        parameter = self._parameters.get(self.name)
        if parameter is not None and not masked_by(parameter):
            parameter.__dict__.pop(MARK, None)

    def adopted(self, module: nn.Module, name: str) -> MaskedParameter:
        """The same parameter in another module, or by another name, where it takes this place."""
        adopted = MaskedParameter(
            module._parameters, name, self.label, self.removed, freezes=self.freezes
        )
        adopted.optimizer_hooks = self.optimizer_hooks
        adopted.copies = self.copies
        self.elsewhere = adopted
        return adopted

    def attach(self, parameter: nn.Parameter) -> None:
        """Hook the gradient of a parameter, and clear the parameter and the gradient it has."""
        if is_sharded(self.removed) and not is_sharded(parameter):
            return  # fully_shard puts whole parameters in place of its shards for a while.
        self.removed = sharded_as(self.removed, parameter)
        if not parameter.is_meta:
            self.removed = self.removed.to(parameter.device)
        self.clear_weights(parameter)
        self.clear_gradient(parameter)
        self.hook_gradient(parameter)


def clear(tensor: torch.Tensor, removed: torch.Tensor) -> None:
    """Set a tensor to zero where another is True."""
    with torch.no_grad():
        if _is_float8(tensor):  # torch fills none of them; zero has no bits set.
            tensor = tensor.view(torch.uint8)
        tensor.masked_fill_(removed, 0)


def _is_float8(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() == 1


def holds_weights(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds floating-point or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def masked_by(parameter: torch.Tensor) -> list[MaskedParameter]:
    """What clears the gradient of a parameter: one for each module that it has a mask in."""
    hooks = getattr(parameter, "_post_accumulate_grad_hooks", None) or {}
    owners = (getattr(hook, "__self__", None) for hook in hooks.values())
    return [one for one in owners if isinstance(one, MaskedParameter)]
