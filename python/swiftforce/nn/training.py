"""The training loop: stochastic gradient descent, epoch by epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from swiftforce import _core
from swiftforce.errors import DivergedError, SwiftForceError
from swiftforce.inputs import write_whole
from swiftforce.native import native_call
from swiftforce.nn.records import Epoch
from swiftforce.nn.samples import TRAINING_STREAM, Samples
from swiftforce.nn.settings import TrainingSettings
from swiftforce.search import permutation
from swiftforce.show import TrainingProgress


def train(
    handle: object,
    names: Sequence[str],
    samples: Samples,
    settings: TrainingSettings,
    *,
    progress: bool | None,
    on_epoch: Callable[[Epoch], object] | None,
) -> list[Epoch]:
    """Train a native network, as `Network.fit` describes.

    Parameters
    ----------
    handle : object
        The native network.
    names : sequence of str
        Of its parameters, in the core's order.
    samples : Samples
    settings : TrainingSettings
    progress : bool, optional
    on_epoch : callable, optional

    Raises
    ------
    DivergedError
        If a loss or a parameter is not finite. The parameters were put back then, as they are
        after any error of the engine.
    """
    began = time.perf_counter()
    try:
        with native_call():
            _core.network_reset(handle)
            _core.network_remember(handle)
        return _epochs(handle, names, samples, settings, progress, on_epoch, began)
    finally:
        with native_call():
            _core.network_forget(handle)


def _epochs(
    handle: object,
    names: Sequence[str],
    samples: Samples,
    settings: TrainingSettings,
    progress: bool | None,
    on_epoch: Callable[[Epoch], object] | None,
    began: float,
) -> list[Epoch]:
    history = []
    for epoch in range(settings.epochs):
        try:
            record = _train_epoch(handle, samples, settings, epoch, progress, began)
            with native_call():
                magnitudes = _core.network_magnitudes(handle)
            for name, largest in zip(names, magnitudes, strict=True):
                _check_finite(largest, epoch, f"largest of {name}")
        except (SwiftForceError, MemoryError):
            # Masks that a callback applied hold for the parameters of before, too. Nothing here
            # takes new memory, which may be short.
            write_whole(lambda: _restore(handle))
            raise
        history.append(record)
        if on_epoch is not None:
            on_epoch(record)
    return history


def _restore(handle: object) -> None:
    with native_call():
        _core.network_restore(handle)


def _train_epoch(
    handle: object,
    samples: Samples,
    settings: TrainingSettings,
    epoch: int,
    progress: bool | None,
    began: float,
) -> Epoch:
    count = len(samples.labels)
    rate = settings.rate(epoch)
    order = permutation(count, settings.seed, TRAINING_STREAM + epoch)
    loss, correct, seen = 0.0, 0, 0
    description = f"epoch {epoch + 1}/{settings.epochs}"
    with TrainingProgress(count, description=description, shown=progress, began=began) as bar:
        for start in range(0, count, settings.batch_size):
            rows = order[start : start + settings.batch_size]
            with native_call():
                batch_loss, batch_correct = _core.network_train(
                    handle, *samples, rows, rate, settings.momentum, settings.weight_decay
                )
            _check_finite(batch_loss, epoch, "loss")
            loss += batch_loss * len(rows)
            correct += batch_correct
            seen += len(rows)
            bar.advance(len(rows), loss=loss / seen, accuracy=correct / seen)
    return Epoch(epoch + 1, loss / count, correct / count, rate)


def _check_finite(value: float, epoch: int, name: str) -> None:
    if not math.isfinite(value):
        raise DivergedError(
            f"the {name} is {value} in epoch {epoch + 1}: "
            "look for samples that are not finite, or lower the learning rate"
        )
