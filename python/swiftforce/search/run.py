"""A search from its first step to its last: what each function for masks in one call does."""

from __future__ import annotations

from typing import Any

from swiftforce.inputs import Arrays
from swiftforce.result import Pruning
from swiftforce.search.gradients import (
    check_gradients,
    check_objective,
    gradients_at,
    needed_gradients,
)
from swiftforce.search.mask_search import MaskSearch
from swiftforce.search.options import Gradients
from swiftforce.show import bar


def run(
    weights: Arrays,
    gradients: Gradients | Arrays | None,
    *,
    objective: bool = False,
    progress: bool | None = None,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> Pruning[Any]:
    """Search to the end, for a public function, whose caller the warnings point to."""
    search = MaskSearch(weights, **options)
    if objective:
        check_objective(gradients, search.method, needs_gradients=search.needs_gradients)
    if search.needs_gradients or search._scores_are_given:
        are_scores = search._scores_are_given
        check_gradients(gradients, search.method, search.steps, are_scores=are_scores)
    if search.steps == 1 and progress is None:
        progress = False  # A bar of one step would only appear when it is over.
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        if search.needs_gradients:
            of_kept = search._multiplies and search._next_is_nested
            needed = needed_gradients(gradients, of_kept=of_kept)
            search.step(gradients_at(needed, search.masked_weights))
        elif search._scores_are_given:
            search.step(scores=gradients_at(gradients, search.masked_weights))
        else:
            search.step()
    if objective:
        needed = needed_gradients(gradients, of_kept=search._multiplies)
        search.objective(gradients_at(needed, search.masked_weights))
    # No caller holds the search, so its masks need not be copied.
    return search._result(4, copies=False)
