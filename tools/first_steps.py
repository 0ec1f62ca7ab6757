"""Prune and train a network with an installed wheel, and check which libraries were used.

Run it in the environment to check, as `python -I first_steps.py`. It needs nothing but the wheel
and numpy. The list of mapped files tells whether the libraries in use are those of the wheel: the
system may have others of the same names.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import swiftforce as sf
from swiftforce import nn

SITE = Path(sf.__file__).resolve().parents[1]
#: Libraries that the wheel bundles; numpy's wheel has its own, in another folder.
BUNDLED = ("openblas", "gfortran", "quadmath")
COMPILERS = ("swift", "swiftc", "clang", "gcc", "cc", "c++", "ld")


def main() -> None:
    """Prune and train a network, and print the libraries that were used."""
    accuracy = trained_accuracy()
    if accuracy < 0.9:
        raise SystemExit(f"a network learned an easy task with an accuracy of {accuracy:.0%} only")
    if not SITE.is_relative_to(sys.prefix):
        raise SystemExit(f"swiftforce was imported from {SITE}, which is not in this environment")
    if found := [name for name in COMPILERS if shutil.which(name)]:
        raise SystemExit(f"this environment must have no compiler, but has {found}")
    for path in bundled():
        print(path.relative_to(SITE))
    versions = f"Python {sys.version.split()[0]}, numpy {np.__version__}"
    print(f"first steps: {versions}, {accuracy:.0%} right")


def trained_accuracy() -> float:
    """Accuracy of a network that was pruned by FORCE and trained; 0.5 by chance."""
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


def bundled() -> list[Path]:
    """The libraries in use that the wheel bundles; exits if one is from elsewhere."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    mapped = {Path(line.split(maxsplit=5)[5]) for line in maps if ".so" in line}
    ours = []
    for path in sorted(mapped):
        if "libswift" in path.name.lower():
            raise SystemExit(f"{path} belongs to the Swift toolchain")
        if any(word in path.name for word in BUNDLED) and SITE / "numpy.libs" not in path.parents:
            ours.append(path)
    if strange := [path for path in ours if SITE / "swiftforce.libs" not in path.parents]:
        raise SystemExit(f"the wheel bundles these libraries, but others are in use: {strange}")
    if missing := [word for word in BUNDLED if not any(word in path.name for path in ours)]:
        raise SystemExit(f"bundled libraries that are not in use: {missing}")
    return ours


if __name__ == "__main__":
    main()
