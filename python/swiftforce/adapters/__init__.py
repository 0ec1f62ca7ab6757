"""What adapters of frameworks and checkpoints share: which arrays are pruned, and batches.

`names` says what an array is by its name, its shape and its neighbours, `reasons` why it is pruned
or left out, `choice` decides with the caller's `patterns`, `batches` begin again after the last,
and `given_scores` checks scores of the caller's own.

Nothing here knows a framework: adapters say what they know of their arrays.
"""

from swiftforce.adapters.batches import PeekedBatches, endless
from swiftforce.adapters.choice import Candidate, Decision, choose
from swiftforce.adapters.given_scores import check_given_scores
from swiftforce.adapters.names import NameRule, is_weight
from swiftforce.adapters.patterns import Patterns, as_patterns, listed, matches, matching
from swiftforce.adapters.reasons import NO_PARAMETERS, Reason

__all__ = [
    "Candidate",
    "Decision",
    "NO_PARAMETERS",
    "NameRule",
    "Patterns",
    "PeekedBatches",
    "Reason",
    "as_patterns",
    "check_given_scores",
    "choose",
    "endless",
    "is_weight",
    "listed",
    "matches",
    "matching",
]
