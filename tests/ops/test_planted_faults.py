"""Every shipped spec notices faults planted in its op's backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from shipped import CASES_BY_OP, SPECS, Spoilt, audit_changed

from gradaudit.checks.subject import examine
from gradaudit.mutation.faults import FAULTS
from gradaudit.mutation.mutants import backward_of, mutants_of
from gradaudit.mutation.trial import Fate, try_mutant
from gradaudit.results import Verdict
from gradaudit.source.reach import reach_finder
from gradaudit.targets import open_op

OPS_AND_INPUTS = [
    (op, name)
    for op, cases in CASES_BY_OP.items()
    for name in dict.fromkeys(made.name for case in cases for made in case.inputs if made.differentiable)
]

FIND = reach_finder([SPECS.parent])

DROPPED = {"dropped term": FAULTS["dropped term"]}

WITHOUT_A_TERM = {
    op: list(mutants_of(backward, SPECS.parent, DROPPED))
    for op, (case, *_) in CASES_BY_OP.items()
    if (backward := backward_of(case.target, FIND))
}


def factor(gradient: Any) -> Any:
    return (gradient * 1.01).astype(gradient.dtype)


def zeroed(gradient: Any) -> Any:
    return np.zeros_like(gradient)


def largest(gradient: Any) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(np.abs(gradient).argmax(), gradient.shape))


def one_index(gradient: Any) -> Any:
    spoilt = gradient.copy()
    spoilt[largest(gradient)] *= 1.01
    return spoilt


@pytest.mark.parametrize("fault", [factor, zeroed, one_index], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize(("op", "name"), OPS_AND_INPUTS)
def test_a_fault_in_one_gradient_fails_there_and_nowhere_else(op: str, name: str, fault: Callable[[Any], Any]) -> None:
    for case in CASES_BY_OP[op]:
        if name not in {made.name for made in case.inputs}:
            continue
        verdicts = {}
        for result in audit_changed(case, lambda opened: Spoilt(opened, name, fault), explained=False).results:
            verdicts[result.input] = result.verdict
            if result.input == name and result.verdict is Verdict.FAIL:
                failed = result
        if verdicts[name] is Verdict.FAIL:
            break
    else:
        pytest.fail("no case of the spec notices")
    assert not failed.expected
    assert failed.wrong >= 1
    assert {verdict for other, verdict in verdicts.items() if other != name} <= {Verdict.PASS}
    if fault is one_index:
        gradient = examine(case, open_op(case)).gradients[name]
        assert [found.index for found in failed.mismatches] == [largest(gradient)]


EXCUSED = {
    "multi_head_attention": ("+    odds = np.exp(scores)",),
    "layer_norm": ("-    deviation = x - x.mean", "-    deviation = deviation - deviation.mean"),
}
"""Lines without which an op is right all the same, as far as an audit can tell.

A softmax shifts its scores lest they overflow; scores so large make its gradient too coarse to be audited. A mean that
is taken out once leaves no more than rounded inputs would, which no algorithm is asked to do better than.
"""


@pytest.mark.parametrize("op", [op for op, mutants in WITHOUT_A_TERM.items() if mutants])
def test_every_dropped_term_fails(op: str) -> None:
    cases = CASES_BY_OP[op]
    nothing_unexpected = {case.id: dict[str, Verdict]() for case in cases}
    trials = {mutant.diff: try_mutant(mutant, cases, nothing_unexpected) for mutant in WITHOUT_A_TERM[op]}
    survivors = [diff for diff, trial in trials.items() if trial.fate is Fate.SURVIVED]
    excused = EXCUSED.get(op, ())
    assert [diff for diff in survivors if not any(line in diff for line in excused)] == []
    assert Fate.KILLED in {trial.fate for trial in trials.values()}
