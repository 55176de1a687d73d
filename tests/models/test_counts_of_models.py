"""A right torch model in float32 takes a handful of runs, whatever its kind, and is left in peace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import gradaudit
from gradaudit.results import Verdict

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

SIZE = 3e4
MOST_FORWARDS, MOST_BACKWARDS = 20, 8


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", range(6))
def test_a_right_model_takes_a_handful_of_runs(kind: int, seed: int) -> None:
    from model_audits import KINDS

    torch.manual_seed(seed)
    made = list(KINDS.values())[kind](SIZE, "")
    audit = gradaudit.check_flow(made.model, made.loss, made.x, made.wanted)
    assert {result.verdict for result in audit.results} == {Verdict.PASS}, str(audit)
    assert audit.results[0].forwards <= MOST_FORWARDS
    assert audit.results[0].backwards <= MOST_BACKWARDS


FAULTS = ["bias", "kept", "in_place", "no_grad"]
MOST_CALLS = 4_000
"""Those of halving, of a search, and of explaining, all that they may take."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_model_fails_in_a_bounded_number_of_runs(fault: str) -> None:
    from model_audits import KINDS, step

    torch.manual_seed(0)
    made = KINDS["ReLU layers"](1e4, fault)
    step(made, torch.optim.SGD(made.model.parameters(), lr=0.0))
    audit = gradaudit.check_flow(made.model, made.loss, made.x, made.wanted)
    assert audit.verdict == "fail", str(audit)
    assert audit.results[0].forwards + audit.results[0].backwards <= MOST_CALLS


def test_layers_that_are_frozen_are_left_in_peace() -> None:
    from model_audits import FROZEN, KINDS

    torch.manual_seed(0)
    made = KINDS["ReLU layers"](1e4, FROZEN)
    audit = gradaudit.check_flow(made.model, made.loss, made.x, made.wanted)
    assert {result.verdict for result in audit.results} == {Verdict.PASS}, str(audit)
