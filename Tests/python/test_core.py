"""The extension itself: what it exports and needs, and that no argument makes it crash or leak."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from native_calls import (
    ARITY,
    FUNCTIONS,
    GARBAGE,
    INT,
    LAYERS,
    LENIENT,
    PLAIN,
    Endless,
    F,
    M,
    Sequence,
    linear,
    new_network,
    new_search,
    try_call,
    valid_calls,
)
from swiftforce import _core

NM = shutil.which("nm") or shutil.which("llvm-nm")
READELF = shutil.which("readelf") or shutil.which("llvm-readelf")


# ------------------------------------------------------------------------- the file


@pytest.mark.skipif(NM is None, reason="needs nm")
@pytest.mark.skipif(sys.platform == "darwin", reason="reads the symbols of an ELF file")
def test_one_symbol_is_exported() -> None:
    shown = subprocess.run(
        [str(NM), "-D", "--defined-only", "--extern-only", _core.__file__],
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
    capsules = [new_network(), new_search(), _core.network_view(new_network(), 0)]
    for position in range(ARITY[name]):
        for garbage in [*GARBAGE, *capsules]:
            function, arguments = valid_calls()[name]
            arguments[position] = garbage
            try_call(function, arguments)


@pytest.mark.parametrize(
    "name",
    # A list of any arrays is what `read` takes.
    sorted(n for n in ARITY if ARITY[n] and n not in ("network_create", "scan")),
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
        _core.select(Sequence(), [np.zeros(1, M)], 1, None, None, None, None)
    with pytest.raises((MemoryError, ValueError)):
        _core.search_create(2, 0, 1, 2, None, Endless(), *PLAIN)


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
        lambda: _core.search_create(number, 0, 1, 2, None, (4,), *PLAIN),
        lambda: _core.search_create(2, number, 1, 2, None, (4,), *PLAIN),
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
        np.frombuffer(_core.network_view(network, number), F).reshape(shape)
        for number, (_, role, shape) in enumerate(_core.network_parameters(network))
        if role == 0
    ]
    x, y = np.ones((3, 6), F), np.zeros(3, INT)
    for call in (
        lambda: _core.saliency(2, ones, None, ones, 0),
        lambda: _core.select([shared.view(F)], [shared.view(M)[2:6]], 1, None, None, None, None),
        lambda: _core.search_step(
            new_search(), ones, ones, None, [np.ones(4, M)], ones, None, None, None, None
        ),
        lambda: _core.network_gradients(network, None, weights, x, y, None, 0, False, True, 0, 1.0),
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
        _core.select([np.ones(4, F)], [fixed], 1, None, None, None, None)
