"""At which level of the pyramid a spec tests: one backward, the flow of a whole model's gradients, its learning."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gradaudit.spec.case import Target
from gradaudit.spec.model_targets import FlowTarget, LearningTarget


class Level(StrEnum):
    """A level of the pyramid of tests, from the many quick ones to the few slow ones."""

    UNIT = "unit"
    FLOW = "flow"
    LEARNING = "learning"


LEVELS: Mapping[type, Level] = {FlowTarget: Level.FLOW, LearningTarget: Level.LEARNING}
"""The level of each kind of target; those that are not named are units."""


def level_of(target: Target) -> Level:
    """Return the level at which a target is audited."""
    return LEVELS.get(type(target), Level.UNIT)


def model_of(target: Target) -> str:
    """Return the ``module:factory`` of the model that a target is, empty where it is one op."""
    return str(getattr(target, "model", "")) if type(target) in LEVELS else ""


ABOVE_UNIT = (Level.FLOW, Level.LEARNING)
"""The levels at which whole models are audited."""
