"""The benchmark of kept weights runs with small sizes, and its tables have every row."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from benchmarking import measured, run_quick
from swiftforce import nn

torch = pytest.importorskip("torch")

PAGE = "before\n<!-- begin sparse -->\nold\n<!-- end sparse -->\nafter\n"
PLACES = {"output": "out.jsonl", "document": "page.md"}


def run(folder: Path, *options: str) -> str:
    return run_quick("benchmarks.sparse", folder, PLACES, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory, PAGE, run)


@pytest.mark.slow
def test_every_row_is_there(folder: Path) -> None:
    text = (folder / "page.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in lines]
    rows = [row for row in rows if row[0] != "case" and not row[0].startswith("---")]
    engine = ("swiftforce", "swiftforce, dense kernels", "torch")
    sparsified = "torch, sparsify"
    removed, peer = "90 % removed", "published algorithm on torch"
    expected = [
        *((f"3x3, 16 -> 16, 8x8, {removed}", what) for what in (*engine, "sparseprop")),
        *((f"linear, 64 -> 64, {removed}", what) for what in engine),
        *((f"linear, 64 -> 64, {removed}", w) for w in ("torch, CSR", "sparseprop", "sparselab")),
        *(
            (removed, what)
            for what in ("multiply-adds left", *engine, sparsified, "sparseprop", "torch")
        ),
        *(
            (f"batch of {batch}, {removed}", what)
            for batch in (16, 1)
            for what in (*engine, sparsified, "torch")
        ),
        *(
            (f"{method}, 2 steps to {removed}", what)
            for method in ("iterative_snip", "force")
            for what in ("swiftforce", peer)
        ),
        ("no masks", "swiftforce"),
        (removed, "swiftforce"),
    ]
    assert [(row[0], row[1]) for row in rows] == expected
    for row in rows:
        if row[1] in ("sparseprop", "sparselab"):
            assert row[5] == f"needs --{row[1]}"
        elif row[5] != "less than the noise of the machine":
            assert re.fullmatch(r"[\d.,]+ (ns|us|ms|s|MB)|", row[2]), row
            assert re.fullmatch(r"[\d.]*( %)?", row[5]), row
    targets = {row[0]: row[7] for row in rows if row[7]}
    assert {case: re.sub(" (met|missed)$", "", target) for case, target in targets.items()} == {
        f"iterative_snip, 2 steps to {removed}": ">= 2.5",
        f"force, 2 steps to {removed}": ">= 2.0",
    }
    assert text.startswith("before\n<!-- begin sparse -->\n\nMeasured on: CPU ")
    assert text.endswith("<!-- end sparse -->\nafter\n")


@pytest.mark.usefixtures("_benchmarks")
def test_masks_of_layers_keep_what_they_should() -> None:
    from benchmarks.sparse_layers import Layer

    convolution, linear = Layer(3, 5, 7, 8, stride=2), Layer(1, 20, 30)
    assert convolution.mask(0.9).shape == (7, 5, 3, 3)
    assert convolution.mask(0.9).sum() == 31
    assert linear.mask(0.5).shape == (30, 20)
    assert linear.mask(0.5).sum() == 300
    (same,) = Layer(3, 4, 4, 8).networks_without()
    assert same.input_shape == (1, 8, 8)
    assert [net.input_shape for net in convolution.networks_without()] == [(1, 8, 8), (1, 4, 4)]


@pytest.mark.usefixtures("_benchmarks")
def test_time_of_what_surrounds_a_layer_is_subtracted() -> None:
    from benchmarks.measure import Times
    from benchmarks.sparse_layers import Layer, figures_of

    layer = Layer(1, 4, 4, times=2)
    times, before, after = Times((7.0, 9.0, 8.0)), Times((1.0, 3.0)), Times((3.0, 5.0))
    assert figures_of(layer, times) == (4.0, 3.5)
    assert figures_of(layer, times, [before, after]) == ((8 - 3) / 2, (7 - 2) / 2)


@pytest.mark.usefixtures("_benchmarks")
def test_share_of_products() -> None:
    from benchmarks import sparse_networks
    from benchmarks.classifiers import Kind

    kind = Kind("resnet", 20)
    masks = {name: np.zeros(weight.shape, bool) for name, weight in kind.make().weights.items()}
    name, last = next(iter(masks)), list(masks)[-1]
    masks[name][...] = True  # 3 to 16 channels on images of 32 by 32
    all_products = 40.8e6  # of the 0.041 billion in the literature
    share = sparse_networks.share_of_products(kind, masks)
    assert share == pytest.approx(3 * 16 * 9 * 32 * 32 / all_products, rel=0.02)
    masks[name][...], masks[last][...] = False, True  # 64 features to 10 classes
    share = sparse_networks.share_of_products(kind, masks)
    assert share == pytest.approx(640 / all_products, rel=0.02)


@pytest.mark.usefixtures("_benchmarks")
def test_masks_of_one_search_have_every_sparsity() -> None:
    from benchmarks import sparse_networks
    from benchmarks.classifiers import Kind

    kind = Kind("resnet", 20)
    found = sparse_networks.force_masks(kind, (0.5, 0.9), 2)
    size = sum(weight.size for weight in kind.make().weights.values())
    for sparsity, masks in found.items():
        assert sum(int(mask.sum()) for mask in masks.values()) == round(size * (1 - sparsity))


@pytest.mark.usefixtures("_benchmarks")
def test_what_differs_stops_the_benchmark() -> None:
    from benchmarks import sparse_networks

    sparse_networks.check_losses({"swiftforce": 2.3, "torch": 2.3001})
    with pytest.raises(RuntimeError, match="losses differ"):
        sparse_networks.check_losses({"swiftforce": 2.3, "torch": 2.31})
    with pytest.raises(RuntimeError, match="losses differ"):
        sparse_networks.check_losses({"swiftforce": 2.3, "torch": float("nan")})

    net = nn.lenet5(seed=1)
    x = np.ones((4, 1, 28, 28), np.float32)
    sparse_networks.check_logits(net, x)
    predicted = net.predict
    net.predict = lambda x: predicted(x) * 1.01
    with pytest.raises(RuntimeError, match="logits"):
        sparse_networks.check_logits(net, x)


@pytest.mark.slow
@pytest.mark.usefixtures("_benchmarks")
def test_a_peer_that_is_missing_stops_the_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    import sys

    from benchmarks.sparse_layers import Layer, task_of
    from benchmarks.sparse_peers import PeerProcess

    task = task_of(Layer(1, 8, 8), 0.5, 16)
    with pytest.raises(RuntimeError, match="a peer's process failed"):
        PeerProcess(sys.executable, "sparseprop", [task], 1)
    assert "No module named 'sparseprop'" in capfd.readouterr().err
