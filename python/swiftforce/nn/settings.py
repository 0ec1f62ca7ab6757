"""Settings of training and scoring: checked, and refused with a message that names the value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, NamedTuple, get_args

from swiftforce.errors import HyperparameterError
from swiftforce.inputs import LossName, case_names, case_number, check_seed, integer

#: What batch normalisation takes its statistics from: the batch, or the running statistics.
Mode = Literal["train", "eval"]
#: Of float32, in which the core computes.
_LARGEST = 3.4028234663852886e38


@dataclass(frozen=True)
class TrainingSettings:
    """Checked settings of stochastic gradient descent, as `Network.fit` describes them."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    milestones: tuple[int, ...]
    gamma: float
    seed: int

    @classmethod
    def checked(
        cls,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        milestones: Sequence[int],
        gamma: float,
        seed: int,
    ) -> TrainingSettings:
        """The settings of these numbers.

        Raises
        ------
        HyperparameterError, SeedError
        """
        if integer(epochs, "epochs", HyperparameterError) < 0:
            raise HyperparameterError(f"epochs must not be negative, not {epochs}")
        settings = cls(
            epochs=epochs,
            batch_size=at_least_one(batch_size, "batch_size"),
            learning_rate=_not_negative(learning_rate, "learning_rate"),
            momentum=_not_negative(momentum, "momentum"),
            weight_decay=_not_negative(weight_decay, "weight_decay"),
            milestones=tuple(
                integer(milestone, "a milestone", HyperparameterError) for milestone in milestones
            ),
            gamma=_not_negative(gamma, "gamma"),
            seed=check_seed(seed),
        )
        for epoch in {0, *settings.milestones}:
            if 0 <= epoch < epochs and not settings.rate(epoch) <= _LARGEST:
                raise HyperparameterError(
                    f"the learning rate of epoch {epoch + 1} would be {settings.rate(epoch)}: "
                    "lower learning_rate or gamma"
                )
        return settings

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        passed = sum(epoch >= milestone for milestone in self.milestones)
        try:
            return self.learning_rate * self.gamma**passed
        except OverflowError:
            return math.inf


class ScoringLoss(NamedTuple):
    """A loss that gradients are taken of, as the core takes it.

    Attributes
    ----------
    kind : int
        Its position among the core's losses.
    temperature : float
        Divides the logits of the cross entropy.
    """

    kind: int
    temperature: float

    @classmethod
    def checked(cls, loss: LossName, temperature: float) -> ScoringLoss:
        """The loss of this name.

        Raises
        ------
        UnknownNameError, HyperparameterError
        """
        kind = case_number("loss", loss)
        if isinstance(temperature, bool) or not isinstance(temperature, Real):
            raise HyperparameterError(f"temperature must be a number, not {temperature!r}")
        value = float(temperature)
        # float32 must hold the factor of the logits.
        if not 1 / _LARGEST <= value <= _LARGEST:
            raise HyperparameterError(f"temperature must be above 0 and finite, not {value}")
        if value != 1 and case_names("loss")[kind] != "cross_entropy":
            raise HyperparameterError(
                f"temperature is for the cross entropy, and would only scale {loss}: "
                "pass loss='cross_entropy', or leave temperature out"
            )
        return cls(kind, value)


def uses_running_statistics(mode: Mode) -> bool:
    """Whether batch normalisation uses its running statistics in this mode.

    Raises
    ------
    HyperparameterError
        If there is no such mode.
    """
    if mode not in get_args(Mode):
        raise HyperparameterError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    return mode == "eval"


def at_least_one(value: int, name: str) -> int:
    """An integer of at least 1.

    Raises
    ------
    HyperparameterError
    """
    if integer(value, name, HyperparameterError) < 1:
        raise HyperparameterError(f"{name} must be at least 1, not {value}")
    return value


def _not_negative(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise HyperparameterError(f"{name} must be finite and not negative, not {value!r}")
    return float(value)
