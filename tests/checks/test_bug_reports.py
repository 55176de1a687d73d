"""The two bug reports that the project grew from, replayed: right gradients that checkers called wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit

from gradaudit.ops.dropout import dropout, dropout_backward
from gradaudit.ops.normalization import batch_norm2d, batch_norm2d_backward
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Input, Tolerance

SEEDS = range(8)
NOISE_OF_THE_REPORT = 0.0035762786865234375


def audited_batch_norm(forward: Any, seed: int) -> dict[str, Result]:
    inputs = [
        array("x", (2, 2, 4, 4), -2.0, 2.0, dtype="float32"),
        array("gamma", (2,), 0.5, 1.5, dtype="float32"),
        array("beta", (2,), -0.5, 0.5, dtype="float32"),
    ]
    made = audit(forward, batch_norm2d_backward, *inputs, dtype="float32", upstream="ones", step=1e-4, seed=seed)
    return {result.input: result for result in made.results}


def single_precision_batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return batch_norm2d(x.astype(np.float32), gamma.astype(np.float32), beta.astype(np.float32))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("forward", [batch_norm2d, single_precision_batch_norm])
def test_ones_into_a_batch_norm_are_not_held_against_its_backward(forward: Any, seed: int) -> None:
    result = audited_batch_norm(forward, seed)["x"]
    assert result.verdict is not Verdict.FAIL
    assert result.wrong == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_report_says_that_the_upstream_makes_the_gradient_vanish(seed: int) -> None:
    result = audited_batch_norm(batch_norm2d, seed)["x"]
    assert "degenerate-upstream" in {finding.code for finding in result.findings}


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_of_the_size_reported_is_called_noise(seed: int) -> None:
    result = audited_batch_norm(single_precision_batch_norm, seed)["x"]
    assert {"noise-dominated", "degenerate-upstream"} & {finding.code for finding in result.findings}
    assert all(abs(row.difference) <= row.error_bound + row.tolerance for row in result.mismatches)
    assert max((row.error_bound for row in result.mismatches), default=0.0) < 100 * NOISE_OF_THE_REPORT


@pytest.mark.parametrize("seed", SEEDS)
def test_dropout_in_float32_passes_at_a_tolerance_that_its_authors_had_to_give_up(seed: int) -> None:
    mask = Input("mask", (4, 8), "float32", differentiable=False, distribution="bernoulli", range=(0.0, 1.0))
    made = audit(
        lambda x, mask: dropout(x, mask, p=0.3),
        lambda upstream, x, mask: dropout_backward(upstream, mask, p=0.3),
        array("x", (4, 8), -0.5, 0.5, dtype="float32"),
        mask,
        dtype="float32",
        tolerance=Tolerance(1e-4, 1e-9),
        seed=seed,
    )
    assert [result.verdict for result in made.results] == [Verdict.PASS]
