"""What did not end as expected, by op: cases and dtypes that fail alike once, and a list to close a run with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gradaudit.report import numbers
from gradaudit.report.mismatch import extent, headline, is_cause, is_unexplained, says_why, seeds_said
from gradaudit.results import Finding, Result, Verdict

UNEXPLAINED = "no simple cause"
"""The cause of a mismatch that looks like nothing known."""

UNEXPECTED_PASS = "unexpected pass"
"""The cause where a gradient passes that its spec expects to fail."""


@dataclass(frozen=True)
class Cause:
    """Why a result did not end as expected: a finding's code or a verdict, and what is said of it."""

    code: str
    message: str


def cause_of(result: Result) -> Cause:
    """Return the first thing to look at: a likely cause, a finding that fails the case, or the verdict itself."""
    telling = _telling(result)
    ranked = telling or [*filter(says_why, result.findings), *result.findings]
    if is_unexplained(result):
        return Cause(UNEXPLAINED, extent(result))
    if result.verdict is Verdict.FAIL and ranked:
        return Cause(ranked[0].code, ranked[0].message)
    if result.verdict is Verdict.ERROR and telling:
        return Cause(telling[0].code, telling[0].message)
    message = result.message or next((finding.message for finding in ranked), "")
    code = UNEXPECTED_PASS if result.verdict is Verdict.PASS else str(result.verdict)
    return Cause(code, message.partition("\n")[0])


@dataclass
class Failure:
    """Results of one op that ended alike in several cases and dtypes; ``first`` stands for all, with their inputs."""

    first: Result
    ids: list[str] = field(default_factory=list)

    @property
    def likewise(self) -> Sequence[str]:
        """The other cases, as ``case[dtype]``."""
        return self.ids[1:]


def gathered(results: Sequence[Result]) -> list[Failure]:
    """Return the failures among the results of one op: one for those that have the same cause in several cases.

    Inputs that fail alike in the same cases share one. The case that stands for all is one with the most findings.
    """
    found: dict[tuple[object, ...], Failure] = {}
    for result in sorted(results, key=lambda result: -len(_telling(result))):
        if not result.expected:
            key = (result.verdict, cause_of(result).code, result.input if result.mismatches else result.message)
            failure = found.setdefault(key, Failure(result))
            if result.input not in failure.first.input.split(", "):
                failure.first = replace(failure.first, input=f"{failure.first.input}, {result.input}")
            if (name := f"{result.case}[{result.dtype}]") not in failure.ids:
                failure.ids.append(name)
    return list(found.values())


def _telling(result: Result) -> list[Finding]:
    """Return the findings of a result that say why it is wrong, likely causes first."""
    ranked = sorted(result.findings, key=lambda finding: not is_cause(finding))
    return [finding for finding in ranked if is_cause(finding) or finding.fails]


def in_a_line(failure: Failure) -> str:
    """Return all of a failure in one line: where, why, and in which other cases."""
    cause = cause_of(failure.first)
    code = "" if cause.code == failure.first.verdict else f"{cause.code}. "
    code = f"{seeds_said(failure.first)}, by seed. {code}" if failure.first.draws else code
    likewise = f"; likewise {numbers.listed(failure.likewise)}" if failure.likewise else ""
    return f"{headline(failure.first)}: {code}{_flat(cause.message)}{likewise}"


def closing_list(results: Sequence[Result], dtypes: Mapping[str, Collection[str]], width: int) -> Iterator[str]:
    """Yield a line for each op that has results which did not end as expected, gravest first.

    Args:
        results: of the run.
        dtypes: those that each op was audited in; which of them fail is told where not all do.
        width: where a line is cut, though not before its names are complete.

    """
    by_op: dict[str, list[Result]] = {}
    for result in results:
        if not result.expected:
            by_op.setdefault(result.op, []).append(result)
    rows = sorted(by_op.items(), key=lambda row: -max(result.verdict.severity for result in row[1]))
    causes = [_causes(found) for _, found in rows]
    column = max(map(len, causes), default=0)
    for cause, (op, found) in zip(causes, rows, strict=True):
        inputs, failing = _unique(result.input for result in found), _unique(result.dtype for result in found)
        within = "" if set(failing) >= set(dtypes[op]) else f" in {', '.join(failing)}"
        source = found[0].source
        place = f" at {source.file}:{source.line}" if source else ""
        named = f"  {cause:{column}}  {op} w.r.t. {numbers.listed(inputs)}{within}{place}"
        if draws := found[0].draws:
            named += f" with {sum(not draw.expected for draw in draws):,} of {len(draws):,} seeds"
        said = f"{named}: {_flat(cause_of(found[0]).message)}"
        yield said if len(said) <= width else f"{said[: max(width - 1, len(named))]}…"


def _causes(results: Sequence[Result]) -> str:
    """Write the cause of an op's first failure, and how many other causes its failures have."""
    first, *others = _unique(cause_of(result).code for result in results)
    return f"{first}, {len(others)} more" if others else first


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _flat(text: str) -> str:
    return " ".join(text.split())
