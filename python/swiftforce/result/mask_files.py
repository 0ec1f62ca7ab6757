"""Results in safetensors files: masks, a bit per weight or less, counts of all steps, and JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from typing import Any

from swiftforce.errors import MaskFileError, WeightsDifferError
from swiftforce.files import FileFormat, checks, packed_masks, unpacked_mask
from swiftforce.inputs import MASKS, Array, Arrays, Tensors, differences, node_from
from swiftforce.result.layers import Layer
from swiftforce.result.masks import check_not_sharded
from swiftforce.result.parts import joined, with_lost_parts
from swiftforce.result.records import PruningRecord, Scope
from swiftforce.result.saved_axes import axes_from, saved_axes
from swiftforce.result.saved_damping import damping_from
from swiftforce.result.saved_steps import packed_steps, unpacked_steps
from swiftforce.result.zero_scores import ZeroScores

_FORMAT = FileFormat("swiftforce-masks", 5, "masks", MaskFileError, oldest=1)


def save(pruning: PruningRecord[Any], path: str | os.PathLike[str]) -> None:
    """Write masks, method and history to a safetensors file, a bit per weight or less.

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
    write(pruning, path, packed_masks(masks.arrays), masks.structure)


def write(
    pruning: PruningRecord[Any],
    path: str | os.PathLike[str],
    packed: Mapping[str, Array],
    structure: str = "mapping",
) -> None:
    """Write a result to a file, with masks that `packed_masks` returned.

    The errors are those of `save`.
    """
    counts, history = packed_steps(pruning.history)
    about = {
        "structure": structure,
        "method": pruning.method,
        "sparsity": pruning.sparsity,
        "steps": pruning.steps,
        "seed": pruning.seed,
        "schedule": pruning.schedule,
        "damping": asdict(pruning.damping),
        **saved_axes(pruning.saliency, pruning.rule, pruning.allocation, pruning.pattern),
        "layers": [[layer.name, list(layer.shape), layer.kept] for layer in pruning.layers],
        "history": history,
        "scope": None if pruning.scope is None else asdict(pruning.scope),
        "zeros": None if pruning.zeros is None else asdict(pruning.zeros),
    }
    _FORMAT.write(path, {**packed, **counts}, about)


def read(path: str | os.PathLike[str], weights: Arrays | None = None) -> PruningRecord[Any]:
    """Read what `save` wrote; the errors are those of `swiftforce.load`."""
    packed, about = _FORMAT.read(path)
    try:
        record = _record(packed, about)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise MaskFileError(f"{path} is damaged: {error}") from None
    if weights is not None:
        tensors = Tensors(weights, "weights")
        names = [layer.name for layer in record.layers]
        masks = Tensors(record.masks, "masks", MASKS).arrays
        whole = joined(dict(zip(names, masks, strict=True)), tensors.shapes)
        if found := differences({name: mask.shape for name, mask in whole.items()}, tensors):
            raise WeightsDifferError(f"{path} holds masks of other weights: {'; '.join(found)}")
    return record


def _record(arrays: dict[str, Array], about: dict[str, Any]) -> PruningRecord[Any]:
    layers = [
        _layer(entry, position)
        for position, entry in enumerate(checks.items(about["layers"], "the list of layers"))
    ]
    names = [layer.name for layer in layers]
    checks.distinct(names, "layers")
    masks = [
        unpacked_mask(arrays, position, layer.name, layer.shape, layer.kept)
        for position, layer in enumerate(layers)
    ]
    history = unpacked_steps(arrays, about["history"], [layer.size for layer in layers])
    if not history:
        raise ValueError("no step is in it")
    return PruningRecord(
        masks=_structured(about["structure"], names, masks),
        method=checks.text(about["method"], "the method"),
        layers=with_lost_parts(layers, masks),
        history=history,
        seed=checks.whole(about["seed"], "the seed", most=2**64 - 1),
        schedule=checks.text(about["schedule"], "the schedule"),
        scope=_scope(about.get("scope")),
        zeros=_zeros(about.get("zeros")),
        damping=damping_from(about),
        **axes_from(about),
    )


def _scope(entries: Any) -> Scope | None:  # noqa: ANN401 - of a file
    """What part of a model was searched; older files do not say."""
    if entries is None:
        return None
    counts = {
        name: checks.whole(entries[name], f"scope.{name}", most=2**63 - 1)
        for name in ("searched", "matrices", "by_pattern", "parameters")
    }
    if counts["searched"] > counts["matrices"] or not counts["parameters"]:
        raise ValueError(f"the numbers of what was searched contradict each other: {counts}")
    largest = [
        checks.items(one, "scope.largest", 3)
        for one in checks.items(entries["largest"], "scope.largest")
    ]
    named = [
        (
            checks.text(name, "a matrix left out"),
            checks.whole(size, "the size of a matrix left out", most=2**63 - 1),
            checks.text(why, "the reason for a matrix left out"),
        )
        for name, size, why in largest
    ]
    return Scope(**counts, largest=tuple(named))


def _zeros(entries: Any) -> ZeroScores | None:  # noqa: ANN401 - of a file
    """Why scores were zero; older files do not say."""
    if entries is None:
        return None
    named = {
        name: tuple(
            checks.text(one, f"a name in zeros.{name}")
            for one in checks.items(entries[name], f"zeros.{name}")
        )
        for name in ("layers", "factors")
    }
    return ZeroScores(**named)


def _layer(entry: object, position: int) -> Layer:
    what = f"layer {position}"
    name, sides, kept = checks.items(entry, what, 3)
    shape = checks.shape(sides, what)
    size = prod(shape)
    return Layer(
        checks.text(name, f"the name of {what}"),
        shape,
        size,
        checks.whole(kept, f"the number of weights that {what} keeps", most=size),
    )


def _structured(structure: object, names: list[str], masks: list[Array]) -> Arrays:
    if structure == "array" and len(masks) == 1:
        return masks[0]
    try:
        return node_from(structure, names).restore(iter(masks))
    except ValueError as error:
        shown = checks.shown(structure)
        raise ValueError(f"{len(masks)} masks have the structure {shown}: {error}") from None
