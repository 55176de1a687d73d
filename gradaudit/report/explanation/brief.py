"""The first screen of an explanation: where it is wrong, why, and what mends it; what there is comes after."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from gradaudit.explain.explanation import Explanation, Study, place_of
from gradaudit.repair.repairs import Repairs
from gradaudit.report import numbers
from gradaudit.report.explanation.blocks import Block, Code, Entries, Heading, Prose
from gradaudit.report.explanation.page import peace, title
from gradaudit.report.mismatch import is_cause, is_unexplained
from gradaudit.report.repairs import changed_lines, repair_lines
from gradaudit.results import Finding, Result, Verdict

MOST_INPUTS = 3
"""Inputs that are told of; one where a repair is shown beside."""

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
    rows = [row for study in shown for row in _about(study, explanation.results)]
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


def _about(study: Study, results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """Yield what is known of one input: how much is wrong and where, why, and the worst index."""
    result = study.result
    alike = [each for each in results if each.input == result.input and each.verdict is result.verdict]
    places = numbers.listed([place_of(each)[0] for each in alike], most=MOST_PLACES)
    told = [finding for finding in result.findings if finding.fails or is_cause(finding)]
    said = f"{result.verdict}: {_extent(result)}" if result.wrong else f"{result.verdict}"
    yield result.input, _short(f"{said}, in {places}" + (" (expected)" if result.expected else ""))
    for finding in told[:2]:
        yield _label(finding), _short(f"{finding.code}: {finding.message}")
    if is_unexplained(result):
        yield "cause", "no simple cause found"
    if result.message and not told and not result.wrong:
        yield "", _short(result.message)
    if result.mismatches:
        worst = result.mismatches[0]
        bound = f" (error bound {worst.error_bound:.1e})"
        yield (
            "worst",
            f"at {worst.index} backward gives {worst.analytical:.4g}, forward's differences "
            f"{worst.numerical:.4g}{bound}; {worst.tolerance:.1e} is allowed",
        )


def _label(finding: Finding) -> str:
    return "cause" if is_cause(finding) else "finding"


def _extent(result: Result) -> str:
    looked = result.checked < result.size and result.method == "search"
    size = f"{result.checked:,} looked at" if looked else f"{result.size:,}"
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
    mending = "--fix searches for the edit that mends it, " if failing and explanation.repairs is None else ""
    yield "more", f"{mending}--all shows everything"


def _short(text: str) -> str:
    return textwrap.shorten(text, MOST_LETTERS, placeholder=" ...")
