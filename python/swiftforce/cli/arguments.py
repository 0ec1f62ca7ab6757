"""Values of command line options: each function converts a text or raises an error.

argparse prints the errors below the usage.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from swiftforce.errors import SwiftForceError
from swiftforce.experiments import NETWORKS, Variant
from swiftforce.inputs import canonical_name, check_seed, check_sparsity, method_info, methods

Number = TypeVar("Number", int, float)


def sparsity(text: str) -> float:
    """A share of weights to remove, in [0, 1)."""
    return _checked(text, float, check_sparsity, "a number in [0, 1)")


def _checked(text: str, kind: type[Number], check: Callable[[Number], Number], what: str) -> Number:
    """A number that passes the package's own check."""
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {what}, not {text}") from None
    try:
        return check(value)
    except SwiftForceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    """A whole number of at least 1."""
    return whole(text, least=1)


def whole(text: str, *, least: int = 0) -> int:
    """A whole number of at least `least`."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, not {text}")
    return number


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


def seed(text: str) -> int:
    """A seed of the core."""
    return _checked(text, int, check_seed, "a whole number")


def one_shot(text: str) -> str:
    """The name of a method that needs at most one set of gradients."""
    name = _name("method", text, methods())
    info = method_info(name)
    if info["one_shot"]:
        return name
    same = [
        other for other in one_shot_methods() if method_info(other)["saliency"] == info["saliency"]
    ]
    instead = f"use --method {same[0]}, or call" if same else "call"
    raise argparse.ArgumentTypeError(
        f"{name} needs new gradients at each step, but files hold one set: {instead} "
        f"swiftforce.{name} or swiftforce.torch.prune in Python"
    )


def _name(axis: str, text: str, known: Sequence[str]) -> str:
    """A known name, from any spelling that the package takes."""
    try:
        return canonical_name(axis, text, known)
    except SwiftForceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def one_shot_methods() -> list[str]:
    """Names of the methods that need at most one set of gradients."""
    return [name for name in methods() if method_info(name)["one_shot"]]


#: The network that the name of a family stands for.
SHORT = {"vgg": "small_vgg", "resnet": "resnet20"}


def network(text: str) -> str:
    """The name of a network; the name of a family stands for its usual network."""
    return _name("network", SHORT.get(text.lower(), text), tuple(NETWORKS))


def compared_method(text: str) -> str:
    """The name of a method that experiments compare, perhaps with settings."""
    try:
        return str(Variant.parse(text))
    except SwiftForceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def results_file(text: str) -> Path:
    """The path of a file of results."""
    # Pictures get the same name with another suffix.
    if not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"must end in .csv, not {text}")
    return Path(text)
