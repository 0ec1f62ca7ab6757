"""Communicators: real processes joined by gloo and by MPI, and the classes with stand-ins."""

from __future__ import annotations

import builtins
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import one_rank
import pytest
import swiftforce as sf
from processes import run_all
from ranks import Group, Member
from swiftforce.distributed import Communicator, MPICommunicator, TorchCommunicator

SCRIPT = Path(one_rank.__file__)


def check_results(folder: Path, size: int) -> None:
    """What the ranks left is what one process finds, and what their library should tell them."""
    parts = [np.load(folder / f"masks{rank}.npz") for rank in range(size)]
    for method, keeps in one_rank.KEEPS.items():
        search = sf.MaskSearch(one_rank.numbers(0), method=method, schedule=keeps)
        while not search.done:
            search.step(one_rank.numbers(search.taken + 1))
        for name, mask in search.masks.items():
            found = np.concatenate([part[f"{method}.{name}"] for part in parts])
            assert found.tobytes() == mask.tobytes(), (method, name)
    for rank in range(size):
        facts = json.loads((folder / f"facts{rank}.json").read_text())
        last = rank == size - 1
        assert facts == {
            "rank": rank,
            "size": size,
            "offset": rank * (rank + 1) // 2,
            "floats": [size / 2, size * (size - 1) / 2],
            "singles": [size / 4] * 3,
            "error": "NonFiniteError" if last else "RankFailedError",
            # Ties, of which the first seven are kept.
            "kept": [max(0, min(5, 7 - 5 * rank))],
            "is": True,
        }


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3, 4])
def test_processes_joined_by_gloo(size: int, tmp_path: Path) -> None:
    pytest.importorskip("torch.distributed")
    command = [sys.executable, str(SCRIPT), "gloo", str(tmp_path)]
    run_all([[*command, str(size)]])
    check_results(tmp_path, size)


@pytest.mark.slow
def test_processes_joined_by_mpi(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("there is no mpiexec to start processes with")
    run_all([[launcher, "-n", "3", sys.executable, str(SCRIPT), "mpi", str(tmp_path)]])
    check_results(tmp_path, 3)


# ------------------------------------------------------------------------- stand-ins


class StandInComm:
    """What MPICommunicator asks of a communicator of mpi4py, as a thread of this process."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def Get_rank(self) -> int:  # noqa: N802 - as in mpi4py
        return self.member.rank

    def Get_size(self) -> int:  # noqa: N802
        return self.member.size

    def Allreduce(self, sent: Any, received: Any) -> None:  # noqa: N802
        assert sent is not received
        received[...] = sent
        self.member._group.sum(self.member.rank, received)

    def exscan(self, count: int) -> int | None:
        before = self.member.offset(count)
        return before if self.member.rank else None


@pytest.mark.parametrize("size", [2, 3])
def test_mpi_with_a_stand_in(size: int) -> None:
    def work(member: Member) -> tuple[Any, dict[str, Any]]:
        communicator = MPICommunicator(StandInComm(member))
        return one_rank.masks(communicator), one_rank.facts(communicator)

    outcomes = Group(size).run(work)
    for rank, (_, facts) in enumerate(outcomes):  # type: ignore[misc]
        assert (facts["rank"], facts["offset"]) == (rank, rank * (rank + 1) // 2)
    for method, keeps in one_rank.KEEPS.items():
        kept = sum(
            int(mask.sum())
            for masks, _ in outcomes  # type: ignore[misc]
            for name, mask in masks.items()
            if name.startswith(f"{method}.")
        )
        assert kept == keeps[-1]


def test_nccl_goes_through_the_current_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a device: what torch is asked for is noted, and the numbers stay where they are."""
    torch = pytest.importorskip("torch")
    from torch import distributed

    seen = []

    def all_reduce(numbers: Any, group: Any = None) -> None:
        seen.append((str(numbers.device), group))
        numbers += 1

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_backend", lambda group: "nccl")
    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch, "device", lambda kind, index: f"{kind}:{index}")
    moved = []

    def to(tensor: Any, device: str) -> Any:
        moved.append(device)
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, "to", to)
    values = np.array([1, 2], np.int64)
    TorchCommunicator("mine").sum_integers(values)  # type: ignore[arg-type]
    assert values.tolist() == [2, 3]
    assert moved == ["cuda:1"]
    assert seen == [("cpu", "mine")]


def test_torch_must_be_initialised() -> None:
    pytest.importorskip("torch.distributed")
    with pytest.raises(RuntimeError, match="init_process_group"):
        TorchCommunicator()


@pytest.mark.parametrize(
    ("kind", "package", "text"),
    [
        (TorchCommunicator, "torch", r"pip install 'swiftforce\[torch\]'"),
        (MPICommunicator, "mpi4py", "pip install"),
    ],
)
def test_packages_that_are_missing(
    kind: Any, package: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == package:
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=text) as caught:
        kind()
    assert caught.value.__suppress_context__


def test_importing_swiftforce_imports_no_framework() -> None:
    program = "import sys, swiftforce; assert not {'torch', 'mpi4py'} & set(sys.modules)"
    run_all([[sys.executable, "-c", program]])


def test_what_is_a_communicator() -> None:
    assert isinstance(MPICommunicator(StandInComm(Member(Group(1), 0))), Communicator)
    assert isinstance(Member(Group(1), 0), Communicator)
    assert not isinstance(builtins, Communicator)
