"""Whether a search selects weights where its parameters lie, or in the core, on the host.

Masks are the same either way. What must not live here: the selection.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch
from torch import nn

from swiftforce.torch.device.scores import DeviceScores
from swiftforce.torch.device.selection import select

_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})

#: Tests set it: select by this package's operations on tensors of the CPU, too.
_FORCED = False

#: Bits of float32 factors and of their products, and the same in float64: some are subnormal, and
#: some are rounded. A device that flushes subnormal numbers to zero would rank weights otherwise.
_NARROW = (
    (0x00000001, 0x3F800000, 0x00000001),  # the smallest number times 1
    (0x0D800000, 0x2B800000, 0x00000200),  # 2**-100 times 2**-40
    (0x00FFFFFF, 0x3F000000, 0x00800000),  # rounds up to a normal number
    (0x3F800001, 0x3F800001, 0x3F800002),  # rounds to even
)
_WIDE = (
    (0x1, 0x3FF0000000000000, 0x1),
    (0x0170000000000000, 0x3D70000000000000, 0x0000000400000000),
    (0x001FFFFFFFFFFFFF, 0x3FE0000000000000, 0x0010000000000000),
    (0x3FF0000000000001, 0x3FF0000000000001, 0x3FF0000000000002),
)
#: The bits of the smallest number of a type, and of the same number in float32.
_SMALLEST = ((torch.float16, 0x0001, 0x33800000), (torch.bfloat16, 0x0001, 0x00010000))


def selects_on_device(parameters: Mapping[str, nn.Parameter], *, is_plain: bool) -> bool:
    """Whether a search selects weights on the device of its parameters.

    Parameters
    ----------
    parameters : mapping of name to nn.Parameter
        The parameters that are searched.
    is_plain : bool
        Whether the search is one by a method's own saliency and rule, without limits, in one
        process, without a file.
    """
    tensors = [one.detach() for one in parameters.values()]
    devices = {one.device for one in tensors}
    if not is_plain or len(devices) != 1:
        return False
    # Tensors of other classes are sharded, quantised or without values.
    if any(type(one) is not torch.Tensor or one.layout != torch.strided for one in tensors):
        return False
    if any(one.dtype not in _FLOATS for one in tensors):
        return False
    (device,) = devices
    if device.type == "meta" or (device.type == "cpu" and not _FORCED):
        return False
    return computes_as_core(str(device))


@cache
def computes_as_core(device: str) -> bool:
    """Whether a device has all operations of a selection, and rounds products as the core does.

    It multiplies a few numbers there, and selects among them.

    Raises
    ------
    torch.OutOfMemoryError
        If the device has no memory left at all.
    """
    try:
        with torch.inference_mode(False), torch.no_grad():
            return (
                _multiplies(device, _NARROW, torch.int32)
                and _multiplies(device, _WIDE, torch.int64)
                and all(_widens(device, *row) for row in _SMALLEST)
                and _selects(device)
            )
    except torch.OutOfMemoryError:
        raise
    except (NotImplementedError, RuntimeError, TypeError):  # It lacks a type or an operation.
        return False


def _multiplies(device: str, rows: tuple[tuple[int, int, int], ...], dtype: torch.dtype) -> bool:
    floating = torch.float32 if dtype == torch.int32 else torch.float64
    first, second, products = (
        torch.tensor(column, dtype=dtype).to(device) for column in zip(*rows, strict=True)
    )
    found = first.view(floating) * second.view(floating)
    return bool((found.view(dtype) == products).all())


def _widens(device: str, kind: torch.dtype, narrow: int, wide: int) -> bool:
    number = torch.tensor([narrow], dtype=torch.int16).to(device).view(kind)
    return int(number.to(torch.float32).view(torch.int32)) == wide


def _selects(device: str) -> bool:
    """Whether it keeps the best of a few weights of all types, and the first of equal ones."""
    kinds = (torch.float16, torch.bfloat16, torch.float32)
    weights = [torch.tensor([1.0, -3.0, 2.0], dtype=kind).to(device) for kind in kinds]
    masks = [torch.zeros(3, dtype=torch.bool, device=device) for _ in kinds]
    gradients = [torch.ones_like(one) for one in weights]
    wide = [one.to(torch.float64) for one in gradients]
    found = []
    for factors in (gradients, wide):
        scores = DeviceScores("connection_sensitivity", ("", "", ""), weights, factors)
        select(scores, 5, masks, previous=None, nested=False, masked=None)
        found.append(torch.stack(masks).tolist())
    kept = [[False, True, True], [False, True, True], [False, True, False]]
    return found == [kept, kept]
