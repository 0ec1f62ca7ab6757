"""Liveness is counted in float32 and rounded, whatever the model computes in."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
import torch_models  # noqa: E402
from delicate_models import Notes  # noqa: E402
from path_models import MODELS, Function, by_gradients, linear, random_masks  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning"),
]


class Imprecise(TorchDispatchMode):
    """Makes convolutions inexact, as fast algorithms are, and records the dtypes of tensors."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__()
        self.error = error
        self.dtypes: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = str(func)
        if "mm" in name or "convolution" in name:
            self.dtypes |= {one.dtype for one in args if isinstance(one, torch.Tensor)}
        if "convolution_backward" in name:
            return tuple(None if one is None else one + self.error for one in out)
        return out + self.error if "convolution" in name else out


def test_counts_of_fast_convolutions_are_rounded() -> None:
    build, shape = torch_models.NETWORKS["LeNet-5"]
    model = build()
    masks = random_masks(model, 0.05, 1)
    expected = sft.effective_density(model, masks, inputs=(1, *shape))
    assert expected.effective < expected.kept
    for error in (0.01, -0.01):
        with Imprecise(error):
            found = sft.effective_density(model, masks, inputs=(1, *shape))
        torch_models.assert_same(found.masks, expected.masks)


def test_counts_are_in_single_precision() -> None:
    def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return m.b(m.a(x))

    model = Function(forward, a=linear(4, 3), b=linear(3, 2))
    with torch.autocast("cpu", torch.bfloat16), Imprecise() as seen:
        assert sft.effective_density(model, inputs=(1, 4)).density == 1
    assert seen.dtypes == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_default_type_does_not_matter(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        for build, inputs in (
            MODELS["various functions"],
            MODELS["words"],
            MODELS["fused attention"],
        ):
            model = build()
            masks = random_masks(model, 0.3, 0)
            found = sft.effective_density(model, masks, inputs=inputs)
            if dtype == torch.float64:
                torch_models.assert_same(found.masks, by_gradients(model, masks, *inputs))
            assert found.effective
        notes = Notes()

        def forward(m: Any, x: torch.Tensor) -> torch.Tensor:
            notes.taken.append(x.dtype)
            whole = torch.zeros(len(x), 3)
            whole[:, :2] = m.a(x)
            return m.b(whole)

        model = Function(forward, a=linear(3, 2), b=linear(3, 1))
        assert sft.effective_density(model, inputs=(1, 3)).effective == 8
        assert notes.taken == [torch.float32]
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_part_that_is_compiled_is_not_compiled_anew() -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise AssertionError("compiled")

    model = nn.Sequential(linear(3, 2), torch.compile(linear(2, 2), backend=backend))
    assert sft.effective_density(model, inputs=(1, 3)).density == 1
