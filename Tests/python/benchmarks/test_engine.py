"""The engine benchmark runs with small sizes, and its tables have every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarking import ROOT, measured, run_quick
from swiftforce import nn

torch = pytest.importorskip("torch")

PAGE = "before\n<!-- begin engine -->\nold\n<!-- end engine -->\nafter\n"


PLACES = {"output": "out.jsonl", "document": "page.md"}


def run(folder: Path, *options: str) -> str:
    return run_quick("benchmarks.engine", folder, PLACES, *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured(tmp_path_factory, PAGE, run)


@pytest.mark.slow
def test_every_row_is_there(folder: Path) -> None:
    text = (folder / "page.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in lines]
    torches = ("torch", "torch, channels last")
    net, memory = "ResNet20, batch of 4", "weights, gradients and activations"
    expected = {
        (net, what): ">= 1.0" if what in torches else "" for what in ("swiftforce", *torches)
    }
    expected[net, "swiftforce"] = "<= 25%"  # of memory, which comes later
    expected |= {(net, memory): "", (net, "torch"): ""}
    expected[f"{net}, 90 % removed", "swiftforce"] = ""
    expected[f"{net}, 90 % removed", "FORCE's own algorithm on torch"] = ">= 1.5"
    expected["LeNet-5, 200 images", "swiftforce"] = ""
    expected["LeNet-5, 200 images", "torch, batches of 100"] = ">= 1.5"
    found = {(row[0], row[1]): re.sub(" (met|missed)$", "", row[7]) for row in rows}
    assert {key: target for key, target in found.items() if key[0] and key[0][0] in "RL"} == (
        expected
    )
    for row in rows:
        if row[0][0] in "RL":
            assert re.fullmatch(r"[\d.,]+ (us|ms|s|MB|images/s)", row[2]), row
            assert re.fullmatch(r"[\d.]*( %)?", row[5]), row
    assert text.startswith("before\n<!-- begin engine -->\n\nMeasured on: CPU ")
    assert text.endswith("<!-- end engine -->\nafter\n")


@pytest.mark.slow
def test_what_is_measured_is_not_measured_again(folder: Path) -> None:
    before = (folder / "out.jsonl").read_text()
    assert "LeNet-5, 200 images" in run(folder, "--sections", "evaluation")
    assert (folder / "out.jsonl").read_text() == before
    run(folder, "--sections", "evaluation", "--again")
    after = (folder / "out.jsonl").read_text()
    assert after.count('"section": "evaluation", "machine"') == 2


def test_required_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import networks

    layers = [
        nn.Conv2d(3, 2, 3, padding=1, bias=False),  # 54 weights, 2 by 32 by 32 numbers
        nn.BatchNorm2d(2),  # 4 parameters, as many numbers
        nn.ReLU(),
        nn.MaxPool2d(2),  # 2 by 16 by 16
        nn.GlobalAvgPool2d(),  # 2
        nn.Linear(2, 10),  # 30 parameters
    ]
    net = nn.Network(layers, input_shape=(3, 32, 32))
    assert networks.required_bytes(net, 7) == 4 * (2 * 88 + 7 * (2 * 2048 + 512 + 2))


def test_what_differs_from_torch_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import networks
    from benchmarks.classifiers import samples

    net = nn.lenet5(seed=1)
    x, y = samples(20, (1, 28, 28))
    theirs = networks.torch_gradients(net, x, y)()
    ours = networks.gradients(net, x, y)()
    networks.check_gradients(ours, theirs)
    wrong = {**ours, "0.weight": 1.1 * ours["0.weight"]}
    with pytest.raises(RuntimeError, match="gradients"):
        networks.check_gradients(wrong, theirs)

    search = networks.force_steps(net, x, y, 5000, 4)()
    masks = networks.torch_force_steps(net, x, y, 5000)()
    networks.check_masks(search, masks, 5000)
    with pytest.raises(RuntimeError, match="keep 4999"):
        networks.check_masks(search, masks, 4999)
    with pytest.raises(RuntimeError, match="masks"):
        networks.check_masks(search, {name: torch.ones_like(m) for name, m in masks.items()}, 5000)

    found = net.evaluate(x, y)
    networks.check_evaluation(found, networks.torch_evaluation(net, x, y, 8)())
    with pytest.raises(RuntimeError, match="evaluations"):
        networks.check_evaluation(found, (found.loss, found.correct + 1))
