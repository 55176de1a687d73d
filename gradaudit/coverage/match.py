"""Which spec audits which backward pass: by where the functions of its target are defined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gradaudit.coverage.fingerprint import functions_of
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.source.modules import Module
from gradaudit.source.reach import Reach, ReachFinder
from gradaudit.spec.case import Case


@dataclass(frozen=True)
class Matching:
    """Which ops' specs audit which backward passes.

    Attributes:
        ops: the ops of each pass; none for a pass without a spec.
        by_name: ops that were matched by their name alone, for want of a target that leads to the pass.

    """

    ops: dict[BackwardPass, tuple[str, ...]]
    by_name: frozenset[str]

    def passes_of(self, op: str) -> tuple[BackwardPass, ...]:
        """Return the passes that an op's spec audits."""
        return tuple(one for one, ops in self.ops.items() if op in ops)


def match_passes(passes: Sequence[BackwardPass], cases: Sequence[Case], find: ReachFinder, base: Path) -> Matching:
    """Match backward passes with the specs that audit them.

    A target's function may be the pass, be imported from elsewhere under another name, or call the pass without being
    one itself, as an adapter does. A pass in another language is matched by the name that its target calls it by, else
    by the op's; an op that a Python pass was found for lends its name to no other.

    Args:
        passes: what was found.
        cases: those of all specs.
        find: where the functions of targets are looked up.
        base: the folder that the files of passes are told from.

    """
    ops: dict[BackwardPass, list[str]] = {one: [] for one in passes}
    index = _Index(passes, base)
    targets = {(case.op, functions_of(case.target), case.target.folder) for case in cases}
    for op, functions, spec_folder in sorted(targets, key=lambda entry: (entry[0], entry[1])):
        for one in index.audited(functions, find(functions, spec_folder)):
            if op not in ops[one]:
                ops[one].append(op)
    taken = {op for found in ops.values() for op in found}
    names: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        name = asdict(case.target).get("op", case.op)
        if case.op not in taken and case.op not in names[name]:
            names[name].append(case.op)
    by_name = set()
    for one in passes:
        if one.kind is Kind.PATTERN and one.op in names:
            ops[one] += names[one.op]
            by_name.update(names[one.op])
    return Matching({one: tuple(found) for one, found in ops.items()}, frozenset(by_name))


class _Index:
    """Passes by their file, to be found by where a name is defined."""

    def __init__(self, passes: Iterable[BackwardPass], base: Path) -> None:
        self._by_file: dict[Path, list[BackwardPass]] = defaultdict(list)
        for one in passes:
            if one.kind is not Kind.PATTERN:
                self._by_file[(base / one.file).resolve()].append(one)

    def audited(self, functions: Sequence[str], reach: Reach) -> list[BackwardPass]:
        """Return the passes that a target's functions are, else those that they call."""
        located = [found for found in map(reach.modules.locate, functions) if found is not None]
        direct = [one for found in located for one in self._at(found.module, found.name)]
        if direct:
            return direct
        return self._below([(found.module, found.name.partition(".")[0]) for found in located], reach)

    def _at(self, module: Module, name: str) -> list[BackwardPass]:
        """Return the passes that a dotted name of a module is or lies in, or that lie in it."""
        return [
            one
            for one in self._by_file.get(module.file, ())
            if f"{name}.".startswith(f"{one.name}.")
            or one.name.startswith(f"{name}.<locals>.")
            or (one.kind is Kind.TORCH_LIBRARY and one.op == name)  # registered under its name in the library
        ]

    def _below(self, waiting: list[tuple[Module, str]], reach: Reach) -> list[BackwardPass]:
        """Return the passes reached from some definitions, looking no further behind each."""
        seen: set[tuple[str, str]] = set()
        found: list[BackwardPass] = []
        while waiting:
            module, name = waiting.pop()
            if (module.name, name) in seen or name not in module.definitions:
                continue
            seen.add((module.name, name))
            here = self._at(module, name)
            found += here
            if not here:
                mentions = reach.part(module, name).mentions
                waiting += [entry for chain in mentions for entry in reach.behind(module, chain)]
        return found
