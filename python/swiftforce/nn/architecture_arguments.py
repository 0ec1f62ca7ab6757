"""Arguments that the ready-made networks share: the shape of an image, and the depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swiftforce.errors import ArchitectureError


def check_image_shape(shape: Sequence[int], at_least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of an image.

    Parameters
    ----------
    shape : (int, int, int)
    at_least : int
        The smallest height and width.

    Raises
    ------
    ArchitectureError
        If the shape is not three sizes, there is no channel, or the image is too small.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if len(sizes) != 3 or any(isinstance(s, bool) or not isinstance(s, int) for s in sizes):
        raise ArchitectureError(f"input_shape must be (channels, height, width), not {sizes}")
    channels, height, width = sizes
    if channels < 1 or min(height, width) < at_least:
        raise ArchitectureError(
            f"input_shape must have images of {at_least} by {at_least} or more, not {sizes}"
        )
    return channels, height, width


def check_depth(depth: int, table: Mapping[int, object], name: str) -> int:
    """The depth, if the table has it.

    Raises
    ------
    ArchitectureError
        If it does not; the message lists the depths.
    """
    if depth not in table:
        known = ", ".join(map(str, table))
        raise ArchitectureError(f"there is no {name} of depth {depth!r}; there are: {known}")
    return depth
