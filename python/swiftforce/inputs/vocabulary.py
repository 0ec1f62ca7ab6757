"""The names of methods, saliencies, schedules and layers, read from the core: no second list.

The `Literal` types are for editors and type checkers; a test compares them with the core's names.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import Literal, TypedDict, cast

from swiftforce import _core
from swiftforce.errors import UnknownNameError

MethodName = Literal[
    "snip", "iterative_snip", "force", "force_nested", "grasp_it", "magnitude", "random"
]
SaliencyName = Literal["connection_sensitivity", "squared_gradient", "magnitude", "random", "given"]
RuleName = Literal["nested", "free", "free_then_nested"]
ScheduleName = Literal["exponential", "linear", "cubic", "cosine"]
LossName = Literal["cross_entropy", "target_logit"]

#: Methods that need a model, and so are in `swiftforce.torch` alone.
_TORCH_METHODS = ("grasp", "synflow")


class _OfRule(TypedDict):
    free: bool
    nested_from: float | None


class MethodInfo(_OfRule):
    """What a search must know of a method, from the core's table, or of axes in place of its own.

    Removed weights may return if it is `free`; with `nested_from`, until that share of the steps is
    over.
    """

    saliency: str
    one_shot: bool
    needs_gradients: bool


@cache
def case_names(axis: str) -> tuple[str, ...]:
    """Names of the cases of one axis of the core, such as ``method``, in the core's order."""
    return _core.names(_core.AXES.index(axis.upper()))


def canonical_name(axis: str, name: object, known: Sequence[str]) -> str:
    """The known name that a caller means: upper case, hyphens and spaces make no difference.

    Parameters
    ----------
    axis : str
        What the names are of, such as ``method``, for the message.
    name : str
        A name in any spelling, such as ``"Iterative SNIP"``.
    known : sequence of str
        All names, in lower case with underscores.

    Raises
    ------
    UnknownNameError
        If none of the names is meant; the message lists them, and says which is closest.

    Examples
    --------
    >>> from swiftforce.inputs import canonical_name
    >>> canonical_name("method", "Iterative-SNIP", ["snip", "iterative_snip"])
    'iterative_snip'
    """
    if isinstance(name, str) and name in known:
        return name
    spelled = name.lower().replace("-", "_").replace(" ", "_") if isinstance(name, str) else ""
    if spelled in known:
        return spelled
    if axis == "method" and spelled in _TORCH_METHODS:
        engine = ", or see swiftforce.nn.synaptic_flow" if spelled == "synflow" else ""
        raise UnknownNameError(
            f"the method {spelled!r} needs a model: call "
            f"swiftforce.torch.prune(model, batches, loss, method={spelled!r}){engine}"
        )
    close = get_close_matches(spelled, known, n=1)
    question = f"did you mean {close[0]!r}? There" if close else "there"
    raise UnknownNameError(f"there is no {axis} {name!r}; {question} are: {', '.join(known)}")


def case_number(axis: str, name: str) -> int:
    """The core's number of a case, by its name in any spelling.

    Raises
    ------
    UnknownNameError
        If the axis has no such name; the message lists those it has.
    """
    known = case_names(axis)
    return known.index(canonical_name(axis, name, known))


def method_name(name: str) -> MethodName:
    """The name of a method, from any spelling of it.

    Raises
    ------
    UnknownNameError
    """
    return cast(MethodName, canonical_name("method", name, methods()))


def method_info(name: str, saliency: str | None = None, rule: str | None = None) -> MethodInfo:
    """What a method scores by, what it needs, and whether removed weights may return.

    Parameters
    ----------
    name : str
        The method.
    saliency, rule : str, optional
        In place of those of the method.
    """
    found = _method_table()[case_number("method", name)]
    if saliency is not None:
        number = case_number("saliency", saliency)
        found = {
            **found,
            "saliency": case_names("saliency")[number],
            "needs_gradients": _core.saliency_reads(number)[1],
        }
    if rule is not None:
        found = {**found, **_of_rule(case_names("rule")[case_number("rule", rule)])}
    return found


@cache
def _method_table() -> tuple[MethodInfo, ...]:
    return tuple(map(_row_of, range(len(case_names("method")))))


def _row_of(method: int) -> MethodInfo:
    row = _core.method(method)
    return MethodInfo(
        saliency=case_names("saliency")[row["saliency"]],
        one_shot=row["one_shot"],
        needs_gradients=row["needs_gradients"],
        **_of_rule(case_names("rule")[row["rule"]]),
    )


def _of_rule(rule: str) -> _OfRule:
    return _OfRule(free=rule != "nested", nested_from=0.5 if rule == "free_then_nested" else None)


def methods() -> tuple[MethodName, ...]:
    """Names of all methods, for the ``method`` argument.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.methods()
    ('snip', 'iterative_snip', 'force', 'force_nested', 'grasp_it', 'magnitude', 'random')
    """
    return cast("tuple[MethodName, ...]", case_names("method"))


def saliencies() -> tuple[SaliencyName, ...]:
    """Names of all saliencies that have a formula, for the ``criterion`` argument of `saliency`.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.saliencies()
    ('connection_sensitivity', 'squared_gradient', 'magnitude', 'random')
    """
    names = (name for name in case_names("saliency") if name != "given")
    return cast("tuple[SaliencyName, ...]", tuple(names))


def schedules() -> tuple[ScheduleName, ...]:
    """Names of all schedules, for the ``schedule`` argument.

    Examples
    --------
    >>> import swiftforce as sf
    >>> sf.schedules()
    ('exponential', 'linear', 'cubic', 'cosine')
    """
    return cast("tuple[ScheduleName, ...]", case_names("schedule"))
