"""From an explanation to the blocks of its page: what is said, in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.explanation import Explanation, Sighting, Study, ToleranceInForce, place_of
from gradaudit.repair.repairs import Repairs
from gradaudit.report import numbers
from gradaudit.report.explanation.blocks import Block, Code, Drawing, Entries, Heading, Markdown, Prose, Table
from gradaudit.report.explanation.cases_table import cases_table
from gradaudit.report.explanation.curve_drawing import draw_curve, step_in_words
from gradaudit.report.explanation.glyphs import Glyphs
from gradaudit.report.explanation.heat_drawing import draw_heat_map
from gradaudit.report.explanation.model_blocks import model_blocks
from gradaudit.report.explanation.path_drawing import draw_path, path_in_words
from gradaudit.report.mismatch import is_unexplained, worst_and_table
from gradaudit.report.repairs import repair_lines
from gradaudit.results import DIAGNOSIS_CODES, Result, Verdict

MAX_PLACES = 4
"""Cases that are named one by one where something holds in several."""


def page(explanation: Explanation, glyphs: Glyphs, max_rows: int) -> Iterator[Block]:
    """Yield the blocks of an explanation's page."""
    yield Heading(title(explanation), 1)
    yield from _repaired(explanation)
    if explanation.notes:
        yield Prose(explanation.notes)
    told = [_noticed(explanation), model_blocks(explanation, glyphs)]
    told += [_studied(study, glyphs, max_rows) for study in explanation.studies]
    inventory = [_audited(explanation), _verdicts(explanation)]
    # What is wrong comes before what there is.
    for part in (*inventory, *told) if explanation.as_expected else (*told, *inventory):
        yield from part
    yield from _next_steps(explanation)
    yield from _reproduced(explanation)


def _repaired(explanation: Explanation) -> Iterator[Block]:
    if explanation.repairs is None:
        return
    yield Heading("Repair")
    for made in explanation.repairs.repairs:
        heading, *changed, effect = repair_lines(Repairs(explanation.op, (made,)))
        yield Prose(f"{heading[:1].upper()}{heading[1:]}")
        yield Code("\n".join(changed), "diff")
        yield Prose(f"{effect[:1].upper()}{effect[1:]}.")
    if explanation.repairs.message:
        yield Prose(f"None: {explanation.repairs.message}.")


def title(explanation: Explanation) -> str:
    """Return how many gradients there are, and how they ended."""
    results = explanation.results
    cases = numbers.counted(len(explanation.cases), "case")
    counts = [f"{_count(results, verdict)} {verdict}" for verdict in Verdict if _count(results, verdict)]
    said = ", ".join(counts)
    known = [result for result in results if result.expected and result.verdict is not Verdict.PASS]
    if known and explanation.as_expected:
        said += ", as its spec expects"
    return f"{explanation.op}: {numbers.counted(len(results), 'gradient')} in {cases}: {said}"


def _count(results: Sequence[Result], verdict: Verdict) -> int:
    return sum(result.verdict is verdict for result in results)


def _audited(explanation: Explanation) -> Iterator[Block]:
    yield Heading("What was audited")
    calls = explanation.signature.calls.items()
    spec = f"{explanation.location} (module {explanation.module})"
    yield Entries((*((("spec", spec),) if explanation.location else ()), *calls))
    yield cases_table(explanation.cases)
    if explanation.tolerances:
        yield Entries(tuple(("tolerance", _tolerance(made)) for made in explanation.tolerances))


def _tolerance(made: ToleranceInForce) -> str:
    where = {
        "spec": "from the spec or the project",
        "default": "the dtype's default",
        "native": "as tight as forward's own dtype allows, since it does not compute in float64",
    }[made.origin]
    reason = f" ({made.reason})" if made.reason else ""
    allowed = f"rtol={numbers.short(made.rtol)}, atol={numbers.short(made.atol)}"
    return f"{allowed}: {where}{reason}, for {places_in_words(made.used_for)}"


def places_in_words(places: Sequence[tuple[str, str]]) -> str:
    """Return cases and inputs in words, the inputs of one case together."""
    by_case: dict[str, list[str]] = {}
    for case, name in places:
        by_case.setdefault(case, []).append(name)
    said = [f"{case} {numbers.listed(names)}" for case, names in by_case.items()]
    more = len(said) - MAX_PLACES
    return "; ".join(said[:MAX_PLACES]) + (f"; and {numbers.counted(more, 'more case')}" if more > 0 else "")


def _verdicts(explanation: Explanation) -> Iterator[Block]:
    yield Heading("Verdicts")
    header = ("Case", "Dtype", "Input", "Verdict", "Wrong", "Resolution", "Forwards")
    rows = tuple(map(_verdict_row, _grouped(explanation.results)))
    yield Table(header, rows, frozenset({4, 5, 6}))
    if any(not math.isnan(result.resolution) for result in explanation.results):
        none = any(math.isinf(result.resolution) for result in explanation.results)
        yield Prose(
            "Resolution: the smallest relative error at an index that would surely have been reported"
            + ("; none if some index was not tested or not decided." if none else ".")
        )
    searched = [result.miss_probability for result in explanation.results if result.method == "search"]
    if searched and 0.0 < max(searched) < 1.0:
        missed = f"a wrong index was missed with a chance below {max(searched):.0e}"
        yield Prose(f"{'All' if len(searched) == len(explanation.results) else 'Some'} were searched: {missed}.")


def _grouped(results: Sequence[Result]) -> list[list[Result]]:
    """Return results one by one, but those inputs of a case together that passed."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        own = "" if result.verdict is Verdict.PASS and result.expected and not result.training else result.input
        groups.setdefault((result.case, result.dtype, own), []).append(result)
    return list(groups.values())


def _verdict_row(group: list[Result]) -> tuple[str, ...]:
    first = group[0]
    plain = first.expected == (first.verdict is Verdict.PASS)
    return (
        first.case,
        first.dtype,
        numbers.listed([result.input for result in group]),
        f"{first.verdict}" + ("" if plain else _expectation(first)),
        _wrong(group),
        _resolution(max(group, key=lambda result: result.resolution)),
        f"{sum(result.evaluations for result in group):,}",
    )


def _wrong(group: list[Result]) -> str:
    """Return how many indices are wrong, of all, or after a search of those that were looked at."""
    if group[0].verdict is Verdict.ERROR or group[0].training:
        return "-"
    wrong = sum(result.wrong for result in group)
    checked, size = (sum(getattr(result, name) for result in group) for name in ("checked", "size"))
    return f"{wrong:,} of " + (f"{checked:,} seen" if checked < size and group[0].method == "search" else f"{size:,}")


def _expectation(result: Result) -> str:
    return " (expected)" if result.expected else " (unexpected)"


def _resolution(result: Result) -> str:
    if math.isnan(result.resolution):
        return "-"
    return f"{result.resolution:.1e}" if math.isfinite(result.resolution) else "none"


def _studied(study: Study, glyphs: Glyphs, max_rows: int) -> Iterator[Block]:
    result = study.result
    yield Heading(f"Gradient w.r.t. {result.input}: {result.verdict} (case {result.case}, {result.dtype})")
    if said := _message(result):
        yield Prose(said)
    if lines := worst_and_table(result, max_rows):
        yield Drawing(tuple(line.removeprefix("  ") for line in lines), result)
    if study.heat_map:
        yield Prose(f"Where they lie in a gradient of shape {list(study.heat_map.shape)}:")
        yield Drawing(draw_heat_map(study.heat_map, glyphs), study)
    if study.curve:
        yield Prose(_curve_in_words(study.curve, worst=bool(result.mismatches)))
        yield Drawing(draw_curve(study.curve, glyphs), study.curve)
    else:
        yield Prose(f"There is no step-size curve: {study.no_curve}")
    if study.path:
        yield Prose(path_in_words(study.path))
        yield Drawing(draw_path(study.path), study.path)


def _message(result: Result) -> str:
    """Return the message of a result, but for that of a finding, which is told with the findings."""
    if result.message not in {finding.message for finding in result.findings}:
        return result.message
    if result.verdict is Verdict.FAIL and not result.wrong:
        failing = ", ".join(finding.code for finding in result.findings if finding.fails)
        return f"No index is wrong for these inputs; the gradient fails because of {failing}."
    return ""


def _curve_in_words(curve: StepCurve, *, worst: bool) -> str:
    which = "the worst index" if worst else "the largest gradient"
    part = ", imaginary part" if curve.part == "imaginary" else ""
    said = (
        f"The numerical gradient at {which} {curve.index}{part}: central differences in {curve.dtype}, with steps "
        f"from {step_in_words(curve.chosen_step)} on, give {numbers.full(curve.estimate).strip()}; with all steps "
        f"tried, the error bound is {curve.bound:.1e}."
    )
    if curve.difference - curve.bound > curve.tolerance:
        return f"{said} Backward is off by {curve.difference:.1e}, the tolerance is {curve.tolerance:.1e}."
    if curve.difference > curve.tolerance:
        return f"{said} Backward differs from it by {curve.difference:.1e}, which the bound leaves undecided."
    return said


def _noticed(explanation: Explanation) -> Iterator[Block]:
    puzzling = [result for result in explanation.results if is_unexplained(result)]
    if not explanation.sightings and not puzzling:
        return
    yield Heading("Findings")
    for made in explanation.sightings:
        yield Entries(tuple(_finding(made)))
    if puzzling:
        yield Prose(f"No simple cause found: {places_in_words([place_of(result) for result in puzzling])}.")


def _finding(made: Sighting) -> Iterator[tuple[str, str]]:
    finding = made.finding
    explained = finding.evidence.get("explained")
    weight = "fails the case" if finding.fails else "for information"
    if finding.code in DIAGNOSIS_CODES and explained is not None:
        weight = f"a likely cause, explains {math.floor(100 * float(explained))}% of the mismatch"
    yield "finding", f"{finding.code} ({weight}): {finding.message}"
    yield "seen in", places_in_words(made.places)


def _next_steps(explanation: Explanation) -> Iterator[Block]:
    yield Heading("What to do next")
    if not explanation.remedies:
        yield Prose(peace(explanation))
    codes = {made.finding.code for made in explanation.sightings}
    for remedy in explanation.remedies:
        if remedy.name in codes:
            yield Markdown(f"**{remedy.name}**: {remedy.section('Remedy')}")
    steps = [("more on", f"gradaudit explain {code}") for code in sorted(codes)]
    steps += [("guide", f"gradaudit guide {page.name}") for page in explanation.remedies if page.name not in codes]
    if steps:
        yield Entries(tuple(steps))


def peace(explanation: Explanation) -> str:
    """Return what there is to do where nothing is wrong."""
    compared = [result for result in explanation.results if result.size]
    if not compared:
        return "Nothing: no input has an element, so there was nothing to compare. Another case should."
    seen = max(result.resolution for result in compared)
    codes = sorted({made.finding.code for made in explanation.sightings})
    noticed = f"what was noticed is for information ({', '.join(codes)})" if codes else "no finding was made"
    return (
        f"Nothing: every gradient is right within its tolerance, and {noticed}. A relative error above "
        f"{seen:.1e} would have been reported, at any index of any case. Another draw of the inputs costs one option: "
        "--seed 1."
    )


def _reproduced(explanation: Explanation) -> Iterator[Block]:
    study = max(explanation.studies, key=lambda study: (study.result.verdict.severity, bool(study.curve)))
    if not study.command:
        return
    yield Heading("Reproduce it")
    yield Code(study.command, "sh")
    if study.snippet:
        yield Prose("Backward beside one central difference, to step through in a debugger, from this folder:")
        yield Code(study.snippet, "python")
