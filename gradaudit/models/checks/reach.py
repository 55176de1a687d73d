"""Whether the tape leads from the loss to every parameter, and whether every parameter is one to the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.models.subject import FlowSubject
from gradaudit.models.tapes.tape import Node
from gradaudit.results import Finding


def unreached_parameter(subject: FlowSubject, name: str) -> Finding | None:
    """Return a finding where no gradient can arrive at a parameter or input; where it is lost is found by one run."""
    if subject.is_reached(name):
        return None
    if not subject.op.tape.tracked(subject.tensor(name)):
        message = f"{name} is not tracked: the tape records nothing that is computed from it"
        return Finding("unreached-parameter", message, {"tracked": False})
    way = subject.way(name)
    if way.depends:
        message = f"the loss depends on {name} and no gradient reaches it: {way.in_words()}"
    else:
        message = f"no gradient reaches {name}: {_why(subject, name)}"
    return Finding("unreached-parameter", message, way.evidence())


def _why(subject: FlowSubject, name: str) -> str:
    if subject.replaces(name):
        return f"the model replaces it with another tensor when it is called{subject.replacement_used_at(name)}"
    way = subject.way(name)
    hidden = "changes of what is computed from it lie below the rounding of the loss"
    return hidden if way.used else "the loss is not computed from it"


def withheld_gradient(subject: FlowSubject, name: str) -> Finding | None:
    """Return a finding where the tape leads to a parameter or input, and reverse mode leaves it no gradient."""
    if subject.gradients[name] is not None:
        return None
    given = {node.identity: node.name for node in subject.from_loss.children(subject.tensor(name))}
    last, place = _last_with_gradient(subject, name)
    if last is not None and last.identity not in given:
        by = f"{last.name} ({place})" if place else last.name
        message = f"the tape leads to {name}, but its gradient is None; the last step on the way that received one is "
        message += f"{by}: does its backward return one for each input?"
        return Finding("missing-gradient", message, {"steps": [last.name]})
    steps = sorted({*given.values()})
    by = f"; the step that takes it is {' or '.join(steps)}" if steps else ""
    message = f"the tape leads to {name}, but its gradient is None{by}: does its backward return one for each input?"
    return Finding("missing-gradient", message, {"steps": steps})


def _last_with_gradient(subject: FlowSubject, name: str) -> tuple[Node | None, str]:
    """Return the step furthest from the loss whose output holds a gradient, of those on the ways to a tensor."""
    base = subject.recorded
    on_way = base.from_loss.above(id(base.tensor(name)))
    held = [key for key in base.gradients if key in on_way and key in base.places]
    if not held:
        return None, ""
    last = max(held, key=lambda key: base.from_loss.ranks[key])
    return base.from_loss.nodes[last], base.places[last].place


def unregistered_parameters(subject: FlowSubject) -> Iterator[tuple[str, int, Finding]]:
    """Yield a finding, with the path and the size, for each tensor that training would have to move and cannot.

    It is a leaf that the loss is computed from, is tracked, lies in the model, and is not among its parameters.
    """
    tape = subject.op.tape
    registered = len(subject.op.trained)
    for path, tensor in subject.op.unregistered.items():
        if subject.from_loss.reaches(tensor):
            message = (
                f"the loss is computed from {path}, which is tracked but not among the model's {registered} "
                f"parameters: no optimiser will change it{subject.used_at(tensor)}"
            )
            yield path, int(np.size(tape.array(tensor))), Finding("unregistered-parameter", message)
