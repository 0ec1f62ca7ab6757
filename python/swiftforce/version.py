"""The version of this package, which pyproject.toml reads from here.

Asking for the metadata of what is installed would be a third of the time that an import takes.
"""

__version__ = "0.2.0"
