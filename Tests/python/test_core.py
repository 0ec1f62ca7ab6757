"""The extension itself: what it exports and needs, and that no argument makes it crash or leak."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import shutil
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from swiftforce import _core

NM = shutil.which("nm") or shutil.which("llvm-nm")
READELF = shutil.which("readelf") or shutil.which("llvm-readelf")

FUNCTIONS = sorted(
    name
    for name, value in vars(_core).items()
    if callable(value) and not isinstance(value, type) and not name.startswith("_")
)
ARITY = {
    "addresses": 1,
    "cpu_levels": 0,
    "keep_count": 2,
    "method": 1,
    "names": 1,
    "network_apply": 2,
    "network_create": 3,
    "network_evaluate": 4,
    "network_forward": 3,
    "network_gradients": 8,
    "network_parameters": 1,
    "network_reset": 1,
    "network_sizes": 1,
    "network_train": 7,
    "permutation": 3,
    "read": 1,
    "saliency": 5,
    "saliency_reads": 1,
    "schedule": 4,
    "search_create": 9,
    "search_report": 3,
    "search_taken": 1,
    "search_step": 8,
    "select": 3,
    "set_threads": 1,
    "threads": 0,
}


def linear(inputs: int, outputs: int, source: int = -1) -> tuple[Any, ...]:
    return (0, source, -2, True, inputs, outputs, 0, 0, 0, 0, 0.0, 0.0)


def relu(source: int) -> tuple[Any, ...]:
    return (1, source, -2, False, 0, 0, 0, 0, 0, 0, 0.0, 0.0)


LAYERS = (linear(6, 5), relu(0), linear(5, 3, 1))

#: Functions to which some of it is no garbage: a small number, or a sequence of nothing.
LENIENT = ("addresses", "names", "method", "saliency_reads")

F, M, INT = np.float32, np.bool_, np.int64


def new_network(seed: int = 0) -> object:
    return _core.network_create(LAYERS, None, seed)


def new_search(size: int = 4) -> object:
    return _core.search_create(2, 0, 1, 2, None, (size,), 0, 0, 0)


def stepped_search() -> object:
    search = new_search()
    ones = [np.ones(4, F)]
    _core.search_step(search, ones, ones, None, [np.ones(4, M)], None, None, None)
    return search


def valid_calls(scale: int = 1) -> dict[str, tuple[Callable[..., Any], list[Any]]]:
    """A call of each function that succeeds."""
    n, samples = 4 * scale, 3 * scale
    ones = [np.ones(n, F)]
    network = new_network()
    x, y, rows = np.ones((samples, 6), F), np.zeros(samples, INT), np.arange(samples, dtype=INT)
    weights = [np.ones((5, 6), F), np.ones((3, 5), F)]
    gradients = [np.empty((5, 6), F), np.empty((3, 5), F)]
    masks = [np.ones((5, 6), M), np.ones((3, 5), M)]
    arguments: dict[str, list[Any]] = {
        "names": [0],
        "method": [2],
        "keep_count": [10, 0.5],
        "schedule": [0, 10, 2, 3],
        "permutation": [np.empty(n, INT), 1, 0],
        "read": [ones],
        "saliency": [0, ones, [np.ones(n, F)], [np.empty(n, F)], 1],
        "select": [ones, [np.empty(n, M)], 2],
        "search_create": [2, 0, 1, 2, (3, 1), (2, 2), 0, 0, 0],
        "search_step": [
            new_search(n),
            ones,
            [np.ones(n, F)],
            None,
            [np.empty(n, M)],
            [np.empty(n, F)],
            None,
            None,
        ],
        "addresses": [[np.empty(n, F), np.empty(0, F)]],
        "cpu_levels": [],
        "saliency_reads": [0],
        "threads": [],
        "set_threads": [_core.threads()],
        "search_report": [stepped_search(), 1, 1],
        "search_taken": [new_search()],
        "network_create": [LAYERS, None, 0],
        "network_sizes": [network],
        "network_parameters": [network],
        "network_apply": [network, masks],
        "network_reset": [network],
        "network_gradients": [network, weights, gradients, x, y, rows, 0, False],
        "network_train": [network, x, y, rows, 0.1, 0.9, 0.0],
        "network_evaluate": [network, x, y, rows],
        "network_forward": [network, x, np.empty((samples, 3), F)],
    }
    return {name: (getattr(_core, name), list(given)) for name, given in arguments.items()}


# ------------------------------------------------------------------------- the file


@pytest.mark.skipif(NM is None, reason="needs nm")
@pytest.mark.skipif(sys.platform == "darwin", reason="reads the symbols of an ELF file")
def test_one_symbol_is_exported() -> None:
    shown = subprocess.run(
        [str(NM), "-D", "--defined-only", _core.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.split()[-1] for line in shown.splitlines()] == ["PyInit__core"]


@pytest.mark.skipif(READELF is None, reason="needs readelf")
@pytest.mark.skipif(sys.platform == "darwin", reason="reads the libraries of an ELF file")
def test_no_library_of_swift_is_needed() -> None:
    shown = subprocess.run(
        [str(READELF), "-d", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    needed = [line for line in shown.splitlines() if "(NEEDED)" in line]
    assert needed
    for word in ("swift", "Foundation", "dispatch", "icu", "BlocksRuntime"):
        assert not any(word.lower() in line.lower() for line in needed), word
    paths = [line for line in shown.splitlines() if "PATH)" in line]
    # Nor a path into the place where it was built; a wheel's libraries are beside it.
    assert all("[$ORIGIN/../swiftforce.libs]" in line for line in paths), paths


def imported_anew() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_core", _core.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_can_be_imported_twice() -> None:
    second = imported_anew()
    assert second is not _core
    assert second.names(3) == _core.names(3)
    assert second.NativeError is not _core.NativeError
    with pytest.raises(second.NativeError):
        second.names(99)
    del second
    gc.collect()
    assert _core.names(3)


def test_the_module_is_the_stub() -> None:
    assert sorted(ARITY) == FUNCTIONS
    assert sorted(valid_calls()) == FUNCTIONS
    assert isinstance(_core.NativeError, type)
    with pytest.raises(TypeError):
        _core.View()


# ------------------------------------------------------------------------- garbage


class Sequence:
    """Claims more than it has."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, position: int) -> Any:
        raise RuntimeError("no item")


class Endless:
    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, position: int) -> Any:
        return 1


GARBAGE: list[Any] = [
    None,
    -1,
    2**31,
    2**80,
    1.5,
    float("nan"),
    "text",
    b"\0" * 16,
    [],
    (),
    {},
    [None],
    [1, "a"],
    [[]],
    object(),
    Sequence(),
    np.zeros(3, F),
    np.zeros((3, 6)),
    np.zeros(0, F),
    [np.zeros(4)],
    [np.zeros(8, F)[::2]],
    [np.frombuffer(bytes(17), F, offset=1)],
    [np.zeros(4, ">f4")],
    [np.zeros(4, F), np.zeros(4, F)],
    [np.zeros(5, F)],
    np.zeros(2, "f4,f4"),
    memoryview(b"abcd"),
]


def try_call(function: Callable[..., Any], arguments: list[Any]) -> None:
    """Any answer will do, and any ordinary exception; only not a crash or a SystemError."""
    try:
        function(*arguments)
    except SystemError:
        raise
    except Exception as error:
        assert str(error)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_valid_call_is_valid(name: str) -> None:
    function, arguments = valid_calls()[name]
    function(*arguments)
    assert len(arguments) == ARITY[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_number_of_arguments(name: str) -> None:
    function, arguments = valid_calls()[name]
    for given in [*(arguments[:count] for count in range(len(arguments))), [*arguments, None]]:
        with pytest.raises(TypeError):
            function(*given)
    with pytest.raises(TypeError):
        function(*arguments, key=1)


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"network_create"}))
def test_garbage_in_each_place(name: str) -> None:
    capsules = [new_network(), new_search(), _core.network_parameters(new_network())[0][0]]
    for position in range(ARITY[name]):
        for garbage in [*GARBAGE, *capsules]:
            function, arguments = valid_calls()[name]
            arguments[position] = garbage
            try_call(function, arguments)


@pytest.mark.parametrize(
    "name",
    # A list of any arrays is what `read` takes.
    sorted(n for n in ARITY if ARITY[n] and n not in ("network_create", "read")),
)
def test_garbage_in_every_place(name: str) -> None:
    function = getattr(_core, name)
    for garbage in GARBAGE:
        with pytest.raises(Exception):  # noqa: B017 - which one depends
            if function(*[garbage] * ARITY[name]) is not None and name in LENIENT:
                raise ValueError  # it is right there


@pytest.mark.parametrize(
    "layers",
    [
        None,
        1,
        [()],
        [linear(1, 1)[:-1]],
        [(*linear(1, 1), 1)],
        [("a", *linear(1, 1)[1:])],
        [linear(None, 1)],  # type: ignore[arg-type]
        [linear(2**80, 1)],
        [(*linear(1, 1)[:-1], "a")],
    ],
)
def test_garbage_for_layers(layers: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        _core.network_create(layers, None, 0)


@pytest.mark.parametrize("shape", [1, "ab", (None,), (2**80,), (6, "a", 1)])
def test_garbage_for_an_input_shape(shape: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        _core.network_create(LAYERS, shape, 0)


@pytest.mark.parametrize("shape", [(), (6, 1), (6, 1, 1, 1), (0,), (-6,), (5,), (6, 2, 1)])
def test_input_shapes_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(_core.NativeError):
        _core.network_create(LAYERS, shape, 0)


@pytest.mark.parametrize("layers", ["ab", [None], [1], [list(linear(1, 1))]])
def test_layers_that_are_no_tuples(layers: Any) -> None:
    with pytest.raises(TypeError):
        _core.network_create(layers, None, 0)


def test_a_list_that_lies_about_its_length() -> None:
    with pytest.raises(RuntimeError, match="no item"):
        _core.select(Sequence(), [np.zeros(1, M)], 1)
    with pytest.raises((MemoryError, ValueError)):
        _core.search_create(2, 0, 1, 2, None, Endless(), 0, 0, 0)


@pytest.mark.parametrize(
    "name", [name for name in FUNCTIONS if name.startswith(("search_s", "network_"))]
)
def test_handles_of_the_wrong_kind(name: str) -> None:
    if name == "network_create":
        return
    function, arguments = valid_calls()[name]
    wrong = new_network() if name.startswith("search") else new_search()
    for handle in (wrong, None, 1, object()):
        with pytest.raises((ValueError, TypeError), match=r"(?i)capsule"):
            function(handle, *arguments[1:])


@pytest.mark.parametrize("number", [-1, 99, 2**31 - 1, -(2**31)])
def test_numbers_of_nothing(number: int) -> None:
    for call in (
        lambda: _core.names(number),
        lambda: _core.method(number),
        lambda: _core.schedule(number, 10, 1, 2),
        lambda: _core.saliency(number, [np.ones(1, F)], None, [np.ones(1, F)], 0),
        lambda: _core.search_create(number, 0, 1, 2, None, (4,), 0, 0, 0),
        lambda: _core.search_create(2, number, 1, 2, None, (4,), 0, 0, 0),
        lambda: _core.network_create(((number, *linear(1, 1)[1:]),), None, 0),
    ):
        with pytest.raises(_core.NativeError) as caught:
            call()
        assert _core.STATUSES[caught.value.args[0]] in ("UNKNOWN_NAME", "BAD_ARCHITECTURE")


def test_rows_outside_the_samples() -> None:
    for row in (-1, 3, 2**62, -(2**63)):
        for name, place in (("network_train", 3), ("network_evaluate", 3)):
            function, arguments = valid_calls()[name]
            arguments[place] = np.array([0, row], INT)
            with pytest.raises(_core.NativeError) as caught:
                function(*arguments)
            assert _core.STATUSES[caught.value.args[0]] == "BAD_ROW"


def test_labels_outside_the_classes() -> None:
    for label in (-1, 3, 2**62):
        for name in ("network_train", "network_evaluate"):
            function, arguments = valid_calls()[name]
            arguments[2] = np.array([0, label, 0], INT)
            with pytest.raises(_core.NativeError) as caught:
                function(*arguments)
            assert _core.STATUSES[caught.value.args[0]] == "BAD_LABEL"


def test_outputs_that_are_inputs() -> None:
    ones = [np.ones(4, F)]
    shared = np.zeros(16, np.uint8)
    network = new_network()
    weights = [
        np.frombuffer(view, F).reshape(shape)
        for view, _, role, shape in _core.network_parameters(network)
        if role == 0
    ]
    x, y = np.ones((3, 6), F), np.zeros(3, INT)
    for call in (
        lambda: _core.saliency(2, ones, None, ones, 0),
        lambda: _core.select([shared.view(F)], [shared.view(M)[2:6]], 1),
        lambda: _core.search_step(
            new_search(), ones, ones, None, [np.ones(4, M)], ones, None, None
        ),
        lambda: _core.network_gradients(network, None, weights, x, y, None, 0, False),
        lambda: _core.network_forward(network, x, x.reshape(-1)[:9].reshape(3, 3)),
    ):
        with pytest.raises(_core.NativeError) as caught:
            call()
        assert _core.STATUSES[caught.value.args[0]] == "OVERLAP"
    assert ones[0].tolist() == [1, 1, 1, 1]
    assert not shared.any()
    assert (x == 1).all()


def test_outputs_that_cannot_be_written() -> None:
    fixed = np.zeros(4, M)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        _core.select([np.ones(4, F)], [fixed], 1)


# ------------------------------------------------------------------------- references, memory


def counts(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(item) for item in objects]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_reference_is_kept(name: str) -> None:
    """Neither by calls that succeed nor by calls that fail at each of the arguments."""
    function, arguments = valid_calls()[name]
    held = [*arguments, *itertools.chain(*(a for a in arguments if type(a) in (list, tuple)))]
    held = [item for item in held if not isinstance(item, (int, float)) and item is not None]
    failing = [
        [*arguments[:place], garbage, *arguments[place + 1 :]]
        for place in range(len(arguments))
        for garbage in (Sequence(), 2**80)
    ]
    if name in ("search_step",):  # takes both of its steps, then fails
        function(*arguments)
    before = counts(held)
    for _ in range(50):
        try_call(function, arguments)
        for given in failing:
            try_call(function, given)
    given = None
    assert counts(held) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_memory_is_kept(name: str) -> None:
    function, arguments = valid_calls()[name]
    bad = [[*arguments[:i], Sequence(), *arguments[i + 1 :]] for i in range(len(arguments))]

    def work(times: int) -> None:
        for _ in range(times):
            try_call(function, arguments)
            for given in bad:
                try_call(function, given)

    work(20)
    gc.collect()
    tracemalloc.start()
    try:
        work(5)
        marks = [tracemalloc.get_traced_memory()[0]]
        for _ in range(3):
            work(300)
            gc.collect()
            marks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # Ten bytes a round would be a leak if they came every time: the interpreter keeps things, too.
    assert min(end - start for start, end in itertools.pairwise(marks)) < 3000


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_networks_and_searches_are_released() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1])

    def work(times: int) -> None:
        for _ in range(times):
            network = _core.network_create((linear(300, 300),), None, 0)
            _core.network_parameters(network)
            _core.search_create(2, 0, 1, 1000, None, (10_000,), 0, 0, 0)

    work(50)
    before = resident()
    work(300)  # 108 MB of weights
    assert resident() - before < 5000


def test_views_keep_their_network() -> None:
    network = new_network(seed=3)
    view = _core.network_parameters(network)[0][0]
    expected = bytes(memoryview(view))
    del network
    gc.collect()
    others = [new_network(seed) for seed in range(20)]
    assert bytes(memoryview(view)) == expected
    del others


# ------------------------------------------------------------------------- the lock


@pytest.mark.parametrize(
    "name",
    [
        "permutation",
        "read",
        "saliency",
        "select",
        "search_step",
        "network_gradients",
        "network_train",
        "network_evaluate",
        "network_forward",
    ],
)
def test_other_threads_run_during_a_call(name: str) -> None:
    """The interval is so long that only a call that gives the lock away lets others run."""
    turns: list[int] = []
    stop, ready = threading.Event(), threading.Event()

    def turn() -> None:
        ready.set()
        while not stop.wait(0.0005):
            turns.append(1)

    function, arguments = valid_calls(scale=400_000 if name[0] != "n" else 40_000)[name]
    interval = sys.getswitchinterval()
    other = threading.Thread(target=turn)
    other.start()
    ready.wait()
    try:
        sys.setswitchinterval(600)
        for _ in range(30):
            if name == "search_step":
                arguments[0] = new_search(arguments[1][0].size)
            before = len(turns)
            function(*arguments)
            during = len(turns) - before
            if during:
                break
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        other.join()
    assert during


# ------------------------------------------------------------------------- sums over ranks


def shared_step(total: Any, starts: Any = (0,)) -> dict[str, Any]:
    """A step of a rank that is alone, whose sums the function forms."""
    ones = [np.ones(4, F)]
    arguments = [new_search(), ones, ones, None, [np.ones(4, M)], None]
    return _core.search_step(*arguments, total, starts)


def alone(numbers: bytearray) -> None:
    """The sums over one rank."""


def test_sums_are_formed_in_a_bytearray_of_integers() -> None:
    seen = []
    shared_step(lambda numbers: seen.append((type(numbers), len(numbers))))
    assert {kind for kind, _ in seen} == {bytearray}
    assert all(length % 8 == 0 for _, length in seen)
    assert len(seen) == 6  # one to meet, three digits, one of a position, the figures


@pytest.mark.parametrize(
    ("total", "error"),
    [
        (None, TypeError),
        (lambda numbers: numbers.clear(), ValueError),
        (lambda numbers: numbers.append(0), ValueError),
        (lambda numbers: 1 // 0, ZeroDivisionError),
        (lambda numbers: sys.exit(3), SystemExit),
        (lambda: None, TypeError),
    ],
)
def test_what_goes_wrong_in_a_sum_is_raised(total: Any, error: type[BaseException]) -> None:
    with pytest.raises(error):
        shared_step(total)


@pytest.mark.parametrize(
    ("starts", "error"),
    [((), ValueError), ((0, 4), ValueError), (3, TypeError), (("a",), TypeError)],
)
def test_starts_must_be_numbers_of_tensors(starts: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        shared_step(alone, starts)


def test_a_start_beyond_the_end() -> None:
    with pytest.raises(_core.NativeError) as caught:
        shared_step(alone, (1,))
    assert _core.STATUSES[caught.value.args[0]] == "BAD_START"


def test_what_a_function_keeps_of_its_numbers_stays_its_own() -> None:
    kept: list[memoryview] = []
    report = shared_step(lambda numbers: kept.append(memoryview(numbers)))
    assert report["keep"] == 2
    before = [bytes(view) for view in kept]
    assert [shared_step(alone)["keep"] for _ in range(20)] == [2] * 20
    assert [bytes(view) for view in kept] == before


def test_sums_keep_no_reference_and_no_memory() -> None:
    def fails(numbers: bytearray) -> None:
        raise KeyError(len(numbers))

    before = counts([alone, fails])
    for _ in range(50):
        try_call(shared_step, [alone])
        try_call(shared_step, [fails])
    assert counts([alone, fails]) == before
