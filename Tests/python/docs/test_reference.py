"""The reference is whole: each public name has a docstring, and a place on one page.

So a new name cannot be forgotten. Whether all links of the pages lead somewhere is what
`make docs` finds out.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import swiftforce
from packages import FRAMEWORKS
from swiftforce import cli

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "reference"
#: Adapters, each with the framework that it needs.
ADAPTERS = {f"swiftforce.{name}": name for name in FRAMEWORKS}
MODULES = (
    "swiftforce",
    *(
        f"swiftforce.{name}"
        for name in swiftforce.__all__
        if isinstance(getattr(swiftforce, name), ModuleType)
    ),
    *ADAPTERS,
)
SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)


def module(name: str) -> ModuleType:
    if name in ADAPTERS:
        pytest.importorskip(ADAPTERS[name], reason=f"needs {ADAPTERS[name]}")
    return importlib.import_module(name)


def public(found: ModuleType) -> dict[str, Any]:
    """The public names of a module, and what they stand for."""
    return {name: getattr(found, name) for name in found.__all__ if name != "__version__"}


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that a class defines itself."""
    for name, value in vars(kind).items():
        is_code = isinstance(value, (property, classmethod, staticmethod))
        if not name.startswith("_") and (is_code or inspect.isfunction(value)):
            yield name, value.__func__ if isinstance(value, (classmethod, staticmethod)) else value


def documented() -> Counter[str]:
    """What the pages of the reference show, and how often."""
    return Counter(
        name
        for page in PAGES.glob("*.md")
        for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    )


def is_higher(name: str, own: str) -> bool:
    """Whether a name of a module is one of the package itself, too, and is shown as that."""
    top = public(swiftforce)
    return name != "swiftforce" and own in top and top[own] is public(module(name))[own]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_stands_on_one_page(name: str) -> None:
    shown = documented()
    names = [name, *(f"{name}.{own}" for own in public(module(name)) if not is_higher(name, own))]
    # A page of a module stands for the module's own name.
    assert {one: shown[one] for one in names} == dict.fromkeys(names, 1)


@pytest.mark.parametrize("name", documented())
def test_every_name_on_a_page_is_public(name: str) -> None:
    if name not in MODULES:
        where, _, own = name.rpartition(".")
        assert where in MODULES
        assert own in module(where).__all__


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name: str) -> None:
    found = module(name)
    assert found.__doc__
    lacking = []
    for own, value in public(found).items():
        # A union of types is no class: what it stands for is said where it is made.
        if (isinstance(value, type) or callable(value)) and not own_docstring(value):
            lacking.append(own)
        if isinstance(value, type):
            lacking += [f"{own}.{member}" for member, code in members(value) if not code.__doc__]
    assert not lacking


def own_docstring(value: Any) -> str | None:
    """A docstring that somebody wrote: none that is inherited, or made by `dataclass`."""
    text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    is_made = dataclasses.is_dataclass(value) and (text or "").startswith(f"{value.__name__}(")
    return None if is_made else text


def functions(name: str) -> Iterator[tuple[str, Any, str]]:
    """What can be called by a public name, with its docstring: of a class, that of the class."""
    for own, value in public(module(name)).items():
        if inspect.isfunction(value):
            yield own, value, inspect.getdoc(value) or ""
        elif isinstance(value, type):
            if "__init__" in vars(value) and not dataclasses.is_dataclass(value):
                yield own, value.__init__, inspect.getdoc(value) or ""
            for member, code in members(value):
                if inspect.isfunction(code):
                    yield f"{own}.{member}", code, inspect.getdoc(code) or ""


def section(text: str, title: str) -> str | None:
    """A section of a docstring, without its title."""
    parts = SECTION.split(text)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(title)


def entries(text: str) -> list[str]:
    """The names that a section of parameters explains."""
    lines = re.findall(r"^([\w*]+(?:, [\w*]+)*)(?: : .*)?$", text, re.MULTILINE)
    return [name.lstrip("*") for line in lines for name in line.split(", ")]


@pytest.mark.parametrize("name", MODULES)
def test_a_section_of_parameters_names_those_of_the_signature(name: str) -> None:
    wrong = {}
    for own, code, text in functions(name):
        if (found := section(text, "Parameters")) is not None:
            taken = [
                one for one in inspect.signature(code).parameters if one not in {"self", "cls"}
            ]
            if sorted(entries(found)) != sorted(taken):
                wrong[own] = (entries(found), taken)
    assert not wrong


@pytest.mark.parametrize("name", MODULES)
def test_attributes_are_those_of_the_class(name: str) -> None:
    """A dataclass explains all its fields or, where they speak for themselves, none."""
    wrong = {}
    for own, kind in public(module(name)).items():
        found = section(inspect.getdoc(kind) or "", "Attributes")
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and found is not None:
            fields = {field.name for field in dataclasses.fields(kind)}
            said = set(entries(found))
            explained = {*fields, *(member for member, _ in members(kind))}
            inherited = {field.name for base in kind.__bases__ for field in fields_of(base)}
            if not fields - inherited <= said or not said <= explained:
                wrong[own] = (said, fields)
    assert not wrong


def fields_of(kind: type) -> tuple[Any, ...]:
    return dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()


def test_the_sections_are_read() -> None:
    text = "One.\n\nParameters\n----------\na, b : int\n    Of `c`.\nd\n\nReturns\n-------\nint"
    assert entries(section(text, "Parameters")) == ["a", "b", "d"]
    assert section(text, "Raises") is None


# ------------------------------------------------------------------------- command line


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_every_command_and_option_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    page = (PAGES / "command_line.md").read_text()
    general = help_of(capsys)
    commands = re.findall(r"^    (\w+)(?: |$)", general, re.MULTILINE)
    assert commands
    options = set(re.findall(r"--[a-z][a-z-]*", general))
    for command in commands:
        assert f"`swiftforce {command}`" in page
        options |= set(
            re.findall(r"^  (?:-\w, )?(--[a-z][a-z-]*)", help_of(capsys, command), re.MULTILINE)
        )
    assert options == set(re.findall(r"--[a-z][a-z-]*", page))
