"""What options of the command line may say: each function makes a value of a text or refuses it.

What they raise, argparse prints below the usage.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from swiftforce.errors import SwiftForceError
from swiftforce.experiments import NETWORKS
from swiftforce.inputs import canonical_name, check_seed, check_sparsity, method_info, methods

Number = TypeVar("Number", int, float)


def sparsity(text: str) -> float:
    """A share of weights to remove, in [0, 1)."""
    return _checked(text, float, check_sparsity, "a number in [0, 1)")


def _checked(text: str, kind: type[Number], check: Callable[[Number], Number], what: str) -> Number:
    """A number that the package takes, too."""
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
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text}")
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
    """A method that needs no more than one set of gradients, which is what files hold."""
    try:
        text = canonical_name("method", text, methods())
    except SwiftForceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    info = method_info(text)
    if info["one_shot"]:
        return text
    same = [
        name for name in one_shot_methods() if method_info(name)["saliency"] == info["saliency"]
    ]
    alone = f"; from one set alone, as a file holds it, it is {same[0]}" if same else ""
    raise argparse.ArgumentTypeError(
        f"{text} asks for new gradients at each of its steps{alone}: use swiftforce.{text} or "
        "swiftforce.torch.prune"
    )


def one_shot_methods() -> list[str]:
    """The methods that `one_shot` takes."""
    return [name for name in methods() if method_info(name)["one_shot"]]


#: Networks that go by the name of their family.
SHORT = {"vgg": "small_vgg", "resnet": "resnet20"}


def network(text: str) -> str:
    """A network by its name, or the usual one of a family."""
    name = SHORT.get(text, text)
    if name not in NETWORKS:
        raise argparse.ArgumentTypeError(
            f"there is no network {text!r}; there are: {', '.join(NETWORKS)}"
        )
    return name


def results_file(text: str) -> Path:
    """The path of a file of results."""
    # The pictures go by its name with another suffix.
    if not text.endswith(".csv"):
        raise argparse.ArgumentTypeError(f"must end in .csv, not {text}")
    return Path(text)
