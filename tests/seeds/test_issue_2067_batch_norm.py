"""Issue 2067: a batch norm called wrong because of its upstream, and terms that its backward may lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from replays import array, audit, in_peace, told, verdicts

from gradaudit.audit.conclusion import Audit
from gradaudit.ops.normalization import batch_norm2d, batch_norm2d_backward
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Tolerance

SEEDS = range(8)
NOISE_OF_THE_REPORT = 0.0035762786865234375
EPS = 1e-5
AXES = (0, 2, 3)


def audited(backward: Callable[..., Any], forward: Any = batch_norm2d, dtype: str = "float32", **more: Any) -> Audit:
    inputs = [
        array("x", (2, 2, 4, 4), -2.0, 2.0, dtype=dtype),
        array("gamma", (2,), 0.5, 1.5, dtype=dtype),
        array("beta", (2,), -0.5, 0.5, dtype=dtype),
    ]
    return audit(forward, backward, *inputs, dtype=dtype, **more)


def single_precision_batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return batch_norm2d(x.astype(np.float32), gamma.astype(np.float32), beta.astype(np.float32))


class TestOnesIntoABatchNorm:
    def gradient_of_x(self, forward: Any, seed: int, **more: Any) -> Result:
        return audited(batch_norm2d_backward, forward, upstream="ones", step=1e-4, seed=seed, **more).results[0]

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("forward", [batch_norm2d, single_precision_batch_norm])
    def test_are_not_held_against_its_backward(self, forward: Any, seed: int) -> None:
        result = self.gradient_of_x(forward, seed)
        assert result.verdict is not Verdict.FAIL
        assert result.wrong == 0

    @pytest.mark.parametrize("seed", SEEDS)
    def test_make_the_gradient_vanish_and_are_told(self, seed: int) -> None:
        result = self.gradient_of_x(batch_norm2d, seed)
        assert "degenerate-upstream" in {finding.code for finding in result.findings}

    @pytest.mark.parametrize("seed", SEEDS)
    def test_noise_of_the_size_reported_is_called_noise(self, seed: int) -> None:
        result = self.gradient_of_x(single_precision_batch_norm, seed)
        assert {"noise-dominated", "degenerate-upstream"} & {finding.code for finding in result.findings}
        assert all(abs(row.difference) <= row.error_bound + row.tolerance for row in result.mismatches)
        assert max((row.error_bound for row in result.mismatches), default=0.0) < 100 * NOISE_OF_THE_REPORT

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_hide_a_wrong_backward_and_say_so(self, dtype: str) -> None:
        """Twice the gradient is as near to nothing as the gradient."""

        def twice(*arguments: Any) -> Any:
            grad_x, *others = batch_norm2d_backward(*arguments)
            return 2 * grad_x, *others

        made = audited(twice, dtype=dtype, upstream="ones")
        assert "degenerate-upstream" in told(made)["x"]
        assert verdicts(made)["x"] is not Verdict.FAIL
        assert verdicts(audited(twice, dtype=dtype))["x"] is Verdict.FAIL

    @pytest.mark.parametrize("seed", SEEDS)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_are_the_only_trouble(self, dtype: str, seed: int) -> None:
        assert in_peace(audited(batch_norm2d_backward, dtype=dtype, seed=seed))


def along_channels(per_channel: Any) -> Any:
    return per_channel[:, None, None]


def in_three_terms(through_var: float = 1.0, through_mean: float = 1.0, suspected: float = 0.0) -> Callable[..., Any]:
    """Return the backward as the issue derives it, each term of the gradient of x with a weight."""

    def backward(u: Any, x: Any, gamma: Any, beta: Any) -> Any:
        count = x.size // x.shape[1]
        centred = x - x.mean(AXES, keepdims=True)
        std = np.sqrt((centred**2).mean(AXES, keepdims=True) + x.dtype.type(EPS))
        grad_norm = u * along_channels(gamma)
        grad_var = (grad_norm * centred * -0.5 / std**3).sum(AXES, keepdims=True)
        grad_mean = (-grad_norm / std).sum(AXES, keepdims=True)
        grad_mean = grad_mean - 2.0 * suspected * grad_var * centred.mean(AXES, keepdims=True)
        grad_x = grad_norm / std + through_var * grad_var * 2 * centred / count + through_mean * grad_mean / count
        return grad_x.astype(x.dtype), (u * centred / std).sum(AXES).astype(x.dtype), u.sum(AXES)

    return backward


@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestTheThreeTerms:
    @pytest.mark.parametrize("suspected", [0.0, 1.0])
    def test_together_they_are_right_with_the_line_that_was_suspected_or_without(
        self, suspected: float, dtype: str
    ) -> None:
        assert in_peace(audited(in_three_terms(suspected=suspected), dtype=dtype))

    @pytest.mark.parametrize(
        ("dropped", "term"),
        [
            ({"through_var": 0.0}, "normalised"),
            ({"through_mean": 0.0}, "mean"),
        ],
    )
    def test_a_dropped_term_is_named(self, dropped: dict[str, float], term: str, dtype: str) -> None:
        made = audited(in_three_terms(**dropped), dtype=dtype)
        assert verdicts(made) == {"x": Verdict.FAIL, "gamma": Verdict.PASS, "beta": Verdict.PASS}
        assert told(made) == {"x": {"missing-term"}}
        assert term in made.results[0].findings[0].message

    def test_ones_would_have_hidden_the_variance_term(self, dtype: str) -> None:
        made = audited(in_three_terms(through_var=0.0), dtype=dtype, upstream="ones")
        assert verdicts(made)["x"] is not Verdict.FAIL
        assert "degenerate-upstream" in told(made)["x"]


def test_the_tolerance_that_the_issue_would_be_content_with_is_loose() -> None:
    made = audited(batch_norm2d_backward, tolerance=Tolerance(1e-2, 1e-5, reason="float32"))
    assert {"tolerance-too-loose"} == told(made)["x"]
    assert set(verdicts(made).values()) == {Verdict.PASS}
