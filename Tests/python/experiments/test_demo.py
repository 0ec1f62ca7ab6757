"""The demonstration: every combination is pruned, trained, tested, and in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import swiftforce as sf
from swiftforce import nn
from swiftforce.datasets.idx import idx_dataset
from swiftforce.datasets.images import Dataset
from swiftforce.experiments import demo
from swiftforce.experiments.runs import compared_methods

#: The images of the tests have 4 by 4 pixels: too few for convolutions.
LENET = "lenet_300_100"
SETTINGS = demo.Settings(
    network=LENET,
    sparsities=(0.5, 0.9),
    methods=compared_methods(),
    steps=3,
    epochs=2,
    seed=4,
)


@pytest.fixture
def data(idx_folder: Path) -> Dataset:
    return idx_dataset(idx_folder, name="tiny")


def test_every_combination_has_an_accuracy(data: Dataset) -> None:
    outcome = demo.run(data, SETTINGS)
    assert list(outcome.accuracy) == [
        (method, sparsity) for method in SETTINGS.methods for sparsity in SETTINGS.sparsities
    ]
    assert all(0 <= accuracy <= 1 for accuracy in outcome.accuracy.values())
    assert outcome.accuracy["dense", 0.5] == outcome.accuracy["dense", 0.9] > 0.6  # chance: 0.25
    assert outcome.accuracy["force", 0.5] > 0.5
    assert outcome.seconds > 0


def test_the_same_settings_give_the_same_outcome(data: Dataset) -> None:
    runs = [demo.run(data, SETTINGS) for _ in range(2)]
    assert runs[0].accuracy == runs[1].accuracy
    assert runs[0].notes == runs[1].notes


def test_a_row_is_what_the_steps_by_hand_give(data: Dataset) -> None:
    settings = demo.Settings(LENET, (0.8,), ("force",), steps=3, epochs=2, seed=4)
    found = demo.run(data, settings).accuracy["force", 0.8]
    net = nn.lenet_300_100(16, 4, seed=4)
    gradients = net.gradients_on(data.train_x, data.train_y, batch_size=128, seed=4)
    net.apply(sf.force(net.weights, gradients, sparsity=0.8, steps=3).masks)
    net.fit(data.train_x, data.train_y, epochs=2, batch_size=128, milestones=(1, 1), seed=4)
    assert found == net.evaluate(data.test_x, data.test_y).accuracy


def test_runs_do_not_disturb_each_other(data: Dataset) -> None:
    methods, sparsities = ("random", "snip", "force"), (0.9, 0.97)
    together = demo.run(data, demo.Settings(LENET, sparsities, methods, steps=2, epochs=1)).accuracy
    for method in methods:
        for sparsity in sparsities:
            alone = demo.run(data, demo.Settings(LENET, (sparsity,), (method,), steps=2, epochs=1))
            assert alone.accuracy[method, sparsity] == together[method, sparsity]
    assert len(set(together.values())) > 3  # so that a mix-up would be noticed


def test_notes_are_the_warnings(data: Dataset) -> None:
    settings = demo.Settings(LENET, (0.9999,), ("random",), steps=1, epochs=1)
    outcome = demo.run(data, settings)
    layers, classes = outcome.notes
    assert layers.startswith("random 0.9999: no weight is kept in ")
    assert classes.startswith(
        "random 0.9999: no path of kept weights leads from the input to 4 of 4 classes: 0, 1, 2, 3"
    )


def test_rows() -> None:
    settings = demo.Settings(sparsities=(0.9, 0.995), methods=("dense", "snip"))
    accuracy = {
        ("dense", 0.9): 0.9,
        ("dense", 0.995): 0.9,
        ("snip", 0.9): 0.87654,
        ("snip", 0.995): 0.1,
    }
    assert demo.rows(demo.Outcome(accuracy=accuracy), settings) == [
        ["method", "90 %", "99.5 %"],
        ["dense", "90.00", "90.00"],
        ["snip", "87.65", "10.00"],
    ]


def test_speeds_are_relative_to_the_dense_network() -> None:
    settings = demo.Settings(sparsities=(0.9, 0.99), methods=("dense", "snip"))
    training = {("dense", 0.9): 6.0, ("dense", 0.99): 6.0, ("snip", 0.9): 3.0, ("snip", 0.99): 0.5}
    assert demo.speed_rows(demo.Outcome(training=training), settings) == [
        ["method", "90 %", "99 %"],
        ["dense", "1.0", "1.0"],
        ["snip", "2.0", "12.0"],
    ]


def test_the_data_are_not_changed(data: Dataset) -> None:
    before = data.train_x.tobytes(), data.train_y.tobytes()
    demo.run(data, demo.Settings(LENET, (0.5,), ("force",), steps=2, epochs=1))
    assert (data.train_x.tobytes(), data.train_y.tobytes()) == before
    assert np.isfinite(data.train_x).all()
