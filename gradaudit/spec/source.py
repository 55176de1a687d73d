"""YAML text to plain data, remembering where in the file every key and value stands.

PyYAML's safe loader composes the text into nodes; scalars follow the YAML 1.2 core schema, so that ``1e-5`` is a
number and ``no`` is a word. Nothing in a spec is ever evaluated.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gradaudit.spec.case import Location
from gradaudit.spec.errors import Problem

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: slower, and stricter about tabs
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_NODES = 200_000
"""Most nodes a document may expand into: aliases of aliases (an alias bomb) stop here instead of filling memory."""

MAX_DEPTH = 50
"""Deepest nesting: a spec needs about ten levels; an alias inside its own anchor would never end."""

_TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep; does an alias contain itself?"

KeyPath = tuple[Hashable, ...]


class _UnreadableError(Exception):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.node = node


class _CoreSchemaLoader(_SafeLoader):
    """The safe loader with YAML 1.2's scalars instead of 1.1's."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own design)
    depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Refuse deep nesting while nodes are composed, which libyaml does by recursion until the stack ends."""
        self.depth += 1
        if parent is not None and self.depth > MAX_DEPTH + 1:
            raise _UnreadableError(parent, _TOO_DEEP)

    def ascend_resolver(self) -> None:
        """Leave a level of nesting."""
        self.depth -= 1


_NULL, _BOOL, _INT, _FLOAT, _STR, _SEQ, _MAP = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")
)
_SCALARS = [
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_INT, r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        _FLOAT,
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
]
for _tag, _pattern, _first in _SCALARS:
    _CoreSchemaLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)


@dataclass
class Document:
    """One YAML document as plain data, with the line and the column of every key and value in it."""

    file: Path
    data: Any
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        """The folder that the file is really in, whatever links lead there."""
        return self.file.resolve().parent

    def locate(self, path: KeyPath, *, key: bool = False) -> Location:
        """Return where the value at this path stands, or its key; of the nearest parent that is in the text."""
        if key and path in self.keys:
            return Location(self.file, *self.keys[path])
        while path and path not in self.values:
            path = path[:-1]
        return Location(self.file, *self.values[path])

    def locate_merged(self, case: KeyPath, path: KeyPath, *, key: bool = False) -> Location:
        """Return where this part of a merged case stands: in the case at the path ``case``, or in the document."""
        below, own = self.data, (*case, *path)
        for depth, part in enumerate(own):
            if not isinstance(below, dict | list):
                break  # The case gives a plain value where the document may spell out a whole.
            if own[: depth + 1] not in self.values:
                return self.locate(path, key=key)
            below = below[part]  # type: ignore[call-overload]
        return self.locate(own, key=key)


LARGEST = 64 * 2**20
"""Bytes of a file that are read: what is larger is no text that anybody wrote."""


def read_documents(file: Path) -> tuple[list[Document], list[Problem]]:
    """Read every YAML document of a file.

    Returns the documents that could be read and what is wrong with the others: text that is not UTF-8, syntax
    errors, an empty file, aliases that expand without bound. Duplicate keys and tags are reported and passed over.
    """
    start = Location(file, 1, 1)
    text = _text_of(file)
    if isinstance(text, Problem):
        return [], [text]

    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in yaml.compose_all(text, Loader=_CoreSchemaLoader):
            if node is None or node.tag == _NULL:
                continue
            document = Document(file, None)
            try:
                document.data = _Builder(document, problems).build(node, (), 0)
                documents.append(document)
            except _UnreadableError as error:
                problems.append(Problem(_location(file, error.node), str(error)))
    except _UnreadableError as error:
        problems.append(Problem(_location(file, error.node), str(error)))
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(file, text, error))
    except yaml.reader.ReaderError as error:
        # libyaml counts the position in bytes and PyYAML in characters, so it is looked for again.
        strange = yaml.reader.Reader.NON_PRINTABLE.search(text)
        where = _end_of(file, text[: strange.start()]) if strange else start
        problems.append(Problem(where, f"is not YAML: {error.reason}"))
    if not documents and not problems:
        problems.append(Problem(start, "is empty: expected a spec that starts with 'op: NAME'"))
    return documents, problems


def _text_of(file: Path) -> str | Problem:
    """Return the text of a file, or why there is none."""
    start = Location(file, 1, 1)
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device, which may never end
            return Problem(start, "is not a regular file; expected a text file")
        if found.st_size > LARGEST:
            return Problem(start, f"has {found.st_size:,} bytes: expected a spec of at most {LARGEST:,}")
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            where = _end_of(file, error.object[: error.start].decode("utf-8"))
            return Problem(where, f"is not UTF-8 text: found byte 0x{error.object[error.start]:02x}; save it as UTF-8")
        return Problem(start, f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _location(file: Path, node: yaml.Node) -> Location:
    return Location(file, *_place(node))


def _place(node: yaml.Node) -> tuple[int, int]:
    mark = node.start_mark
    return mark.line + 1, mark.column + 1


def _end_of(file: Path, text: str) -> Location:
    """Return the place right after the characters that a file starts with."""
    return Location(file, text.count("\n") + 1, len(text) - text.rfind("\n"))


def _syntax_problem(file: Path, text: str, error: yaml.MarkedYAMLError) -> Problem:
    said = ", ".join(str(part) for part in (error.context, error.problem) if part)
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Location(file, 1, 1), f"is not valid YAML: {said}")
    line = [*text.splitlines(), ""][mark.line]
    indentation = line[: len(line) - len(line.lstrip(" \t-"))]
    if "\t" in indentation and mark.column <= len(indentation):
        where = Location(file, mark.line + 1, line.index("\t") + 1)
        return Problem(where, "found a tab in the indentation; YAML indents with spaces only")
    return Problem(Location(file, mark.line + 1, mark.column + 1), f"is not valid YAML: {said}")


class _Builder:
    """Turns composed nodes into dicts, lists and scalars, noting the place of each."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self.document = document
        self.problems = problems
        self.nodes = 0

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _UnreadableError(node, f"expands into more than {MAX_NODES:,} values; are aliases nested in aliases?")
        if depth > MAX_DEPTH:
            raise _UnreadableError(node, _TOO_DEEP)
        self.document.values[path] = _place(node)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if node.tag not in (_MAP, _SEQ):
            self._refuse(node, f"found the tag '{node.tag}'; a spec holds plain values only")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        return [self.build(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, "found a list or mapping as a key; expected a word")
            elif key == "<<":
                self._refuse(key_node, "merge keys (<<) are not supported; share values through 'cases'")
            elif key in built:
                first, _ = self.document.keys[(*path, key)]
                self._refuse(key_node, f"key '{key}' is given twice; the first is on line {first}")
            else:
                below = (*path, key)
                self.document.keys[below] = _place(key_node)
                built[key] = self.build(value_node, below, depth + 1)
        return built

    def _refuse(self, node: yaml.Node, message: str) -> None:
        """Note what is wrong with a node, and read on: the rest of the document may hold more mistakes."""
        self.problems.append(Problem(_location(self.document.file, node), message))


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    try:
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if node.tag == _INT:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        if node.tag == _FLOAT:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise _UnreadableError(node, f"found a number that cannot be read: {error}") from None
    if node.tag == _STR:
        return text
    raise _UnreadableError(node, f"found the tag '{node.tag}'; a spec holds plain values only")
