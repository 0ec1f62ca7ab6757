"""Results in safetensors files: masks, a bit per weight, and everything else as JSON."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from swiftforce.errors import MaskFileError, WeightsDifferError
from swiftforce.files import FileFormat, packed_masks, unpacked_mask
from swiftforce.inputs import MASKS, Array, Arrays, Tensors, differences
from swiftforce.result.masks import check_not_sharded
from swiftforce.result.records import Layer, PruningRecord, saved_scope, saved_step

_FORMAT = FileFormat("swiftforce-masks", 1, "masks", MaskFileError)


def save(pruning: PruningRecord[Any], path: str | os.PathLike[str]) -> None:
    """Write masks, method and history to a safetensors file, a bit per weight.

    The file is replaced as a whole or not at all.

    Raises
    ------
    StructureError
        If the masks are pieces of whole tensors, as one of several ranks has them.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.
    """
    masks = Tensors(pruning.masks, "masks", MASKS)
    check_not_sharded(pruning, masks, "save")
    about = {
        "structure": masks.structure,
        "method": pruning.method,
        "sparsity": pruning.sparsity,
        "steps": pruning.steps,
        "seed": pruning.seed,
        "schedule": pruning.schedule,
        "layers": [[layer.name, list(layer.shape), layer.kept] for layer in pruning.layers],
        "history": [asdict(step) for step in pruning.history],
        "scope": None if pruning.scope is None else asdict(pruning.scope),
    }
    _FORMAT.write(path, packed_masks(masks.arrays), about)


def read(path: str | os.PathLike[str], weights: Arrays | None = None) -> PruningRecord[Any]:
    """Read what `save` wrote; the errors are those of `swiftforce.load`."""
    packed, about = _FORMAT.read(path)
    try:
        record = _record(packed, about)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MaskFileError(f"{path} is damaged: {error}") from None
    if weights is not None:
        expected = {layer.name: layer.shape for layer in record.layers}
        if found := differences(expected, Tensors(weights, "weights")):
            raise WeightsDifferError(f"{path} holds masks of other weights: {'; '.join(found)}")
    return record


def _record(packed: dict[str, Array], about: dict[str, Any]) -> PruningRecord[Any]:
    layers, masks = [], []
    for position, (name, shape, kept) in enumerate(about["layers"]):
        mask = unpacked_mask(packed, position, name, tuple(shape), kept)
        layers.append(Layer(name, tuple(shape), mask.size, kept))
        masks.append(mask)
    history = [saved_step(step) for step in about["history"]]
    return PruningRecord(
        masks=_structured(about["structure"], [layer.name for layer in layers], masks),
        method=about["method"],
        layers=tuple(layers),
        history=tuple(history),
        seed=about["seed"],
        schedule=about["schedule"],
        scope=saved_scope(about.get("scope")),
    )


def _structured(structure: str, names: list[str], masks: list[Array]) -> Arrays:
    match structure:
        case "mapping":
            return dict(zip(names, masks, strict=True))
        case "list":
            return masks
        case "tuple":
            return tuple(masks)
        case "array":
            return masks[0]
    raise ValueError(f"unknown structure {structure!r}")
