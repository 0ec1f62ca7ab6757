"""Builds the one extension, `swiftforce._core`: Swift core, C shim, static Swift runtime.

`swift build` makes a static library, the C compiler compiles the shim (python/native), and `swiftc`
links both into one file for CPython 3.11 and later that exports `PyInit__core` and nothing else. A
clean interpreter then imports the result. What a build needs of the machine is checked before
anything is copied or compiled; sdists and metadata need none of it. All metadata is in
pyproject.toml.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist
from setuptools.errors import CompileError, PlatformError

ROOT = Path(__file__).resolve().parent
NATIVE = Path("python/native")
HEADERS = Path("Sources/CSwiftForce/include")
PRODUCT = "SwiftForceABI"
LIMITED_API = "0x030B0000"
SWIFT = (6, 2)
INSTALL_SWIFT = "install Swift 6.2 or later from https://swift.org/install"
EXPORTS = "{ global: PyInit__core; local: *; };\n"
#: What the Swift runtime allocates with; see Sources/CPlatform/memory_reserve.c.
ALLOCATORS = (
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "_Znwm",
    "_ZnwmSt11align_val_t",
)


class Build(build):
    """Checks the machine before the first step of a build."""

    def run(self) -> None:
        check_machine()
        super().run()


class EditableWheel(editable_wheel):
    """Checks the machine before an editable install, which does not run `build` itself."""

    def run(self) -> None:
        check_machine()
        super().run()


class BuildSwiftExtension(build_ext):
    """Compiles the shim as usual, and lets `swiftc` link it to the Swift core."""

    def run(self) -> None:
        check_machine()
        super().run()

    def build_extension(self, ext: Extension) -> None:
        swift, swiftc = check_machine()
        library = self.build_core(swift)
        objects = self.compiler.compile(
            ext.sources,
            output_dir=self.build_temp,
            macros=ext.define_macros,
            include_dirs=ext.include_dirs,
            extra_postargs=ext.extra_compile_args,
        )
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.link(swiftc, objects, library, target)
        check_import(target)

    def build_core(self, swift: str) -> Path:
        """The Swift core as a static library."""
        options = ["--package-path", str(ROOT), "-c", "release", "--product", PRODUCT]
        shown = run([swift, "build", *options, "--show-bin-path"], capture=True)
        library = Path(shown.strip()) / f"lib{PRODUCT}.a"
        # The archive is added to and never made anew: it would keep what removed sources defined.
        library.unlink(missing_ok=True)
        run([swift, "build", *options])
        return library

    def link(self, swiftc: str, objects: list[str], library: Path, target: Path) -> None:
        """One shared object: static Swift runtime, unused code dropped, one symbol exported."""
        with tempfile.TemporaryDirectory() as folder:
            exports = Path(folder) / "exports.map"
            exports.write_text(EXPORTS)
            if sys.platform == "darwin":
                symbols = ["-Xlinker", "-exported_symbol", "-Xlinker", "_PyInit__core"]
                symbols += ["-Xlinker", "-dead_strip", "-Xlinker", "-undefined"]
                symbols += ["-Xlinker", "dynamic_lookup"]
            else:
                symbols = ["-static-stdlib", "-Xlinker", f"--version-script={exports}"]
                symbols += ["-Xlinker", "--gc-sections", "-Xlinker", "--strip-all"]
                for name in ALLOCATORS:
                    symbols += ["-Xlinker", f"--wrap={name}"]
            run([swiftc, "-emit-library", "-o", str(target), *objects, str(library), *symbols])


class SourceWithLinks(sdist):
    """Keeps the linked folders of `Sources`, one per CPU level: setuptools would drop them."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        sources = Path(base_dir) / "Sources"
        for path in (ROOT / "Sources").iterdir():
            copy = sources / path.name
            if path.is_symlink():
                shutil.rmtree(copy, ignore_errors=True)
                copy.symlink_to(path.readlink())
            else:
                shutil.copytree(path, copy, dirs_exist_ok=True)


@cache
def check_machine() -> tuple[str, str]:
    """The paths of `swift` and `swiftc`. Stops with one line if something is missing."""
    swift, swiftc = find_tool("swift", INSTALL_SWIFT), find_tool("swiftc", INSTALL_SWIFT)
    check_version(swiftc)
    check_cblas()
    return swift, swiftc


def find_tool(name: str, advice: str) -> str:
    """The path of a program; stops with one line if it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise PlatformError(f"swiftforce needs `{name}` on the PATH to build: {advice}")
    return path


def check_version(swiftc: str) -> None:
    """Stops with one line if the toolchain is too old for the package."""
    text = run([swiftc, "--version"], capture=True)
    found = re.search(r"Swift version (\d+)\.(\d+)", text)
    if found and tuple(map(int, found.groups())) < SWIFT:
        raise PlatformError(f"swiftforce cannot be built with {found.group()}: {INSTALL_SWIFT}")


def check_cblas() -> None:
    """Stops with one line if the C interface of OpenBLAS is missing."""
    compiler = shutil.which("clang") or find_tool("cc", "install a C compiler")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "cblas_probe.c"
        source.write_text("#include <cblas.h>\nint main(void) { return 0; }\n")
        probe = [compiler, str(source), "-lopenblas", "-o", str(source.with_suffix(""))]
        found = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    if not found:
        raise PlatformError(
            "swiftforce needs cblas.h and libopenblas to build: "
            "install OpenBLAS (Debian: apt-get install libopenblas-dev)"
        )


def check_import(extension: Path) -> None:
    """Imports the extension as on a user's machine: no toolchain, no site-packages."""
    program = (
        "import importlib.util as u, sys;"
        "s = u.spec_from_file_location('_core', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m); assert m.names(3)"
    )
    toolchain = Path(shutil.which("swiftc") or "/").resolve().parents[1]
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    others = [f for f in folders if f and not Path(f).resolve().is_relative_to(toolchain)]
    clean = {"PATH": os.defpath, "LD_LIBRARY_PATH": os.pathsep.join(others)}
    run([sys.executable, "-I", "-S", "-c", program, str(extension.resolve())], environment=clean)


def run(
    command: list[str], *, capture: bool = False, environment: dict[str, str] | None = None
) -> str:
    """Runs a command. Its output is shown, or returned if `capture` is set."""
    try:
        stdout = subprocess.PIPE if capture else None
        done = subprocess.run(command, check=True, stdout=stdout, text=True, env=environment)
    except subprocess.CalledProcessError as error:
        raise CompileError(f"`{' '.join(command)}` failed with {error.returncode}") from None
    return done.stdout or ""


setup(
    long_description=runpy.run_path(str(ROOT / "tools/index_readme.py"))["description"](ROOT),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "swiftforce._core",
            sources=sorted(str(file.relative_to(ROOT)) for file in (ROOT / NATIVE).glob("*.c")),
            depends=[str(HEADERS / "swiftforce.h"), str(NATIVE / "shim.h")],
            include_dirs=[str(HEADERS), str(NATIVE)],
            define_macros=[("Py_LIMITED_API", LIMITED_API)],
            extra_compile_args=["-std=c11", "-Wall", "-Wextra", "-Wno-cast-function-type"],
            py_limited_api=True,
        )
    ],
    cmdclass={
        "build": Build,
        "build_ext": BuildSwiftExtension,
        "editable_wheel": EditableWheel,
        "sdist": SourceWithLinks,
    },
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
