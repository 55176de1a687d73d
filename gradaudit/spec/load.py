"""From paths to cases: finding spec files, validating each document, reporting every mistake of every file at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gradaudit.spec.case import Case, Location
from gradaudit.spec.document import (
    AvoidModel,
    BackwardModel,
    CaseModel,
    DocumentModel,
    InputModel,
    OutputsModel,
    ProcessModel,
    TargetModel,
    ToleranceModel,
)
from gradaudit.spec.errors import Problem, SpecError, nearest
from gradaudit.spec.expand import Overrides, expand
from gradaudit.spec.select import SelectionError, Selector
from gradaudit.spec.source import Document, KeyPath, read_documents

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Specs:
    """What was loaded: the cases in a stable order, and the document that each came from."""

    cases: tuple[Case, ...]
    documents: dict[str, Document]

    def locate(self, case: Case, path: KeyPath) -> Location:
        """Return where this part of a case stands in its file: in the case itself or in the document it overrides."""
        document = self.documents[case.op]
        for i, own in enumerate(document.data.get("cases") or []):
            if own["name"] == case.name and ("cases", i, *path) in document:
                return document.locate(("cases", i, *path))
        return document.locate(path)


def load_specs(paths: Sequence[Path], overrides: Overrides | None = None) -> Specs:
    """Load every spec under the paths: files as given, folders walked for ``.yaml`` and ``.yml``.

    Raises:
        SpecError: carrying every problem of every file, where there is any.

    """
    problems: list[Problem] = []
    cases: list[Case] = []
    documents: dict[str, Document] = {}
    for file in _spec_files(paths, problems):
        sources, unreadable = read_documents(file)
        problems += unreadable
        for source in sources:
            model = _validated(source, problems)
            if model is None:
                continue
            if model.op in documents:
                first = documents[model.op].locate(("op",))
                problems.append(Problem(source.locate(("op",)), f"op '{model.op}' is already specified at {first}"))
                continue
            documents[model.op] = source
            found, wrong = expand(source, model, overrides or Overrides())
            cases += found
            problems += wrong
    if problems:
        raise SpecError(problems)
    return Specs(tuple(cases), documents)


def selected(specs: Specs, selector: Selector) -> Specs:
    """Return the specs with those cases only that the selector takes.

    Raises:
        SelectionError: where it takes none.

    """
    cases = tuple(case for case in specs.cases if selector(case))
    if not cases:
        raise SelectionError(f"-k selects none of the {len(specs.cases)} cases")
    return replace(specs, cases=cases)


def _spec_files(paths: Sequence[Path], problems: list[Problem]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        here = Location(path, 1, 1)
        if path.is_dir():
            files = sorted(_walk(path))
            if not files:
                problems.append(Problem(here, "holds no specs: expected .yaml or .yml files in this folder or below"))
        elif path.is_file():
            files = [path]
        else:
            problems.append(Problem(here, f"does not exist{_nearest_path(path)}"))
            continue
        for file in files:
            if (resolved := file.resolve()) not in seen:
                seen.add(resolved)
                yield file


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in names if name.endswith(SUFFIXES) and not name.startswith("."))


def _nearest_path(path: Path) -> str:
    parent = path.parent
    return nearest(path.name, [entry.name for entry in parent.iterdir()]) if parent.is_dir() else ""


def _validated(source: Document, problems: list[Problem]) -> DocumentModel | None:
    if not isinstance(source.data, dict):
        problems.append(Problem(source.locate(()), f"expected a spec with keys, found {_shown(source.data)}"))
        return None
    try:
        return DocumentModel.model_validate(source.data)
    except ValidationError as error:
        problems.extend(_problem(source, detail) for detail in error.errors(include_url=False))
        return None


def _problem(source: Document, detail: ErrorDetails) -> Problem:
    path: KeyPath = tuple(part for part in detail["loc"] if part != "[key]")
    dotted = ".".join(map(str, path))
    found = detail["input"]
    context: dict[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(path[:-1])
            hint = nearest(str(path[-1]), known) or f"; expected one of {', '.join(known)}"
            return Problem(source.locate(path, key=True), f"{dotted}: unknown key '{path[-1]}'{hint}")
        case "missing":
            return Problem(source.locate(path[:-1]), f"the required key '{path[-1]}' is missing")
        case "literal_error":
            known = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
            hint = nearest(str(found), known)
            message = f"{dotted}: found {_shown(found)}, expected {context['expected']}{hint}"
        case "value_error":
            message = f"{dotted}: {context['error']}"
            if not str(context["error"]).startswith("found"):
                message += f", found {_shown(found)}"
        case "string_pattern_mismatch":
            message = (
                f"{dotted}: found {_shown(found)}, expected {_PATTERNS.get(context['pattern'], context['pattern'])}"
            )
        case _:
            message = f"{dotted}: {_expectation(detail['msg'])}, found {_shown(found)}"
    return Problem(source.locate(path), message)


_PATTERNS = {
    r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$": "module:function",
    r"^[\w.+=-]+$": "a name of letters, digits and . + = - _",
    r"^[\w.-]+$": "a name of letters, digits and . - _",
}


def _expectation(message: str) -> str:
    for start, plain in (("Input should be a valid ", "expected a "), ("Input should be ", "expected ")):
        if message.startswith(start):
            return plain + message.removeprefix(start).replace("dictionary or instance of", "mapping, a")
    return message[0].lower() + message[1:]


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(path: KeyPath) -> list[str]:
    """Return the keys that may stand at this path of a document."""
    if path[:1] == ("cases",):
        return _known_keys(path[2:]) if len(path) > 2 else list(CaseModel.model_fields)
    match path:
        case ():
            model: Any = DocumentModel
        case ("inputs", _):
            model = InputModel
        case ("inputs", _, "avoid"):
            model = AvoidModel
        case ("target",):
            model = TargetModel
        case ("target", "backward"):
            model = BackwardModel
        case ("target", "outputs"):
            model = OutputsModel
        case ("target", "process"):
            model = ProcessModel
        case ("tolerance",):
            model = ToleranceModel
        case _:
            return []
    return list(model.model_fields)
