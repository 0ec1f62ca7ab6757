"""Methods compared over sparsities and seeds: the trials, their results, and tables for papers.

`compare` calls a function for each trial and keeps a row of what it measured, in memory or in a CSV
file that an interrupted comparison goes on with. A `Comparison` makes tables and pictures of them.

What a trial does is the caller's: nothing here knows networks, searches or frameworks. The trials
of the commands ``demo`` and ``figure`` are in `swiftforce.experiments`.
"""

from swiftforce.comparison.comparison import Comparison
from swiftforce.comparison.rows import trial_of
from swiftforce.comparison.running import compare
from swiftforce.comparison.table import ComparisonTable
from swiftforce.comparison.trials import DENSE, Trial, trials_of

__all__ = ["DENSE", "Comparison", "ComparisonTable", "Trial", "compare", "trial_of", "trials_of"]
