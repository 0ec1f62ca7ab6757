"""Options for how kept weights are shared out, and which weights live or die together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from swiftforce.errors import BoundsError, UnknownNameError
from swiftforce.inputs import Allocation, Pattern, case_names

#: Options of an `Allocation`: name, what it takes, and what it does.
_AMOUNTS = {
    "floor": "the fewest weights of each tensor",
    "cap": "the most weights of each tensor",
    "floor_per_output": "the fewest weights of each output unit",
    "cap_per_output": "the most weights of each output unit",
}


def add_axes(parser: argparse.ArgumentParser) -> None:
    """Add the options, of which `allocation_from` and `pattern_from` make arguments."""
    parser.set_defaults(
        allocation=None,
        n_m=None,
        output_axis=None,
        cost=None,
        pattern=None,
        **dict.fromkeys(_AMOUNTS),
    )
    group = parser.add_argument_group(
        "which weights may be kept",
        "An amount is a number of weights, or with a point a share of them, as in 1 and 0.05. "
        "Instead of one for all tensors, give some for patterns of names: 'head.*=1.0' '*=0.05'.",
    )
    shown = ", ".join(case_names("allocation"))
    group.add_argument(
        "--allocation",
        nargs="+",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help=f"how kept weights are shared out among tensors: one of {shown}, or amounts for "
        "patterns (default: global)",
    )
    for name, text in _AMOUNTS.items():
        group.add_argument(
            f"--{name.replace('_', '-')}",
            nargs="+",
            metavar="AMOUNT",
            default=argparse.SUPPRESS,
            help=text,
        )
    group.add_argument(
        "--n-m",
        nargs="+",
        metavar="N:M",
        default=argparse.SUPPRESS,
        help="at most N of each M neighbouring weights of an output unit, as in 2:4; without "
        "--sparsity and --keep, as many as that allows",
    )
    group.add_argument(
        "--output-axis",
        nargs="+",
        metavar="AXIS",
        default=argparse.SUPPRESS,
        help="the axis that counts output units (default: 0)",
    )
    group.add_argument(
        "--cost",
        nargs="+",
        metavar="COST",
        default=argparse.SUPPRESS,
        help="what one weight costs, for example its multiply-adds, as in 'conv*=196' '*=1'; then "
        "--sparsity and --keep are of the cost",
    )
    group.add_argument(
        "--pattern",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="which weights live or die together: weights, outputs, inputs, kernels, or blocks of "
        "RxC (default: weights)",
    )


def allocation_from(options: argparse.Namespace) -> Allocation | None:
    """The allocation that the options describe; None if there is none.

    If one is wrong, argparse prints the error and exits.
    """
    try:
        given = {
            name: _values(name, getattr(options, name), _amount)
            for name in _AMOUNTS
            if getattr(options, name) is not None
        }
        if options.n_m is not None:
            given["n_m"] = _values("n-m", options.n_m, _n_m)
        if options.output_axis is not None:
            given["output_axis"] = _values("output-axis", options.output_axis, int)
        if options.cost is not None:
            given["cost"] = _values("cost", options.cost, int)
        if options.allocation is not None:
            given["shares"] = _values("allocation", options.allocation, _share)
        return Allocation(**given) if given else None
    except (BoundsError, UnknownNameError) as error:
        options.refuse(str(error))
        raise


def pattern_from(options: argparse.Namespace) -> Pattern | None:
    """The pattern that the options describe; errors are as for `allocation_from`."""
    if options.pattern is None:
        return None
    rows, _, columns = options.pattern.partition("x")
    try:
        if rows.isdecimal() and columns.isdecimal():
            return Pattern((int(rows), int(columns)))
        return Pattern(options.pattern)
    except (BoundsError, UnknownNameError) as error:
        options.refuse(str(error))
        raise


def _values(name: str, texts: Sequence[str], value: Callable[[str], Any]) -> Any:  # noqa: ANN401
    """One value for all tensors, or values by patterns of names."""
    option = f"--{name.replace('_', '-')}"
    if len(texts) == 1 and "=" not in texts[0]:
        return _parsed(option, texts[0], value)
    found = {}
    for text in texts:
        pattern, sign, amount = text.rpartition("=")
        if not sign or not pattern:
            raise BoundsError(f"{option}: {text!r} is no PATTERN=VALUE, as in '*=0.05'")
        found[pattern] = _parsed(option, amount, value)
    return found


def _parsed(option: str, text: str, value: Callable[[str], Any]) -> Any:  # noqa: ANN401
    try:
        return value(text)
    except ValueError as error:
        raise BoundsError(f"{option}: {text!r} is no such value") from error


def _amount(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _share(text: str) -> float | str:
    try:
        return _amount(text)
    except ValueError:
        return text  # a name


def _n_m(text: str) -> tuple[int, int]:
    kept, _, group = text.partition(":")
    return int(kept), int(group)
