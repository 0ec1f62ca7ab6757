"""What the documentation shows is what happens: docstrings, and the code in README and docs.

In a Markdown file each ```python block is run, blocks of one file one after the other in one
namespace; where a ```text block follows, it is what the block prints, to the letter. What needs a
framework that is not installed is skipped.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import inspect
import io
import re
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import swiftforce
from packages import FRAMEWORKS, PACKAGE
from swiftforce.errors import DatasetError

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    ".".join(("swiftforce", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in PACKAGE.rglob("*.py")
    if path not in (PACKAGE / "__init__.py", PACKAGE / "__main__.py")
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def framework(module: str) -> str | None:
    """The framework that a module needs."""
    parts = module.split(".")[1:2]
    return next((part for part in parts if part in FRAMEWORKS), None)


INSTALLED = [
    name for name in MODULES if not (need := framework(name)) or importlib.util.find_spec(need)
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def code_blocks(text: str) -> list[tuple[str, str | None]]:
    """The python blocks of a page, each with what it prints where a text block follows."""
    blocks = FENCE.findall(text)
    following = [*blocks, ("", "")][1:]
    return [
        (code, shown if kind == "text" else None)
        for (language, code), (kind, shown) in zip(blocks, following, strict=True)
        if language == "python"
    ]


def check_page(text: str, folder: Path) -> int:
    """Runs the blocks in a folder; returns how many were run."""
    namespace: dict[str, object] = {"__name__": "page"}
    blocks = [block for block in code_blocks(text) if not lacking(block[0])]
    for position, (code, shown) in enumerate(blocks, start=1):
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed), quiet():
            exec(compile(code, f"python block {position}", "exec"), namespace)
        if shown is not None:
            assert printed.getvalue() == shown, f"python block {position} prints something else"
    return len(blocks)


def lacking(code: str) -> set[str]:
    """Frameworks that a block imports and that are not installed."""
    imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    needed = imported & {*FRAMEWORKS, "optax", "onnxruntime", "scipy", "peft"}
    return {name for name in needed if not importlib.util.find_spec(name)}


@contextlib.contextmanager
def quiet():
    """Warnings are shown to a reader, not raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    blocks = code_blocks(text)
    assert text.count("\n```python\n") == len(blocks)
    try:
        check_page(text, tmp_path)
    except DatasetError as error:
        pytest.skip(f"an example needs data: {error}")
    missing = sorted(set().union(*(lacking(code) for code, _ in blocks)))
    if missing:
        pytest.skip(f"all examples are right but those that need {', '.join(missing)}")


PAGE = """# A page

```python
import numpy as np, swiftforce as sf
masks = sf.magnitude(np.float32([1, 3, 2]), keep=2).masks
print(masks)
```

prints

```text
[False  True  True]
```

```sh
rm -rf /
```

```python
assert masks.sum() == 2
print("not compared")
```

and so on.
"""


def test_blocks_of_a_page_are_run(tmp_path: Path) -> None:
    assert len(code_blocks(PAGE)) == 2
    assert [shown for _, shown in code_blocks(PAGE)] == ["[False  True  True]\n", None]
    assert check_page(PAGE, tmp_path) == 2


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("[False  True  True]", "[False  True True]", AssertionError),
        ("[False  True  True]\n", "", AssertionError),
        ("assert masks.sum() == 2", "assert masks.sum() == 3", AssertionError),
        ("keep=2", "keep=9", swiftforce.KeepError),
        ("assert masks", "assert mask", NameError),
    ],
)
def test_blocks_that_do_not_say_the_truth(old: str, new: str, error: type, tmp_path: Path) -> None:
    assert old in PAGE
    with pytest.raises(error):
        check_page(PAGE.replace(old, new), tmp_path)


@pytest.mark.parametrize("line", ["import jax", "import jax.numpy as jnp", "from jax import lax"])
def test_a_block_that_needs_what_is_not_installed(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = PAGE.replace("assert masks", f"{line}\nassert masks")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert lacking(f"{line}\nimport numpy") == {"jax"}
    assert check_page(text, tmp_path) == 1


def test_a_block_writes_into_the_folder_it_is_given(tmp_path: Path) -> None:
    check_page("\n```python\nopen('x', 'w').close()\n```\n", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


# ------------------------------------------------------------------------- docstrings


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ["swiftforce", *MODULES])
@pytest.mark.slow
def test_examples_in_docstrings(name: str) -> None:
    if need := framework(name):
        pytest.importorskip(need, reason=f"needs {need}")
    module = imported(name)
    assert module.__doc__
    with quiet():
        assert doctest.testmod(module, raise_on_error=False).failed == 0


def test_examples_are_there() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    count = sum(
        len(test.examples)
        for name in ("swiftforce", *INSTALLED)
        for test in finder.find(imported(name))
    )
    assert count > 40


@pytest.mark.parametrize("name", swiftforce.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    value = getattr(swiftforce, name)
    if not isinstance(value, str):
        assert value.__doc__


def test_every_parameter_of_a_public_function_is_documented() -> None:
    """A section of parameters that is there is complete."""
    for name in swiftforce.__all__:
        function = getattr(swiftforce, name)
        if isinstance(function, type) or not hasattr(function, "__code__"):
            continue
        text = inspect.getdoc(function) or ""
        code = function.__code__
        given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        if "Parameters\n" not in text:
            continue
        for parameter in given:
            assert re.search(rf"^(\w+, )*{parameter}(, \w+)* : ", text, re.MULTILINE), (
                f"{name}: {parameter}"
            )
