"""What is known of the channels of a value before a model runs, and where it is known from.

A channel is an index along one axis of a tensor: an output channel of a convolution, a feature of a
linear layer. It is *known* if it has the same value for all inputs, at all positions, in train mode
and in eval mode, and training does not change it. In training only zero is such a value: a weight
that reads another constant gets a gradient.

A channel is *held* if it is a constant that is never positive and that a ReLU alone reads. Its
value is a bias, or the shift of a batch norm, which gets a gradient only from there; and a ReLU has
the gradient zero at zero and below. So the channel after the ReLU is known: it is zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.optim import Optimizer

from swiftforce.torch.mask_hooks import state_of


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a tensor.

    Attributes
    ----------
    axis : int
        The axis that they are counted along.
    value : float64 tensor of shape (channels,)
        Of the known channels; NaN for others.
    held : bool tensor of shape (channels,)
        True for channels that are held.
    """

    axis: int
    value: torch.Tensor
    held: torch.Tensor

    @classmethod
    def unknown(cls, axis: int, size: int) -> Channels:
        """Channels that all depend on the input or are trained."""
        return cls.of(axis, torch.full((size,), torch.nan, dtype=torch.float64))

    @classmethod
    def of(cls, axis: int, value: torch.Tensor, held: torch.Tensor | None = None) -> Channels:
        """Channels of these values."""
        value = value.masked_fill(~value.isfinite(), torch.nan)
        nothing = torch.zeros(len(value), dtype=torch.bool)
        return cls(axis, value, nothing if held is None else held & value.isnan())

    @property
    def size(self) -> int:
        """The number of channels."""
        return len(self.value)

    @property
    def known(self) -> torch.Tensor:
        """True for known channels."""
        return ~self.value.isnan()

    @property
    def zero(self) -> torch.Tensor:
        """True for channels known to be zero."""
        return self.value == 0


class Facts:
    """What the analysis knows of parameters: which weights are kept, which biases are at rest.

    Parameters
    ----------
    model : fx.GraphModule
        The traced copy of the model.
    trained : mapping of str to parameter
        The parameters of the original model, which optimizers train, by name.
    masks : mapping of str to bool tensor
        The masks of the model.
    prunable : iterable of str
        Names of the weights that may be masked, for a model without masks.
    optimizers : iterable of Optimizer
        Those that train the model.
    inference : bool
        Whether training is over. All values are constants then, and a weight that is zero is as
        good as removed.
    """

    def __init__(
        self,
        model: fx.GraphModule,
        trained: Mapping[str, nn.Parameter],
        masks: Mapping[str, torch.Tensor],
        prunable: Iterable[str],
        optimizers: Iterable[Optimizer],
        *,
        inference: bool,
    ) -> None:
        self.model = model
        self.inference = inference
        self._masks = masks
        self._prunable = frozenset(prunable)
        self._optimizers = tuple(optimizers)
        self._trained = trained
        self._calls = Counter(
            str(node.target) for node in model.graph.nodes if node.op == "call_module"
        )
        self._owners = Counter(
            id(parameter)
            for module in model.modules()
            for parameter in module._parameters.values()
            if parameter is not None
        )
        for node in model.graph.find_nodes(op="get_attr"):
            path, _, own = str(node.target).rpartition(".")
            self._owners[id(getattr(model.get_submodule(path), own))] += 1

    def kept(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """True where a weight is kept, in its shape."""
        if not self.inference and self._masks:
            mask = self._masks.get(name)
            return torch.ones_like(weight, dtype=torch.bool) if mask is None else mask
        if not self.inference and name not in self._prunable:
            return torch.ones_like(weight, dtype=torch.bool)
        return weight.detach() != 0

    def is_called_once(self, target: str) -> bool:
        """Whether a module is called once in a pass."""
        return self._calls[target] == 1

    def is_shared(self, module: nn.Module) -> bool:
        """Whether a parameter of a module is used elsewhere, too."""
        parameters = (one for one in module._parameters.values() if one is not None)
        return any(self._owners[id(one)] > 1 for one in parameters)

    def at_rest(self, name: str) -> torch.Tensor:
        """True where nothing that optimizers remember of a parameter will move it."""
        parameter = self._trained[name]
        resting = torch.ones(parameter.shape, dtype=torch.bool)
        for optimizer in self._optimizers:
            for state in state_of(optimizer, (parameter,)):
                resting &= (state == 0).cpu()
            if _decays_by_gradient(optimizer, parameter):
                resting &= (parameter.detach() == 0).cpu()
        return resting


def _decays_by_gradient(optimizer: Optimizer, parameter: torch.Tensor) -> bool:
    """Whether weight decay is part of the gradient of an optimizer that scales gradients.

    Such as Adam moves a number by its learning rate then, past zero, however small its decay is.
    """
    for group in optimizer.param_groups:
        if group.get("weight_decay") and any(one is parameter for one in group["params"]):
            plain = isinstance(optimizer, (torch.optim.SGD, torch.optim.AdamW))
            return not plain and not group.get("decoupled_weight_decay", False)
    return False
