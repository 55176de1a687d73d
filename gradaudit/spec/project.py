"""What a project says of itself: ``[tool.gradaudit]`` in the nearest ``pyproject.toml``."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradaudit.spec.case import Location, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.spec.errors import Problem, SpecError, nearest
from gradaudit.spec.toml_lines import place_of

DEFAULT_SPECS = Path("specs")
DEFAULT_SOURCES = Path()
DEFAULT_STORE = Path("reports", "audit.db")
DEFAULT_REPORT = Path("reports", "coverage.md")


@dataclass(frozen=True)
class LintSettings:
    """What ``[tool.gradaudit.lint]`` says.

    Attributes:
        select: the rules that files are held against; all where there are none.
        ignore: the rules among them that they are not held against.
        tensors: what the class of tensors is called; the tool's default where there are none.
        attributes: the attributes that give a tensor's array; the tool's default where there are none.

    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Project:
    """Settings of a project; paths are as seen from the current folder.

    Attributes:
        folder: where the project's ``pyproject.toml`` is; None where no ``[tool.gradaudit]`` was found.
        specs: the paths audited where none are given.
        sources: where backward passes are looked for.
        ignore: patterns of file paths and of names of backward passes that are passed over.
        patterns: regular expressions that find backward passes, by the pattern of the file names they are for.
        tolerances: by dtype, for specs that name none.
        store: where results are recorded.
        report: where the page of the project's coverage is written.
        baseline: the file of known failures; None where there is none.
        lint: what the static rules are told.
        allow: the modules that specs may name functions of; None for any.
        budget: calls that each gradient may take where its spec says nothing; None for the default.

    """

    folder: Path | None = None
    specs: tuple[Path, ...] = (DEFAULT_SPECS,)
    sources: tuple[Path, ...] = (DEFAULT_SOURCES,)
    ignore: tuple[str, ...] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    store: Path = DEFAULT_STORE
    report: Path = DEFAULT_REPORT
    baseline: Path | None = None
    lint: LintSettings = LintSettings()
    allow: tuple[str, ...] | None = None
    budget: int | None = None


def find_project(folder: Path) -> Project:
    """Return the settings in the nearest ``pyproject.toml`` at or above a folder, the defaults where there are none.

    Raises:
        SpecError: where the file is not TOML, or the settings are not what is expected.

    """
    for parent in (folder, *folder.parents):
        file = parent / "pyproject.toml"
        if file.is_file():
            return _read(file, folder)
    return Project()


def _read(file: Path, folder: Path) -> Project:
    try:
        text = file.read_text(encoding="utf-8")
        tools = tomllib.loads(text).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        where = Location(file, int(found[1]), int(found[2])) if found else Location(file, 1, 1)
        raise SpecError([Problem(where, f"is not valid TOML: {error}")]) from None
    except OSError as error:
        raise SpecError([Problem(Location(file, 1, 1), f"cannot be read: {error.strerror or error}")]) from None
    settings: Any = tools.get("gradaudit") if isinstance(tools, dict) else None
    if settings is None:
        return Project()
    known = _Settings(settings if isinstance(settings, dict) else {}, file, text)
    if not isinstance(settings, dict):
        known.expect("", "a table", settings)
    known.refuse_unknown()

    def seen(paths: list[str]) -> tuple[Path, ...]:
        return tuple(_relative(file.parent / path, folder) for path in paths)

    project = Project(
        folder=_relative(file.parent, folder),
        specs=seen(known.get("specs", _are_words, "a list of paths", [str(DEFAULT_SPECS)])),
        sources=seen(known.get("sources", _are_words, "a list of paths", [str(DEFAULT_SOURCES)])),
        ignore=tuple(known.get("ignore", _are_words, "a list of patterns of paths or names", [])),
        patterns=known.get(
            "patterns", _are_patterns, 'a table of file patterns, such as "*.mojo", and expressions', {}
        ),
        tolerances=_tolerances(known),
        store=seen([known.get("store", _is_word, "a path", str(DEFAULT_STORE))])[0],
        report=seen([known.get("report", _is_word, "a path", str(DEFAULT_REPORT))])[0],
        baseline=seen([known.get("baseline", _is_word, "a path", "-")])[0] if "baseline" in known.table else None,
        lint=_lint_settings(known),
        allow=tuple(known.get("allow", _are_words, "a list of modules", [])) if "allow" in known.table else None,
        budget=known.get("budget", _is_count, "a whole number of calls, 1 or more", None),
    )
    if known.problems:
        raise SpecError(known.problems)
    return project


class _Settings:
    """The table, and what is wrong with it."""

    KEYS = (
        "specs",
        "sources",
        "ignore",
        "patterns",
        "tolerance",
        "store",
        "report",
        "baseline",
        "lint",
        "allow",
        "budget",
    )

    def __init__(self, table: Mapping[str, Any], file: Path, text: str) -> None:
        self.table = table
        self.file = file
        self.text = text
        self.problems: list[Problem] = []

    def get(self, key: str, fits: Callable[[Any], bool], expected: str, default: Any) -> Any:
        """Return the value of a key where it fits; else the default, having noted what is wrong."""
        value = self.table.get(key, default)
        if fits(value):
            return value
        self.expect(f".{key}", expected, value)
        return default

    def expect(self, key: str, expected: str, found: Any) -> None:
        self.note(key, f"tool.gradaudit{key}: expected {expected}, found {found!r}")

    def note(self, key: str, message: str) -> None:
        """Note a mistake at a key, which is named as seen from the table: ``.tolerance.float32``."""
        path = ["tool", "gradaudit", *key.split(".")[1:]]
        self.problems.append(Problem(Location(self.file, *place_of(self.text, path)), message))

    def refuse_unknown(self) -> None:
        for key in self.table:
            if key not in self.KEYS:
                hint = nearest(key, self.KEYS) or f"; expected {', '.join(self.KEYS)}"
                self.note(f".{key}", f"tool.gradaudit: unknown key '{key}'{hint}")


def _is_word(value: Any) -> bool:
    """Whether a value is a text that can name something: no system knows a name with a NUL."""
    return isinstance(value, str) and value != "" and "\0" not in value


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(_is_word(word) for word in value)


def _are_patterns(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(word, str) for word in value.values())


def _tolerances(known: _Settings) -> dict[str, Tolerance]:
    table = known.get("tolerance", lambda value: isinstance(value, dict), "a table of dtypes", {})
    tolerances = {}
    for dtype, given in table.items():
        if dtype not in DEFAULT_TOLERANCES:
            hint = nearest(dtype, DEFAULT_TOLERANCES)
            known.note(f".tolerance.{dtype}", f"tool.gradaudit.tolerance: unknown dtype '{dtype}'{hint}")
        elif not isinstance(given, dict) or not given or not given.keys() <= {"rtol", "atol"}:
            known.expect(f".tolerance.{dtype}", "rtol, atol or both", given)
        elif not all(_is_size(value) for value in given.values()):
            known.expect(f".tolerance.{dtype}", "finite numbers not below zero", given)
        else:
            default = DEFAULT_TOLERANCES[dtype]
            tolerances[dtype] = Tolerance(
                float(given.get("rtol", default.rtol)), float(given.get("atol", default.atol))
            )
    return tolerances


LINT_KEYS = ("select", "ignore", "tensors", "attributes")


def _lint_settings(known: _Settings) -> LintSettings:
    table = known.get("lint", lambda value: isinstance(value, dict), "a table", {})
    settings = {}
    for key, given in table.items():
        if key not in LINT_KEYS:
            hint = nearest(key, LINT_KEYS) or f"; expected {', '.join(LINT_KEYS)}"
            known.note(f".lint.{key}", f"tool.gradaudit.lint: unknown key '{key}'{hint}")
        elif not _are_words(given):
            known.expect(f".lint.{key}", "a list of names", given)
        else:
            settings[key] = tuple(given)
    return LintSettings(**settings)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1)


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path
