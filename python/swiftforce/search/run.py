"""A search from its first step to its last: what each function for masks in one call does."""

from __future__ import annotations

from typing import Any

from swiftforce.inputs import Arrays
from swiftforce.result import Pruning
from swiftforce.search.gradients import check_gradients, gradients_at, needed_gradients
from swiftforce.search.mask_search import MaskSearch
from swiftforce.search.options import Gradients
from swiftforce.show import bar


def run(
    weights: Arrays,
    gradients: Gradients | Arrays | None,
    *,
    progress: bool | None = None,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> Pruning[Any]:
    """Search to the end, for a public function, whose caller the warnings point to."""
    search = MaskSearch(weights, **options)
    if search.needs_gradients:
        check_gradients(gradients, search.method, search.steps)
        gradients = needed_gradients(gradients, search.method)
    if search.steps == 1 and progress is None:
        progress = False  # A bar of one step would only appear when it is over.
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        if search.needs_gradients:
            search.step(gradients_at(gradients, search.masked_weights))
        else:
            search.step()
    # No caller holds the search, so its masks need not be copied.
    return search._result(4, copies=False)
