"""FORCE as published, on torch: an independent version of a step of the authors' code.

A step copies the network, multiplies masks into its weights, and computes gradients of a batch. It
puts all scores into one tensor, sorts them to find the threshold, and keeps scores that reach it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch

NAME = "FORCE's own algorithm on torch"
#: Largest share of the weights kept that may differ by rounding.
ROUNDING = 0.001


class Reference:
    """A search, step by step.

    Parameters
    ----------
    dense : torch.nn.Module
        With the initial weights; it is copied and never changed.
    names : iterable of str
        Names of the parameters to prune.
    weights_return : bool
        Whether removed weights compete again, as in FORCE, or not, as in Iterative SNIP.

    Attributes
    ----------
    scores : dict of str to torch.Tensor
        Scores of the last step; empty before the first.
    masks : dict of str to torch.Tensor
        Masks of the last step: 1 where a weight is kept, else 0.
    """

    def __init__(
        self, dense: torch.nn.Module, names: Iterable[str], *, weights_return: bool = True
    ) -> None:
        self._dense = dense
        self._weights = {name: dense.get_parameter(name).detach() for name in names}
        self._weights_return = weights_return
        self.scores: dict[str, torch.Tensor] = {}
        self.masks: dict[str, torch.Tensor] = {}

    def step(self, x: torch.Tensor, y: torch.Tensor, keep: int) -> dict[str, torch.Tensor]:
        """Masks that keep `keep` weights, or more if scores tie."""
        network = copy.deepcopy(self._dense)
        for name, mask in self.masks.items():
            network.get_parameter(name).data.mul_(mask)
        torch.nn.functional.cross_entropy(network(x), y).backward()
        self.scores = {
            name: torch.abs(weight * network.get_parameter(name).grad)
            for name, weight in self._weights.items()
        }
        if not self._weights_return:
            for name, mask in self.masks.items():
                self.scores[name] *= mask
        all_scores = torch.cat([torch.flatten(score) for score in self.scores.values()])
        best, _ = torch.topk(all_scores, keep, sorted=True)
        threshold = best[-1]
        self.masks = {name: (score >= threshold).float() for name, score in self.scores.items()}
        return self.masks


def check_agreement(ours: Mapping[str, torch.Tensor], reference: Reference, keep: int) -> None:
    """Check the number of weights kept, and compare the masks with the reference's except at ties.

    Raises
    ------
    RuntimeError
        If the masks are wrong.
    """
    if sum(int(mask.sum()) for mask in ours.values()) != keep:
        raise RuntimeError(f"swiftforce does not keep {keep} weights")
    expected = {name: mask > 0 for name, mask in reference.masks.items()}
    scores = reference.scores
    threshold = min(scores[name][mask].min() for name, mask in expected.items() if mask.any())
    differ = sum(
        int(((mask != ours[name]) & (scores[name] != threshold)).sum())
        for name, mask in expected.items()
    )
    if differ > ROUNDING * keep:
        raise RuntimeError(f"the masks of swiftforce and of {NAME} differ")
