"""The records of steps, compared with the oracle's."""

from __future__ import annotations

from dataclasses import fields

import oracle
import pytest
import swiftforce as sf

SUMS = ("saliency", "total_saliency", "gradient_norm", "objective")


def assert_same_step(actual: sf.Step, expected: oracle.Step) -> None:
    """Counts and the threshold exactly; sums as far as the order of adding allows.

    The objective is compared once a later step has told it.
    """
    for field in fields(expected):
        found, wanted = getattr(actual, field.name), getattr(expected, field.name)
        if field.name == "objective" and found is None:
            continue
        if field.name in SUMS:
            # Eight numbers of float32 are added in float32.
            wanted = pytest.approx(wanted, rel=2**-21, abs=0)
        assert found == wanted, field.name
        assert type(found) in (int, float, tuple)
    assert actual.degenerate is (expected.arbitrary > 0)
