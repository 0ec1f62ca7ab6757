"""What runs sparse networks fastest, and what they take on disk: other libraries and the engine.

Run from the top of the repository: `make bench`, or `python -m benchmarks.deploy --quick`.
Libraries that are not installed are left out: `pip install --group deploy` brings them.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

# Threads of torch that wait by spinning take the cores of the calls in between and, on a machine
# with other work, those of torch itself. OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import swiftforce as sf
import swiftforce.torch as sft
import torch
from swiftforce import nn

from benchmarks.arrays import Array
from benchmarks.classifiers import Kind, samples
from benchmarks.command import measure, open_results, options, show
from benchmarks.deploy_layer import SCIPY, SPARSIFIED, layer_calls
from benchmarks.deploy_runners import NEEDS, RUNNERS, TORCH, Deployed, Logits, deployed
from benchmarks.measure import Times, in_turn, machine_facts, repeated
from benchmarks.plan import threads_text
from benchmarks.rows import Row
from benchmarks.sparse_networks import CLOSE, force_masks

#: Libraries whose versions matter, besides those of all benchmarks.
LIBRARIES = ("onnx", "onnxruntime", "openvino", "scipy")
#: Seconds that a timed call takes at least, by repetition: shorter ones are within the noise.
LEAST = 0.05
#: Seconds after which a call is timed only twice.
MOST = 2.0


@dataclass(frozen=True)
class Mlp:
    """A perceptron with two hidden layers."""

    hidden: tuple[int, int]

    def __str__(self) -> str:
        """Its widths."""
        return "MLP " + "-".join(map(str, (3072, *self.hidden, 10)))

    def make(self) -> nn.Network:
        """The network, for images of 3 by 32 by 32 and 10 classes."""
        first, second = self.hidden
        layers = [nn.Flatten(), nn.Linear(3072, first), nn.ReLU(), nn.Linear(first, second)]
        layers += [nn.ReLU(), nn.Linear(second, 10)]
        return nn.Network(layers, input_shape=(3, 32, 32), seed=1)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    networks : mapping of str to Kind or Mlp
    sparsities : tuple of float
    batches : tuple of int
    search_steps : int
    fashion : bool
        Whether masks are found with Fashion-MNIST, not with noise.
    threads : int
        For all libraries.
    repeats : int
        Timed runs.
    least : float
    layer : tuple of (int, int)
        Inputs and outputs of the linear layer that is measured by itself.
    layer_targets : mapping of float to float
        Sparsity, and the ratio of torch's time to that with `sft.sparsify` that is aimed at.
    """

    networks: Mapping[str, Kind | Mlp]
    sparsities: tuple[float, ...] = (0.9, 0.95, 0.99)
    batches: tuple[int, ...] = (1, 64)
    search_steps: int = 12
    fashion: bool = True
    threads: int = 2
    repeats: int = 9
    least: float = LEAST
    layer: tuple[int, int] = (4096, 1024)
    layer_targets: Mapping[float, float] = field(
        default_factory=lambda: {0.95: 6.0, 0.99: 20.0, 0.995: 30.0}
    )


FULL = Plan({"vgg": Kind("vgg", 19), "mlp": Mlp((4096, 1024))})
QUICK = Plan(
    {"vgg": Kind("resnet", 20), "mlp": Mlp((64, 32))},
    sparsities=(0.9,),
    batches=(1, 4),
    search_steps=2,
    fashion=False,
    threads=1,
    repeats=2,
    least=0.0,
    layer=(64, 32),
    layer_targets={0.9: 0.0},
)


def inference_rows(plan: Plan, kind: Kind | Mlp, section: str) -> Iterator[Row]:
    """Logits by all runners; a ratio is torch's time over the row's."""
    for sparsity, masks in _masks(plan, kind).items():
        for batch in plan.batches:
            with tempfile.TemporaryDirectory() as folder:
                x, _ = samples(batch)
                found = _ready(plan, kind, masks, x, Path(folder))
                calls, notes = _calls(found, isinstance(kind, Mlp))
                times = _times(calls, plan)
            case = f"{100 * sparsity:g} % removed, batch of {batch}"
            for what in [name for name in RUNNERS if name in {*calls, *notes}]:
                row = Row(section, case, what, threads=plan.threads, note=notes.get(what, ""))
                if what in times:
                    row = dataclasses.replace(row, median=times[what].median, best=times[what].best)
                if what in times and what != TORCH:
                    row = dataclasses.replace(
                        row,
                        against=TORCH,
                        ratio=times[TORCH].median / times[what].median,
                        ratio_of_best=times[TORCH].best / times[what].best,
                    )
                yield row


def layer_rows(plan: Plan) -> Iterator[Row]:
    """One linear layer with random masks and one sample; a ratio is torch's time over the row's.

    Raises
    ------
    RuntimeError
        If the outputs differ.
    """
    inputs, outputs = plan.layer
    scipy = importlib.util.find_spec("scipy")
    for sparsity, target in plan.layer_targets.items():
        calls = layer_calls(inputs, outputs, sparsity)
        with torch.inference_mode():
            expected = calls[TORCH]()
            for name, call in calls.items():
                if np.abs(call() - expected).max() > CLOSE * np.abs(expected).max():
                    raise RuntimeError(f"the outputs of {name} and torch differ")
            times = _times(calls, plan)
        case = f"{inputs} -> {outputs}, {100 * sparsity:g} % removed"
        for what, found in times.items():
            row = Row("layer", case, what, found.median, found.best, threads=plan.threads)
            if what != TORCH:
                row = dataclasses.replace(
                    row,
                    against=TORCH,
                    ratio=times[TORCH].median / found.median,
                    ratio_of_best=times[TORCH].best / found.best,
                    target=f">= {target:g}" if target and what == SPARSIFIED else "",
                )
            yield row
        if not scipy:
            yield Row("layer", case, SCIPY, threads=plan.threads, note="scipy is not installed")


def file_rows(plan: Plan) -> Iterator[Row]:
    """Bytes of the files of each network; a ratio is that to the dense state in float32."""
    for kind in plan.networks.values():
        for sparsity, masks in _masks(plan, kind).items():
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                module = _ready(plan, kind, masks, samples(2)[0], folder).module
                from safetensors.torch import save_file

                save_file(module.state_dict(), folder / "dense.safetensors")
                sft.save_packed(module, folder / "packed.safetensors")
                sft.export(module, folder / "model.pt2", (2, 3, 32, 32))
                sft.export(module, folder / "rows.npz")
                sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
            whole = sizes["dense.safetensors"]
            for what, file in (
                ("dense, safetensors", "dense.safetensors"),
                ("ONNX", "model.onnx"),
                ("torch.export", "model.pt2"),
                ("CSR, npz", "rows.npz"),
                ("packed", "packed.safetensors"),
            ):
                case = f"{kind}, {100 * sparsity:g} % removed"
                if file not in sizes:
                    yield Row("files", case, what, note="onnx is not installed")
                    continue
                size = sizes[file]
                ratio = None if size == whole else size / whole
                against = "" if size == whole else "dense"
                yield Row(
                    *("files", case, what, size, size, "B", against, ratio, ratio), percent=True
                )


def _masks(plan: Plan, kind: Kind | Mlp) -> dict[float, dict[str, Array]]:
    return force_masks(kind, plan.sparsities, plan.search_steps, fashion=plan.fashion)


def _ready(
    plan: Plan, kind: Kind | Mlp, masks: Mapping[str, Array], x: Array, folder: Path
) -> Deployed:
    statistics, _ = samples(max(len(x), 64))
    found = dataclasses.replace(deployed(kind.make, masks, statistics, folder, plan.threads), x=x)
    if importlib.util.find_spec("onnxscript"):
        sft.export(found.module, folder / "model.onnx", (2, 3, 32, 32))
    return found


def _calls(found: Deployed, is_linear: bool) -> tuple[dict[str, Logits], dict[str, str]]:
    """The calls whose logits are those of torch, and why others are left out.

    Raises
    ------
    RuntimeError
        If a runner computes something else.
    """
    calls: dict[str, Logits] = {}
    notes: dict[str, str] = {}
    expected = RUNNERS[TORCH](found)()
    for name, runner in RUNNERS.items():
        if name in ("scipy, CSR", "torch, CSR linear layers") and is_linear != (name[0] == "s"):
            continue
        if (need := NEEDS.get(name)) and not importlib.util.find_spec(need):
            notes[name] = f"{need} is not installed"
        elif need in ("onnxruntime", "openvino") and not (found.folder / "model.onnx").exists():
            notes[name] = "onnx is not installed"
        else:
            calls[name] = runner(found)
            if np.abs(calls[name]() - expected).max() > CLOSE * np.abs(expected).max():
                raise RuntimeError(f"the logits of {name} and torch differ")
    return calls, notes


def _times(calls: Mapping[str, Logits], plan: Plan) -> dict[str, Times]:
    """Seconds of each call, which is repeated if it is short."""
    once = in_turn(calls, 1)
    runs = {name: max(1, math.ceil(plan.least / one.best)) for name, one in once.items()}
    found = in_turn(
        {name: repeated(call, runs[name]) for name, call in calls.items()},
        plan.repeats,
        fewer={name: 2 for name, one in once.items() if one.best > MOST},
    )
    return {
        name: Times(tuple(seconds / runs[name] for seconds in one.all))
        for name, one in found.items()
    }


def main() -> None:
    """Measure missing sections, and show all results."""
    names = [*FULL.networks, "layer", "files"]
    arguments = options(__doc__.splitlines()[0], names).parse_args()
    plan = QUICK if arguments.quick else FULL
    threads = threads_text(plan.threads)
    titles = {name: f"Logits of {kind}, {threads}" for name, kind in plan.networks.items()}
    titles["layer"] = f"One linear layer, batch of 1, {threads}"
    titles["files"] = "Bytes of files"
    sections = {
        name: partial(inference_rows, plan, kind, name) for name, kind in plan.networks.items()
    }
    sections["layer"] = partial(layer_rows, plan)
    sections["files"] = partial(file_rows, plan)
    results = open_results(arguments, "deploy")
    # The images are noise, so warnings about the masks mean nothing.
    warnings.simplefilter("ignore", sf.SwiftForceWarning)
    warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
    sf.set_num_threads(plan.threads)
    torch.set_num_threads(plan.threads)
    installed = [name for name in LIBRARIES if importlib.util.find_spec(name)]
    facts = machine_facts() | {name: version(name) for name in installed}
    measure(results, arguments, facts, lambda name: sections[name]())
    show(results, arguments, "deploy", titles)


if __name__ == "__main__":
    main()
