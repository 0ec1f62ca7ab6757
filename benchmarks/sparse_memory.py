"""Memory of a trained network's parameters, gradients and momentum, in a separate process."""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import swiftforce as sf
from swiftforce import nn

from benchmarks import memory
from benchmarks.arrays import Array
from benchmarks.classifiers import Kind, samples

#: Images of one pixel: the outputs of layers take no memory, and weights are the same.
IMAGE = (3, 1, 1)


def resident_memory(kind: Kind, masks: Mapping[str, Array] | None, threads: int) -> int | None:
    """Bytes that a network takes after it was trained; None if the system does not report them.

    Parameters
    ----------
    masks : mapping of str to array of bool, or None
        Of the network for larger images: names may differ, but not the order.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "masks.npz"
        np.savez(file, *(masks or {}).values())
        found = memory.run_in_process(
            *("benchmarks.sparse_memory", kind.family, kind.depth, file, threads),
            environment=memory.MALLOC_SETTINGS,
        )
    return None if found is None else found["resident"]


def _trained(net: nn.Network, masks: list[Array]) -> nn.Network:
    if masks:
        net.apply(dict(zip(net.weights, masks, strict=True)))
    x, y = samples(16, IMAGE)
    net.fit(x, y, epochs=2, batch_size=16, learning_rate=0.001, progress=False)
    return net


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family")
    parser.add_argument("depth", type=int)
    parser.add_argument("masks", type=Path)
    parser.add_argument("threads", type=int)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", sf.SwiftForceWarning)  # as in sparse.py
    sf.set_num_threads(arguments.threads)
    with np.load(arguments.masks) as file:
        masks = list(file.values())
    # One-time allocations of libraries are not counted.
    _trained(nn.resnet(20, IMAGE), [])
    before = memory.resident()
    net = _trained(getattr(nn, arguments.family)(arguments.depth, IMAGE), masks)
    print(json.dumps({"resident": memory.resident() - before}))
    del net


if __name__ == "__main__":
    _main()
