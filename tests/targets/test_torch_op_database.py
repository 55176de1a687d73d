"""A sample of PyTorch's own database of ops: gradients that many have checked before us."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's op database needs it")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from torch_ops_report import Outcome, reason_for

OPS = 60

PARTS = 6


@pytest.fixture(scope="module")
def audits() -> Callable[[int], list[Outcome]]:
    """What audits a part of the first samples of ops spread over the database, which takes seconds to import."""
    from torch_ops import auditable_ops, audited, samples

    def drawn() -> list[Any]:
        ops = auditable_ops()
        return [sample for op in ops[:: len(ops) // OPS][:OPS] for sample in samples(op, 1)]

    with warnings.catch_warnings(), ThreadPoolExecutor(1) as thread:
        warnings.simplefilter("ignore")
        found = thread.submit(drawn).result()  # each looks at the whole stack, which is short in a thread of its own
    assert len(found) > OPS / 2
    return lambda part: [audited(sample) for sample in found[part::PARTS]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_a_gradient_passes_or_it_is_known_why_not(part: int, audits: Callable[[int], list[Outcome]]) -> None:
    unexplained = [made for made in audits(part) if made.verdict != "pass" and reason_for(made) is None]
    assert not unexplained


def test_what_is_explained_is_explained_for_the_verdict_that_it_has() -> None:
    assert reason_for(Outcome("normal[0]", "fail", "", 0.0)) is not None
    assert reason_for(Outcome("normal[0]", "inconclusive", "", 0.0)) is None
    assert reason_for(Outcome("erfc[2]", "inconclusive", "", 0.0)) is not None
    assert reason_for(Outcome("erfc[2]", "fail", "", 0.0)) is None
    assert reason_for(Outcome("tanh[0]", "inconclusive", "", 0.0)) is None
