"""Memory of masked networks: what is kept and nothing else, and views of the rest on request."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from swiftforce import _core, nn

#: Layers whose memory is far above that of everything else in a process.
RESIDENT = """
import sys
import numpy as np
from pathlib import Path
from swiftforce import nn

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def network(size):
    net = nn.Network([nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 16)])
    random = np.random.default_rng(0)
    if sys.argv[1] != "dense":
        kept = {16: 1, size: 0.01}
        net.apply({n: random.random(s) < kept[s[0]] for n, s in net.weights.shapes.items()})
    x = random.standard_normal((32, size), np.float32)
    net.fit(x, np.zeros(32, np.int64), progress=False)
    net.predict(x)
    net.masks, net.plan(), repr(net), repr(net.weights)
    return net, net.gradients_on(x, np.zeros(32, np.int64))

network(64)
before = resident()
net, gradients = network(2000)
held = net.weights["0.weight"] if sys.argv[1] == "held" else None
print((resident() - before) / (12 * net.weights.size))
"""


def _resident(how: str) -> float:
    """Resident memory over that of dense weights, gradients and momentum."""
    run = subprocess.run(
        [sys.executable, "-c", RESIDENT, how],
        check=True,
        capture_output=True,
        text=True,
        env={"MALLOC_MMAP_THRESHOLD_": "262144", "PYTHONPATH": ":".join(sys.path)},
    )
    return float(run.stdout)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_follows_the_kept_weights() -> None:
    assert _resident("dense") > 0.9
    assert _resident("masked") < 0.1
    # A view has all weights, and nothing else has.
    assert 0.3 < _resident("held") < 0.5


def _masked(seed: int = 0) -> nn.Network:
    net = nn.Network([nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3)], seed=seed)
    random = np.random.default_rng(seed)
    net.apply({name: random.random(shape) < 0.2 for name, shape in net.weights.shapes.items()})
    assert net.plan()[0].kernels == "sparse"
    return net


def _data(count: int = 32) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.standard_normal((count, 30), np.float32), random.integers(0, 3, count)


def test_views_follow_training_and_training_follows_views() -> None:
    """A network whose views are held and one whose views come and go stay the same."""
    held, free = _masked(), _masked()
    x, y = _data()
    view = held.weights["0.weight"]
    for _ in range(3):
        for net in (held, free):
            net.fit(x, y, progress=False)
        assert np.array_equal(view, held.weights["0.weight"])
        assert np.array_equal(view, free.weights["0.weight"])
        assert np.array_equal(held.predict(x), free.predict(x))
        masks = held.masks
        assert masks is not None
        view *= 1.5
        free.weights["0.weight"] = free.weights["0.weight"] * 1.5
    # A part of a view holds it, too.
    part = view[3:5]
    del view
    before = part.copy()
    held.fit(x, y, progress=False)
    assert not np.array_equal(part, before)
    assert np.array_equal(part, held.weights["0.weight"][3:5])


def test_a_view_outlives_the_network() -> None:
    net = _masked()
    x, y = _data()
    net.fit(x, y, progress=False)
    view = net.weights["0.weight"]
    expected = view.copy()
    del net
    assert np.array_equal(view, expected)


def test_copies_without_dense_weights() -> None:
    net = _masked()
    x, y = _data()
    net.fit(x, y, progress=False)
    for other in (net.copy(), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(other.predict(x), net.predict(x))
        assert np.array_equal(other.weights["0.weight"], net.weights["0.weight"])
    weights = pickle.loads(pickle.dumps(net.weights))
    assert isinstance(weights, dict)
    weights["0.weight"][:] = 0
    assert net.weights["0.weight"].any()


def test_what_a_thread_writes_stays_while_another_predicts() -> None:
    """Dense weights are released only if nobody has held them since they were copied."""
    net = _large()
    x = np.ones((1, net.features), np.float32)
    masks = net.masks
    assert masks is not None
    mask, ended = masks["0.weight"], threading.Event()

    def predict() -> None:
        while not ended.is_set():
            net.predict(x)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        end, value = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            value += 1
            net.weights["0.weight"] = np.where(mask, np.float32(value), np.float32(0))
            found = net.weights["0.weight"]
            assert (found[mask] == value).all() and not found[~mask].any()
            del found
    finally:
        ended.set()
        thread.join()
    assert value > 10


def _large() -> nn.Network:
    net = nn.Network([nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 3)])
    random = np.random.default_rng(0)
    net.apply({name: random.random(shape) < 0.2 for name, shape in net.weights.shapes.items()})
    return net


def test_errors_of_the_core_after_an_epoch_put_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, y) = _masked(), _data()
    before = {name: array.copy() for name, array in net.parameters.items()}

    def fails(handle: object) -> None:
        raise _core.NativeError(_core.STATUSES.index("NO_MEMORY"), 0, -1, 3, 2, 0.5, "short")

    monkeypatch.setattr(_core, "network_magnitudes", fails)
    with pytest.raises(MemoryError):
        net.fit(x, y, progress=False)
    for name, array in net.parameters.items():
        assert np.array_equal(array, before[name])


def test_a_network_without_weights_has_a_card() -> None:
    net = nn.Network([nn.BatchNorm2d(1), nn.Flatten()], input_shape=(1, 2, 2))
    assert "0 weights" in net._repr_html_()


#: Children that are forked while another thread trains: what each says of a prediction.
FORKS = """
import os, threading, time
import numpy as np
import swiftforce as sf
from swiftforce import nn

net = nn.Network([nn.Linear(2000, 2000), nn.ReLU(), nn.Linear(2000, 3)])
x, y = np.ones((256, 2000), np.float32), np.zeros(256, np.int64)
ended = threading.Event()

def train():
    while not ended.is_set():
        net.fit(x, y, learning_rate=0, batch_size=256, progress=False)

def answer():
    try:
        net.predict(x[:1])
        return 0
    except sf.InUseError:
        return 1
    except BaseException:
        return 2

thread = threading.Thread(target=train)
thread.start()
found = set()
for _ in range(20):
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        os._exit(answer())
    found.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ended.set()
thread.join()
print(sorted(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_during_a_step_is_refused_that_network() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKS],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert run.stdout.strip() in ("[1]", "[0, 1]")
