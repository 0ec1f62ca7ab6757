"""The licences of everything that a wheel holds: the package and the libraries inside it.

`repair_wheel` writes them into a wheel and `check_wheel` looks for them. Licences are SPDX
identifiers. They were read in the copyright files of Debian's packages, for the parts that end up
in the library: GCC's file, for example, also lists compilers that no wheel holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: Of the package itself, as pyproject.toml has it.
OWN = "MIT"
#: The folder for the texts of other licences, among the licences of a wheel.
FOLDER = "bundled"


@dataclass(frozen=True)
class Part:
    """Something in a wheel that others wrote.

    Attributes
    ----------
    licences : tuple of str
        SPDX expressions without AND. All of them apply.
    texts : tuple of str
        What the names of the files with its licences start with.
    """

    licences: tuple[str, ...]
    texts: tuple[str, ...]


#: Part of the extension: it is linked statically.
SWIFT = Part(("Apache-2.0 WITH Swift-exception",), ("swift",))
#: Files in the wheel, by the letters that their names start with.
LIBRARIES = {
    # Debian builds LAPACK into it. BSD-2-Clause-Views covers the files that come from GotoBLAS2.
    "libopenblas": Part(
        ("BSD-2-Clause-Views", "BSD-3-Clause", "BSD-3-Clause-Open-MPI"),
        ("libopenblas", "lapack"),
    ),
    # BSD-3-Clause covers libbacktrace.
    "libgfortran": Part(
        ("BSD-3-Clause", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("libgfortran", "GPL-3"),
    ),
    "libquadmath": Part(
        ("LGPL-2.0-or-later", "LGPL-2.1-or-later", "SunPro"),
        ("libquadmath", "LGPL-2", "LGPL-2.1"),
    ),
}


def parts(libraries: Iterable[str]) -> list[Part]:
    """The parts of a wheel that holds library files of these names.

    Raises
    ------
    LookupError
        If the licence of a library is not known.
    """
    found = [SWIFT]
    for library in sorted(libraries):
        known = [part for start, part in LIBRARIES.items() if library.startswith(start)]
        if not known:
            raise LookupError(
                f"{library} has no known licence: read the copyright file of its package "
                "and add it to tools/bundled.py"
            )
        found += known
    return found


def expression(libraries: Iterable[str]) -> str:
    """The SPDX licence expression of a wheel that holds library files of these names."""
    others = {licence for part in parts(libraries) for licence in part.licences}
    return " AND ".join([OWN, *sorted(others)])
