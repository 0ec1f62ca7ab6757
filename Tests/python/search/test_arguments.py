"""Arguments of a search that are refused, and methods that need no gradients."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import swiftforce as sf

pytestmark = pytest.mark.filterwarnings("ignore::swiftforce.SwiftForceWarning")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, sf.SparsityError, "give sparsity .* or keep"),
        ({"sparsity": 0.5, "keep": 2}, sf.SparsityError, "not both"),
        ({"sparsity": 1.0}, sf.SparsityError, "not 1.0"),
        ({"sparsity": "0.5"}, sf.SparsityError, "'0.5'"),
        ({"sparsity": float("nan")}, sf.SparsityError, "nan"),
        ({"keep": 0}, sf.KeepError, "1 ... 4, the number of weights, not 0"),
        ({"keep": 5}, sf.KeepError, "1 ... 4, the number of weights, not 5"),
        ({"keep": -1}, sf.KeepError, "not -1"),
        ({"keep": 2.0}, sf.KeepError, "must be an integer, not 2.0"),
        ({"keep": True}, sf.KeepError, "must be an integer, not True"),
        ({"keep": "2"}, sf.KeepError, "'2'"),
        ({"keep": 2**64}, sf.KeepError, "64 bits"),
        ({"keep": 2, "steps": 0}, sf.StepsError, "not 0"),
        ({"keep": 2, "steps": -1}, sf.StepsError, "not -1"),
        ({"keep": 2, "steps": 2.5}, sf.StepsError, "not 2.5"),
        ({"keep": 2, "steps": "3"}, sf.StepsError, "'3'"),
        ({"keep": 2, "steps": 10**12}, sf.StepsError, "1000000000000"),
        ({"keep": 2, "steps": 0, "method": "snip"}, sf.StepsError, "not 0"),
        ({"schedule": [3, 2], "method": "random"}, sf.StepsError, "random .* one step, not 2"),
        ({"schedule": [2, 3]}, sf.ScheduleError, "step 2 of the schedule keeps 3 after 2"),
        ({"schedule": [3, 2], "keep": 1}, sf.ScheduleError, "ends at 2 where 1"),
        ({"schedule": [0.5, 0.75], "sparsity": 0.5}, sf.ScheduleError, "ends at 1 where 2"),
        ({"schedule": [3, 2], "steps": 3}, sf.ScheduleError, "has 2 steps where steps is 3"),
        ({"schedule": []}, sf.ScheduleError, "at least one step"),
        ({"schedule": 3, "keep": 2}, sf.ScheduleError, "not int"),
        ({"schedule": None, "keep": 2}, sf.ScheduleError, "not NoneType"),
        ({"keep": 2, "seed": -1}, sf.SeedError, "not -1"),
        ({"keep": 2, "seed": 2**64}, sf.SeedError, f"not {2**64}"),
        ({"keep": 2, "seed": 1.5}, sf.SeedError, "not 1.5"),
        ({"keep": 2, "seed": True}, sf.SeedError, "not True"),
        ({"keep": 2, "seed": None}, sf.SeedError, "not None"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], error: type, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        sf.MaskSearch(np.float32([1, 2, 3, 4]), **options)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, sf.SwiftForceError)


def test_arrays_of_gradients_for_several_steps() -> None:
    with pytest.raises(sf.MissingGradientsError, match="each of its 60 steps") as caught:
        sf.force(np.float32([1, 2]), np.float32([1, 2]), keep=1)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("method", [name for name in oracle.METHODS if "a" not in name[:2]])
def test_missing_gradients(method: str) -> None:
    search = sf.MaskSearch(np.float32([1, 2]), method=method, keep=1)
    if oracle.METHODS[method][0] in oracle.SALIENCIES[2:]:
        search.step()
        return
    with pytest.raises(sf.MissingGradientsError, match=f"'{method}' scores") as caught:
        search.step()
    assert isinstance(caught.value, TypeError)
    assert search.taken == 0


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_gradients_that_nobody_reads_are_not_computed(method: str) -> None:
    calls = []
    sf.prune(np.float32([1, 2]), calls.append, method=method, keep=1)
    assert calls == []


def test_weights_that_overlap_in_part_are_refused_at_once() -> None:
    memory = np.ones(10, np.float32)
    with pytest.raises(sf.OverlapError, match=r"weights\['b'\] shares memory with weights\['a'\]"):
        sf.MaskSearch({"a": memory[:6], "b": memory[5:]}, keep=1)
