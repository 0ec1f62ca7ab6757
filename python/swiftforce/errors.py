"""The errors that swiftforce raises."""

from __future__ import annotations

__all__ = ["DatasetError", "SwiftForceError"]


class SwiftForceError(Exception):
    """Base of every error that swiftforce raises on purpose."""


class DatasetError(SwiftForceError, ValueError):
    """A data set is missing, or its files are not what they should be."""
