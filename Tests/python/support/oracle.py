"""The method in a few lines of plain numpy that sorts: what swiftforce must equal bit for bit.

Written to be read, not to be fast, and apart from the package: it imports nothing of swiftforce.
Tensors are a list of arrays here. An array is read in memory order (C), and the position of a
weight counts from 0 through all tensors in order. `test_oracle.py` tests the oracle itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = list[Array]

SALIENCIES = ("connection_sensitivity", "squared_gradient", "magnitude", "random")
SCHEDULES = ("exponential", "linear", "cubic", "cosine")

# name: (saliency, whether only survivors compete, whether there is one step)
METHODS = {
    "snip": ("connection_sensitivity", False, True),
    "iterative_snip": ("connection_sensitivity", True, False),
    "force": ("connection_sensitivity", False, False),
    "force_nested": ("connection_sensitivity", False, False),
    "grasp_it": ("squared_gradient", True, False),
    "magnitude": ("magnitude", False, True),
    "random": ("random", False, True),
}

# ------------------------------------------------------------------------------ how many


def keep_count(n: int, sparsity: float) -> int:
    """How many of n weights are kept: rounded, ties to even, at least 1."""
    return min(n, max(1, round(n * (1.0 - sparsity))))  # past 2^53, n rounds to more than n


def schedule_keeps(name: str, n: int, keep: int, steps: int) -> tuple[int, ...]:
    """How many of n weights are kept after steps 1 ... `steps` on the way to `keep`."""
    full, goal = float(n), float(keep)
    keeps: list[int] = []
    for t in range(1, steps + 1):
        part = t / steps
        if name == "exponential":
            amount = math.pow(full, 1.0 - part) * math.pow(goal, part)
        elif name == "linear":
            amount = full - t * (full - goal) / steps
        elif name == "cubic":
            amount = goal + (full - goal) * math.pow(1.0 - part, 3)
        elif name == "cosine":
            amount = goal + (full - goal) * (1.0 + math.cos(math.pi * t / steps)) / 2.0
        else:
            raise ValueError(f"no schedule {name!r}")
        keeps.append(min(max(round(amount), keep), keeps[-1] if keeps else n))
    keeps[-1] = keep
    return tuple(keeps)


# ------------------------------------------------------------------------------ how important


def random_bits(seed: int, count: int) -> NDArray[np.uint64]:
    """The first `count` numbers of SplitMix64: number i depends on the seed and on i alone."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(seed % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def scores(
    saliency: str, weights: Arrays, gradients: Arrays | None = None, seed: int = 0
) -> Arrays:
    """The float32 score of each weight."""
    if saliency == "connection_sensitivity":
        return [np.abs(w * g) for w, g in zip(weights, _given(gradients), strict=True)]
    if saliency == "squared_gradient":
        return [g * g for g in _given(gradients)]
    if saliency == "magnitude":
        return [np.abs(w) for w in weights]
    if saliency == "random":
        bits = random_bits(seed, sum(w.size for w in weights))
        uniform = ((bits >> np.uint64(40)) * 2.0**-24).astype(np.float32)  # 24 bits: exact
        return split(uniform, weights)
    raise ValueError(f"no saliency {saliency!r}")


def _given(gradients: Arrays | None) -> Arrays:
    if gradients is None:
        raise ValueError("this saliency needs gradients")
    return gradients


# ------------------------------------------------------------------------------ which


def join(arrays: Arrays) -> Array:
    """One flat array of all elements, by position."""
    return np.concatenate([np.ravel(a) for a in arrays])


def split(flat: Array, like: Arrays) -> Arrays:
    """The inverse of `join`."""
    ends = np.cumsum([a.size for a in like])
    parts = np.split(flat, ends[:-1])
    return [part.reshape(a.shape) for part, a in zip(parts, like, strict=True)]


def select(scores: Arrays, keep: int, candidates: Arrays | None = None) -> Arrays:
    """Masks of the `keep` best candidates: larger score first, then lower position."""
    flat = join(scores)
    competing = np.arange(flat.size) if candidates is None else np.flatnonzero(join(candidates))
    if not np.isfinite(flat).all():
        raise ValueError("scores are not finite")
    if not 1 <= keep <= competing.size:
        raise ValueError(f"keep {keep} of {competing.size} candidates")
    best_first = competing[np.argsort(-flat[competing], kind="stable")]  # stable: ties by position
    mask = np.zeros(flat.size, bool)
    mask[best_first[:keep]] = True
    return split(mask, scores)


# ------------------------------------------------------------------------------ damping


@dataclass(frozen=True)
class Damping:
    """What keeps a search from replacing most of its mask in each step."""

    momentum: float = 0.0
    removed_factor: float = 1.0
    nested_from: int | None = None  # a step; 1 for the first


UNDAMPED = Damping()


def accumulated(scores: Arrays, before: Arrays, momentum: float) -> Arrays:
    """The new sums: a product, rounded, and a sum, rounded, in the type of the scores."""
    factor = scores[0].dtype.type(momentum)
    return [factor * old.astype(s.dtype) + s for s, old in zip(scores, before, strict=True)]


def competing(
    scores: Arrays, before: Arrays, step: int, nested: bool, damping: Damping
) -> tuple[Arrays, Arrays]:
    """The scores by which weights compete, and masks of those that do."""
    late = damping.nested_from is not None and step >= damping.nested_from
    if nested or late or damping.removed_factor == 0:
        return scores, before
    factor = scores[0].dtype.type(damping.removed_factor)
    found = [np.where(mask, s, factor * s) for s, mask in zip(scores, before, strict=True)]
    return found, [np.ones(mask.shape, bool) for mask in before]


def stored(sums: Arrays, candidates: Arrays, weights: Arrays) -> Arrays:
    """The sums that a search keeps: those of competitors, in float64 for such weights."""
    types = [np.float64 if w.dtype == np.float64 else np.float32 for w in weights]
    return [
        np.where(mask, a, 0).astype(t) for a, mask, t in zip(sums, candidates, types, strict=True)
    ]


# ------------------------------------------------------------------------------ step by step


@dataclass(frozen=True)
class Step:
    """What one step did. The sums are exact sums, rounded once: compare them with a tolerance."""

    step: int  # 1 for the first
    keep: int  # weights kept
    candidates: int  # weights that competed
    removed: int  # kept before, not now
    revived: int  # not kept before, now kept
    zero_scores: int  # candidates whose plain score of this step is zero
    at_threshold: int  # candidates whose score equals the threshold
    kept_at_threshold: int  # how many of those are kept
    arbitrary: int  # kept with a zero score though others with a zero score are not
    threshold: float  # the smallest kept score
    saliency: float  # sum of the kept scores
    total_saliency: float  # sum of the candidates' scores
    gradient_norm: float  # Euclidean norm of the dense gradients; 0 without gradients
    layer_kept: tuple[int, ...]  # weights kept in each tensor
    objective: float | None = None  # sum of the next step's plain scores over the kept weights


def step_record(
    step: int,
    before: Arrays,
    after: Arrays,
    candidates: Arrays,
    step_scores: Arrays,
    plain: Arrays,
    gradients: Arrays | None = None,
) -> Step:
    """The record of the step from the masks `before` to the masks `after`."""
    old, kept, competed = join(before), join(after), join(candidates)
    score = join(step_scores).astype(np.float64)
    threshold = score[kept].min()
    zeros_kept = _count(kept & (score == 0))
    zeros_dropped = _count(competed & ~kept & (score == 0))
    squares = [] if gradients is None else (join(gradients).astype(np.float64) ** 2).tolist()
    return Step(
        step=step,
        keep=_count(kept),
        candidates=_count(competed),
        removed=_count(old & ~kept),
        revived=_count(~old & kept),
        zero_scores=_count(competed & (join(plain) == 0)),
        at_threshold=_count(competed & (score == threshold)),
        kept_at_threshold=_count(kept & (score == threshold)),
        arbitrary=zeros_kept if zeros_dropped else 0,
        threshold=float(threshold),
        saliency=math.fsum(score[kept].tolist()),
        total_saliency=math.fsum(score[competed].tolist()),
        gradient_norm=math.sqrt(math.fsum(squares)),
        layer_kept=tuple(_count(mask) for mask in after),
    )


def _count(mask: Array) -> int:
    return int(np.count_nonzero(mask))


def masked(weights: Arrays, masks: Arrays) -> Arrays:
    """The weight where kept, +0 elsewhere. Selected, for a product would keep NaN and -0."""
    return [np.where(m, w, w.dtype.type(0)) for w, m in zip(weights, masks, strict=True)]


def search(
    weights: Arrays,
    gradient_fn: Callable[[Arrays], Arrays] | None,
    method: str,
    keeps: Sequence[int],
    seed: int = 0,
    damping: Damping = UNDAMPED,
) -> tuple[list[Arrays], list[Step]]:
    """The masks after each step and what each step did.

    `gradient_fn` is called once a step with the masked weights (before the first step: all of
    them) and returns dense gradients; methods that need none do not call it.
    """
    saliency, nested, one_shot = METHODS[method]
    if one_shot and len(keeps) != 1:
        raise ValueError(f"{method} takes one step")
    needs_gradients = saliency in ("connection_sensitivity", "squared_gradient")
    if needs_gradients and gradient_fn is None:
        raise ValueError(f"{method} needs gradients")
    if method == "force_nested" and damping.nested_from is None:
        # round() takes ties to even, as the core does
        damping = replace(damping, nested_from=min(len(keeps), round(len(keeps) / 2) + 1))
    everything = [np.ones(w.shape, bool) for w in weights]
    masks, history = [everything], []
    sums = stored([np.zeros(w.shape) for w in weights], everything, weights)
    for step, keep in enumerate(keeps, start=1):
        before = masks[-1]
        gradients = None
        if needs_gradients and gradient_fn is not None:
            gradients = gradient_fn(masked(weights, before))
        plain = scores(saliency, weights, gradients, seed)  # the dense weights, always
        if history:
            objective = math.fsum(join(plain).astype(np.float64)[join(before)].tolist())
            history[-1] = replace(history[-1], objective=objective)
        new = accumulated(plain, sums, damping.momentum)
        step_scores, candidates = competing(new, before, step, nested, damping)
        sums = stored(new, candidates, weights)
        after = select(step_scores, keep, candidates)
        history.append(step_record(step, before, after, candidates, step_scores, plain, gradients))
        masks.append(after)
    return masks[1:], history


# ------------------------------------------------------------------------------ a network


def lenet_backward(
    weights: Arrays, biases: Arrays, x: Array, y: Array
) -> tuple[float, Arrays, Arrays]:
    """Mean cross entropy of a Linear + ReLU network in float64, and its gradients.

    `weights` are (outputs, inputs), layer by layer, with a ReLU between them and a softmax at the
    end; x is (n, ...), flattened sample by sample; y is (n,). Returned are the loss, the gradients
    of the weights and those of the biases: dense, also where a weight is 0.
    """
    n = len(y)
    inputs = [np.asarray(x, np.float64).reshape(n, -1)]
    for w, b in zip(weights, biases, strict=True):
        out = inputs[-1] @ np.asarray(w, np.float64).T + np.asarray(b, np.float64)
        inputs.append(np.maximum(out, 0))
    logits = out - out.max(axis=1, keepdims=True)  # the last layer has no ReLU
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -float(log_softmax[np.arange(n), y].mean())

    delta = np.exp(log_softmax)
    delta[np.arange(n), y] -= 1
    delta /= n
    weight_gradients: Arrays = []
    bias_gradients: Arrays = []
    for layer in reversed(range(len(weights))):
        weight_gradients.insert(0, delta.T @ inputs[layer])
        bias_gradients.insert(0, delta.sum(axis=0))
        delta = (delta @ np.asarray(weights[layer], np.float64)) * (inputs[layer] > 0)
    return loss, weight_gradients, bias_gradients


def lenet_loss(weights: Arrays, biases: Arrays, x: Array, y: Array) -> float:
    """The mean cross entropy of the network of `lenet_backward`."""
    return lenet_backward(weights, biases, x, y)[0]


def lenet_gradients(weights: Arrays, biases: Arrays, x: Array, y: Array) -> Arrays:
    """The dense mean gradients of the weights of the network of `lenet_backward`, in float64."""
    return lenet_backward(weights, biases, x, y)[1]


# ------------------------------------------------------------------------------ the judge


def assert_same_masks(actual: Any, expected: Any) -> None:
    """Complain unless both are the same masks: structure, names, type, shapes and every bit.

    Either is a mapping of arrays, a sequence of arrays, or one array.
    """
    actual_parts, expected_parts = _named(actual, "actual"), _named(expected, "expected")
    if list(actual_parts) != list(expected_parts):
        raise AssertionError(f"{list(actual_parts)} instead of {list(expected_parts)}")
    problems = [
        f"mask{name}: {problem}"
        for name in expected_parts
        if (problem := _difference(actual_parts[name], expected_parts[name]))
    ]
    if problems:
        raise AssertionError("\n".join(problems))


def _named(masks: Any, which: str) -> dict[str, Array]:
    if isinstance(masks, np.ndarray):
        named = {"": masks}
    elif isinstance(masks, Mapping):
        named = {f"[{name!r}]": mask for name, mask in masks.items()}
    elif isinstance(masks, list | tuple):
        named = {f"[{i}]": mask for i, mask in enumerate(masks)}
    else:
        raise AssertionError(f"{which}: {type(masks).__name__} instead of masks")
    for name, mask in named.items():
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            kind = getattr(mask, "dtype", type(mask).__name__)
            raise AssertionError(f"{which} mask{name}: {kind} instead of an array of bool")
    return named


def _difference(actual: Array, expected: Array) -> str | None:
    if actual.shape != expected.shape:
        return f"shape {actual.shape} instead of {expected.shape}"
    # As bytes: a True that is stored as 2 or 255 is True to numpy and a broken mask all the same.
    found, wanted = (np.ascontiguousarray(m).reshape(-1).view(np.uint8) for m in (actual, expected))
    wrong = np.flatnonzero(found != wanted)
    if wrong.size == 0:
        return None
    shown = ", ".join(f"{i}: {found[i]} instead of {wanted[i]}" for i in wrong[:5])
    return (
        f"{wrong.size} of {wanted.size} differ, {np.count_nonzero(found)} instead of "
        f"{np.count_nonzero(wanted)} are kept; at {shown}{', ...' if wrong.size > 5 else ''}"
    )
