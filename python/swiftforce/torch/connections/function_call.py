"""A call of a torch function, as `__torch_function__` receives it during liveness analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import resolve_name

from swiftforce.torch.liveness import Liveness, UnknownPathError, map_tensors


@dataclass(frozen=True)
class FunctionCall:
    """A call of a torch function.

    Attributes
    ----------
    live : Liveness
        What is known of the tensors.
    function : callable
        The function, method or attribute getter.
    args, kwargs : tuple, dict
        Its arguments.
    """

    live: Liveness
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the function, or of the getter's attribute, without outer underscores."""
        name: str = getattr(self.function, "__name__", "")
        if name == "__get__":
            name = self.function.__self__.__name__  # type: ignore[attr-defined]
        return name.strip("_")

    @property
    def in_place(self) -> bool:
        """Whether it writes its first argument: ``add_``, ``__iadd__``, ``relu(inplace=True)``."""
        if self.kwargs.get("inplace"):
            return True
        name: str = getattr(self.function, "__name__", "")
        if name.startswith("__"):
            return name in {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"}
        return name.endswith("_")

    @property
    def tensor(self) -> torch.Tensor:
        """The first argument, which must be a tensor."""
        tensor: torch.Tensor = self.args[0] if self.args else self.kwargs["input"]
        return tensor

    def pair(self) -> tuple[Any, Any]:
        """The first two arguments."""
        first, second = self.arguments("input", "other")
        if first is None or second is None:
            raise self.unknown_path()
        return first, second

    def rerun(self, by: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401
        """The result of the call, without gradients, for other tensors as arguments."""
        args, kwargs = map_tensors((self.args, dict(self.kwargs)), by)
        with torch.no_grad():
            return self.function(*args, **kwargs)

    def arguments(self, *names: str) -> tuple[Any, ...]:
        """The first arguments, by their names; None for each that is not given."""
        given = dict(zip(names, self.args, strict=False)) | dict(self.kwargs)
        return tuple(given.get(name) for name in names)

    def unknown_path(self) -> UnknownPathError:
        """The error for a call that no rule covers."""
        name = resolve_name(self.function) or getattr(self.function, "__name__", self.function)
        return UnknownPathError(f"effective_density has no rule for {name} as the model calls it")

    def result(self, out: torch.Tensor, support: torch.Tensor | None = None) -> torch.Tensor:
        """Record the result of a rule: live if it has a support, else a mask.

        A call in place writes it to the first argument.
        """
        live = self.live
        if self.in_place:
            target = self.args[0]
            if support is not None:
                if live.is_mask(target):
                    raise self.unknown_path()
                if not live.is_live(target):
                    live.make_live(target)
                live.support(target).copy_(support)
            out = target.copy_(out)
        if support is None:
            live.set_mask(out)
        elif not self.in_place:
            if out.stride() != support.stride():  # A view of one must be a view of the other.
                out = torch.empty_strided(
                    out.shape, support.stride(), dtype=out.dtype, device=out.device
                ).copy_(out)
            live.set_live(out, support)
        return out


#: A propagation rule: from a call to its result.
Rule = Callable[[FunctionCall], Any]
