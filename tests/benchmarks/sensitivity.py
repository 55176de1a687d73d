"""Halves and doubles every named constant of numerics/ and checks/, and records what that changes over a panel.

    python tests/benchmarks/sensitivity.py [--jobs N] [-k TEXT] [--output FILE]

Each pass is a fork in which one constant is changed, with all that was computed from it, and in every module that
imports it. Of the items of the panel that read the constant some are audited, from the cheapest to the dearest. The
report says what no item reads, what changes nothing, what only costs more, and what accuses a right gradient or passes
a wrong one.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import coverage
from sensitivity_constants import Constant, Line, Readings, change, constants

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "gradaudit"
FOLDERS = ("numerics", "checks")
REPORT = REPOSITORY / "reports" / "sensitivity.md"
FACTORS = (0.5, 2.0)

DEAR = 1_000
"""Calls of forward above which an item is left out."""

MOST_ITEMS = 40
"""Items that a pass audits at most."""

ENDLESS = "no end"
"""What is said of an audit that takes all the time there is."""

SECONDS = 120
"""Processor time that a pass may take: with some constants a search never ends."""


class Said(NamedTuple):
    """What an audit came to: a verdict; wrong indices and findings of each input; resolutions; calls of forward."""

    verdict: str
    findings: tuple[Any, ...]
    resolutions: tuple[str, ...]
    forwards: int


Outcome = dict[str, Said]
"""What each item of the panel came to, by its name."""


@dataclass(frozen=True)
class Effect:
    """What a changed constant changes.

    Attributes:
        accused: right gradients that fail, and did not before.
        passed: wrong ones that pass, and did not before.
        verdicts: items of another verdict, those included.
        findings: further items in which other indices are wrong, or something else is noticed.
        resolutions: further items whose resolution is another.
        forwards: further items for which forward is called more or less often.
        cost: calls of forward, relative to those before.

    """

    accused: tuple[str, ...]
    passed: tuple[str, ...]
    verdicts: tuple[str, ...]
    findings: int
    resolutions: int
    forwards: int
    cost: float

    @property
    def is_none(self) -> bool:
        """Whether everything is as before."""
        return not (self.verdicts or self.findings or self.resolutions or self.forwards)

    def __str__(self) -> str:
        told = [
            f"{count} {what}"
            for count, what in (
                (len(self.accused), "**right accused**"),
                (len(self.passed), "**wrong passed**"),
                (len(self.verdicts) - len(self.accused) - len(self.passed), "verdicts"),
                (self.findings, "findings"),
                (self.resolutions, "resolutions"),
                (self.forwards, "costs"),
            )
            if count
        ]
        return ", ".join([*told, f"forwards x{self.cost:.2f}"]) if told else "nothing"


def main() -> int:
    """Sweep all constants, write the report, and return the exit status: 0 whatever was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-k", dest="text", default="", help="only constants with this in their file or name")
    parser.add_argument("--output", type=Path, default=REPORT)
    chosen = parser.parse_args()
    began = time.monotonic()
    _forget_package(import_it=True)
    swept = [made for made in constants(ROOT, FOLDERS) if chosen.text in f"{made.file}:{made.name}"]
    with _forks(1) as pool:
        before, right, lines = pool.apply(_baseline)
    items = {made: _reading(_package().of(made), lines, before) for made in swept}
    importlib.import_module("sensitivity_panel")
    print(f"{len(before)} items, {sum(said.forwards for said in before.values()):,} calls of forward", flush=True)
    passes = [(made, factor) for made in swept for factor in FACTORS if items[made]]
    effects: dict[tuple[Constant, float], Effect] = {}
    with _forks(chosen.jobs) as pool:
        work = [(made, factor, _some(items[made], before)) for made, factor in passes]
        for made, factor, outcome in pool.imap_unordered(_swept, work):
            effects[made, factor] = _effect(before, outcome, right)
            print(
                f"{len(effects)}/{len(passes)} {made.file}:{made.name} x{factor}: {effects[made, factor]}", flush=True
            )
    minutes = (time.monotonic() - began) / 60
    chosen.output.write_text("\n".join(_report(swept, effects, items, len(before), minutes)) + "\n")
    return 0


def _forks(jobs: int) -> Any:
    """Return a pool in which every task has a process of its own."""
    return multiprocessing.get_context("fork").Pool(jobs, maxtasksperchild=1)


def _forget_package(*, import_it: bool = False) -> None:
    """Leave in this process what the package imports, and nothing of the package itself."""
    if import_it:
        importlib.import_module("sensitivity_panel").panel()[0].audit()
    ours = ("gradaudit", "sensitivity_panel", "right_ops", "wrong_ops", "pairs", "approximate_forwards")
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]


def _baseline() -> tuple[Outcome, Mapping[str, bool], Mapping[Line, set[str]]]:
    """Return what the items that are not dear come to, whether each is right, and for each line which of them run it.

    Lines that run as the package is imported have an item without a name.
    """
    panel = importlib.import_module("sensitivity_panel").panel()
    made = {item.name: said for item in panel if (said := _said(item)).forwards <= DEAR}
    _forget_package()
    traced = coverage.Coverage(data_file=None, source=[str(ROOT / folder) for folder in FOLDERS], messages=False)
    traced.start()
    for item in importlib.import_module("sensitivity_panel").panel():
        if item.name in made:
            traced.switch_context(item.name)
            _said(item)
    traced.stop()
    data = traced.get_data()
    lines = {
        (str(Path(file).relative_to(ROOT)), line): set(names)
        for file in data.measured_files()
        for line, names in data.contexts_by_lineno(file).items()
    }
    return made, {item.name: item.right for item in panel}, lines


def _reading(read: set[Line], lines: Mapping[Line, set[str]], names: Iterable[str]) -> frozenset[str]:
    """Return the items that run any of some lines; all where importing the package does."""
    running = set().union(*(lines.get(line, ()) for line in read))
    return frozenset(names) if "" in running else frozenset(running) & frozenset(names)


@cache
def _package() -> Readings:
    return Readings(ROOT)


def _some(names: Iterable[str], before: Outcome) -> tuple[str, ...]:
    """Return as many of some items as a pass audits, evenly from the cheapest to the dearest."""
    ordered = sorted(names, key=lambda name: (before[name].forwards, name))
    apart = max(1.0, len(ordered) / MOST_ITEMS)
    return tuple(ordered[int(k * apart)] for k in range(min(MOST_ITEMS, len(ordered))))


def _swept(work: tuple[Constant, float, tuple[str, ...]]) -> tuple[Constant, float, Outcome]:
    """Return what items come to where a constant is changed."""
    constant, factor, names = work
    change(ROOT, _package(), constant, factor)
    signal.signal(signal.SIGVTALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    outcome: Outcome = {}
    panel = {item.name: item for item in importlib.import_module("sensitivity_panel").panel()}
    for name in names:
        outcome[name] = _said(panel[name])
        if outcome[name].verdict == ENDLESS:
            break
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return constant, factor, outcome


class OutOfTime(BaseException):
    """A pass takes longer than it may."""


def _out_of_time(signum: int, frame: Any) -> None:
    raise OutOfTime


def _said(item: Any) -> Said:
    try:
        audit = item.audit()
    except OutOfTime:
        return Said(ENDLESS, (), (), 0)
    except Exception as error:
        return Said(type(error).__name__, (), (), 0)
    results = audit.results
    findings = tuple((made.wrong, tuple(sorted(found.code for found in made.findings))) for made in results)
    forwards = sum(made.evaluations for made in results) + audit.check_evaluations
    return Said(str(audit.verdict), findings, tuple(f"{made.resolution:.2g}" for made in results), forwards)


def _effect(before: Outcome, after: Outcome, right: Mapping[str, bool]) -> Effect:
    pairs = [(name, before[name], after[name]) for name in after]
    other = [name for name, was, now in pairs if was.verdict != now.verdict]
    rest = [(was, now) for _, was, now in pairs if was.verdict == now.verdict]
    findings = [(was, now) for was, now in rest if was.findings != now.findings]
    rest = [(was, now) for was, now in rest if was.findings == now.findings]
    resolutions = [(was, now) for was, now in rest if was.resolutions != now.resolutions]
    costs = [(was, now) for was, now in rest if was.resolutions == now.resolutions and was.forwards != now.forwards]
    return Effect(
        tuple(name for name in other if right[name] and after[name].verdict not in ("pass", "inconclusive")),
        tuple(name for name in other if not right[name] and after[name].verdict == "pass"),
        tuple(other),
        len(findings),
        len(resolutions),
        len(costs),
        sum(now.forwards for _, _, now in pairs) / max(1, sum(was.forwards for _, was, _ in pairs)),
    )


def _report(
    swept: Iterable[Constant],
    effects: Mapping[tuple[Constant, float], Effect],
    items: Mapping[Constant, frozenset[str]],
    size: int,
    minutes: float,
) -> Iterator[str]:
    """Yield the lines of the report."""
    swept = list(swept)
    unread = [made for made in swept if not items[made]]
    idle = [made for made in swept if items[made] and all(effects[made, factor].is_none for factor in FACTORS)]
    yield "# How sensitive audits are to the constants of numerics/ and checks/"
    yield ""
    yield (
        f"{len(swept)} named constants, each halved and doubled over a panel of {size} right and wrong gradients "
        f"(`python tests/benchmarks/sensitivity.py`, {minutes:.0f} minutes). {len(idle)} of them change nothing, and "
        f"{len(unread)} are read by no item."
    )
    yield ""
    yield (
        "A cell tells how many items end otherwise: right gradients accused, wrong ones passed, other verdicts; "
        "then items of the same verdict with other wrong indices or findings; then those with another resolution; "
        "then those that call forward more or less often; and all calls of forward relative to those before. Of the "
        f"items that read a constant, {MOST_ITEMS} are audited at most. Items that call forward more than {DEAR:,} "
        "times are left out, so that little of the arbiter and of ties is reached. A constant that changes nothing "
        "here needs no fine choice; that it can go is shown by the tests of what it was made for."
    )
    yield ""
    yield "| file | constant | value | items | halved | doubled |"
    yield "|---|---|---|---|---|---|"
    for made in swept:
        cells = [str(effects[made, factor]) if items[made] else "" for factor in FACTORS]
        text = made.text.replace("|", "\\|")
        yield f"| {made.file} | `{made.name}` | `{text}` | {len(items[made])} | {cells[0]} | {cells[1]} |"
    marked = [(made, factor, effects[made, factor]) for made, factor in effects if _harms(effects[made, factor])]
    yield from ["", "## What a changed constant gets wrong", ""] if marked else []
    for made, factor, effect in sorted(marked, key=lambda each: (each[0].file, each[0].name, each[1])):
        told = [*(f"accuses {name}" for name in effect.accused), *(f"passes {name}" for name in effect.passed)]
        yield f"- `{made.name}` ({made.file}) x{factor:g} {'; '.join(told)}"


def _harms(effect: Effect) -> bool:
    return bool(effect.accused or effect.passed)


if __name__ == "__main__":
    sys.exit(main())
