"""Exploring the ops of some specs, one after the other: what is found is written as a spec and audited as that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from gradaudit.depth.implementation import implementations
from gradaudit.depth.measure import measured
from gradaudit.engine.single import SingleWorker
from gradaudit.explore.allowed import allowed
from gradaudit.explore.constants import constants_in
from gradaudit.explore.hunt import SECONDS_FOR_CASE, Budget, Found, Progress, alone, hunt
from gradaudit.explore.kept import Kept, case_of
from gradaudit.explore.params import choices
from gradaudit.explore.trial import is_taken
from gradaudit.explore.written import spec_text
from gradaudit.results import FunctionDepth
from gradaudit.spec.case import Case
from gradaudit.spec.level import Level, level_of
from gradaudit.spec.load import Specs
from gradaudit.spec.op_targets import UncalledTarget
from gradaudit.spec.source import Document
from gradaudit.targets.frameworks import missing_framework, preloaded

OVERTIME = 1.3
"""How much longer than the audit of a case, which keeps to its time between calls, its worker may take."""

SEEDS = 10
"""Seeds that a written case is tried with: its other name draws another upstream gradient."""


NOT_SHOWN = " Its spec has no case of such a shape: if it takes none, let requires say so."


@dataclass(frozen=True)
class Failure:
    """A failing case as it is reported.

    Attributes:
        found: what fails, audited from the text in a process of its own.
        text: its spec.
        name: the op's name in that.
        again: whether it fails so; where not, it fails after other cases only: the op keeps state between calls.

    """

    found: Found
    text: str
    name: str
    again: bool = True


@dataclass(frozen=True)
class Explored:
    """What exploring an op has found; ``known`` says that it failed before, so that nothing else was looked for.

    ``depth`` is how far the cases reached into the op's functions, where that was noted.
    """

    op: str
    progress: Progress
    failures: tuple[Failure, ...]
    depth: tuple[FunctionDepth, ...] = ()
    known: bool = False


@dataclass(frozen=True)
class Explorer:
    """How the ops of some specs are explored.

    Attributes:
        specs: the specs.
        budget: how long is looked for each op.
        folder: where specs of failing cases will lie.
        home: the project's folder.
        kept: failing cases of earlier explorations.
        sources: the files of the ops that have no spec.
        seed: what draws depend on.
        told: told of every case.

    """

    specs: Specs
    budget: Budget
    folder: Path
    home: Path
    kept: Kept
    sources: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0
    told: Callable[[Progress], None] = lambda progress: None

    def explore(self) -> Iterator[Explored]:
        """Explore one op after the other, and yield what is found; ops that are expected to fail are none of them."""
        by_op: dict[str, list[Case]] = {}
        for case in self.specs.cases:
            if _is_op(case) and case.expect.verdict == "pass" and case.name == case.name_in_spec:
                by_op.setdefault(case.op, []).append(case)
        for op, cases in by_op.items():
            worker = SingleWorker(preloaded(cases[0].target), SECONDS_FOR_CASE * OVERTIME)
            try:
                yield self._known(op, worker) or self._hunted(op, cases, worker)
            finally:
                worker.stop()

    def _known(self, op: str, worker: SingleWorker) -> Explored | None:
        """Return what is known to fail and still does; None for nothing."""
        progress = Progress(op)
        failures = []
        for text, case in self.kept.of(op):
            progress.tried += 1
            found = alone(worker, case)
            if found is None:
                self.kept.drop(op, text)
            else:
                failures.append(replace(self._failure(found, case.op), text=text))
        return Explored(op, progress, tuple(failures), known=True) if failures else None

    def _hunted(self, op: str, cases: Sequence[Case], worker: SingleWorker) -> Explored:
        functions = implementations(cases[:1], (Path.cwd(), self.home))[op]
        everything = allowed(
            cases,
            lambda case: worker.ask(is_taken, case) is True,
            constants_in(functions),
            choices(cases, functions),
            lambda case: _unbounded(case, self.specs.documents.get(op)),
        )
        files = sorted({function.file for function in functions}) if find_spec("coverage") else []
        progress = hunt(op, everything, worker, self.budget, seed=self.seed, files=files, told=self.told)
        smallest_first = sorted(progress.found.values(), key=lambda found: found.weight)
        failures = tuple(self._written(found, worker) for found in smallest_first)
        reached = {file: frozenset(steps) for file, steps in progress.steps.items()}
        return Explored(op, progress, failures, measured(functions, [reached], self.home) if reached else ())

    def _written(self, found: Found, worker: SingleWorker) -> Failure:
        """Return a failing case as the spec that shows it, by itself."""
        op, name = found.case.op, f"{found.case.op}.{found.kind}"
        for seed in (found.case.seed, *range(SEEDS)):
            tried = replace(found, case=replace(found.case, seed=seed))
            text = self._text(tried, name, None)
            again = alone(worker, case_of(text))
            if again is not None:
                self.kept.add(op, text)
                return self._failure(replace(tried, kind=again.kind, results=again.results), name)
        return replace(self._failure(found, name), again=False)

    def _failure(self, found: Found, name: str) -> Failure:
        results = tuple(replace(result, location="") for result in found.results)
        return Failure(replace(found, results=results), self._text(found, name, self.folder), name)

    def _text(self, found: Found, name: str, folder: Path | None) -> str:
        op, _, kind = name.rpartition(".")
        heading = f"Found by gradaudit explore: {kind} of {op}." + ("" if found.shown else NOT_SHOWN)
        source = self.specs.documents[op] if op in self.specs.documents else self.sources[op]
        return spec_text(found.case, source, folder, name, heading)


def _is_op(case: Case) -> bool:
    """Whether a case is that of an op that can be called."""
    is_called = level_of(case.target) is Level.UNIT and not isinstance(case.target, UncalledTarget)
    return is_called and not missing_framework(case.target)


def _unbounded(case: Case, document: Document | None) -> frozenset[str]:
    """Return the inputs whose range is the one that drawing takes where a spec names none."""
    if document is None:  # a draft's ranges have been tried
        return frozenset()
    overrides = [own for own in document.data.get("cases") or [] if own.get("name") == case.name_in_spec]
    said = [part.get("inputs") or {} for part in (document.data, *overrides)]
    bounding = {"range", "ranges", "avoid", "gap", "values", "distribution"}
    keys = {made.name: {key for part in said for key in part.get(made.name) or {}} for made in case.inputs}
    return frozenset(name for name, own in keys.items() if not own & bounding)
