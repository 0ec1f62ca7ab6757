"""A search whose weights are selected where they lie, from its first step to its last.

It takes the steps of a `MaskSearch`, with the same reports, by `selection` in place of the
core. What must not live here: which searches run so (`choice`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from swiftforce.result import Layer, Layers, Pruning, Step, ZeroScores, step_of, warn_about
from swiftforce.search import SearchPlan, planned, require_keep
from swiftforce.show import bar
from swiftforce.torch.device.buffers import DeviceBuffers, Tensors
from swiftforce.torch.device.contest import Previous
from swiftforce.torch.device.damping import UNDAMPED, DeviceDamping, accumulators
from swiftforce.torch.device.scores import SIGNED_PRODUCT, DeviceScores
from swiftforce.torch.device.selection import kept_sum, select
from swiftforce.torch.scoring import GRASP
from swiftforce.torch.search_options import SearchOptions
from swiftforce.torch.step_scoring import Scoring


def search_on_device(
    options: SearchOptions,
    scoring: Scoring,
    buffers: DeviceBuffers,
    others: Mapping[str, nn.Parameter],
) -> Pruning[Tensors]:
    """Search to the end.

    Parameters
    ----------
    others : mapping of name to nn.Parameter
        The parameters of the model that are not searched.

    Returns
    -------
    Pruning
        Its masks are flat tensors on the device.
    """
    sizes = [one.numel() for one in buffers.dense.values()]
    method = options.row.core
    if method is None:
        run = _Run(buffers, None, None)
        kept = require_keep(sum(sizes), options.sparsity, options.keep)
        products = _gradients(scoring, buffers)
        scoring.check_reached()
        return run.result((run.select_signed(products, kept),), GRASP, others)
    begins = None
    if options.initial_masks is not None:
        begins = _copied(buffers.flat_masks(options.initial_masks))
    plan = planned(
        sizes,
        method=method,
        sparsity=options.sparsity,
        keep=options.keep,
        steps=options.steps,
        schedule=options.schedule,
        seed=options.seed,
        nested_from=options.nested_from,
        momentum=options.momentum,
        removed_factor=options.removed_factor,
        initial=None if begins is None else begins.kept,
    )
    run = _Run(buffers, plan, begins)
    history: list[Step] = []
    steps = range(len(plan.keeps))
    for _ in bar(steps, description=options.row.name, shown=options.progress):
        report = run.step(_gradients(scoring, buffers), len(history) + 1)
        if history:
            history[-1] = replace(history[-1], objective=report["objective_before"])
        history.append(step_of({**report, "step": len(history) + 1}))
    if options.objective:
        found = run.objective(_gradients(scoring, buffers))
        history[-1] = replace(history[-1], objective=found)
    scoring.check_reached()  # Before warnings of what follows from it.
    return run.result(tuple(history), method, others)


def _gradients(scoring: Scoring, buffers: DeviceBuffers) -> list[torch.Tensor] | None:
    return buffers.gradients(scoring())


def _copied(masks: Tensors) -> Previous:
    """Copies of masks, to which a search may write, and how many weights they keep."""
    kept = int(torch.stack([one.sum() for one in masks.values()]).sum())
    return Previous([one.clone() for one in masks.values()], kept)


class _Run:
    """The state of a search: its masks, those of the last step or those that it begins at."""

    def __init__(
        self, buffers: DeviceBuffers, plan: SearchPlan | None, begins: Previous | None
    ) -> None:
        self._buffers = buffers
        self._plan = plan
        self._names = tuple(buffers.dense)
        self._weights = list(buffers.dense.values())
        self._previous = begins
        if begins is None:
            # One set is enough: a step reads the masks before it part by part, and then writes.
            self._masks = [torch.empty_like(one, dtype=torch.bool) for one in self._weights]
        else:
            self._masks = list(begins.masks)
            buffers.write_masked(self._masks)
        self._zeros: ZeroScores | None = None
        self._damping = UNDAMPED
        if plan is not None:
            momentum, factor = plan.damping.momentum, plan.damping.removed_factor
            sums = accumulators(self._weights) if momentum > 0 else None
            self._damping = DeviceDamping(sums, momentum, factor)

    def step(self, gradients: list[torch.Tensor] | None, position: int) -> dict[str, Any]:
        """Take the step at a position; 1 is the first."""
        assert self._plan is not None
        scores = self._scores(gradients)
        masked = self._buffers.masked
        keep = self._plan.keeps[position - 1]
        report = select(
            scores,
            keep,
            self._masks,
            previous=self._previous,
            nested=self._plan.is_nested(position),
            masked=None if masked is None else list(masked.values()),
            damping=self._damping,
            checks_weights=position == 1 and not scores.reads_weights,
        )
        self._previous = Previous(self._masks, keep)
        smallest = min(one.numel() for one in self._weights if one.numel())
        if position == 1 and gradients is not None and report["zero_scores"] >= smallest:
            self._zeros = self._zero_scores(gradients)
        return report

    def select_signed(self, products: list[torch.Tensor] | None, keep: int) -> Step:
        """Keep the largest products of weights and these, whatever their signs."""
        assert products is not None
        scores = DeviceScores(SIGNED_PRODUCT, self._names, self._weights, products)
        report = select(scores, keep, self._masks, previous=None, nested=False, masked=None)
        self._zeros = self._zero_scores(products)
        return step_of({**report, "step": 1})

    def objective(self, gradients: list[torch.Tensor] | None) -> float:
        """The sum of the scores of the kept weights, by gradients at the masks so far."""
        return kept_sum(self._scores(gradients), self._masks)

    def result(
        self, history: tuple[Step, ...], method: str, others: Mapping[str, nn.Parameter]
    ) -> Pruning[Tensors]:
        """The result, with the warnings that a `MaskSearch` gives."""
        layers = tuple(
            Layer(name, (one.numel(),), one.numel(), kept)
            for name, one, kept in zip(
                self._names, self._weights, history[-1].layer_kept, strict=True
            )
        )
        zeros = self._zeros
        if zeros is not None and zeros.layers:
            zeros = zeros.with_factors(others)
        plan, masks = self._plan, dict(zip(self._names, self._masks, strict=True))
        if plan is None:
            zeros = zeros if zeros is not None and zeros.layers else None
            warn_about(Layers.of(layers), history, zeros=zeros, stacklevel=6)
            return Pruning(masks, method, layers, history, 0, "exponential", zeros=zeros)
        warn_about(Layers.of(layers), history, free=plan.info["free"], zeros=zeros, stacklevel=6)
        return Pruning(
            masks=masks,
            method=method,
            layers=layers,
            history=history,
            seed=plan.seed,
            schedule=plan.schedule,
            zeros=zeros,
            damping=plan.damping,
        )

    def _scores(self, gradients: list[torch.Tensor] | None) -> DeviceScores:
        assert self._plan is not None
        info = self._plan.info
        read = gradients if info["needs_gradients"] else None
        return DeviceScores(
            info["saliency"], self._names, self._weights, read, seed=self._plan.seed
        )

    def _zero_scores(self, gradients: list[torch.Tensor]) -> ZeroScores:
        """Which tensors have no score above zero: one number of each tensor tells."""
        filled = [place for place, one in enumerate(self._weights) if one.numel()]
        flags = [[one[place].any() for place in filled] for one in (self._weights, gradients)]
        told = torch.stack([torch.stack(one) for one in flags]).cpu().numpy()
        weights, read = (list(one) for one in told[..., None])
        return ZeroScores.of([self._names[place] for place in filled], weights, read)
