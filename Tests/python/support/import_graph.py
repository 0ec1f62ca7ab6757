"""Which module of the package imports which, read from the sources.

Imports count wherever they stand: in functions and for type checkers, too. Run as a program, this
prints the figures of a layout: ``python Tests/python/support/import_graph.py python/swiftforce``.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = "swiftforce"


@dataclass(frozen=True)
class Import:
    """One name that one module imports from another; no name where the module itself is meant."""

    source: str
    target: str
    name: str | None
    line: int


@dataclass(frozen=True)
class Graph:
    """The modules of a package and their imports of each other.

    Attributes
    ----------
    trees : mapping of str to ast.Module
        By the dotted names of the modules; a package goes by its own name.
    packages : set of str
        Those that are packages, the root among them.
    imports : list of Import
    """

    trees: Mapping[str, ast.Module]
    packages: frozenset[str]
    imports: list[Import] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Graph:
        """The graph of the package in a folder."""
        trees: dict[str, ast.Module] = {}
        packages = set()
        # The extension is there as its stub.
        for path in sorted([*folder.rglob("*.py"), *folder.glob("*.pyi")]):
            parts = (ROOT, *path.relative_to(folder).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text(), str(path))
            if parts[-1] == "__init__":
                packages.add(name)
        graph = cls(trees, frozenset(packages))
        for name, tree in trees.items():
            graph.imports.extend(graph._imports_of(name, tree))
        return graph

    def _imports_of(self, name: str, tree: ast.Module) -> Iterator[Import]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                raise AssertionError(f"{name}:{node.lineno} has a relative import: write it out")
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    if inner in self.trees and alias.name not in self.bound(node.module):
                        yield Import(name, inner, None, node.lineno)
                    elif node.module in self.trees:
                        yield Import(name, node.module, alias.name, node.lineno)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in self.trees:
                        yield Import(name, alias.name, None, node.lineno)

    def bound(self, module: str) -> set[str]:
        """The names that a module binds at its top level."""
        if module not in self.trees:
            return set()
        names: set[str] = set()
        for node in _statements(self.trees[module].body):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names.update(alias.asname or alias.name for alias in node.names)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                inner = (name for each in targets for name in ast.walk(each))
                names.update(name.id for name in inner if isinstance(name, ast.Name))
        return names

    def package_of(self, module: str) -> str | None:
        """The package right below the root that a module lies in."""
        first = ".".join(module.split(".")[:2])
        return first if first in self.packages and first != ROOT else None

    def edges(self) -> dict[str, set[str]]:
        """The modules that each module imports. What a package re-exports are its imports, too."""
        edges: dict[str, set[str]] = {name: set() for name in self.trees}
        for each in self.imports:
            if each.source != each.target:
                edges[each.source].add(each.target)
        return edges


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those in its conditions included."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])
        else:
            yield node


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other in a circle (Tarjan's algorithm)."""
    found: list[list[str]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in edges[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            start = stack.index(node)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in edges:
        if node not in index:
            visit(node)
    return found


def longest_chain(edges: Mapping[str, set[str]]) -> list[str]:
    """The longest chain of imports in a graph, each module at most once on a path."""
    best: dict[str, list[str]] = {}
    under_way: set[str] = set()

    def chain(node: str) -> list[str]:
        if node in best:
            return best[node]
        under_way.add(node)
        below = [chain(target) for target in sorted(edges[node]) if target not in under_way]
        under_way.discard(node)
        best[node] = [node, *max(below, key=len, default=[])]
        return best[node]

    return max((chain(node) for node in sorted(edges)), key=len)


def main(folder: Path) -> None:
    """Print modules per folder, the longest chain of imports, and circles."""
    graph = Graph.read(folder)
    edges = graph.edges()
    counts = Counter(graph.package_of(name) or ROOT for name in graph.trees)
    for name, count in sorted(counts.items()):
        print(f"{name:28} {count:3} modules")
    chain = longest_chain(edges)
    print(f"longest chain: {len(chain)} modules: {' -> '.join(chain)}")
    print("circles:", [" <-> ".join(group) for group in circles(edges)] or "none")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
