"""YAML text to plain data, remembering where in the file every key and value stands.

PyYAML's safe loader composes the text into nodes; scalars follow the YAML 1.2 core schema, so that ``1e-5`` is a
number and ``no`` is a word. Nothing in a spec is ever evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gradaudit.spec.case import Location
from gradaudit.spec.errors import Problem

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same results, slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_NODES = 200_000
"""Most nodes a document may expand into: aliases of aliases (an alias bomb) stop here instead of filling memory."""

MAX_DEPTH = 50
"""Deepest nesting: a spec needs about ten levels; an alias inside its own anchor would never end."""

KeyPath = tuple[Hashable, ...]


class _CoreSchemaLoader(_SafeLoader):
    """The safe loader with YAML 1.2's scalars instead of 1.1's."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own design)


_NULL, _BOOL, _INT, _FLOAT, _STR = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str"))
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
    """One YAML document as plain data, with the place of everything in it."""

    file: Path
    data: Any
    keys: dict[KeyPath, Location] = field(default_factory=dict)
    values: dict[KeyPath, Location] = field(default_factory=dict)

    def locate(self, path: KeyPath, *, key: bool = False) -> Location:
        """Return where the value at this path stands, or its key; of the nearest parent that is in the text."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values[path]

    def __contains__(self, path: KeyPath) -> bool:
        return path in self.values


class _UnreadableError(Exception):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.node = node


def read_documents(file: Path) -> tuple[list[Document], list[Problem]]:
    """Read every YAML document of a file.

    Returns the documents that could be read and what is wrong with the others: text that is not UTF-8, syntax
    errors, an empty file, duplicate keys, aliases that expand without bound.
    """
    start = Location(file, 1, 1)
    try:
        raw = file.read_bytes()
    except OSError as error:
        return [], [Problem(start, f"cannot be read: {error.strerror or error}")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        found = f"byte 0x{raw[error.start]:02x}"
        return [], [Problem(Location(file, line, column), f"is not UTF-8 text: found {found}; save it as UTF-8")]

    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in yaml.compose_all(text, Loader=_CoreSchemaLoader):
            if node is None or node.tag == _NULL:
                continue
            document = Document(file, None)
            try:
                document.data = _Builder(document).build(node, (), 0)
                documents.append(document)
            except _UnreadableError as error:
                problems.append(Problem(_location(file, error.node), str(error)))
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(file, error))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(Problem(Location(file, line, 1), f"is not YAML: {error.reason}"))
    if not documents and not problems:
        problems.append(Problem(start, "is empty: expected a spec that starts with 'op: NAME'"))
    return documents, problems


def _location(file: Path, node: yaml.Node) -> Location:
    return Location(file, node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax_problem(file: Path, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    said = ", ".join(str(part) for part in (error.context, error.problem) if part)
    if "\\t" in said or "tab" in said:
        return Problem(where, "found a tab in the indentation; YAML indents with spaces only")
    return Problem(where, f"is not valid YAML: {said}")


class _Builder:
    """Turns composed nodes into dicts, lists and scalars, noting the place of each."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _UnreadableError(node, f"expands into more than {MAX_NODES:,} values; are aliases nested in aliases?")
        if depth > MAX_DEPTH:
            raise _UnreadableError(node, f"is nested more than {MAX_DEPTH} levels deep; does an alias contain itself?")
        self.document.values[path] = _location(self.document.file, node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _UnreadableError(key_node, "found a list or mapping as a key; expected a word")
            key = key_node.value
            if key == "<<":
                raise _UnreadableError(key_node, "merge keys (<<) are not supported; share values through 'cases'")
            if key in built:
                first = self.document.keys[(*path, key)].line
                raise _UnreadableError(key_node, f"key '{key}' is given twice; the first is on line {first}")
            self.document.keys[(*path, key)] = _location(self.document.file, key_node)
            built[key] = self.build(value_node, (*path, key), depth + 1)
        return built


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    try:
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
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
