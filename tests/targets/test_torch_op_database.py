"""A sample of PyTorch's own database of ops: gradients that many have checked before us."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's op database needs it")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from torch_ops import Sample, auditable_ops, audited, samples
from torch_ops_report import Outcome, reason_for

OPS = 60


def drawn() -> list[Sample]:
    """Return the first sample of ops spread over the whole database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ops = auditable_ops()
        return [sample for op in ops[:: len(ops) // OPS][:OPS] for sample in samples(op, 1)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sample", drawn(), ids=lambda sample: sample.name)
def test_a_gradient_passes_or_it_is_known_why_not(sample: Sample) -> None:
    made = audited(sample)
    assert made.verdict == "pass" or reason_for(made) is not None, f"{made.verdict}: {made.message}"


def test_what_is_explained_is_explained_for_the_verdict_that_it_has() -> None:
    assert reason_for(Outcome("normal[0]", "fail", "", 0.0)) is not None
    assert reason_for(Outcome("normal[0]", "inconclusive", "", 0.0)) is None
    assert reason_for(Outcome("erfc[2]", "inconclusive", "", 0.0)) is not None
    assert reason_for(Outcome("erfc[1]", "inconclusive", "", 0.0)) is None
