"""Masks for PyTorch: found for a model, kept while it is trained.

Two lines in a training script, after the model, the batches and the optimizer are made:

    pruning = sft.prune(model, batches, sft.losses.target_logit, sparsity=0.99)
    sft.apply(model, pruning, optimizer)

This package only translates between torch models and the core: it computes gradients, restores the
model after a search, and keeps removed weights at zero. How a mask is selected does not belong
here, and neither does anything that works without torch.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("swiftforce.torch needs PyTorch: pip install 'swiftforce[torch]'") from None

from swiftforce.torch import losses
from swiftforce.torch.checks import invert, overlap, shuffle
from swiftforce.torch.compaction import CompactedLayer, Compaction, compact
from swiftforce.torch.connections import effective_density
from swiftforce.torch.delta import load_delta, save_delta
from swiftforce.torch.export import export, to_csr
from swiftforce.torch.finetune import finetune
from swiftforce.torch.multiply_adds import multiply_adds
from swiftforce.torch.packed import PackedState, load_packed, save_packed
from swiftforce.torch.parameters import prunable
from swiftforce.torch.progressive_methods import force, iterative_snip
from swiftforce.torch.pruning import ModelPruning, load
from swiftforce.torch.pruning_methods import prune
from swiftforce.torch.scoring import methods
from swiftforce.torch.shira import shira_mask_fn
from swiftforce.torch.sparse import apply, remove, to_torch_prune
from swiftforce.torch.sparsify import ModelPlan, desparsify, sparsify
from swiftforce.torch.state_files import read_state as read_state
from swiftforce.torch.state_files import write_state as write_state
from swiftforce.torch.states import masks, masks_of_zeros, strip

__all__ = [
    "CompactedLayer",
    "Compaction",
    "ModelPlan",
    "ModelPruning",
    "PackedState",
    "apply",
    "compact",
    "desparsify",
    "effective_density",
    "export",
    "finetune",
    "force",
    "invert",
    "iterative_snip",
    "load",
    "load_delta",
    "load_packed",
    "losses",
    "masks",
    "masks_of_zeros",
    "methods",
    "multiply_adds",
    "overlap",
    "prunable",
    "prune",
    "remove",
    "save_delta",
    "save_packed",
    "shira_mask_fn",
    "shuffle",
    "sparsify",
    "strip",
    "to_csr",
    "to_torch_prune",
]


def __dir__() -> list[str]:
    return sorted(__all__)
