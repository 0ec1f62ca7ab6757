"""The search for masks of a pytree of parameters, in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from swiftforce.adapters import Patterns
from swiftforce.errors import MissingGradientsError, OverlapError, ShapeError, StructureError
from swiftforce.inputs import MASKS, Tensors
from swiftforce.jax.gradients import Loss, averaged, gradient_function
from swiftforce.jax.pytrees import Leaves, Pytree, on_cpu, placed, prunable
from swiftforce.result import Pruning
from swiftforce.result import load as load_pruning
from swiftforce.search import MaskSearch, Schedule
from swiftforce.show import bar


class PytreePruning(Pruning):
    """A `swiftforce.Pruning` whose masks are a pytree of JAX arrays.

    Attributes
    ----------
    masks : pytree of bool arrays
        In the structure of the parameters, each of its leaf's shape and where that leaf is; True
        where a weight is kept, and everywhere in leaves that are not prunable.
    layers : tuple of Layer
        The prunable leaves, named by their paths.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write masks and history to a safetensors file.

        `swiftforce.jax.load` reads it into the structure of parameters; `swiftforce.load` reads it
        as numpy masks by path.
        """
        leaves = Leaves(self.masks).by_name
        masks = {layer.name: on_cpu(leaves[layer.name]) for layer in self.layers}
        Pruning(**{**vars(self), "masks": masks}).save(path)


def prune(
    params: Pytree,
    loss_fn: Loss | None = None,
    batches: Iterable[Pytree] = (),
    *,
    method: str = "force",
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    batches_per_step: int = 1,
    include: Patterns | None = None,
    exclude: Patterns = (),
    seed: int = 0,
    jit: bool = True,
    progress: bool = False,
) -> PytreePruning:
    """Find masks for a pytree of parameters by the method of that name.

    Parameters
    ----------
    params : pytree of arrays
        The dense parameters, of JAX or numpy; never changed. Prunable leaves are float16,
        bfloat16, float32 or float64, and all their shards are addressable by this process.
    loss_fn : callable
        ``loss_fn(params, batch)`` is the mean loss over the batch, a scalar. It is called with
        the parameters whose removed weights are zero; gradients are taken by `jax.grad`.
        Methods that score without gradients (``magnitude``, ``random``) need neither it nor
        batches.
    batches : iterable of pytrees of arrays
        Each is used once, in order; at their end they are begun again, so pass a list or another
        iterable that can be (a generator is enough if it lasts).
    method : str
        One of `swiftforce.methods`.
    sparsity : float
        Share of all prunable weights to remove, in [0, 1).
    keep : int
        Or the number of weights to keep.
    steps : int, optional
        Number of steps; 60 by default, 1 for the one-shot methods.
    schedule : str or sequence
        One of `swiftforce.schedules`, or a list: see `swiftforce.schedule_keeps`.
    batches_per_step : int
        Batches whose gradients a step averages before it scores, ``|w * mean_b g_b|``. A batch
        weighs by its size, the leading axis of its first array that has one; the mean is taken in
        float32 at least.
    include : str or sequence of str, optional
        Which leaves are prunable instead of those by default: those whose path, such as
        ``params/Dense_0/kernel``, one of the patterns matches, as in `fnmatch` (``*`` also
        matches ``/``). Leaves that are not floating-point never are.
    exclude : str or sequence of str
        Patterns of leaves that are not, by default or though included.
    seed : int
        For the method ``random``.
    jit : bool
        Whether to compile the gradients; False for a loss that `jax.jit` cannot trace.
    progress : bool
        Show a progress bar (needs tqdm).

    Returns
    -------
    PytreePruning

    Raises
    ------
    BatchesError
        If there are no batches, or they run out and cannot be begun again.
    UnknownNameError
        If a pattern matches no leaf, or there is no such method or schedule.
    OverlapError
        If two prunable leaves are one array: a pytree would train them apart, so exclude one.
    NonFiniteError
        If a weight or a gradient is NaN or infinite; the message has the leaf's path.
    StructureError
        If no leaf is prunable, or two leaves have the same path.
    SparsityError, KeepError, StepsError, ScheduleError, SeedError
    MissingGradientsError, UnsupportedTypeError

    Warns
    -----
    DegenerateSaliencyWarning, LayerCollapseWarning, MaskedGradientsWarning
        See `swiftforce.MaskSearch.result`.

    Notes
    -----
    By default a leaf is prunable if it is floating-point, has two or more dimensions, and is by
    its name neither an embedding nor a bias or scale:

    - An embedding has ``embed`` in its own name (``embedding`` in flax, ``embeddings`` in haiku,
      ``pos_embedding``) or in the name right before (``embedding/weight``), unless its own name is
      ``kernel``: that is a dense layer or a convolution, as in a vision transformer.
    - Its own name ends in ``bias``, ``scale``, ``offset``, ``mask`` or ``token``, or the name right
      before has ``norm`` in it: such have two dimensions in attention heads and stacked layers.
    - A last ``value`` is not a name: it is how the variables of flax.nnx end.

    ``print(pruning)`` lists what was prunable. Other leaves are passed to the loss as they are;
    those that are no arrays (numbers, functions) are not traced.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> params = {"dense": {"kernel": jnp.array([[1.0, 2.0], [3.0, 4.0]]), "bias": jnp.ones(2)}}
    >>> print(sfj.prune(params, method="magnitude", sparsity=0.25))
    magnitude: 3 of 4 weights kept (sparsity 0.25), 1 step
    layer         shape   weights  kept  density
    dense/kernel  (2, 2)        4     3     0.75
    all                         4     3     0.75
    kept weights have 90 % of the sum of all |weight|
    """
    return _run(
        params,
        loss_fn,
        batches,
        method=method,
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        batches_per_step=batches_per_step,
        include=include,
        exclude=exclude,
        seed=seed,
        jit=jit,
        progress=progress,
    )


def force(
    params: Pytree,
    loss_fn: Loss,
    batches: Iterable[Pytree],
    *,
    sparsity: float | None = None,
    keep: int | None = None,
    steps: int | None = None,
    schedule: Schedule = "exponential",
    batches_per_step: int = 1,
    include: Patterns | None = None,
    exclude: Patterns = (),
    jit: bool = True,
    progress: bool = False,
) -> PytreePruning:
    """Find masks by FORCE: in each step all weights compete, so a removed weight may return.

    Parameters, errors and warnings are those of `prune`, which runs the other methods.

    References
    ----------
    De Jorge et al., "Progressive Skeletonization", ICLR 2021, algorithm FORCE.

    Examples
    --------
    >>> import jax.numpy as jnp, swiftforce.jax as sfj
    >>> params = [jnp.array([[2.0, -1.0, 3.0]]), jnp.ones(1)]
    >>> def loss(params, x):
    ...     return jnp.mean((x @ params[0].T + params[1]) ** 2)
    >>> sfj.force(params, loss, [jnp.eye(3), jnp.ones((2, 3))], sparsity=0.6, steps=2).masks
    [Array([[False, False,  True]], dtype=bool), Array([ True], dtype=bool)]
    """
    return _run(
        params,
        loss_fn,
        batches,
        method="force",
        sparsity=sparsity,
        keep=keep,
        steps=steps,
        schedule=schedule,
        batches_per_step=batches_per_step,
        include=include,
        exclude=exclude,
        jit=jit,
        progress=progress,
    )


def load(path: str | os.PathLike[str], params: Pytree) -> PytreePruning:
    """Read what `PytreePruning.save` wrote, in the structure of parameters.

    Parameters
    ----------
    path : path
        The file.
    params : pytree of arrays
        With the leaves that the masks are of; masks are put where these are.

    Returns
    -------
    PytreePruning

    Raises
    ------
    MaskFileError
        If the file is damaged, or is not one of swiftforce.
    StructureError, ShapeError
        If the parameters lack a leaf that the file has a mask of, or it has another shape.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    """
    found = load_pruning(path)
    leaves = Leaves(params)
    for layer in found.layers:
        if layer.name not in leaves.by_name:
            raise StructureError(f"{path} has a mask of {layer.name!r}, which params lack")
        shape = np.shape(leaves.by_name[layer.name])
        if shape != layer.shape:
            raise ShapeError(
                f"{path} has a mask of shape {layer.shape} for {layer.name!r} of shape {shape}"
            )
    return _in_pytree(found, leaves)


def _run(
    params: Pytree,
    loss_fn: Loss | None,
    batches: Iterable[Pytree],
    *,
    batches_per_step: int,
    include: Patterns | None,
    exclude: Patterns,
    jit: bool,
    progress: bool,
    **options: Any,  # noqa: ANN401 - those of MaskSearch
) -> PytreePruning:
    """Search to the end; warns in the name of the caller of the public function."""
    leaves = Leaves(params)
    names = prunable(leaves.by_name, include, exclude)
    weights = {name: on_cpu(leaves.by_name[name]) for name in names}
    try:
        search = MaskSearch(weights, **options)
    except OverlapError as error:
        raise OverlapError(f"{error}, and exclude its other places in the pytree") from None
    gradients = None
    if search.needs_gradients:
        if loss_fn is None:
            raise MissingGradientsError(
                f"the method {search.method!r} scores weights by their gradients: "
                "pass loss_fn and batches"
            )
        at = gradient_function(loss_fn, leaves, names, jit=jit)
        gradients = averaged(at, batches, batches_per_step)
    for _ in bar(range(search.steps), description=search.method, shown=progress):
        search.step(None if gradients is None else gradients(search.masks))
    # Nobody else holds the search, so its masks need not be copied.
    return _in_pytree(search._result(4, copies=False), leaves)


def _in_pytree(found: Pruning, leaves: Leaves) -> PytreePruning:
    """A result in the structure of the parameters, where they are."""
    tensors = Tensors(found.masks, "masks", MASKS)
    masks = dict(zip(tensors.names, tensors.arrays, strict=True))
    near = {
        name: placed(masks[name] if name in masks else np.ones(np.shape(leaf), np.bool_), leaf)
        for name, leaf in leaves.by_name.items()
    }
    return PytreePruning(**{**vars(found), "masks": leaves.restore(near)})
