"""The text of a result that is not a plain pass: headline, the worst index in full, a table of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gradaudit.report import numbers
from gradaudit.results import DIAGNOSIS_CODES, FAILING_CODES, LIMIT_REACHED, Finding, Mismatch, Result, Verdict

STATUS = {Verdict.FAIL: "FAIL", Verdict.INCONCLUSIVE: "INCONCL."}
HEADER = ("Index", "Analytical", "Numerical", "Difference", "Tolerance", "Status")
GAPS = (2, 3, 3, 3, 3, 0)
"""Spaces to the right of each column: 80 columns hold an index of four axes."""

EXPLAINING = ("tolerance-too-tight", "approximate-forward", "constrained-input", "symmetric-input")
"""Findings that fail nothing and say all the same why indices are wrong."""

MAX_TEXT = 2_000
"""Characters of a message that are shown, half of them from its end: an exception may carry a whole array."""


def case_blocks(results: Sequence[Result], max_rows: int) -> list[list[str]]:
    """Return a block of lines for each result of a case that did not end as its spec expects.

    Inputs that ended the same way for the same reason share a block.
    """
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        if not result.expected:
            noticed = tuple((finding.code, finding.message) for finding in result.findings)
            key = (result.verdict, result.message, noticed, result.input if result.mismatches else "")
            groups.setdefault(key, []).append(result)
    return [
        block(replace(group[0], input=", ".join(result.input for result in group)), max_rows)
        for group in groups.values()
    ]


def block(result: Result, max_rows: int, likewise: Sequence[str] = ()) -> list[str]:
    """Return the lines that tell of a result, and name the cases that ended like it."""
    return list(_block(result, max_rows, likewise))


def _block(result: Result, max_rows: int, likewise: Sequence[str]) -> Iterator[str]:
    yield headline(result)
    if result.location:
        where = "Spec: " if result.location.rpartition(":")[0].endswith((".yaml", ".yml")) else "Found:"
        yield f"  {where}      {result.location}"
    if result.source and result.verdict in (Verdict.FAIL, Verdict.ERROR):
        yield f"  Source:     {result.source}"
    if result.draws:
        yield f"  Seeds:      {seeds_said(result)}; shown is {result.seed}"
    if likewise:
        yield f"  Likewise:   {numbers.listed(likewise)}"
    if result.mismatches:
        yield from _worst(result, result.mismatches[0])
        yield ""
        yield from _table(result, max_rows)
        yield from _causes(result)
    noticed = [finding for finding in result.findings if not is_cause(finding)]
    for finding in noticed:  # what fails by itself comes first: numbers may be its consequences
        yield from _indented(f"{finding.code}: {finding.message}") if finding.fails else ()
    yield from _indented(message_besides(result))
    for finding in noticed:
        yield from _indented(f"{finding.code}: {finding.message}") if not finding.fails else ()


def _causes(result: Result) -> Iterator[str]:
    """Yield what the mismatch looks like, or that it looks like nothing, where no finding is cause enough by itself."""
    for cause in filter(is_cause, result.findings):
        yield from _indented(f"likely cause: {cause.code}. {cause.message}")
    if is_unexplained(result):
        yield "  no simple cause found"


def is_unexplained(result: Result) -> bool:
    """Whether indices are wrong, and no finding says why: none of the op, and none of the tolerance."""
    return result.verdict is Verdict.FAIL and bool(result.mismatches) and not any(map(says_why, result.findings))


def says_why(finding: Finding) -> bool:
    """Whether a finding says why indices are wrong, or why a gradient fails that has no wrong ones."""
    return finding.fails or is_cause(finding) or finding.code in EXPLAINING


def is_cause(finding: Finding) -> bool:
    """Whether a finding is a diagnosis: some codes name what a check has seen as well."""
    return finding.code in DIAGNOSIS_CODES and "explained" in finding.evidence


def message_besides(result: Result) -> str:
    """Return what a result says of itself, without what its headline and its findings say."""
    if result.message in {finding.message for finding in result.findings}:
        return ""
    in_headline = extent(result) if result.mismatches else ""
    return result.message.removeprefix(in_headline).removeprefix("; ")


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in shortened(text).splitlines())


def shortened(text: str) -> str:
    """Return a message, the middle of a very long one left out."""
    if (more := len(text) - MAX_TEXT) <= 0:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n... {more:,} characters left out ...\n{text[-half:]}"


def headline(result: Result) -> str:
    """Return the line that says which gradient ended how, and where."""
    about = f"{result.op} ({result.dtype}, case {result.case})"
    if result.mismatches and result.verdict is Verdict.FAIL:
        where = f"at index {result.mismatches[0].index}, {extent(result)}"
        return f"{about}: gradient mismatch w.r.t. {result.input} {where}"
    where = f" at index {result.mismatches[0].index}" if result.mismatches else ""
    return f"{about}: {result.verdict} w.r.t. {result.input}{where}"


def extent(result: Result) -> str:
    """Say how many indices are wrong: of all, or of those looked at where calls or time ran out."""
    if result.checked < result.size and any(finding.code == LIMIT_REACHED for finding in result.findings):
        return f"{result.wrong:,} of {result.checked:,} tested indices wrong"
    least = "at least " if result.checked < result.size else ""
    return f"{least}{result.wrong:,} of {result.size:,} indices wrong"


MOST_SEEDS = 12
"""Seeds, or ranges of them, that are named."""


def seeds_said(result: Result) -> str:
    """Say how a gradient ended with each of several seeds, worst first: ``3 of 100 fail (4, 17-18), 97 pass``."""
    groups: dict[tuple[bool, Verdict, str], list[int]] = {}
    for draw in result.draws:
        cause = next((code for code in draw.findings if code in FAILING_CODES | DIAGNOSIS_CODES), "")
        groups.setdefault((draw.expected, draw.verdict, "" if draw.expected else cause), []).append(draw.seed)
    said: list[str] = []
    for (expected, verdict, cause), seeds in sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1]))):
        by = f" by {cause}" if cause else ""
        usual = " as expected" if expected and verdict is not Verdict.PASS else ""
        named = "" if expected and len(groups) > 1 and len(seeds) > 1 else f" ({_ranges(seeds)})"
        of = "" if said else f" of {len(result.draws):,}"
        said.append(f"{len(seeds):,}{of} {verdict}{by}{usual}{named}")
    return ", ".join(said)


def _ranges(seeds: Sequence[int]) -> str:
    """Write seeds in ascending order, those that follow each other as a range."""
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and ranges[-1][-1] == seed - 1:
            ranges[-1][1:] = [seed]
        else:
            ranges.append([seed])
    said = ["-".join(map(str, each)) for each in ranges[:MOST_SEEDS]]
    return ", ".join(said) + (f", and {len(ranges) - MOST_SEEDS:,} more" if len(ranges) > MOST_SEEDS else "")


def _worst(result: Result, mismatch: Mismatch) -> Iterator[str]:
    allowed = f"rtol={numbers.short(result.rtol)}, atol={numbers.short(result.atol)}"
    yield f"  Analytical: {numbers.full(mismatch.analytical)}"
    yield f"  Numerical:  {numbers.full(mismatch.numerical)} (error bound {mismatch.error_bound:.1e})"
    relative = numbers.percent(mismatch.difference, abs(mismatch.numerical))
    yield f"  Difference: {numbers.full(mismatch.difference)} ({relative})"
    yield f"  Tolerance:  {allowed} -> {numbers.tolerance(mismatch.tolerance)}"
    yield f"  Result:     {result.verdict.upper()}"


def _table(result: Result, max_rows: int) -> Iterator[str]:
    shown = result.mismatches[:max_rows]
    rows = [HEADER, *(mismatch_row(mismatch, result.verdict) for mismatch in shown)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADER))]
    for row in rows if shown else ():
        cells = (cell.ljust(width + gap) for cell, width, gap in zip(row, widths, GAPS, strict=True))
        yield ("  " + "".join(cells)).rstrip()
    total = max(result.wrong, len(result.mismatches)) if result.verdict is Verdict.FAIL else len(result.mismatches)
    if total > len(shown):
        yield f"  and {total - len(shown):,} more"


def mismatch_row(mismatch: Mismatch, verdict: Verdict) -> tuple[str, ...]:
    """Return the cells of a mismatch below ``HEADER``."""
    return (
        str(mismatch.index),
        numbers.column(mismatch.analytical),
        numbers.column(mismatch.numerical),
        numbers.column(mismatch.difference),
        numbers.tolerance(mismatch.tolerance),
        STATUS.get(verdict, ""),
    )


def worst_and_table(result: Result, max_rows: int) -> list[str]:
    """Return the worst index of a result in full and a table of the others, without headline, message or findings."""
    if not result.mismatches:
        return []
    return [*_worst(result, result.mismatches[0]), "", *_table(result, max_rows)]
