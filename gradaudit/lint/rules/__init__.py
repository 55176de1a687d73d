"""The rules, one in each file, and the table of them."""

from __future__ import annotations

from gradaudit.lint.rules import (
    detached_output,
    detached_reshape,
    detached_residual,
    gradient_count,
    saved_mutated,
    unregistered_input,
)
from gradaudit.lint.rules.rule import Rule

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        detached_output.RULE,
        detached_residual.RULE,
        detached_reshape.RULE,
        unregistered_input.RULE,
        gradient_count.RULE,
        saved_mutated.RULE,
    )
}
"""Every rule by its name, in the order that the guide has them in."""
