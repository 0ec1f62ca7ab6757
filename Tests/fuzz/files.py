"""Damaged files of each kind, read as users do: only documented errors, in bounded time and memory.

    python Tests/fuzz/files.py --cases 350000 --seed 0

Cases take the kinds in turn: 350,000 are 50,000 of each. Case i of a seed is the same on every
machine, so `--first i --cases 1` repeats it.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import swiftforce as sf
from campaign import run
from mutations import bent, damaged, other_header, resealed, text_of, zipped
from swiftforce import cli, datasets, nn
from swiftforce.files import Checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "python" / "support"))

import json

from checkpoint_files import tensors, write, write_split

#: How many cases one task of a process runs, and the bytes that a case may add to a process.
TASK, MEMORY = 500, 1 << 30
#: The most seconds of a case: of computing, and of a clock, which also runs while it waits.
SECONDS, CLOCK = 10, 120

#: In memory, where there is such a folder: nothing is left of the files.
_WHERE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

WEIGHTS = {"fc.1": np.arange(1, 41, dtype=np.float32).reshape(5, 8), "b": np.ones(9, np.float64)}


class TooSlowError(Exception):
    """A case that takes too long."""


class Kind(NamedTuple):
    """A kind of file: how it is damaged, how it is read, and what reading may raise."""

    damage: Callable[[dict[str, bytes], np.random.Generator], dict[str, bytes]]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]
    files: dict[str, bytes]


# ------------------------------------------------------------------------------ damage


def one_of(files: dict[str, bytes], rng: np.random.Generator) -> tuple[str, bytes]:
    name = str(rng.choice(sorted(files)))
    return name, files[name]


def sealed(format_name: str) -> Any:
    def damage(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
        name, content = one_of(files, rng)
        draw = rng.random()
        if draw < 0.25:
            return {name: damaged(content, rng)}
        if draw < 0.35:
            return {name: other_header(content, rng)}
        return {name: resealed(content, format_name, rng)}

    return damage


def checkpoint(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    name, content = one_of(files, rng)
    if name.endswith(".json"):
        index = json.loads(content)
        bent(index, rng)
        content = text_of(index, rng).encode("utf-8", "surrogatepass")
        return {**files, name: content if rng.random() < 0.8 else damaged(content, rng)}
    return {**files, name: (damaged if rng.random() < 0.4 else other_header)(content, rng)}


def plain(files: dict[str, bytes], rng: np.random.Generator) -> dict[str, bytes]:
    name, content = one_of(files, rng)
    return {**files, name: (damaged if rng.random() < 0.7 else zipped)(content, rng)}


# ------------------------------------------------------------------------------ reading


def command(*arguments: str) -> None:
    """Run the command line: it ends with a status and at most one line about an error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.main(arguments)
    said = [line for line in err.getvalue().splitlines() if "warning: " not in line]
    if status not in (0, 1) or len(said) != status or not all(map(str.isprintable, said)):
        raise RuntimeError(f"status {status}, {said!r}")
    if not all(map(str.isprintable, out.getvalue().split("\n"))):
        raise RuntimeError(f"raw characters in {out.getvalue()!r}")


def read_masks(folder: Path) -> None:
    path = folder / "masks"
    command("inspect", str(path), "--json")
    command("apply", str(path), "--weights", str(folder / "none"), "--output", str(folder / "o"))
    found = sf.load(path)
    shown = (str(found), repr(found), found._repr_html_(), found.to_json(), found.warnings)
    if path.stat().st_size % 50 == 0:  # now and then, since it takes long
        found.plot().savefig(io.BytesIO())
    assert all(part is not None for part in shown)
    found.save(folder / "again")
    sf.load(folder / "again", WEIGHTS)


def read_search(folder: Path) -> None:
    search = sf.MaskSearch.resume(folder / "search", WEIGHTS)
    if not search.done:
        search.step(WEIGHTS if search.needs_gradients else None)
    str(search.result())
    search.save(folder / "again")


def read_network(folder: Path) -> None:
    net = nn.load(folder / "network")
    assert repr(net.layers)
    if net.features < 10_000:
        net.predict(np.zeros((2, net.features), np.float32))
    nn.save(net, folder / "again")


def read_checkpoint(folder: Path) -> None:
    for path in sorted(folder.glob("*model*")):
        prune = ["prune", "--weights", str(path), "--method", "magnitude", "--keep", "3"]
        command(*prune, "--output", str(folder / "m"))
        if (folder / "m").exists():
            out = str(folder / f"o{path.suffix}")
            command("apply", str(folder / "m"), "--weights", str(path), "--output", out)
    for path in sorted(folder.glob("*model*")):
        found = Checkpoint([path])
        found.arrays(found.prunable())


def read_idx(folder: Path) -> None:
    datasets.fashion_mnist(folder)


def read_cifar(folder: Path) -> None:
    datasets.cifar100(folder)


def read_archive(folder: Path) -> None:
    datasets.cifar100(folder / "cifar.tar")


# ------------------------------------------------------------------------------ whole files


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def made(write_to: Callable[[Path], object]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write_to(Path(folder))
        return content_of(Path(folder))


def whole_search(folder: Path, name: str, steps: int) -> sf.MaskSearch[Any]:
    search = sf.MaskSearch(WEIGHTS, keep=5, steps=4)
    for _ in range(steps):
        search.step(WEIGHTS)
    search.save(folder / name)
    return search


def whole_masks(folder: Path) -> None:
    found = whole_search(folder, "search", 4).result()
    scope = sf.Scope(49, 99, 20, 120, (("c", 30, "an embedding"),))
    replace(found, scope=scope).save(folder / "masks")


def whole_network(folder: Path) -> None:
    layers = [
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.Residual([nn.Conv2d(2, 2, 1), nn.ReLU()], [nn.MaxPool2d(1)]),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, bias=False),
    ]
    net = nn.Network(layers, input_shape=(1, 4, 4))
    net.apply({name: np.ones(w.shape, bool) for name, w in net.weights.items()})
    nn.save(net, folder / "network")


def whole_checkpoint(folder: Path) -> None:
    # Split files and one file; a single index stands for the split ones.
    for name, content in content_of(write_split(folder / "split", tensors(1)).parent).items():
        (folder / name).write_bytes(content)
    write(folder / "one-model.safetensors", tensors(2))


def whole_idx(folder: Path) -> None:
    for part, count in (("train", 5), ("t10k", 3)):
        images = bytes([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(
            range(4 * count)
        )
        (folder / f"{part}-images-idx3-ubyte").write_bytes(images)
        labels = bytes([0, 0, 8, 1, 0, 0, 0, count]) + bytes(range(count))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)


def whole_cifar(folder: Path) -> None:
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(2 * (bytes([1, 2]) + bytes(range(256)) * 12))


def whole_archive(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as files, tarfile.open(folder / "cifar.tar", "w") as archive:
        whole_cifar(Path(files))
        archive.add(files, "cifar-100-binary")


def kinds() -> dict[str, Kind]:
    """The kinds of files, with whole ones."""
    masks = made(whole_masks)
    files = (sf.SwiftForceError, OSError)
    return {
        "masks": Kind(
            sealed("swiftforce-masks"),
            read_masks,
            (sf.MaskFileError, sf.WeightsDifferError, OSError),
            {"masks": masks["masks"]},
        ),
        "search": Kind(
            sealed("swiftforce-search"),
            read_search,
            (sf.SearchFileError, sf.WeightsDifferError, OSError),
            made(lambda folder: whole_search(folder, "search", 2)),
        ),
        "network": Kind(
            sealed("swiftforce-network"),
            read_network,
            (sf.NetworkFileError, OSError),
            made(whole_network),
        ),
        "checkpoint": Kind(checkpoint, read_checkpoint, files, made(whole_checkpoint)),
        "idx": Kind(plain, read_idx, (sf.DatasetError,), made(whole_idx)),
        "cifar": Kind(plain, read_cifar, (sf.DatasetError,), made(whole_cifar)),
        "archive": Kind(plain, read_archive, (sf.DatasetError,), made(whole_archive)),
    }


# ------------------------------------------------------------------------------ cases


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """End what takes too long."""

    def late(number: int, _: object) -> None:
        raise TooSlowError(f"more than {SECONDS if number == signal.SIGPROF else CLOCK} seconds")

    for kind in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(kind, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, CLOCK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def case(kind: Kind, rng: np.random.Generator) -> str:
    """Read one damaged file; what is said of it prints on one line."""
    with tempfile.TemporaryDirectory(prefix="swiftforce-fuzz-", dir=_WHERE) as folder:
        for name, content in kind.damage(kind.files, rng).items():
            Path(folder, name).write_bytes(content)
        try:
            with limited():
                kind.read(Path(folder))
        except kind.errors as error:
            if not str(error).isprintable():
                raise RuntimeError(f"raw characters in {str(error)!r}") from error
            return "refused"
        left = [path.name for path in Path(folder).glob(".*")]
        if left:
            raise RuntimeError(f"left behind: {left}")
        return "read"


def task(seed: int, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Some cases; how many were read and refused of each kind, and a line for each that failed."""
    warnings.simplefilter("ignore")
    every = kinds()
    names = list(every)
    _limit_memory()
    done: Counter[str] = Counter()
    failures = []
    for number in range(first, first + count):
        name = names[number % len(names)]
        try:
            done[f"{name} {case(every[name], np.random.default_rng([seed, number]))}"] += 1
        except BaseException as error:
            failures.append(f"case {number}: {name}: {type(error).__name__}: {error!r}"[:500])
    return done, failures


def _limit_memory() -> None:
    """Once a process has loaded what it needs, a case gets no more than `MEMORY`."""
    sf.magnitude(WEIGHTS, keep=3).plot()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(
        resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1])
    )


if __name__ == "__main__":
    sys.exit(run(task, description=__doc__, cases=350_000, size=TASK, tasks=50))
