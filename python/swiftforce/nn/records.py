"""What training and evaluation report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass of training over the samples.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss, accuracy : float
        Means over the batches, each measured before its step.
    learning_rate : float
        Of this epoch.
    """

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy on samples.

    Attributes
    ----------
    loss : float
        Mean cross entropy.
    correct : int
        Samples whose largest output is at the label.
    count : int
        All samples.
    """

    loss: float
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """Share of correct samples."""
        return self.correct / self.count
