"""From paths to cases: finding spec files, validating each document, reporting every mistake of every file at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from gradaudit.spec.case import Case, Location
from gradaudit.spec.errors import Problem, SpecError, nearest
from gradaudit.spec.expand import Overrides, expand
from gradaudit.spec.kinds import DEFAULT, KINDS, Kind, kind_named
from gradaudit.spec.project import DEFAULT_SPECS
from gradaudit.spec.reading import NotAsDeclaredError, shown, validated
from gradaudit.spec.select import SelectionError, Selector
from gradaudit.spec.source import Document, KeyPath, read_documents
from gradaudit.spec.strict import Strict

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Specs:
    """What was loaded: the cases in a stable order, and the document that each came from."""

    cases: tuple[Case, ...]
    documents: dict[str, Document]

    def locate(self, case: Case, path: KeyPath) -> Location:
        """Return where this part of a case stands in its file: in the case itself or in the document it overrides."""
        document = self.documents[case.op]
        names = [own["name"] for own in document.data.get("cases") or []]
        return document.locate_merged(("cases", names.index(case.name_in_spec)) if names else (), path)


def load_specs(paths: Sequence[Path], overrides: Overrides | None = None) -> Specs:
    """Load every spec under the paths: files as given, folders walked for ``.yaml`` and ``.yml``.

    Raises:
        SpecError: carrying every problem of every file, where there is any.

    """
    problems: list[Problem] = []
    cases: list[Case] = []
    documents: dict[str, Document] = {}
    for file, folder in _spec_files(paths, problems):
        sources, unreadable = read_documents(file)
        problems += unreadable
        for source in sources:
            source.folder = folder
            if not isinstance(source.data, dict):
                problems.append(Problem(source.locate(()), f"expected a spec with keys, found {shown(source.data)}"))
                continue
            op = source.data.get("op")
            if isinstance(op, str) and (first := documents.setdefault(op, source)) is not source:
                where = first.locate(("op",))
                problems.append(Problem(source.locate(("op",)), f"op '{op}' is already specified at {where}"))
            kind = _kind(source, problems)
            model, wrong_parts = _validated(source, kind, problems) if kind else (None, set())
            if kind is not None and model is not None:
                found, wrong = expand(source, model, overrides or Overrides(), wrong_parts)
                cases += found
                problems += wrong
    if overrides is not None and overrides.allow is not None:
        from gradaudit.spec.allowed import within

        cases, refused = within(cases, documents, overrides.allow)
        problems += refused
    if problems:
        raise SpecError(problems)
    return Specs(tuple(cases), documents)


def is_source(path: Path) -> bool:
    """Whether a path is a source file, or a folder of sources without specs, rather than specs."""
    if path.is_file():
        return path.suffix not in SUFFIXES
    return path.is_dir() and not any(_has_spec(folder / name) for folder, name in _walk(path))


def _has_spec(file: Path) -> bool:
    documents, problems = read_documents(file)
    return bool(problems) or any(isinstance(one.data, dict) and {"op", "target"} & one.data.keys() for one in documents)


def selected(specs: Specs, selector: Selector) -> Specs:
    """Return the specs with those cases only that the selector takes.

    Raises:
        SelectionError: where it takes none.

    """
    cases = tuple(case for case in specs.cases if selector(case))
    if not cases:
        raise SelectionError(f"-k selects none of the {len(specs.cases)} cases")
    return replace(specs, cases=cases)


def _spec_files(paths: Sequence[Path], problems: list[Problem]) -> Iterator[tuple[Path, Path]]:
    """Yield every file once, with the folder that it is really in."""
    seen: set[tuple[Path, str]] = set()
    real_folder = cache(lambda folder: Path(os.path.realpath(folder)))
    for path in paths:
        here = Location(path, 1, 1)
        if os.path.isdir(path):
            files = _walk(path)
            if not files:
                problems.append(Problem(here, "holds no specs: expected .yaml or .yml files in this folder or below"))
        elif os.path.isfile(path) or os.path.exists(path):
            files = [(path.parent, path.name)]
        else:
            problems.append(Problem(here, f"does not exist{_nearest_path(path)}"))
            continue
        for parent, name in files:
            file, place = parent / name, (real_folder(parent), name)
            if os.path.islink(file):
                real = Path(os.path.realpath(file))
                place = real.parent, real.name
            if place not in seen:
                seen.add(place)
                yield file, place[0]


def _walk(folder: Path) -> list[tuple[Path, str]]:
    """Return the folder and the name of every spec file, in the order of all parts of their paths."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(parent)
        found += [(here, name) for name in names if name.endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found, key=lambda entry: (*entry[0].parts, entry[1]))


NOTHING_NAMED = ": give files or folders with --specs, or name them in pyproject.toml"
"""Who runs the tool for the first time has not heard of the folder that is looked for."""


def _nearest_path(path: Path) -> str:
    parent = path.parent
    near = nearest(path.name, os.listdir(parent)) if os.path.isdir(parent) else ""
    return near or (NOTHING_NAMED if path == DEFAULT_SPECS else "")


def _kind(source: Document, problems: list[Problem]) -> Kind | None:
    name = source.data.get("kind", DEFAULT)
    if isinstance(name, str) and name in KINDS:
        return kind_named(name)
    message = f"kind: found {shown(name)}, expected {' or '.join(KINDS)}{nearest(str(name), KINDS)}"
    problems.append(Problem(source.locate(("kind",)), message))
    return None


def _validated(source: Document, kind: Kind, problems: list[Problem]) -> tuple[Strict | None, set[KeyPath]]:
    """Return the model, and which parts were left out of it because they are wrong; None where too little is left."""
    try:
        return validated(kind.document, source.data), set()
    except NotAsDeclaredError as error:
        wrong = error.wrong
    problems.extend(
        Problem(source.locate(one.path, key=one.key), f"{_dotted(one.path)}: {one.message}")
        for one in wrong
        if one.message
    )
    wrong_parts = {_part(one.path) for one in wrong}
    if ("cases",) in wrong_parts:
        return None, wrong_parts
    left = copy.deepcopy(source.data)
    for *parents, name in wrong_parts:
        holder = left
        for parent in parents:
            holder = holder[parent]
        holder.pop(name, None)
    try:
        return validated(kind.document, left), wrong_parts
    except NotAsDeclaredError:
        return None, wrong_parts


def _part(path: KeyPath) -> KeyPath:
    """Return the setting or input, of the document or of one of its cases, that this path leads into."""
    case, own = (path[:2], path[2:]) if path[0] == "cases" and len(path) > 2 else ((), path)
    return case + own[: 2 if own[0] == "inputs" else 1]


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))
