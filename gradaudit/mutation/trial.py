"""One mutant held to its op's spec, case by case, until one notices."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from math import inf, isnan, prod
from types import ModuleType
from typing import Any

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.mutation.compiled import compiled
from gradaudit.mutation.difference import Gradients, Opener, equivalent, error_over_tolerance, gradients
from gradaudit.mutation.mutants import Mutant
from gradaudit.results import Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.op_targets import PythonTarget
from gradaudit.targets import open_op
from gradaudit.targets.importing import import_function
from gradaudit.targets.python import PythonOp, open_python


class Fate(StrEnum):
    """What becomes of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Trial:
    """How a mutant fared.

    Attributes:
        fate: what became of it.
        case: id of the case that killed it, or else came nearest to it; empty where the process did not outlive it.
        ratio: the largest error over tolerance that its gradient has in that case.
        cause: what killed it, where that was no mismatch.

    """

    fate: Fate
    case: str = ""
    ratio: float = inf
    cause: str = ""


Ending = Mapping[str, Verdict]
"""How a case ends for the op as it is: the verdict by input."""


def ending(audit: Audit) -> Ending:
    """Return how a case ended."""
    return {result.input: result.verdict for result in audit.results}


def try_mutant(mutant: Mutant, cases: Sequence[Case], endings: Mapping[str, Ending]) -> Trial:
    """Audit a mutant by case after case until one notices, those first whose gradients differ, the cheapest first.

    A case notices when it ends otherwise than it does for the op itself, and not as its spec expects.

    Args:
        mutant: the mutant; its code is run here.
        cases: all cases of its op.
        endings: how they end for the op itself, by their id.

    """
    target = cases[0].target
    assert isinstance(target, PythonTarget)  # mutants are of those alone
    import_function(target.backward.call, target.folder)  # which puts its module within reach
    module, same = mutant.source.module, pickle.dumps(cases)
    own = _left_by_the_last(module, same) or _answers(cases)
    try:
        return _trial(mutant, cases, endings, own)
    finally:
        after = _answers(cases)
        if _bits(after) == _bits(own):
            _left[:] = [(sys.modules.get(module), same, after)]
        else:  # the mutant wrote into what its module holds, which is imported anew for the next
            sys.modules.pop(module, None)


_left: list[tuple[ModuleType | None, bytes, Mapping[str, Gradients | None]]] = []
"""The module and the cases, as a pickle, of the last mutant of this process, and what its op answered afterwards."""


def _left_by_the_last(name: str, cases: bytes) -> Mapping[str, Gradients | None] | None:
    """Return what the op itself answers, where that is known since the last trial; else None."""
    return next((own for module, same, own in _left if module is sys.modules.get(name) and same == cases), None)


def _answers(cases: Sequence[Case]) -> dict[str, Gradients | None]:
    """Return what the op itself answers, by case."""
    return {case.id: gradients(case, open_op) for case in cases}


def _bits(answers: Mapping[str, Gradients | None]) -> list[dict[str, bytes]]:
    made = [one or {} for one in answers.values()]
    return [{name: array.tobytes() for name, array in one.items() if array is not None} for one in made]


def _trial(
    mutant: Mutant, cases: Sequence[Case], endings: Mapping[str, Ending], own: Mapping[str, Gradients | None]
) -> Trial:
    try:
        opened = partial(_opened, compiled(mutant.source))
    except Exception as error:
        return Trial(Fate.KILLED, cause=f"cannot be defined: {type(error).__name__}: {error}")
    ratios = {}
    for case, ratios[case.id] in _most_promising_first(cases, own, opened):
        # A cause is looked for only where the spec expects one by its name.
        audit = audit_case(case, lambda case: nullcontext(opened(case)), explained=bool(case.expect.findings))
        if _noticed(audit, endings[case.id]):
            return Trial(Fate.KILLED, case.id, ratios[case.id], audit.results[0].message)
    if equivalent(cases, opened):
        return Trial(Fate.EQUIVALENT)
    nearest = max(ratios, key=lambda id_: -1.0 if isnan(ratios[id_]) else ratios[id_])
    return Trial(Fate.SURVIVED, nearest, ratios[nearest])


def _most_promising_first(
    cases: Sequence[Case], own: Mapping[str, Gradients | None], opened: Opener
) -> Iterator[tuple[Case, float]]:
    """Yield cases with their error over tolerance, those where it is above 1 as they are found, the cheapest first."""
    others = []
    for case in sorted(cases, key=_cost):
        ratio = error_over_tolerance(case, own[case.id], opened)
        if ratio > 1.0:
            yield case, ratio
        else:
            others.append((case, ratio))
    yield from others


def _opened(backward: Callable[..., Any], case: Case) -> PythonOp:
    assert isinstance(case.target, PythonTarget)
    return replace(open_python(case.target, case), backward_function=backward)


def _cost(case: Case) -> int:
    return sum(prod(made.shape) for made in case.inputs)


def _noticed(audit: Audit, own: Ending) -> bool:
    return any(not result.expected and result.verdict is not own.get(result.input) for result in audit.results)
