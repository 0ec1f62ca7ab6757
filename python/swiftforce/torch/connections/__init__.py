"""Which kept weights of a model lie on a path from its input to its output.

A model is called on numbers that say whether a path leads to them. `rules` has the functions of
torch that pass this on; what those are for, and what is counted, is in `effective`.
"""

from swiftforce.torch.connections.effective import effective_density

__all__ = ["effective_density"]
