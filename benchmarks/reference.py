"""FORCE as it was published, on torch: what its authors' code does in a step, written anew.

A deep copy of the network, masks multiplied into its weights, gradients of a batch, all scores in
one tensor, sorted to read the smallest that is kept, and masks where a score reaches it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import torch

NAME = "FORCE's own algorithm on torch"
#: Disagreements between masks that rounding may cause, as a share of the weights kept.
ROUNDING = 0.001


class Reference:
    """A search whose loop the caller owns.

    Parameters
    ----------
    dense : torch.nn.Module
        With the initial weights; is copied and never written.
    names : iterable of str
        Its parameters that are pruned.

    Attributes
    ----------
    scores : dict of str to torch.Tensor
        Of the last step; empty before the first.
    masks : dict of str to torch.Tensor
        Of the last step: 1 where a weight is kept, else 0.
    """

    def __init__(self, dense: torch.nn.Module, names: Iterable[str]) -> None:
        self._dense = dense
        self._weights = {name: dense.get_parameter(name).detach() for name in names}
        self.scores: dict[str, torch.Tensor] = {}
        self.masks: dict[str, torch.Tensor] = {}

    def step(self, x: torch.Tensor, y: torch.Tensor, keep: int) -> dict[str, torch.Tensor]:
        """Masks that keep so many weights, or more where scores tie."""
        network = copy.deepcopy(self._dense)
        for name, mask in self.masks.items():
            network.get_parameter(name).data.mul_(mask)
        torch.nn.functional.cross_entropy(network(x), y).backward()
        self.scores = {
            name: torch.abs(weight * network.get_parameter(name).grad)
            for name, weight in self._weights.items()
        }
        everything = torch.cat([torch.flatten(score) for score in self.scores.values()])
        best, _ = torch.topk(everything, keep, sorted=True)
        acceptable = best[-1]
        self.masks = {name: (score >= acceptable).float() for name, score in self.scores.items()}
        return self.masks


def check_agreement(ours: Mapping[str, torch.Tensor], reference: Reference, keep: int) -> None:
    """Compare our masks with the reference's where no score equals the threshold, and count.

    Raises
    ------
    RuntimeError
        If a figure would be that of a wrong mask.
    """
    if sum(int(mask.sum()) for mask in ours.values()) != keep:
        raise RuntimeError(f"swiftforce does not keep {keep} weights")
    wanted = {name: mask > 0 for name, mask in reference.masks.items()}
    scores = reference.scores
    threshold = min(scores[name][mask].min() for name, mask in wanted.items() if mask.any())
    differ = sum(
        int(((mask != ours[name]) & (scores[name] != threshold)).sum())
        for name, mask in wanted.items()
    )
    if differ > ROUNDING * keep:
        raise RuntimeError(f"the masks of swiftforce and of {NAME} differ")
