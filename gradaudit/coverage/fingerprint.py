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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gradaudit.source.reach import ReachFinder, hashed
from gradaudit.spec.case import Case, Target
from gradaudit.store.records import Provenance

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def functions_of(target: Target) -> tuple[str, ...]:
    """Return every ``module:function`` that a target names, of whatever kind it is."""
    return _functions_among(_words(target))


def _functions_among(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(_FUNCTION.fullmatch, words)))


def _words(value: Any) -> list[str]:
    """Return all texts in a value, but for the keys of its dicts."""
    found: list[str] = []
    left = [value]
    while left:
        value = left.pop()
        kind: type = type(value)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            left += reversed(value)
        elif isinstance(value, dict):
            left += reversed(value.values())
        elif (names := _fields(kind)) is not None:
            left += [getattr(value, name) for name in reversed(names)]
    return found


@cache
def _fields(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields; None of any other class."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


_LEAVES = frozenset({str, int, float, bool, type(None)})
"""Classes of what is plain by itself."""


def _plain(value: Any, without: Collection[str] = ()) -> Any:
    """Return dataclasses as dicts, however deep they are; nothing is copied that is none of those."""
    kind: type = type(value)
    if kind in _LEAVES:
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    names = _fields(kind)
    if names is None:
        return value
    said = {name: getattr(value, name) for name in names if name not in without}
    return {name: held if type(held) in _LEAVES else _plain(held) for name, held in said.items()}


def hash_case(case: Case) -> str:
    """Return the hash of all that a case says, save its notes and where it stands.

    Nor its budget: what was decided within one stays so with another, and what was not is never taken for known.
    """
    said = _plain(case, without=("notes", "location", "part", "budget"))
    del said["target"]["folder"]
    for added in ("checks", "seeds", "requires", "repeat", "relations"):  # none: as before there could be any
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
    is_file = cache(_is_file)  # many cases name the same

    @cache
    def of_target(functions: tuple[str, ...], files: tuple[str, ...], spec_folder: Path) -> str:
        reach = find(functions, spec_folder)
        reached = {entry for function in functions for entry in reach.everything(function)}
        reached |= {(name, "", _digest(spec_folder / name)) for name in files}
        return hashed(json.dumps(sorted(reached))) if reached else ""

    def of_case(case: Case) -> str:
        words = _words(case.target)
        return of_target(_functions_among(words), _files_of(case, words, is_file), case.target.folder)

    return of_case


def _files_of(case: Case, words: Sequence[str], is_file: Callable[[Path, str], bool]) -> tuple[str, ...]:
    """Return the files that a case names, in its inputs or in the words of its target, as it names them."""
    named = {*words, *_words([made.values for made in case.inputs if _names_a_file(made.values)])}
    return tuple(sorted(word for word in named if is_file(case.target.folder, word)))


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _names_a_file(values: Any) -> bool:
    return isinstance(values, (str, dict))


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):  # no name that a system takes
        return False
