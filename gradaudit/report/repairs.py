"""Repairs as lines of text, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gradaudit.repair.repairs import Applicability, Repair, Repairs


def repair_lines(repairs: Repairs) -> Iterator[str]:
    """Yield what was found for an op: the lines that change, and what that was held against; or why nothing was."""
    for made in repairs.repairs:
        yield place_of(made)
        yield from changed_lines(made)
        yield effect_of(made)
    if repairs.message:
        yield f"no repair: {repairs.message}"


def place_of(made: Repair) -> str:
    """Return how sure a repair is, and where it is made; a formula has no place."""
    is_formula = made.applicability is Applicability.HINT
    return f"{heading_of(made)}: the gradient is" if is_formula else f"{heading_of(made)}: {made.file}:{made.line}"


def heading_of(made: Repair) -> str:
    """Return how sure a repair is, in words."""
    if made.applicability is Applicability.CANDIDATE:
        return "possible repair" if made.missed else "possible repair, one of several"
    return "likely repair" if made.applicability is Applicability.VERIFIED else "hint, a formula without a place"


def effect_of(made: Repair) -> str:
    """Return what a repair makes right, what verified that, and where it is still wrong."""
    if made.applicability is Applicability.HINT:
        return f"'gradient' is what backward returns now; verified on {made.confirmed}"
    several = "s" if len(made.inputs) > 1 else ""
    text = f"makes the gradient{several} of {', '.join(made.inputs)} right, verified on {made.confirmed}"
    where = "; and ".join(made.missed[:MOST_MISSED])
    return f"{text}. Beyond the spec it is wrong with {where}" if where else text


MOST_MISSED = 2
"""Points beyond the spec that a line names."""


def changed_lines(made: Repair) -> list[str]:
    """Return the lines of a diff that are taken away and put in."""
    if made.applicability is Applicability.HINT:
        return [f"{name}: {made.diff}" for name in made.inputs]
    body = [line for line in made.diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    return [line for line in body if line.startswith(("-", "+"))]


def repair_record(made: Repair) -> dict[str, Any]:
    """Return a repair as plain data."""
    return {
        "diff": made.diff if made.applicability is not Applicability.HINT else "",
        "formula": made.diff if made.applicability is Applicability.HINT else "",
        "applicability": str(made.applicability),
        "file": made.file,
        "line": made.line,
        "inputs": list(made.inputs),
        "confirmed": asdict(made.confirmed),
        "wrong_beyond": list(made.missed),
        "equivalent": made.also,
    }


def repairs_record(found: Repairs) -> dict[str, Any]:
    """Return what was found for an op as plain data."""
    return {"op": found.op, "repairs": [repair_record(made) for made in found.repairs], "no_repair": found.message}
