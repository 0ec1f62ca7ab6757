"""How results are shown, whatever they are: tables of text, figures by matplotlib, progress bars.

Nothing here knows what a search or a network is; what is shown of a result is in
`swiftforce.result`. rich, matplotlib and tqdm are imported when something is shown, not before.
"""

from swiftforce.show import plots, tables
from swiftforce.show.progress import Training, Work, bar

__all__ = ["Training", "Work", "bar", "plots", "tables"]
