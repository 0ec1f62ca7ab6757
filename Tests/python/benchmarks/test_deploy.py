"""The benchmark of deployment runs with small sizes, and its tables have every row."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from benchmarking import measured, run_quick

pytest.importorskip("torch")
pytest.importorskip("safetensors")

PAGE = "before\n<!-- begin deploy -->\nold\n<!-- end deploy -->\nafter\n"
PLACES = {"output": "out.jsonl", "document": "page.md"}
#: What a row needs.
NEEDS = {
    "scipy, CSR": ("scipy",),
    "onnxruntime": ("onnxruntime", "onnxscript"),
    "OpenVINO": ("openvino", "onnxscript"),
    "OpenVINO, sparse weights": ("openvino", "onnxscript"),
    "ONNX": ("onnxscript",),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    folder: Path = measured(
        tmp_path_factory, PAGE, lambda folder: run_quick("benchmarks.deploy", folder, PLACES)
    )
    lines = (folder / "page.md").read_text().splitlines()
    found = [re.split(r"\s*\|\s*", line)[1:-1] for line in lines if line.startswith("|")]
    return [row for row in found if row[0] != "case" and not row[0].startswith("---")]


@pytest.mark.slow
def test_every_row_is_there(rows: list[list[str]]) -> None:
    others = ("onnxruntime", "OpenVINO", "OpenVINO, sparse weights")
    some = (*others, "torch, compact", "torch, sparsify", "swiftforce.nn")
    batches = [f"90 % removed, batch of {batch}" for batch in (1, 4)]
    files = ("dense, safetensors", "ONNX", "torch.export", "CSR, npz", "packed")
    assert [(row[0], row[1]) for row in rows] == [
        *(
            (case, what)
            for case in batches
            for what in ("torch", "torch, CSR linear layers", "torch, CSR", *some)
        ),
        *(
            (case, what)
            for case in batches
            for what in ("torch", "torch, CSR", "scipy, CSR", *some)
        ),
        *(("64 -> 32, 90 % removed", what) for what in ("torch", "torch, sparsify", "scipy, CSR")),
        *(
            (f"{kind}, 90 % removed", w)
            for kind in ("ResNet20", "MLP 3072-64-32-10")
            for w in files
        ),
    ]


@pytest.mark.slow
def test_what_is_installed_has_a_figure(rows: list[list[str]]) -> None:
    for row in rows:
        lacking = [name for name in NEEDS.get(row[1], ()) if not importlib.util.find_spec(name)]
        if lacking:
            assert row[5].endswith("is not installed"), row
        else:
            assert re.fullmatch(r"[\d.]+ (ns|us|ms|s|MB)", row[2]), row
            assert re.fullmatch(r"([\d.]+( %)?)?", row[5]), row


@pytest.mark.slow
def test_packed_files_are_the_smallest(rows: list[list[str]]) -> None:
    shares = {row[1]: float(row[5].split()[0]) for row in rows if "%" in row[5]}
    assert shares["packed"] < shares["CSR, npz"] < 25
    assert shares["torch.export"] > 95
