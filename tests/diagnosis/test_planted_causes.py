"""Faults planted in the shipped ops are put down to what they are, and to nothing else.

A share of what ``tests/benchmarks/diagnoses.py`` counts at length.
"""

from __future__ import annotations

import numpy as np
import pytest
from faults import FAULTS, flipped_sign, reversed_axis
from planted import audit_planted, causes, failed, occasions

from gradaudit.diagnosis.score import EXPLAINS

OCCASIONS = list(occasions())
EACH = 12


def named(code: str, each: int) -> list[str]:
    """Return what so many faults of a kind, in ops drawn at random, are put down to first."""
    found = []
    for seed, k in enumerate(np.random.default_rng(11).permutation(len(OCCASIONS) * len(FAULTS[code]))):
        case, name = OCCASIONS[k % len(OCCASIONS)]
        result = audit_planted(case, name, FAULTS[code][k // len(OCCASIONS)](), seed=seed)
        if failed(result):
            likely = causes(result)
            assert all(cause.evidence.get("explained", 1.0) >= EXPLAINS for cause in likely)
            found.append(likely[0].code if likely else "none")
        if len(found) == each:
            break
    return found


@pytest.mark.parametrize("code", FAULTS)
def test_a_planted_fault_is_named(code: str) -> None:
    found = named(code, EACH)
    assert len(found) == EACH
    assert found.count(code) >= EACH - 1
    assert found.count(code) + found.count("none") >= EACH - 1


def test_two_faults_at_once_are_one_of_them_or_nothing_simple() -> None:
    said = []
    for case, name in OCCASIONS[::40]:
        result = audit_planted(case, name, flipped_sign, reversed_axis)
        if failed(result):
            said += [causes(result)[0].code if causes(result) else "none"]
    assert len(said) >= 5
    # Where an axis has two elements, or a gradient few that are not zero, both together may be a simple third thing.
    assert sum(code not in {"none", "sign-flipped", "transposed"} for code in said) <= len(said) // 6


def random_gradient(call: object) -> object:
    gradient = call.gradient()  # type: ignore[attr-defined]
    return gradient * call.rng.normal(size=gradient.shape)  # type: ignore[attr-defined]


def test_a_gradient_that_is_wrong_at_random_has_no_simple_cause() -> None:
    said = [
        causes(result)
        for case, name in OCCASIONS[::35]
        if failed(result := audit_planted(case, name, random_gradient)) and result.size > 1
    ]
    assert len(said) >= 12
    assert said == [[]] * len(said)
