"""swiftforce finds sparse networks before training.

It takes weights and gradients, and returns masks: by FORCE and Iterative SNIP ("Progressive
Skeletonization", ICLR 2021), SNIP and other baselines, exactly, on a native core.

>>> import numpy as np, swiftforce as sf
>>> w, g = np.float32([1, -2, 3, 4]), np.float32([4, 1, 0, 2])
>>> sf.snip(w, g, sparsity=0.5).masks
array([ True, False, False,  True])
"""

from typing import TYPE_CHECKING

from swiftforce import distributed, errors
from swiftforce.errors import (
    AllocationError,
    ArchitectureError,
    ArraysChangedError,
    BatchesError,
    BoundsError,
    CheckpointError,
    DatasetError,
    DegenerateSaliencyWarning,
    DeltaFileError,
    DenseLayerWarning,
    DivergedError,
    EnvironmentVariableError,
    ExchangeError,
    HyperparameterError,
    InUseError,
    KeepError,
    LabelError,
    LayerCollapseWarning,
    LayoutError,
    MaskedGradientsWarning,
    MaskFileError,
    MasksChangedError,
    MasksLostWarning,
    MeasuresError,
    MissingGradientsError,
    NetworkFileError,
    NonFiniteError,
    OverlapError,
    PackedFileError,
    PartlySearchedWarning,
    RankFailedError,
    RanksDifferError,
    RemovedWeightsError,
    RemovedWeightsWarning,
    RunsFileError,
    ScheduleError,
    SearchDoneError,
    SearchFileError,
    SeedError,
    ShapeError,
    SparsityError,
    StepsError,
    StepsIgnoredWarning,
    StructureError,
    SwiftForceError,
    SwiftForceWarning,
    ThreadsError,
    UnknownNameError,
    UnreachableClassWarning,
    UnsupportedTypeError,
    WeightsDifferError,
)
from swiftforce.inputs import Allocation, Pattern, methods, saliencies, schedules
from swiftforce.result import (
    Damping,
    Layer,
    Prunable,
    Pruning,
    Scope,
    Step,
    Unpacked,
    apply_masks,
    load,
    load_packed,
    save_packed,
)
from swiftforce.search import (
    MaskSearch,
    Piece,
    force,
    force_nested,
    grasp_it,
    iterative_snip,
    keep_count,
    magnitude,
    permutation,
    prune,
    random,
    saliency,
    schedule_keeps,
    select,
    snip,
)
from swiftforce.threads import cpu_levels, get_num_threads, set_num_threads
from swiftforce.version import __version__

__all__ = [
    "Allocation",
    "AllocationError",
    "ArchitectureError",
    "ArraysChangedError",
    "BatchesError",
    "BoundsError",
    "CheckpointError",
    "Comparison",
    "ComparisonTable",
    "Damping",
    "DatasetError",
    "DegenerateSaliencyWarning",
    "DenseLayerWarning",
    "DeltaFileError",
    "DivergedError",
    "EnvironmentVariableError",
    "ExchangeError",
    "HyperparameterError",
    "KeepError",
    "InUseError",
    "LabelError",
    "Layer",
    "LayerCollapseWarning",
    "LayoutError",
    "MaskFileError",
    "MaskSearch",
    "MaskedGradientsWarning",
    "MasksChangedError",
    "MasksLostWarning",
    "MeasuresError",
    "MissingGradientsError",
    "NetworkFileError",
    "NonFiniteError",
    "OverlapError",
    "PackedFileError",
    "PartlySearchedWarning",
    "Pattern",
    "Piece",
    "Prunable",
    "Pruning",
    "RanksDifferError",
    "RemovedWeightsError",
    "RemovedWeightsWarning",
    "RankFailedError",
    "RunsFileError",
    "ScheduleError",
    "SearchDoneError",
    "SearchFileError",
    "SeedError",
    "ShapeError",
    "SparsityError",
    "Scope",
    "Step",
    "StepsError",
    "StepsIgnoredWarning",
    "StructureError",
    "SwiftForceError",
    "SwiftForceWarning",
    "ThreadsError",
    "Trial",
    "UnknownNameError",
    "Unpacked",
    "UnreachableClassWarning",
    "UnsupportedTypeError",
    "WeightsDifferError",
    "__version__",
    "apply_masks",
    "checks",
    "compare",
    "cpu_levels",
    "datasets",
    "distributed",
    "errors",
    "force",
    "force_nested",
    "get_num_threads",
    "grasp_it",
    "iterative_snip",
    "keep_count",
    "load",
    "load_packed",
    "magnitude",
    "methods",
    "nn",
    "permutation",
    "prune",
    "random",
    "saliencies",
    "saliency",
    "save_packed",
    "schedule_keeps",
    "schedules",
    "select",
    "set_num_threads",
    "snip",
]

if TYPE_CHECKING:
    from swiftforce import checks, datasets, nn
    from swiftforce.comparison import Comparison, ComparisonTable, Trial, compare
else:
    #: What not every program uses, and the module that each name is in.
    _LATER = {name: name for name in ("checks", "datasets", "nn")}
    _LATER |= dict.fromkeys(("Comparison", "ComparisonTable", "Trial", "compare"), "comparison")

    def __getattr__(name: str) -> object:
        """Import what not every program uses when it is first used."""
        if name not in _LATER:
            raise AttributeError(f"module 'swiftforce' has no attribute {name!r}")
        from importlib import import_module

        module = import_module(f"swiftforce.{_LATER[name]}")
        return module if _LATER[name] == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
