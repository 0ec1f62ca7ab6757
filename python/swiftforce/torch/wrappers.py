"""Wrappers around a model: what is inside them, and what they add to the names of parameters.

Wrappers of other packages are recognised by the modules of their classes, which are not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel

#: Prefixes that wrappers add to the names of parameters.
WRAPPERS = ("module.", "_orig_mod.")
_TORCH = (nn.parallel.DistributedDataParallel, nn.DataParallel, AveragedModel)
#: Entries that wrappers add to a state beside the parameters.
ENTRIES = ("n_averaged",)


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside all of its wrappers.

    Wrappers are those of DistributedDataParallel, DataParallel, torch.compile and AveragedModel,
    Fabric's, the averages of timm, and engines such as DeepSpeed's. Models that accelerate has
    prepared are wrapped by those of torch alone.
    """
    while (inner := _inside(model)) is not None:
        model = inner
    return model


def parallel_of(model: nn.Module) -> nn.parallel.DistributedDataParallel | None:
    """The DistributedDataParallel around a model, whatever else wraps it; None without one."""
    while not isinstance(model, nn.parallel.DistributedDataParallel):
        inner = model._forward_module if _is_fabric(model) else _inside(model)
        if not isinstance(inner, nn.Module):
            return None
        model = inner
    return model


def scored(model: nn.Module) -> nn.Module:
    """The module whose forward pass is scored: it computes what the model does.

    DistributedDataParallel is left out: it expects a backward pass of its own. So are the hooks of
    Fabric that refuse a backward pass other than Fabric's. Its precision is not.
    """
    outer = model
    while (inner := _inside(model)) is not None:
        if _is_fabric(model):
            return _Fabric(model)
        if isinstance(model, nn.parallel.DistributedDataParallel):
            return inner
        model = inner
    return outer


def _inside(model: nn.Module) -> nn.Module | None:
    """The module that a wrapper wraps; None if `model` is no wrapper."""
    inner = getattr(model, "_orig_mod", None)  # that of torch.compile
    is_average = _is_of(model, "timm", "ModelEmaV2") or _is_of(model, "timm", "ModelEmaV3")
    is_of_fabric = _is_fabric(model) or isinstance(model, _Fabric)
    if isinstance(model, _TORCH) or is_of_fabric or is_average or _is_engine(model):
        inner = getattr(model, "module", None)
    return inner if isinstance(inner, nn.Module) else None


def _is_fabric(model: nn.Module) -> bool:
    packages = ("lightning", "lightning_fabric")
    return any(_is_of(model, package, "_FabricModule") for package in packages)


def _is_engine(model: nn.Module) -> bool:
    """Whether a module trains the one that it wraps, as DeepSpeed's engine does."""
    packages = ("lightning", "pytorch_lightning")
    if any(_is_of(model, package, "LightningModule") for package in packages):
        return False  # It has a method backward, and many have one called step.
    return all(callable(getattr(model, name, None)) for name in ("backward", "step"))


def _is_of(model: nn.Module, package: str, name: str) -> bool:
    """Whether a module is an instance of a package's class of that name."""
    return any(
        base.__name__ == name and (base.__module__ + ".").startswith(package + ".")
        for base in type(model).__mro__
    )


class _Fabric(nn.Module):
    """A model of Fabric without the hooks that refuse a backward pass other than Fabric's."""

    def __init__(self, wrapper: Any) -> None:  # noqa: ANN401 - a class of another package
        super().__init__()
        self.module = wrapper.module
        self._precision = wrapper._strategy.precision
        self._methods = frozenset(getattr(wrapper, "_forward_methods", ()))

    def forward(self, *inputs: Any, **named: Any) -> Any:  # noqa: ANN401 - those of the model
        return self._call(self.module, *inputs, **named)

    def _call(self, function: Callable[..., Any], *inputs: Any, **named: Any) -> Any:  # noqa: ANN401
        inputs, named = self._precision.convert_input((inputs, named))
        with self._precision.forward_context():
            output = function(*inputs, **named)
        return self._precision.convert_output(output)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the model
        try:
            return super().__getattr__(name)
        except AttributeError:
            found = getattr(super().__getattr__("module"), name)
        # Fabric treats these methods, such as training_step, as forward passes.
        return partial(self._call, found) if name in self._methods else found
