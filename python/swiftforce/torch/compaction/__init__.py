"""Smaller dense models of masked ones: which channels are removed, and how the modules change.

`traced_graph` follows a model's operations, `table` has the rule of each, `plan` decides from them
which channels go, and `rewriting` and `optimizers` take them out of parameters and their state.
What a mask in use is does not belong here (`swiftforce.torch.sparse`).
"""

from swiftforce.torch.compaction.compacting import compact
from swiftforce.torch.compaction.removed import CompactedLayer, Compaction

__all__ = ["CompactedLayer", "Compaction", "compact"]
