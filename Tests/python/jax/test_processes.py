"""Parameters that lie on several processes: the masks are those of one process."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from processes import run_all

pytest.importorskip("jax", reason="JAX is an extra: pip install 'swiftforce[jax]'")
pytest.importorskip("optax", reason="optax is an extra: pip install 'swiftforce[jax]'")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from swiftforce.jax.processes import _is_block, _period

SCRIPT = Path(__file__).parents[1] / "support" / "jax_rank.py"


@pytest.mark.slow
def test_two_processes_find_the_masks_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    run_all([[sys.executable, str(SCRIPT), str(tmp_path), str(rank), "2", port] for rank in (0, 1)])
    for rank in (0, 1):
        facts = json.loads((tmp_path / f"{rank}.json").read_text())
        assert facts.pop("in jit").endswith("call the optimizer's init outside jax.jit")
        assert facts == {
            "rank": rank,
            "size": 2,
            "offset": 3 * rank,
            "integers": [1, -2, 2**63 - 10, -(2**41)],
            "doubles": [1.0, 1.0],
            "singles": [0.5, 0.5, 0.5],
            "is": True,
            "left": 0,
            "applied": 0,
        }
    assert sf.load(tmp_path / "masks").masks["columns_of_every_second"].shape == (8, 12)


def test_one_process_is_a_rank_too() -> None:
    communicator = sf.distributed.JaxCommunicator()
    values = np.array([3, -4, 2**62], np.int64)
    communicator.sum_integers(values)
    assert values.tolist() == [3, -4, 2**62]
    assert (communicator.rank, communicator.size, communicator.offset(7)) == (0, 1, 0)
    search = sf.MaskSearch(
        np.float32([3, 1, 2]), method="magnitude", keep=2, communicator=communicator
    )
    search.step()
    assert search.masks.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("axes", "count", "period"),
    [
        ([[0, 1], [2, 3]], 4, 4),
        ([[0, 2], [1, 3]], 4, 2),
        ([[0, 1, 4, 5], [2, 3, 6, 7]], 8, 4),
        ([[0, 2, 4], [1, 3, 5]], 6, 2),
        ([[0]], 1, 1),
        ([[0, 3], [1, 2]], 4, None),
    ],
)
def test_where_the_shards_of_a_process_are_a_block(
    axes: list[list[int]], count: int, period: int | None
) -> None:
    assert _period(axes, count) == period
    assert all(_is_block(one, period) for one in axes if period)
