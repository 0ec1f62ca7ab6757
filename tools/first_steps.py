"""What a user does first with an installed wheel, and whose libraries did it.

Run in the environment to look at, as `python -I first_steps.py`: it needs nothing but the wheel and
numpy. That the libraries inside the wheel are the ones in use is read from the list of mapped
files, since the system may have others of the same names.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import swiftforce as sf
from swiftforce import nn

SITE = Path(sf.__file__).resolve().parents[1]
#: What a wheel brings itself; numpy's has its own, in another folder.
BROUGHT = ("openblas", "gfortran", "quadmath")
COMPILERS = ("swift", "swiftc", "clang", "gcc", "cc", "c++", "ld")


def main() -> None:
    """Take the first steps, and say whose libraries did it."""
    accuracy = learned()
    if accuracy < 0.9:
        raise SystemExit(f"a network learned to tell apart {accuracy:.0%} of what is easy")
    if not SITE.is_relative_to(sys.prefix):
        raise SystemExit(f"swiftforce was imported from {SITE}, which is not this environment")
    if found := [name for name in COMPILERS if shutil.which(name)]:
        raise SystemExit(f"this environment is to have no compiler, and has {found}")
    for path in brought():
        print(path.relative_to(SITE))
    versions = f"Python {sys.version.split()[0]}, numpy {np.__version__}"
    print(f"first steps: {versions}, {accuracy:.0%} right")


def learned() -> float:
    """Accuracy of a network that was pruned by FORCE and trained; chance is a half."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((512, 40), np.float32)
    y = (x[:, :3].sum(axis=1) > 0).astype(np.int64)
    net = nn.Network([nn.Linear(40, 60), nn.ReLU(), nn.Linear(60, 2)], seed=0)
    gradients = net.gradients_on(x, y, batch_size=128, seed=0)
    pruning = sf.force(net.weights, gradients, sparsity=0.8, steps=10)
    assert sum(int(mask.sum()) for mask in pruning.masks.values()) == round(0.2 * 42 * 60)
    net.apply(pruning.masks)
    net.fit(x, y, epochs=20)
    return float(net.evaluate(x, y).accuracy)


def brought() -> list[Path]:
    """The libraries in use that the wheel brought; stops where one came from elsewhere."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = {Path(line.split(maxsplit=5)[5]) for line in maps if ".so" in line}
    ours = []
    for path in sorted(mapped):
        if "libswift" in path.name.lower():
            raise SystemExit(f"{path} is of the Swift toolchain")
        if any(word in path.name for word in BROUGHT) and SITE / "numpy.libs" not in path.parents:
            ours.append(path)
    if strange := [path for path in ours if SITE / "swiftforce.libs" not in path.parents]:
        raise SystemExit(f"the wheel has these inside, and others are in use: {strange}")
    if lacking := [word for word in BROUGHT if not any(word in path.name for path in ours)]:
        raise SystemExit(f"of the libraries of the wheel are not in use: {lacking}")
    return ours


if __name__ == "__main__":
    main()
