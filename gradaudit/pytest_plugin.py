"""The plugin for pytest: ``pytest --gradaudit specs/`` collects every gradient that specs name as a test.

Without the flag it does nothing, and imports nothing but pytest.
"""

from __future__ import annotations

import re
import sys
import warnings
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradaudit.audit.conclusion import Audit
    from gradaudit.spec.case import Case
    from gradaudit.store.baseline import Baseline

SUFFIXES = (".yaml", ".yml")

SPEC = re.compile(r"""^(\{\s*)?["']?(op|target)["']?\s*:""", re.MULTILINE)
"""What a spec has and other YAML has not: folders of tests hold that of many tools."""

MAX_ROWS = 10
"""Rows of a mismatch table in a failure's report."""

WRONG = ("fail", "error")
"""Verdicts of gradients that a repair is searched for."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the flag."""
    group = parser.getgroup("gradaudit", "gradaudit")
    group.addoption("--gradaudit", action="store_true", help="Audit the gradients that YAML specs name, a test each.")
    searching = "Search that long for the edit that repairs a wrong backward, and show it in the failure; default: 0."
    group.addoption("--gradaudit-repair", type=float, default=0.0, metavar="SECONDS", help=searching)
    several = "Audit each gradient with every one of these seeds instead of its spec's own, such as 0-99 or 3,5,8-12."
    group.addoption("--gradaudit-seeds", type=_seeds, default=(), metavar="N-M,...", help=several)


def _seeds(text: str) -> tuple[int, ...]:
    from gradaudit.spec.seeds import NoSeedsError, parse_seeds

    try:
        return parse_seeds(text)
    except NoSeedsError as error:
        raise ArgumentTypeError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that audits happen here, where an op is not fenced off from the other tests."""
    if not config.getoption("--gradaudit"):
        return None
    return "gradaudit: audits in this process, without a time limit; 'gradaudit run' fences each op off"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SpecFile | None:
    """Collect YAML files that are specs, and those that are named as arguments whatever they are."""
    if not parent.config.getoption("--gradaudit") or file_path.suffix not in SUFFIXES:
        return None
    if not parent.session.isinitpath(file_path) and not _looks_like_a_spec(file_path):
        return None
    return SpecFile.from_parent(parent, path=file_path)


def _looks_like_a_spec(file: Path) -> bool:
    if not file.is_file():  # a pipe, or a device: nothing that ends
        return False
    try:
        return bool(SPEC.search(file.read_text("utf-8-sig", "replace")))
    except OSError:  # which collecting it tells of
        return True


class SpecFile(pytest.File):
    """A file of specs."""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield the tests of the file's only op, or a collector for each of several.

        Raises:
            SpecError: where the specs cannot be audited as they are, or the project's settings are wrong.
            BaselineError: where the project's file of known failures cannot be used.

        """
        from gradaudit.spec.expand import Overrides
        from gradaudit.spec.load import load_specs
        from gradaudit.spec.project import find_project
        from gradaudit.store.baseline import Baseline, read_baseline

        project = find_project(self.config.invocation_params.dir)
        known = read_baseline(project.baseline) if project.baseline else Baseline()
        here = self.path.is_relative_to(Path.cwd())
        path = self.path.relative_to(Path.cwd()) if here else self.path
        seconds = self.config.getoption("--gradaudit-repair")
        seeds = self.config.getoption("--gradaudit-seeds")
        overrides = Overrides(
            seed=seeds[0] if seeds else None,
            seeds=seeds if len(seeds) > 1 else (),
            tolerances=project.tolerances,
            usual_budget=project.budget,
            allow=project.allow,
        )
        audited = [_Audited(case, known, seconds) for case in load_specs([path], overrides).cases]
        ops = dict.fromkeys(each.case.op for each in audited)
        for op in ops:
            own = [each for each in audited if each.case.op == op]
            if len(ops) > 1:
                yield SpecOp.from_parent(self, name=op, audited=own)
            else:
                yield from _items(self, own)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """Return what is wrong with the specs, where that is it."""
        from gradaudit.spec.errors import SpecError
        from gradaudit.store.baseline import BaselineError

        told = isinstance(excinfo.value, (SpecError, BaselineError))
        return str(excinfo.value) if told else super().repr_failure(excinfo)


class SpecOp(pytest.Collector):
    """One of several ops of a file."""

    def __init__(self, *, audited: list[_Audited], **keys: Any) -> None:
        super().__init__(**keys)
        self._audited = audited

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the op's tests."""
        return _items(self, self._audited)


def _items(parent: pytest.Collector, of_op: list[_Audited]) -> Iterator[pytest.Item]:
    from gradaudit.spec.model_targets import ModelTarget

    for audited in of_op:
        case = audited.case
        model = isinstance(case.target, ModelTarget)  # whose parameters are known when it has been made
        if model or not any(made.differentiable for made in case.inputs):  # likewise an embedding's
            yield GradientItem.from_parent(parent, name=f"{case.name}[{case.dtype}]", audited=audited, about="")
            continue
        for made in case.inputs:
            if made.differentiable:
                name = f"{case.name}[{case.dtype}-{made.name}]"
                yield GradientItem.from_parent(parent, name=name, audited=audited, about=made.name)


class _Audited:
    """A case, audited when the first of its inputs is tested, the failures that are known, and time for repairs."""

    def __init__(self, case: Case, known: Baseline, seconds: float) -> None:
        self.case = case
        self.known = known
        self._seconds = seconds
        self._audit: Audit | None = None
        self._repairs: list[str] | None = None

    def audit(self) -> Audit:
        if self._audit is None:
            from gradaudit.engine.run import audit_here

            with _undisturbed():
                self._audit = audit_here(self.case)
        return self._audit

    def repairs(self) -> list[str]:
        """Return what a search for repairs found, in lines; nothing where no time is given to one."""
        if self._repairs is None and self._seconds > 0:
            from gradaudit.repair.in_worker import search_repairs
            from gradaudit.report.repairs import repair_lines

            found = search_repairs((self.case,), self.audit().results, seconds=self._seconds)
            self._repairs = list(repair_lines(found))
        return self._repairs or []


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep other tests from what a spec's modules bring to the path and draw, and audits from the filters of warnings.

    ``gradaudit run`` shows no warnings either; one turned into an error would be taken for the op's.
    """
    from gradaudit.targets.generators import restored

    path = list(sys.path)
    try:
        with warnings.catch_warnings(), restored():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path[:] = path


class UnexpectedEndError(AssertionError):
    """A gradient did not end as its spec expects; the text is the report."""


class GradientItem(pytest.Item):
    """The gradient of one input in one case, or all of a model's."""

    def __init__(self, *, audited: _Audited, about: str, **keys: Any) -> None:
        super().__init__(**keys)
        self._audited = audited
        self._input = about
        case = audited.case
        self.extra_keyword_matches.update({case.op, case.module, case.dtype, about} - {""})

    def runtest(self) -> None:
        """Audit the case, unless another input's test did; skip where its framework is not installed.

        Where all that failed is known to, the test is expected to fail, as pytest says.

        Raises:
            UnexpectedEndError: where this input's gradient did not end as the spec expects; for the case's first test
                also where one did not that the spec does not name: that of a module's parameter.

        """
        from gradaudit.report.mismatch import case_blocks
        from gradaudit.targets.frameworks import install_command, missing_framework

        if framework := missing_framework(self._audited.case.target):
            pytest.skip(f"{framework} is not installed; {install_command(framework)}")
        results = [result for result in self._audited.audit().results if result.input in self._about]
        failed = [result for result in results if not result.expected]
        if failed and all(map(self._audited.known.forgives, failed)):
            pytest.xfail("a known failure of the project's baseline")
        if blocks := case_blocks(failed, MAX_ROWS):
            repairs = [self._audited.repairs()] if any(result.verdict in WRONG for result in failed) else []
            raise UnexpectedEndError("\n\n".join("\n".join(block) for block in [*blocks, *filter(None, repairs)]))

    @property
    def _about(self) -> set[str]:
        """The inputs whose gradients this test is about: a model's are all, and known by their results alone."""
        audited = {result.input for result in self._audited.audit().results}
        if not self._input:
            return audited
        named = [made.name for made in self._audited.case.inputs]
        first = next(made.name for made in self._audited.case.inputs if made.differentiable)
        return {self._input} | (audited.difference(named) if self._input == first else set())

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the report of a gradient, without the frames that led to it."""
        if isinstance(excinfo.value, UnexpectedEndError):
            return _report(str(excinfo.value), self._audited.case)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the case's place in its spec, and its name."""
        case = self._audited.case
        return self.path, case.location.line - 1, f"{case.op}::{self.name}"


def _report(text: str, case: Case) -> Any:
    """Return a text in a form that pytest takes the first line of, and its place, for its summary."""
    from _pytest._code.code import ReprFileLocation, TerminalRepr

    class Report(TerminalRepr):
        reprcrash = ReprFileLocation(str(case.location.file), case.location.line, text.partition("\n")[0])

        def toterminal(self, tw: Any) -> None:
            for line in text.splitlines():
                tw.line(line)

    return Report()
