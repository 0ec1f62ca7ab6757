"""Compiled functions run eagerly inside of a call, and as before after it, also after an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import swiftforce as sf

torch = pytest.importorskip("torch")

import swiftforce.torch as sft  # noqa: E402
from swiftforce.torch.eager import eager  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch_models import batches, mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def compiles() -> bool:
    """Whether a function that is compiled now is."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    torch.compile(lambda x: x + 1, backend=backend)(torch.ones(2))
    return bool(graphs)


def test_functions_are_compiled_again_from_its_end_and_until_it_is_entered() -> None:
    inside = eager()
    assert compiles()
    with inside:
        assert not compiles()
    assert compiles()


@pytest.mark.parametrize("method", ["grasp", "synflow"])
def test_an_error_before_the_model_runs_leaves_functions_compiled(method: str) -> None:
    with torch.inference_mode():
        model = mlp()
    with pytest.raises(sf.UnsupportedTypeError, match="inference_mode"):
        sft.prune(model, batches(), cross_entropy, method=method, sparsity=0.5)
    assert compiles()


def test_an_error_of_effective_density_leaves_functions_compiled() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.LazyBatchNorm1d(), nn.Linear(8, 4))
    with pytest.raises(sf.UnsupportedTypeError, match="has no values yet"):
        sft.effective_density(model, inputs=(2, 6))
    assert compiles()
