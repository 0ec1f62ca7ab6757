"""Writers that are killed at random moments: the old file or the new one is whole, and no third.

    python Tests/fuzz/kills.py --kills 500 --seed 0

A writer saves results, searches and networks, and applies masks to a checkpoint of two files and an
index, again and again, each time with other numbers. After each kill all files are read: those of
one checkpoint must be of one result. The folders that killed writers left are deleted by the next.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.numpy
import swiftforce as sf
from swiftforce import cli, nn

#: Names and sizes of the tensors; each round keeps other numbers of weights.
WEIGHTS = {
    name: np.random.default_rng(seed).standard_normal((200, 250), np.float32)
    for seed, name in enumerate(("a.weight", "b.weight"))
}
ROUNDS = 10


def keep_of(number: int) -> int:
    """How many weights the results of a round keep."""
    return 1_000 * (1 + number % ROUNDS)


def write_forever(folder: Path) -> None:
    """Save everything, round after round, and say when the first round is done."""
    net = nn.Network([nn.Linear(100, 100)])
    for number in range(10**9):
        pruning = sf.magnitude(WEIGHTS, keep=keep_of(number))
        pruning.save(folder / "masks")
        search = sf.MaskSearch(WEIGHTS, keep=keep_of(number), steps=2)
        search.step(WEIGHTS)
        search.save(folder / "search")
        net.weights["0.weight"] = np.full((100, 100), number % ROUNDS)
        nn.save(net, folder / "network")
        arguments = ["--weights", str(folder / "model.safetensors.index.json")]
        with contextlib.redirect_stdout(io.StringIO()):
            status = cli.main(
                ["apply", str(folder / "masks"), *arguments, "--output", str(folder / "out")]
            )
        if status:
            raise RuntimeError(f"apply ended with {status}")
        if not number:
            print("begun", flush=True)


def write_checkpoint(folder: Path) -> None:
    """The dense checkpoint: a file for each tensor, and an index."""
    files = {name: f"model-{place}.safetensors" for place, name in enumerate(WEIGHTS)}
    for name, file in files.items():
        safetensors.numpy.save_file({name: WEIGHTS[name]}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))


def check(folder: Path) -> None:
    """Read all files: each is whole, and those of the checkpoint belong together."""
    known = {keep_of(number) for number in range(ROUNDS)}
    assert sf.load(folder / "masks", WEIGHTS).keep in known
    assert sf.MaskSearch.resume(folder / "search", WEIGHTS).taken == 1
    values = np.unique(nn.load(folder / "network").weights["0.weight"])
    assert len(values) == 1, f"a network of {len(values)} rounds"
    index = json.loads((folder / "out/model.safetensors.index.json").read_text())
    kept = [
        int(np.count_nonzero(safetensors.numpy.load_file(folder / "out" / file)[name]))
        for name, file in index["weight_map"].items()
    ]
    expected = [
        [int(mask.sum()) for mask in sf.magnitude(WEIGHTS, keep=keep).masks.values()]
        for keep in sorted(known)
    ]
    assert kept in expected, f"a checkpoint of two results: {kept}"
    assert (folder / "out/notes.txt").read_text() == "stays"


def kill_once(folder: Path, delay: float) -> None:
    """Start a writer, kill it after a while, and look at what it left."""
    with subprocess.Popen(
        [sys.executable, __file__, "--write", str(folder)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        if writer.stdout.readline() != "begun\n":
            raise RuntimeError("the writer did not begin")
        # A crash of the first round would be no kill.
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
    if writer.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the writer ended with {writer.returncode}")
    check(folder)


def left_behind(folder: Path) -> int:
    """How many temporary folders killed writers left."""
    return len(list(folder.glob(".swiftforce-*")))


def main() -> int:
    """Kill writers and print how many there were; 1 if a file was not whole."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write is not None:
        write_forever(given.write)
    draw = random.Random(given.seed)
    failures = abandoned = 0
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="swiftforce-kills-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        (folder / "out/notes.txt").write_text("stays")
        write_checkpoint(folder)
        for number in range(given.kills):
            try:
                kill_once(folder, draw.uniform(0, 0.25))
            except Exception as error:
                failures += 1
                print(f"kill {number}: {type(error).__name__}: {error}", flush=True)
            found = left_behind(folder)
            abandoned += bool(found)
            if found > 1:
                failures += 1
                print(f"kill {number}: {found} folders of killed writers", flush=True)
    minutes = (time.monotonic() - started) / 60
    print(f"{given.kills} kills of seed {given.seed} in {minutes:.1f} minutes")
    print(f"{abandoned} left a temporary folder, which the next writer deleted")
    print(f"{failures} failed")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
