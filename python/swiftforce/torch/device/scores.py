"""Scores of weights as integers in the order of the scores, computed where the tensors lie.

A score is what the core computes, bit for bit: the product of two numbers in float32, or in float64
if any tensor is float64 that is read. Its key is the integer of its bits. Scores are computed one
part of a tensor at a time and never stored. What must not live here: which weights are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import isfinite
from typing import NamedTuple

import torch

from swiftforce.errors import NonFiniteError, UnknownNameError
from swiftforce.native import non_finite_error

#: Most weights of a part. Tensors that are made of one take up to 30 bytes per weight, and 60 in
#: float64, however many weights there are; allocators were seen to take twice as much: 126 MB, and
#: 250 MB in float64.
PART = 1 << 21

#: What GraSP scores by: the product of a weight and a gradient, with its sign.
SIGNED_PRODUCT = "signed_product"
#: What there are formulas of.
SALIENCIES = ("connection_sensitivity", "squared_gradient", "magnitude", "random", SIGNED_PRODUCT)
#: Bits of the digits by which keys are counted.
DIGIT = 16

_INCREMENT, _FIRST, _SECOND = (
    number - (1 << 64) if number >> 63 else number
    for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class Part(NamedTuple):
    """Some consecutive weights of a flat tensor."""

    tensor: int
    begin: int
    end: int
    #: How many weights lie before it, in this tensor and those before.
    offset: int

    def of(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The elements of the part, a view."""
        return tensors[self.tensor][self.begin : self.end]


class DeviceScores:
    """The scores of flat tensors on one device.

    Parameters
    ----------
    saliency : str
        One of `SALIENCIES`: those of the core, and one more.
    names : sequence of str
        Names of the tensors, for errors.
    weights : sequence of tensor
        Flat: float16, bfloat16, float32 or float64.
    gradients : sequence of tensor, optional
        Flat, of the same sizes; None if the saliency reads none.
    seed : int
        For ``random``.

    Attributes
    ----------
    parts : list of Part
        All weights, in order.
    is_wide : bool
        Whether scores are float64.

    Raises
    ------
    UnknownNameError
        If there is no formula of the saliency.
    """

    def __init__(
        self,
        saliency: str,
        names: Sequence[str],
        weights: Sequence[torch.Tensor],
        gradients: Sequence[torch.Tensor] | None,
        *,
        seed: int = 0,
    ) -> None:
        if saliency not in SALIENCIES:
            raise UnknownNameError(f"there is no formula of {saliency!r} for other devices")
        self.names = names
        self.weights = weights
        self.gradients = gradients
        self._saliency = saliency
        self._seed = seed
        self.is_signed = saliency == SIGNED_PRODUCT
        self.reads_weights = saliency not in {"squared_gradient", "random"}
        read = (*(weights if self.reads_weights else ()), *(gradients or ()))
        self.is_wide = any(one.dtype == torch.float64 for one in read)
        self.parts = parts_of([one.numel() for one in weights])

    @property
    def device(self) -> torch.device:
        """Where all of it lies."""
        return self.weights[0].device

    @property
    def dtype(self) -> torch.dtype:
        """The type of scores."""
        return torch.float64 if self.is_wide else torch.float32

    @property
    def key_dtype(self) -> torch.dtype:
        """The type of keys."""
        return torch.int64 if self.is_wide else torch.int32

    @property
    def shifts(self) -> range:
        """By how many bits a key is shifted to have each of its digits last, from the first on."""
        return range((64 if self.is_wide else 32) - DIGIT, -1, -DIGIT)

    @property
    def infinity(self) -> int:
        """The key of infinity: a score is finite if its magnitude has a smaller one."""
        return 0x7FF << 52 if self.is_wide else 0xFF << 23

    @cached_property
    def _largest(self) -> int:
        return (1 << (63 if self.is_wide else 31)) - 1

    def of(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        """The scores of a part and their keys, which may share memory: both are only to be read."""
        values = self._values(part)
        keys = values.view(self.key_dtype)
        if not self.is_signed:
            keys &= self._largest  # The magnitude: no score is negative, and -0 equals 0.
            return values, keys
        values += 0.0  # -0 becomes 0.
        return values, keys ^ ((keys >> (self._largest.bit_length())) & self._largest)

    def magnitude(self, values: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """The largest key of the magnitudes of the scores of a part, as one int64 on the device."""
        if self.is_signed:
            keys = values.view(self.key_dtype) & self._largest
        return keys.amax().to(torch.int64)

    def _values(self, part: Part) -> torch.Tensor:
        """New memory, of the type of scores; the sign is that of the product, or none."""
        if self._saliency == "random":
            return self._random(part)
        if self._saliency == "magnitude":
            return part.of(self.weights).to(self.dtype, copy=True)
        assert self.gradients is not None
        gradients = part.of(self.gradients)
        if self._saliency == "squared_gradient":
            wide = gradients.to(self.dtype)
            return wide * wide
        weights = part.of(self.weights)
        dtype = self.dtype
        if self.is_signed and torch.float64 not in {weights.dtype, gradients.dtype}:
            dtype = torch.float32  # Given scores are computed tensor by tensor, and then compared.
        product = weights.to(dtype) * gradients.to(dtype)
        return product.to(self.dtype)

    def _random(self, part: Part) -> torch.Tensor:
        """The core's generator, SplitMix64, at the positions of the weights.

        Sums and products of int64 wrap around, as those of unsigned numbers do.
        """
        first = part.offset + 1
        count = part.end - part.begin
        bits = torch.arange(first, first + count, dtype=torch.int64, device=self.device)
        bits *= _INCREMENT
        bits += self._seed - (1 << 64) if self._seed >> 63 else self._seed
        for shift, factor in ((30, _FIRST), (27, _SECOND)):
            bits ^= _shifted(bits, shift)
            bits *= factor
        bits ^= _shifted(bits, 31)
        return _shifted(bits, 40).to(torch.float32) * 2.0**-24

    def key(self, values: torch.Tensor) -> torch.Tensor:
        """The keys of scores that are not negative; they share memory."""
        return values.view(self.key_dtype)

    def check_finite(
        self,
        candidates: Sequence[torch.Tensor] | None = None,
        summed: Callable[[Part, torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Name the first value that is not finite; called only after a score was found that is not.

        Parameters
        ----------
        candidates : sequence of tensor, optional
            Flat masks of the weights that compete; None: all do. Scores of others may overflow.
        summed : callable, optional
            From a part and its scores to the sums over steps that are stored of them.

        Raises
        ------
        NonFiniteError
            With the text of the core: the tensor, how many, and the first value with its position.
        """
        if not self.is_signed:
            check_all_finite("weights", self.names, self.weights)
            if self.gradients is not None:
                check_all_finite("gradients", self.names, self.gradients)
        counted = [_Counted() for _ in self.names]
        for part in self.parts if self.gradients is not None else ():
            values = self._values(part)
            if summed is not None:
                sums = summed(part, values.abs()).to(values.dtype)
                values = torch.where(values.isfinite(), sums, values)
            if candidates is not None:
                values = torch.where(part.of(candidates), values, 0)
            counted[part.tensor].add(values, part.begin)
        for name, one in zip(self.names, counted, strict=True):
            one.check("scores", name)


def parts_of(sizes: Sequence[int]) -> list[Part]:
    """The parts of flat tensors of these sizes, in order."""
    parts, offset = [], 0
    for tensor, size in enumerate(sizes):
        for begin in range(0, size, PART):
            end = min(size, begin + PART)
            parts.append(Part(tensor, begin, end, offset + begin))
        offset += size
    return parts


def check_all_finite(role: str, names: Sequence[str], tensors: Sequence[torch.Tensor]) -> None:
    """Name the first of flat tensors that has a value that is not finite.

    Raises
    ------
    NonFiniteError
    """
    for name, tensor in zip(names, tensors, strict=True):
        counted = _Counted()
        for part in parts_of([tensor.numel()]):
            counted.add(part.of([tensor]), part.begin)
        counted.check(role, name)


class _Counted:
    """How many values of a tensor are not finite, and the first one. It need not be fast."""

    def __init__(self) -> None:
        self.count, self.first, self.value = 0, -1, 0.0

    def add(self, values: torch.Tensor, begin: int) -> None:
        wrong = torch.isfinite(values).logical_not_()
        count = int(wrong.sum())
        if count and not self.count:
            place = int(wrong.to(torch.uint8).argmax())
            self.first, self.value = begin + place, float(values[place])
            assert not isfinite(self.value)
        self.count += count

    def check(self, role: str, name: str) -> None:
        if self.count:
            raise self._error(f"{role}[{name!r}]")

    def _error(self, tensor: str) -> NonFiniteError:
        return non_finite_error(tensor, self.count, self.first, self.value)


def _shifted(bits: torch.Tensor, count: int) -> torch.Tensor:
    """The bits shifted to the right, with zeros before them."""
    return (bits >> count) & ((1 << (64 - count)) - 1)
