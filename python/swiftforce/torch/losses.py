"""Losses to score weights by, besides those of torch."""

from __future__ import annotations

import torch
from torch.nn import functional


def target_logit(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The mean over the samples of minus the target's logit.

    The published code of FORCE scores weights by it: it calls the negative log likelihood with the
    logits of the model in place of log probabilities. Such a mask keeps weights that raise the
    targets' logits, whether or not they also raise the others. At 98 % sparsity and more it kept
    paths to all classes where the cross entropy lost some (docs/REPRODUCTION.md), so we recommend
    it for FORCE and Iterative SNIP. It is a loss for scoring, not for training: it has no minimum.

    Parameters
    ----------
    output : tensor, shape (n, classes, ...)
        Logits.
    target : tensor of int64, shape (n, ...)
        The class of each sample, or of each of its places.

    Returns
    -------
    tensor
        A number.

    References
    ----------
    De Jorge, Sanyal, Behl, Torr, Rogez and Dokania, the code of "Progressive Skeletonization:
    Trimming more fat from a network at initialization", github.com/naver/force.

    Examples
    --------
    >>> import torch, swiftforce.torch as sft
    >>> sft.losses.target_logit(torch.tensor([[1.0, 3.0], [2.0, 0.5]]), torch.tensor([1, 0]))
    tensor(-2.5000)
    """
    return functional.nll_loss(output, target)


__all__ = ["target_logit"]
