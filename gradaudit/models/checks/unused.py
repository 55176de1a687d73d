"""Whether a parameter that no gradient reaches is used at all: by this batch, by another one, or nowhere."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from gradaudit.models.graph import walk
from gradaudit.models.subject import FlowSubject
from gradaudit.models.words import in_words
from gradaudit.results import Finding, Verdict
from gradaudit.spec.draw import draw_inputs
from gradaudit.targets.op import OpError

BATCHES = 4
"""Other batches that are looked at, for a run each."""


DECLARED = "nothing of this batch is computed from it, as its spec declares"
ELSEWHERE = "nothing of this batch is computed from it; another batch uses it"
NOWHERE = (
    f"nothing is computed from it in {1 + BATCHES} batches: it is not trained unless another batch uses it; if that is "
    "intended, declare it in the spec: 'unused: [...]'"
)


def unused_parameters(subject: FlowSubject, lost: list[str]) -> dict[str, tuple[Verdict, Finding]]:
    """Return a verdict, and what is found, of each parameter that nothing of this batch is computed from.

    Its gradient is zero, and none is what it gets: right if its spec says that it may be unused, or if another batch
    uses it; undecided if none does, since a layer that was forgotten looks the same.

    Args:
        subject: the model.
        lost: the parameters that no gradient reaches.

    """
    unused = [name for name in lost if _is_unused(subject, name)]
    told = [name for name in unused if _declared(subject, name)]
    left = [name for name in unused if name not in told]
    others = _used_by_others(subject, left)
    found = {}
    for name in unused:
        why = DECLARED if name in told else ELSEWHERE if name in others else NOWHERE
        verdict = Verdict.INCONCLUSIVE if why is NOWHERE else Verdict.PASS
        finding = Finding("unused-parameter", f"no gradient reaches {name}: {why}", {"declared": name in told})
        found[name] = verdict, finding
    return found


def _is_unused(subject: FlowSubject, name: str) -> bool:
    if not subject.recorded.creations or not subject.op.tape.tracked(subject.tensor(name)) or subject.replaces(name):
        return False
    way = subject.way(name)
    return not way.used and not way.depends


def _declared(subject: FlowSubject, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in getattr(subject.case.target, "unused", ()))


def _used_by_others(subject: FlowSubject, names: list[str]) -> set[str]:
    """Return those that the tape leads to for other batches."""
    op, found = subject.op, set[str]()
    batch = {made.name for made in op.batch}
    for k in range(1, BATCHES + 1):
        if len(found) == len(names):
            break
        drawn = op.second if k == 1 else draw_inputs(replace(subject.case, seed=subject.case.seed + k))
        try:
            run = op.run({**subject.arrays, **{name: each for name, each in drawn.items() if name in batch}})
            with in_words("reading the tape"):
                reached = walk(op.tape, run.loss)
        except OpError:
            continue
        found |= {name for name in names if name in op.trained and reached.reaches(op.trained[name])}
    return found
