"""Masks for PyTorch: found for a model, kept while it is trained.

Two lines in a training script, where model, batches and optimizer are there already:

    pruning = sft.prune(model, batches, loss=F.cross_entropy, method="force", sparsity=0.99)
    sft.apply(model, pruning, optimizer)
"""

from swiftforce.torch.checks import invert, shuffle
from swiftforce.torch.effective import effective_density
from swiftforce.torch.parameters import prunable
from swiftforce.torch.pruning import ModelPruning, prune
from swiftforce.torch.scoring import methods
from swiftforce.torch.sparse import apply, masks, remove, to_torch_prune

__all__ = [
    "ModelPruning",
    "apply",
    "effective_density",
    "invert",
    "masks",
    "methods",
    "prunable",
    "prune",
    "remove",
    "shuffle",
    "to_torch_prune",
]
