"""The cases of an explanation as a table: how their inputs are made, and what else is set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradaudit.report import numbers
from gradaudit.report.explanation.blocks import Table
from gradaudit.spec.case import Case, Input
from gradaudit.spec.model_targets import ModelTarget


def cases_table(cases: Sequence[Case]) -> Table:
    """Return a row for each case, with its dtypes, its inputs, and its settings where any has some."""
    rows = tuple(_case_rows(cases))
    columns = 4 if any(row[3] for row in rows) else 3
    return Table(("Case", "Dtypes", "Inputs", "Settings")[:columns], tuple(row[:columns] for row in rows))


def _case_rows(cases: Sequence[Case]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each case, its dtypes together where nothing else differs."""
    dtypes: dict[tuple[str, str, str], list[str]] = {}
    for case in cases:
        inputs = "\n".join(_input(made) for made in case.inputs)
        dtypes.setdefault((case.name, inputs, "\n".join(_settings(case))), []).append(case.dtype)
    for (name, inputs, settings), found in dtypes.items():
        yield name, "\n".join(found), inputs, settings


def _input(made: Input) -> str:
    shape = f"{made.name} {list(made.shape)}"
    if made.values is not None:
        return f"{shape} given"
    drawn = "" if made.distribution == "uniform" else f" {made.distribution}"
    if made.range:
        drawn += f" {made.range[0]:g} to {made.range[1]:g}"
    off = f", off {', '.join(f'{point:g}' for point in made.avoid.points)}" if made.avoid else ""
    gap = f", gap {made.gap:g}" if made.gap else ""
    layout = "" if made.layout == "contiguous" else f", {made.layout}"
    return f"{shape}{drawn}{off}{gap}{layout}{'' if made.differentiable else ', no gradient'}"


def _settings(case: Case) -> Iterator[str]:
    if case.seed != 0:
        yield f"seed {case.seed}"
    yield from (f"{name}={value}" for name, value in case.params.items())
    of_model = isinstance(case.target, ModelTarget)  # the upstream of a loss is 1, and its parameters are searched
    if case.upstream != "random" and not of_model:
        yield f"upstream {case.upstream}" if isinstance(case.upstream, str) else "upstream given"
    if case.step is not None:
        yield f"step {numbers.short(case.step)}"
    if case.method != "auto" and not of_model:
        yield f"method {case.method}"
    if case.expect.verdict == "fail":
        failing = ", ".join(name for name, verdict in case.expect.inputs.items() if verdict == "fail")
        yield f"{failing} expected to fail" if failing else "expected to fail"
    if case.expect.findings:
        yield f"expected to show {', '.join(case.expect.findings)}"
