"""Docstrings as the reference needs them: all there, and with names that are links.

In a docstring, a name of swiftforce stands between single backticks, as that of a parameter does.
Where it is public, and no parameter of the function at hand, it becomes a link; a link to what no
page of the reference has is a warning. So is a public name without a docstring.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import griffe

_LOG = logging.getLogger("mkdocs.hooks.names")
#: A name between single backticks.
_NAME = re.compile(r"(?<!`)`([A-Za-z_][\w.]*)`(?![`\]])")


class Names(griffe.Extension):
    """The extension, which mkdocstrings is told of in mkdocs.yml."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:  # noqa: ANN401
        """Check and link all public docstrings of the package."""
        del kwargs
        if pkg.path != "swiftforce":
            return
        public = {}
        modules = list(_modules(pkg))
        for module in modules:
            for name in module.exports or ():
                _uncover(module, str(name))
                public[f"{module.path}.{name}"] = module[str(name)]
        for path, found in list(public.items()):
            for member in _members(_target(found)):
                public[f"{path}.{member.name}"] = member
        known = {module.path for module in modules}
        for path, found in public.items():
            _check(path, _target(found))
        for path, found in public.items():
            _link(path, _target(found), known.union(public))


def _modules(package: griffe.Module) -> Iterator[griffe.Module]:
    """The modules whose names are public."""
    yield package
    exports = {str(name) for name in package.exports or ()}
    for name in exports:
        if (found := _target(package[name])).is_module:
            yield found
    # An adapter is a package that is imported by those who want it.
    for name, found in package.modules.items():
        if found.is_subpackage and name not in exports:
            yield found


def _uncover(module: griffe.Module, name: str) -> None:
    """Let a name stand for the function, where the module that it is imported from has the same."""
    found = module.members[name]
    if found.is_module and not found.is_alias and name in found.members:
        function = found.members[name]
        function.parent = module
        module.members[name] = function


def _target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if found.is_alias else found


def _members(found: griffe.Object) -> list[griffe.Object]:
    """Public methods and properties of a class."""
    if not found.is_class:
        return []
    return [
        member
        for name, member in found.members.items()
        if not name.startswith("_") and (member.is_function or "property" in member.labels)
    ]


def _check(path: str, found: griffe.Object) -> None:
    is_code = found.is_module or found.is_class or found.is_function or "property" in found.labels
    if is_code and not found.has_docstring:
        _LOG.warning("%s has no docstring", path)


def _link(path: str, found: griffe.Object, public: set[str]) -> None:
    """Make links of the public names in a docstring."""
    if found.docstring is None:
        return
    parameters = {parameter.name for parameter in found.parameters} if _takes(found) else set()
    scopes = [path, *(path.rsplit(".", count)[0] for count in (1, 2)), "swiftforce"]

    def linked(match: re.Match[str]) -> str:
        name = match[1]
        if name in parameters:
            return match[0]
        for full in (name, *(f"{scope}.{name}" for scope in scopes)):
            if full in public and full != path:
                return f"[{match[0]}][{full}]"
        return match[0]

    found.docstring.value = _NAME.sub(linked, found.docstring.value)
    _unwrap(found.docstring)


def _unwrap(docstring: griffe.Docstring) -> None:
    """Take off the parentheses that types in words ("mapping, sequence or array") would get."""
    for section in docstring.parsed:
        items = section.value if isinstance(section.value, list) else []
        for item in items:
            if isinstance(annotation := getattr(item, "annotation", None), griffe.ExprTuple):
                annotation.implicit = True


def _takes(found: griffe.Object) -> bool:
    return found.is_function or found.is_class
