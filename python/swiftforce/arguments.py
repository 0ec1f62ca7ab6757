"""What options of the command line may say: each function makes a value of a text or refuses it.

What they raise, argparse prints below the usage.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from swiftforce.architectures import NETWORKS
from swiftforce.errors import SwiftForceError
from swiftforce.schedule import check_sparsity


def sparsity(text: str) -> float:
    """A share of weights to remove, in [0, 1)."""
    try:
        return check_sparsity(float(text))
    except (SwiftForceError, ValueError) as error:
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
