"""How results are shown, whatever they are: tables of text, figures by matplotlib, progress bars.

What is shown of a result is in `swiftforce.result`; nothing here knows what a search or a network
is. rich, matplotlib and tqdm are imported when something is shown, not before.
"""

from swiftforce.show import plots, tables
from swiftforce.show.environment import in_notebook, is_terminal
from swiftforce.show.progress import TrainingProgress, WorkProgress, bar

__all__ = [
    "TrainingProgress",
    "WorkProgress",
    "bar",
    "in_notebook",
    "is_terminal",
    "plots",
    "tables",
]
