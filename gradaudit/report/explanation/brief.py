"""The first screen of an explanation: where it is wrong, why, and what mends it; what there is comes after."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from gradaudit.explain.explanation import Explanation, Study, place_of
from gradaudit.repair.repairs import Repairs
from gradaudit.report import numbers
from gradaudit.report.explanation.blocks import Block, Code, Entries, Heading, Prose
from gradaudit.report.explanation.page import peace, title
from gradaudit.report.mismatch import is_cause, is_unexplained, says_why
from gradaudit.report.repairs import changed_lines, repair_lines
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.level import Level, level_of

MOST_INPUTS = 3
"""Inputs that are told of; one where a repair is shown beside."""

MOST_CAUSES = 2
"""Things that are told of an input."""

MOST_LINES = 8
"""Lines of a repair that are shown."""

MOST_PLACES = 3
"""Cases that are named."""

MOST_LETTERS = 150
"""Letters of what is told in words: two lines of a terminal."""


def brief(explanation: Explanation) -> Iterator[Block]:
    """Yield the blocks of what is to be known first: at most a screen of 80 columns and 24 lines."""
    yield Heading(title(explanation), 1)
    if explanation.notes:
        yield Prose(_short(" ".join(explanation.notes.split())))
    wrong = [study for study in explanation.studies if study.result.verdict is not Verdict.PASS]
    shown = wrong[: 1 if explanation.repairs else MOST_INPUTS]
    told: dict[str, str] = {}
    letters = MOST_LETTERS * MOST_INPUTS // max(1, len(shown)) if explanation.repairs is None else MOST_LETTERS
    rows = [row for study in shown for row in _about(study, explanation.results, told, letters)]
    if sources := list(dict.fromkeys(str(study.result.source) for study in shown if study.result.source)):
        rows.insert(0, ("source", sources[0]))
    if len(wrong) > len(shown):
        rows.append(("and", numbers.counted(len(wrong) - len(shown), "more input")))
    if rows:
        yield Entries(tuple(rows))
    if not wrong:
        yield Prose(peace(explanation))
    if explanation.repairs:
        yield from _repair(explanation.repairs)
    if command := next((study.command for study in (*wrong, *explanation.studies) if study.command), ""):
        yield Code(command, "sh")
    yield Entries(tuple(_next(explanation, wrong)))


def _about(study: Study, results: Sequence[Result], told: dict[str, str], letters: int) -> Iterator[tuple[str, str]]:
    """Yield what is known of one input: how much is wrong and where, why, and the worst index.

    Args:
        study: of the input.
        results: of the op.
        told: what was said already, and of which input; what is said now is added to it.
        letters: how long a cause may be told.

    """
    result = study.result
    alike = [each for each in results if each.input == result.input and each.verdict is result.verdict]
    places = numbers.listed([place_of(each)[0] for each in alike], most=MOST_PLACES)
    found = [(_label(each), f"{each.code}: {each.message}") for each in filter(says_why, result.findings)]
    if (said := _said_beside(result)) and not _is_told(result):
        found.insert(0, ("cause", said))
    said = f"{result.verdict}: {_extent(result)}" if result.wrong else f"{result.verdict}"
    yield result.input, _short(f"{said}, in {places}" + (" (expected)" if result.expected else ""))
    for label, text in found[:MOST_CAUSES]:
        yield label, f"the same as of {told[text]}" if text in told else _short(text, letters)
        told.setdefault(text, result.input)
    if not found and is_unexplained(result):
        yield "cause", "no simple cause found"
    if result.mismatches:
        worst = result.mismatches[0]
        bound = f" (error bound {worst.error_bound:.1e})"
        yield (
            "worst",
            f"at {worst.index}: analytical {worst.analytical:.4g}, numerical {worst.numerical:.4g}{bound}; "
            f"tolerance {worst.tolerance:.1e}",
        )


def _label(finding: Finding) -> str:
    return "cause" if is_cause(finding) else "finding"


def _is_told(result: Result) -> bool:
    said = _said_beside(result)
    return any(finding.message.startswith(said) for finding in result.findings)


def _said_beside(result: Result) -> str:
    """Return what the message of a result says beside how many are wrong."""
    before, counted, after = result.message.partition(" indices wrong")
    return after.removeprefix("; ") if counted and before.startswith(f"{result.wrong:,} of ") else result.message


def _extent(result: Result) -> str:
    looked = result.checked < result.size and result.method == "search"
    size = f"{result.checked:,} tested" if looked else f"{result.size:,}"
    return f"{result.wrong:,} of {size} indices wrong"


def _repair(repairs: Repairs) -> Iterator[Block]:
    for made in repairs.repairs[:1]:
        heading, *_, effect = repair_lines(Repairs(repairs.op, (made,)))
        changed = changed_lines(made)
        more = len(changed) - MOST_LINES
        lines = [*changed[:MOST_LINES], *([f"  and {more} more lines"] if more > 0 else [])]
        beside = len(repairs.repairs) - 1
        others = f"; --all shows {beside} more" if beside else ""
        yield Prose(f"{heading[:1].upper()}{heading[1:]}{others}")
        yield Code("\n".join(lines), "diff")
        yield Prose(f"{effect[:1].upper()}{effect[1:]}.")
    if repairs.message:
        yield Prose(f"No repair: {_short(repairs.message)}.")


def _next(explanation: Explanation, wrong: Sequence[Study]) -> Iterator[tuple[str, str]]:
    failing = any(study.result.verdict is Verdict.FAIL and not study.result.expected for study in wrong)
    failing &= level_of(explanation.cases[0].target) is Level.UNIT  # the step of a model that is wrong is named
    mending = "--fix searches for a repair, " if failing and explanation.repairs is None else ""
    yield "more", f"{mending}--all shows everything"


def _short(text: str, letters: int = MOST_LETTERS) -> str:
    return textwrap.shorten(text, letters, placeholder=" ...")
