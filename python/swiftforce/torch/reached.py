"""Which parameters the loss has depended on so far, and why it has not on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from swiftforce.distributed import Communicator
from swiftforce.errors import MissingGradientsError
from swiftforce.torch.eager import eager

_NAMED = 3


class Reached:
    """Collects which parameters had a gradient in some batch of a search.

    A weight that one batch does not reach (an expert, a layer dropped by chance) has a gradient of
    zero for that batch. A weight that no batch reaches is an error: it would be removed only
    because nothing was measured.

    Parameters
    ----------
    names : iterable of str
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._reached = np.zeros(len(self._names), np.int64)

    def add(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Record the gradients of a batch, None where there is none."""
        self._reached |= [one is not None for one in gradients]

    def add_all(self) -> None:
        """Take all parameters as reached: earlier steps, of a search that is resumed, did it."""
        self._reached[:] = 1

    def missing(self, communicators: Iterable[Communicator] = ()) -> list[str]:
        """The parameters that no batch of any rank has reached; the same on all ranks."""
        total = self._reached.copy()
        for communicator in communicators:
            communicator.sum_integers(total)
        return [name for name, count in zip(self._names, total, strict=True) if not count]


def unreached_error(
    names: Sequence[str],
    parameters: Mapping[str, nn.Parameter],
    compute: Callable[[], Any] | None,
) -> MissingGradientsError:
    """The error for parameters that no batch has reached.

    Parameters
    ----------
    names : sequence of str
        Of the parameters that were not reached.
    parameters : mapping of name to nn.Parameter
    compute : callable, optional
        Computes the loss of the last batch once more, to see how it uses them.
    """
    shown = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        shown += f" and {len(names) - _NAMED} more"
    if compute is None:
        return MissingGradientsError(f"no batch gave a gradient to {shown}")
    watched = _Uses([parameters[name] for name in names])
    with watched, eager():
        compute()
    if watched.with_gradients:
        return MissingGradientsError(
            f"the model uses {shown}, but the loss does not depend on it: what is computed from it "
            "is detached, rounded or compared on the way to the loss"
        )
    if watched.without_gradients:
        return MissingGradientsError(
            f"the model uses {shown} only where gradients are off: under torch.no_grad, or in a "
            "torch.utils.checkpoint with use_reentrant=True whose inputs need no gradient: pass "
            "use_reentrant=False"
        )
    return MissingGradientsError(
        f"no batch of the search has used {shown}: if the model never does, exclude it; if batches "
        "are routed (experts) or layers are dropped by chance, use more steps or batches_per_step"
    )


class _Uses(TorchFunctionMode):
    """Sees which functions get one of some tensors as an argument."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._watched = {id(one) for one in tensors}
        self.with_gradients = self.without_gradients = False

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        given = (*args, *(kwargs or {}).values())
        flat = [
            part for one in given for part in (one if isinstance(one, (list, tuple)) else [one])
        ]
        # Getters, such as that of a shape, are no use.
        if func.__name__ != "__get__" and any(id(one) in self._watched for one in flat):
            if torch.is_grad_enabled():
                self.with_gradients = True
            else:
                self.without_gradients = True
        return func(*args, **(kwargs or {}))
