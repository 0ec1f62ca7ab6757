"""Imports run down: no circle, none past the face of a package, none that a target may not have.

The order of the packages is that of docs/ARCHITECTURE.md.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from import_graph import Graph, Import, circles, longest_chain
from packages import PACKAGE

ROOT = Path(__file__).parents[3]
GRAPH = Graph.read(PACKAGE)

#: From the bottom up. A module imports from the rows before its own, and what lies in its package.
ORDER = (
    ("_core", "version", "errors"),
    ("native",),
    ("inputs",),
    ("adapters", "distributed", "threads"),
    ("files",),
    ("show",),
    ("result",),
    ("search",),
    ("nn", "datasets", "comparison"),
    ("checks",),
    ("",),  # the package itself
    ("experiments", "jax", "torch"),
    ("cli",),
    ("__main__",),
)
#: What the Swift targets may import, besides the C library of the system and `Synchronization`.
TARGETS = {
    "SwiftForceKernels": {"CPlatform"},
    "SwiftForceCore": {"CPlatform", "SwiftForceKernels"},
    "SwiftForceEngine": {"CPlatform", "SwiftForceKernels", "SwiftForceCore", "CBLAS"},
    "SwiftForceABI": {
        *("CPlatform", "CSwiftForce"),
        *("SwiftForceCore", "SwiftForceEngine"),
    },
}
SYSTEM = {"Glibc", "Musl", "Darwin", "Synchronization"}


def part(module: str) -> str:
    """The name below the root that a module goes by; none for the root."""
    return module.partition(".")[2].partition(".")[0]


def level(module: str) -> int:
    """The row of `ORDER` that a module stands in."""
    return next(row for row, names in enumerate(ORDER) if part(module) in names)


def runs_up(each: Import) -> bool:
    """Whether a module imports from its own row, or from one above it."""
    source, target = part(each.source), part(each.target)
    return source != target and level(each.source) <= level(each.target)


def test_no_circle() -> None:
    assert circles(GRAPH.edges()) == []


def test_every_part_of_the_package_has_a_place() -> None:
    named = [name for row in ORDER for name in row]
    assert sorted(named) == sorted({part(module) for module in GRAPH.trees})


def test_no_import_runs_up() -> None:
    up = [
        f"{each.source}:{each.line} imports {each.target}"
        for each in GRAPH.imports
        if runs_up(each)
    ]
    assert not up, "\n".join(up)


def test_packages_are_imported_through_their_faces() -> None:
    past = []
    for each in GRAPH.imports:
        package = GRAPH.package_of(each.target)
        if package is None or package == GRAPH.package_of(each.source):
            continue
        name = each.name if each.target == package else each.target.rpartition(".")[2]
        if (each.target != package and each.name) or (name and name not in GRAPH.bound(package)):
            past.append(f"{each.source}:{each.line} imports {name} of {each.target}")
    assert not past, "\n".join(past)


@pytest.mark.parametrize("name", sorted(GRAPH.packages - {"swiftforce"}))
def test_a_face_says_what_lives_there(name: str) -> None:
    paragraphs = (ast.get_docstring(GRAPH.trees[name]) or "").split("\n\n")
    assert len(paragraphs) > 1


@pytest.mark.parametrize("target", TARGETS)
def test_swift_targets_import_what_they_may(target: str) -> None:
    folder = ROOT / "Sources" / target
    if not folder.is_dir():
        pytest.skip("without the Swift sources")
    pattern = re.compile(r"^\s*(?:@\w+ |public |package |internal )*import (?:\w+ )?(\w+)", re.M)
    found = {
        (path.name, name)
        for path in folder.rglob("*.swift")
        for name in pattern.findall(path.read_text())
    }
    assert found
    wrong = {
        (file, name)
        for file, name in found
        # The kernels of the other CPU levels are links to the same sources.
        if re.sub(r"V\d$", "", name) not in TARGETS[target] | SYSTEM
    }
    assert not wrong


# ------------------------------------------------------------------ the test can fail


@pytest.fixture
def package(tmp_path: Path):
    """Writes a package and reads its graph."""

    def write(**files: str) -> Graph:
        for name, text in {"__init__": "", **files}.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return Graph.read(tmp_path)

    return write


@pytest.mark.parametrize(
    ("source", "target", "up"),
    [
        ("version", "adapters", True),
        ("errors", "native", True),
        ("result.trust", "search", True),
        ("nn.paths", "datasets", True),
        ("native", "errors", False),
        ("search.run", "result", False),
        ("nn.paths", "nn.layers", False),
    ],
)
def test_an_import_that_runs_up_is_told(source: str, target: str, up: bool) -> None:
    assert runs_up(Import(f"swiftforce.{source}", f"swiftforce.{target}", None, 1)) is up


def test_a_circle_is_found_wherever_its_imports_stand(package) -> None:
    graph = package(
        a="from swiftforce import b",
        b="def f():\n    from swiftforce.c import x",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import swiftforce.a\nx = 1",
    )
    assert circles(graph.edges()) == [["swiftforce.a", "swiftforce.b", "swiftforce.c"]]


def test_a_chain_is_as_long_as_it_is(package) -> None:
    graph = package(a="import swiftforce.b", b="from swiftforce.c import x", c="x = 1")
    assert longest_chain(graph.edges()) == ["swiftforce.a", "swiftforce.b", "swiftforce.c"]
    assert circles(graph.edges()) == []


def test_a_relative_import_is_refused(package) -> None:
    with pytest.raises(AssertionError, match=r"swiftforce.a:1 has a relative import"):
        package(a="from .b import x", b="x = 1")
