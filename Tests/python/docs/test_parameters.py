"""Parameters are documented in full, and alike in all public functions of a package.

The texts are written out in each docstring, because editors and the reference of the site show
nothing else. What is in `DIFFER` means something else in one function than in the others.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from packages import FRAMEWORKS

#: Packages of public functions, each with the framework that it needs.
PACKAGES = {"swiftforce": None, **{f"swiftforce.{name}": name for name in FRAMEWORKS}}

#: Parameters that truly differ from their namesakes, by package, function and parameter.
DIFFER = {
    ("swiftforce", "prune", "gradients"): "not needed by all of its methods",
    ("swiftforce", "prune", "saliency"): "its function returns given scores",
    ("swiftforce", "MaskSearch", "saliency"): "its steps are passed given scores",
    ("swiftforce", "MaskSearch.step", "scores"): "in place of gradients",
    ("swiftforce", "saliency", "gradients"): "arrays alone",
    ("swiftforce", "apply_masks", "weights"): "also ones that are not searched",
    ("swiftforce", "save_packed", "masks"): "of some arrays, or of none",
    ("swiftforce", "load", "weights"): "only compared with the masks",
    ("swiftforce", "MaskSearch.resume", "weights"): "those that the search began with",
    ("swiftforce", "MaskSearch.resume", "masked_weights"): "written at once",
    ("swiftforce", "MaskSearch.resume", "label"): "compared, not written",
    ("swiftforce", "schedule_keeps", "keep"): "of the last step",
    ("swiftforce", "schedule_keeps", "steps"): "no default",
    ("swiftforce", "schedule_keeps", "schedule"): "says what the entries of a list are",
    ("swiftforce", "keep_count", "sparsity"): "no alternative",
    ("swiftforce", "compare", "path"): "continued, and optional",
    ("swiftforce", "compare", "progress"): "lines, too",
    ("swiftforce", "Comparison.read_csv", "settings"): "chooses rows",
    ("swiftforce", "Comparison.values", "method"): "of any name",
    ("swiftforce", "Comparison.values", "sparsity"): "one of those compared",
    ("swiftforce", "Comparison.table", "measure"): "has a default",
    ("swiftforce", "Comparison.plot", "scale"): "percent by default",
    ("swiftforce", "permutation", "n"): "not a number of weights",
    ("swiftforce", "permutation", "seed"): "with the stream",
    ("swiftforce.jax", "load", "params"): "where masks are put",
    ("swiftforce.jax", "apply", "params"): "also ones that are not searched",
    ("swiftforce.jax", "to_bcoo", "params"): "with zeros, too",
    ("swiftforce.jax", "prune", "seed"): "of random scores",
    ("swiftforce.jax", "prune", "scores"): "a function of masked parameters",
    ("swiftforce.torch", "compact", "optimizer"): "trains another model from then on",
    ("swiftforce.torch", "effective_density", "masks"): "those of the model by default",
    ("swiftforce.torch", "masks_of_zeros", "source"): "any model",
    ("swiftforce.torch", "masks_of_zeros", "include"): "takes, and does not prune",
    ("swiftforce.torch", "prune", "seed"): "of random scores",
    ("swiftforce.torch", "prune", "scores"): "a function of the masked model",
    ("swiftforce.torch", "sparsify", "model"): "masked, and not wrapped",
    ("swiftforce.torch", "desparsify", "model"): "not wrapped",
    ("swiftforce.torch", "finetune", "masks"): "trained, not kept",
    ("swiftforce.torch", "shira_mask_fn", "masks"): "trained by an adapter",
    ("swiftforce.torch", "finetune", "optimizer"): "nothing is set to zero",
}

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
ENTRY = re.compile(r"^((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*) : (.*)\n((?:(?:    .*)?\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Text:
    """What a docstring says of a parameter: the line of its type, and the lines below."""

    kind: str
    meaning: str


def sections(docstring: str) -> dict[str, str]:
    """The sections of a docstring in numpy style, by their titles."""
    _, *parts = SECTION.split(inspect.cleandoc(docstring) + "\n")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def parameters(docstring: str) -> dict[str, Text]:
    """What a docstring says of each parameter, in its order."""
    found = {}
    for names, kind, meaning in ENTRY.findall(sections(docstring).get("Parameters", "")):
        for name in names.split(", "):
            found[name.lstrip("*")] = Text(kind, " ".join(meaning.split()))
    return found


def functions(package: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, classes with parameters, and public methods of a package."""
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            yield name, value
        elif isinstance(value, type) and not issubclass(value, BaseException):
            if sections(value.__doc__ or "").get("Parameters"):
                yield name, value
            for own, wrapped in vars(value).items():
                method = getattr(wrapped, "__func__", wrapped)  # of a class method
                if inspect.isfunction(method) and not own.startswith("_"):
                    yield f"{name}.{own}", method


def signature(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> str:
    if need := PACKAGES[request.param]:
        pytest.importorskip(need, reason=f"needs {need}")
    return str(request.param)


def differences(texts: dict[str, Text]) -> list[str]:
    """Functions whose text of a parameter is not that of most of the others."""
    ranked = sorted(set(texts.values()), key=list(texts.values()).count, reverse=True)
    return [name for name, text in texts.items() if text != ranked[0]]


def namesakes(package: str) -> dict[str, dict[str, Text]]:
    """By parameter and function, what the functions of a package say of it."""
    found: dict[str, dict[str, Text]] = defaultdict(dict)
    for function, value in functions(package):
        for parameter, text in parameters(value.__doc__ or "").items():
            found[parameter][function] = text
    return found


def test_every_parameter_is_documented_in_the_order_of_the_signature(package: str) -> None:
    wrong = []
    for name, function in functions(package):
        documented, given = list(parameters(function.__doc__ or "")), signature(function)
        if documented != given:
            wrong.append(f"{package}.{name} documents {documented}, and takes {given}")
    assert not wrong, "\n".join(wrong)


def test_a_parameter_has_one_text(package: str) -> None:
    wrong = []
    for parameter, texts in namesakes(package).items():
        same = {
            function: text
            for function, text in texts.items()
            if (package, function, parameter) not in DIFFER
        }
        wrong += [
            f"{package}.{function}: {parameter} : {same[function].kind}\n    "
            f"{same[function].meaning}"
            for function in (list(same) if differences(same) else [])
        ]
    assert not wrong, "\n".join(wrong)


def test_no_docstring_points_elsewhere_for_its_parameters(package: str) -> None:
    pointing = re.compile(r"parameters\b[\w\s,]*\bthose of", re.IGNORECASE)
    wrong = [name for name, value in functions(package) if pointing.search(value.__doc__ or "")]
    assert not wrong


def test_what_is_said_to_differ_does(package: str) -> None:
    """The list of exceptions is no longer than it must be."""
    all_of = namesakes(package)
    for owner, function, parameter in DIFFER:
        if owner == package:
            texts = dict(all_of[parameter])
            text = texts.pop(function)
            assert texts
            assert text not in texts.values(), (function, parameter)


DOCSTRING = """Do this.

    Parameters
    ----------
    a, b : int
        Numbers,
        both.
    c : str, optional
        A text.

        With two paragraphs.

    Returns
    -------
    int
        d : not a parameter
    """


def test_parameters_are_read_from_a_docstring() -> None:
    number, text = (
        Text("int", "Numbers, both."),
        Text("str, optional", "A text. With two paragraphs."),
    )
    assert parameters(DOCSTRING) == {"a": number, "b": number, "c": text}


@pytest.mark.parametrize(("old", "new"), [("int", "float"), ("both", "all"), (", optional", "")])
def test_a_text_that_differs_is_found(old: str, new: str) -> None:
    changed = DOCSTRING.replace(old, new)
    texts = {
        "f": parameters(DOCSTRING),
        "g": parameters(DOCSTRING),
        "h": parameters(changed),
    }
    found = {
        name: differences({key: value[name] for key, value in texts.items()}) for name in "abc"
    }
    assert ["h"] in found.values()
    assert all(names in ([], ["h"]) for names in found.values())
