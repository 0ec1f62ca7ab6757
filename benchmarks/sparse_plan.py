"""Layers, networks, sizes and repeats of the benchmark of kept weights, full and quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.classifiers import Kind
from benchmarks.sparse_layers import Layer

#: Pythons of the peers that have an environment of their own, by library.
Pythons = Mapping[str, str]
Targets = tuple[tuple[float, float], ...]

SPARSITIES = (0.9, 0.95, 0.98, 0.99, 0.995)


def _targets(*ratios: float) -> Targets:
    return tuple(zip(SPARSITIES, ratios, strict=True))


@dataclass(frozen=True)
class Trained:
    """A network whose steps of training are timed.

    Attributes
    ----------
    kind : Kind
    targets, sparseprop_targets : tuple of (float, float)
        Sparsity, and the ratio of the peer's time to ours that is aimed at.
    sparsify_targets : tuple of (float, float)
        Sparsity, and the ratio of torch's time to that of torch with `sft.sparsify`.
    dense_runs : int
        Timed runs of what computes over all weights, which takes seconds.
    with_dense, with_sparseprop : bool
        Whether dense kernels and sparseprop are timed, too. ResNet50 takes 4 GB, and as much again
        for each of them.
    """

    kind: Kind
    targets: Targets = ()
    sparseprop_targets: Targets = ()
    sparsify_targets: Targets = ()
    dense_runs: int = 2
    with_dense: bool = True
    with_sparseprop: bool = True


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    layers : tuple of Layer
    layer_sparsities : tuple of float
    networks : tuple of Trained
        Inference, searches and memory are those of the first.
    sparsities : tuple of float
    batch : int
        Samples of a step.
    search_steps : int
        Steps of the searches, and of that for the masks.
    fashion : bool
        Whether masks are found with Fashion-MNIST, not with noise.
    inference : tuple of (int, tuple of (float, float))
        Batch sizes, and the ratios to torch that are aimed at.
    threads : int
        For all libraries.
    repeats, layer_repeats, inference_repeats : int
        Timed runs.
    """

    layers: tuple[Layer, ...]
    layer_sparsities: tuple[float, ...]
    networks: tuple[Trained, ...]
    sparsities: tuple[float, ...]
    batch: int = 128
    search_steps: int = 12
    fashion: bool = True
    inference: tuple[tuple[int, Targets], ...] = (
        (64, ((0.9, 3.7), (0.99, 12))),
        (1, ((0.9, 4), (0.99, 15))),
    )
    memory_targets: Targets = ((0.99, 0.03), (0.995, 0.02))
    threads: int = 2
    repeats: int = 3
    layer_repeats: int = 5
    inference_repeats: int = 7


_WINS_EARLY = ((0.4, 1.0),)

FULL = Plan(
    layers=(
        Layer(3, 128, 128, 16, targets=_WINS_EARLY),
        Layer(3, 256, 256, 8, targets=_WINS_EARLY),
        Layer(3, 512, 512, 4, targets=_WINS_EARLY + _targets(6, 9, 15, 22, 33)),
        Layer(3, 128, 256, 16, stride=2, targets=_WINS_EARLY),
        Layer(1, 1024, 256, 8, targets=_targets(4, 6.5, 9, 12, 16)),
        Layer(1, 1024, 1024, times=10, targets=_targets(6.5, 11, 20, 28, 35)),
    ),
    layer_sparsities=(0.4, *SPARSITIES),
    networks=(
        Trained(
            Kind("vgg", 19),
            _targets(2.5, 4.2, 7, 10, 13),
            sparseprop_targets=_targets(2.3, 3, 4.3, 5.5, 5.5),
            sparsify_targets=((0.95, 3.8), (0.99, 8), (0.995, 10)),
        ),
        Trained(
            Kind("resnet", 18),
            _targets(2.2, 3.5, 5.5, 7, 9),
            sparsify_targets=((0.95, 3), (0.99, 6), (0.995, 8)),
            with_sparseprop=False,
        ),
        Trained(
            Kind("resnet", 50),
            _targets(2.2, 3.5, 5.5, 7, 9),
            dense_runs=1,
            with_dense=False,
            with_sparseprop=False,
        ),
    ),
    sparsities=SPARSITIES,
)

QUICK = Plan(
    layers=(Layer(3, 16, 16, 8, times=5), Layer(1, 64, 64, times=50)),
    layer_sparsities=(0.9,),
    networks=(Trained(Kind("resnet", 20), dense_runs=1),),
    sparsities=(0.9,),
    batch=16,
    search_steps=2,
    fashion=False,
    threads=1,  # two wait for each other where a test runs beside others
    inference=((16, ()), (1, ())),
    memory_targets=(),
    repeats=2,
    layer_repeats=2,
    inference_repeats=2,
)
