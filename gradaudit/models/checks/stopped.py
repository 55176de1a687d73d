"""Gradients that are stopped on purpose: what comes of the places where that happens is held constant in differences.

So the rest of the gradient is still audited in full: it is that of a loss in which the stopped values are constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gradaudit.models.subject import FlowSubject
from gradaudit.results import Finding, Verdict
from gradaudit.spec.errors import nearest
from gradaudit.targets.op import OpError


def hold_stopped(subject: FlowSubject) -> None:
    """Have what is cut off from the parameters that a spec calls stopped held constant in what is differenced.

    Raises:
        OpError: where a name in ``stopped`` or ``unused`` is none of the model's.

    """
    for key in ("stopped", "unused"):
        for pattern in getattr(subject.case.target, key, ()):
            if not any(fnmatchcase(name, pattern) for name in subject.names):
                known = ", ".join(subject.names[:8])
                hint = nearest(pattern, subject.names)
                raise OpError(f"{key}: '{pattern}' is not a parameter{hint}; there are {known}")
    names = _stopped(subject, subject.names)
    if names:
        values, cuts = subject.recorded.values, subject.way(*names).cuts
        held = {cut.position: values[cut.position] for cut in cuts if not cut.node}
        subject.op.held = {position: value for position, value in held.items() if value is not None}


def stopped_parameters(subject: FlowSubject, lost: Sequence[str]) -> dict[str, tuple[Verdict, Finding]]:
    """Return a verdict, and what is found, of each parameter that no gradient reaches, as its spec says of it."""
    found = {}
    for name in _stopped(subject, lost):
        message = f"no gradient reaches {name}, as its spec declares: {subject.way(name).in_words()}"
        found[name] = Verdict.PASS, Finding("unused-parameter", message, {"declared": True})
    return found


def _stopped(subject: FlowSubject, names: Sequence[str]) -> list[str]:
    patterns: Sequence[str] = getattr(subject.case.target, "stopped", ())
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
