"""The kinds of specs: for each, what may stand in its documents, and what a merged case of it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gradaudit.spec.case import Input, Target
from gradaudit.spec.document import CaseModel, DocumentModel
from gradaudit.spec.mistakes import Mistakes
from gradaudit.spec.op_document import op_parts
from gradaudit.spec.strict import Strict

Parts = Callable[[Any, str, Any, Path, Mistakes], tuple[Target | None, tuple[Input, ...]]]
"""From a merged case, its dtype, its mode and the spec's folder to the target and the inputs; mistakes are noted."""


@dataclass(frozen=True)
class Kind:
    """A kind of spec.

    Attributes:
        document: what may stand in a document of it.
        case: what may stand in one of its cases.
        parts: what a merged case is made of.

    """

    document: type[Strict]
    case: type[Strict]
    parts: Parts


DEFAULT = "op"
"""The kind of a document that does not name one."""

KINDS = (DEFAULT, "flow", "learning")
"""The words that may stand at ``kind``."""


@cache
def kind_named(name: str) -> Kind:
    """Return one of ``KINDS``; what only specs of models need is imported for those."""
    match name:
        case "flow":
            from gradaudit.spec.flow_document import FlowCase, FlowDocument, flow_parts

            return Kind(FlowDocument, FlowCase, flow_parts)
        case "learning":
            from gradaudit.spec.learning_document import LearningCase, LearningDocument, learning_parts

            return Kind(LearningDocument, LearningCase, learning_parts)
        case _:
            return Kind(DocumentModel, CaseModel, op_parts)
