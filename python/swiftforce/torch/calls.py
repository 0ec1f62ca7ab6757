"""A call of one of torch's functions, while paths through a model are followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import resolve_name

from swiftforce.torch.live import Live, UnknownPathError, replaced


@dataclass(frozen=True)
class Call:
    """A call of one of torch's functions.

    Attributes
    ----------
    live : Live
    function : callable
    args, kwargs : tuple, dict
    """

    live: Live
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The function's name without underscores at its ends; of a getter, the attribute's."""
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
        """The first argument, where that is a tensor."""
        tensor: torch.Tensor = self.args[0] if self.args else self.kwargs["input"]
        return tensor

    def pair(self) -> tuple[Any, Any]:
        """The first two arguments."""
        first, second = self.named("input", "other")
        if first is None or second is None:
            raise self.unknown()
        return first, second

    def again(self, by: Callable[[torch.Tensor], torch.Tensor]) -> Any:  # noqa: ANN401
        """The call once more, without gradients, with each tensor that is an argument replaced."""
        args, kwargs = replaced((self.args, dict(self.kwargs)), by)
        with torch.no_grad():
            return self.function(*args, **kwargs)

    def named(self, *names: str) -> tuple[Any, ...]:
        """The first arguments by their names, None where they are not given."""
        given = dict(zip(names, self.args, strict=False)) | dict(self.kwargs)
        return tuple(given.get(name) for name in names)

    def unknown(self) -> UnknownPathError:
        """The error for what no rule is known of."""
        name = resolve_name(self.function) or getattr(self.function, "__name__", self.function)
        return UnknownPathError(
            f"effective_density does not know what {name}, as the model calls it, does to paths"
        )

    def result(self, out: torch.Tensor, twin: torch.Tensor | None = None) -> torch.Tensor:
        """The result of a rule, noted, and written into the first argument where that is meant.

        It is live if it has a twin, and else a mask.
        """
        live = self.live
        if self.in_place:
            target = self.args[0]
            if twin is not None:
                if live.is_mask(target):
                    raise self.unknown()
                if not live.is_live(target):
                    live.adopt(target)
                live.twin(target).copy_(twin)
            out = target.copy_(out)
        if twin is None:
            live.set_mask(out)
        elif not self.in_place:
            if out.stride() != twin.stride():  # views of one are to be views of the other
                out = torch.empty_strided(
                    out.shape, twin.stride(), dtype=out.dtype, device=out.device
                ).copy_(out)
            live.set_twin(out, twin)
        return out


#: What a function does to paths: from a call of it to its result.
Rule = Callable[[Call], Any]
