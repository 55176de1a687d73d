"""Hashes of what a result is about: the source of an op's implementation, and the spec of a case.

The hash of a function is that of its syntax tree and of everything it reaches in the project: what it calls, the
constants it uses, wherever they were imported from. Comments, docstrings and layout do not count, nor does what else
stands in the same file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from gradaudit.source.reach import ReachFinder, hashed
from gradaudit.spec.case import Case, Target
from gradaudit.store.records import Provenance

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def functions_of(target: Target) -> tuple[str, ...]:
    """Return every ``module:function`` that a target names, of whatever kind it is."""

    def names(value: Any) -> Iterator[str]:
        if isinstance(value, str) and _FUNCTION.fullmatch(value):
            yield value
        elif isinstance(value, dict):
            for item in value.values():
                yield from names(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from names(item)

    return tuple(dict.fromkeys(names(asdict(target))))


def hash_case(case: Case) -> str:
    """Return the hash of all that a case says, save its notes and where it stands.

    Nor its budget: what was decided within one stays so with another, and what was not is never taken for known.
    """
    said = asdict(case)
    for aside in ("notes", "location", "part", "budget"):
        del said[aside]
    del said["target"]["folder"]
    for added in ("checks", "seeds", "requires", "repeat"):  # where there are none, as before there could be any
        if not said[added]:
            del said[added]
    return hashed(json.dumps(said, sort_keys=True, default=_in_full))


def _in_full(value: Any) -> Any:
    """Return what JSON does not know as what it does: the text of a large array would leave most of it out."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def provenances(cases: Sequence[Case], find: ReachFinder) -> dict[str, Provenance]:
    """Return what the results of each case are about, by the case's id.

    Args:
        cases: the cases.
        find: where the functions of their targets are looked up.

    """
    hash_source = source_hasher(find)
    return {case.id: Provenance(hash_source(case), hash_case(case), case.seed) for case in cases}


def states(cases: Sequence[Case], about: Mapping[str, Provenance]) -> dict[str, str]:
    """Return a hash of all that each op's cases are about together, by the op.

    Args:
        cases: the cases.
        about: what each of them is about, by its id.

    """
    parts: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for case in cases:
        parts[case.op].append((case.id, about[case.id].source, about[case.id].spec))
    return {op: hashed(json.dumps(sorted(own))) for op, own in parts.items()}


def source_hasher(find: ReachFinder) -> Callable[[Case], str]:
    """Return a function that hashes the implementation of a case's op.

    It returns an empty text where the source of none of the op's functions is found.
    """

    @cache
    def of_target(functions: tuple[str, ...], files: tuple[str, ...], spec_folder: Path) -> str:
        reach = find(functions, spec_folder)
        reached = {entry for function in functions for entry in reach.everything(function)}
        reached |= {(name, "", _digest(spec_folder / name)) for name in files}
        return hashed(json.dumps(sorted(reached))) if reached else ""

    return lambda case: of_target(functions_of(case.target), files_of(case), case.target.folder)


def files_of(case: Case) -> tuple[str, ...]:
    """Return the files that a case names, as it names them: libraries, programs and their arguments, values."""

    def words(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for item in value.values():
                yield from words(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                yield from words(item)

    named = {*words(asdict(case.target)), *words([made.values for made in case.inputs if _names_a_file(made.values)])}
    return tuple(sorted(word for word in named if _is_file(case.target.folder / word)))


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _names_a_file(values: Any) -> bool:
    return isinstance(values, (str, dict))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no name that a system takes
        return False
