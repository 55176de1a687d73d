"""Holding files against the rules."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradaudit.coverage.discover import source_files
from gradaudit.lint.ignores import Ignore, ignores_in
from gradaudit.lint.rules import RULES
from gradaudit.lint.rules.rule import Breach, Rule
from gradaudit.lint.source import Replaced, read_source, replaced_methods
from gradaudit.lint.violation import Violation
from gradaudit.lint.vocabulary import Vocabulary
from gradaudit.source.modules import MAX_SOURCE
from gradaudit.spec.errors import nearest

UNREADABLE = "unreadable"
"""What a file is reported under that is no Python, or cannot be read; no comment ignores it."""

UNKNOWN_RULE = "unknown-rule"
"""What an ignore is reported under that names no rule: it would go on ignoring nothing, unnoticed."""

REPLACES = re.compile(rb"^[ \t]*[A-Z]\w*\.\w+[ \t]*=[^=]|setattr\(", re.MULTILINE)
"""What stands in every file that replaces methods of classes from outside."""

TELLING = re.compile(rb"backward|Backward|def apply|grad_fn|_vjp|__class__\(|type\([\w.]+\)\(")
"""What stands in every file that has a backward pass, or makes an object of another's class."""


@dataclass(frozen=True)
class Report:
    """What linting came to: what was found, by file and line, and how many files were looked at."""

    violations: tuple[Violation, ...]
    files: int


class UnknownRuleError(ValueError):
    """A rule that was asked for does not exist."""


def chosen_rules(select: Iterable[str], ignore: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules that are selected, all where none are, less those that are ignored.

    Raises:
        UnknownRuleError: where one of them does not exist.

    """
    select, ignore = tuple(select), tuple(ignore)
    for name in (*select, *ignore):
        if name not in RULES:
            raise UnknownRuleError(f"there is no rule '{name}'{_hint(name)}")
    return tuple(rule for name, rule in RULES.items() if (not select or name in select) and name not in ignore)


def lint(
    paths: Sequence[Path],
    rules: Sequence[Rule],
    vocabulary: Vocabulary | None = None,
    passed_over: Sequence[str] = (),
) -> Report:
    """Hold Python files, and those in folders, against rules; nothing is imported.

    Args:
        paths: files and folders; in folders, tests, hidden folders and what is built are passed over.
        rules: the rules.
        vocabulary: how the project calls its tensors.
        passed_over: patterns of file paths that are passed over.

    Raises:
        FileNotFoundError: where a path does not exist.

    """
    base = Path.cwd().resolve()
    vocabulary = vocabulary or Vocabulary()
    named = {path.resolve() for path in paths}
    found = source_files(paths, base, passed_over)
    files = [file for file in found if file.suffix == ".py" or file in named]
    replaced = frozenset(pair for file in files for pair in _replaced(file))
    violations = [
        violation for file in files for violation in _lint_file(file, _shown(file, base), rules, vocabulary, replaced)
    ]
    return Report(tuple(sorted(violations)), len(files))


def _shown(file: Path, base: Path) -> Path:
    return file.relative_to(base) if file.is_relative_to(base) else file


def _replaced(file: Path) -> Replaced:
    source = _read(file)
    if isinstance(source, str) or not REPLACES.search(source):
        return frozenset()
    tree = _parsed(source)
    return replaced_methods(tree) if isinstance(tree, ast.Module) else frozenset()


def _lint_file(
    file: Path, shown: Path, rules: Sequence[Rule], vocabulary: Vocabulary, replaced: Replaced
) -> Iterator[Violation]:
    source = _read(file)
    if isinstance(source, str):
        yield _unreadable(shown, 1, 1, source)
        return
    tree = _parsed(source)
    if not isinstance(tree, ast.Module):
        yield _unreadable(shown, *tree)
        return
    ignores = ignores_in(source)
    yield from _unknown_rules(shown, ignores.values())
    builds = any(name.encode() + b"(" in source for name in vocabulary.tensors)
    if not builds and not TELLING.search(source):
        return
    try:
        read = read_source(shown, tree, vocabulary, replaced)
        broken = [_violation(shown, rule, breach) for rule in rules for breach in rule.check(read)]
    except RecursionError:
        yield _unreadable(shown, 1, 1, "is nested too deeply to be checked")
        return
    for violation in dict.fromkeys(broken):
        lines = range(violation.line, violation.last_line + 1)
        if not any(line in ignores and ignores[line].covers(violation.rule) for line in lines):
            yield violation


def _violation(shown: Path, rule: Rule, breach: Breach) -> Violation:
    node = breach.node
    last = node.end_lineno or node.lineno
    return Violation(shown, node.lineno, node.col_offset + 1, rule.name, breach.why, breach.fix, last)


def _unknown_rules(shown: Path, ignores: Iterable[Ignore]) -> Iterator[Violation]:
    for ignore in ignores:
        for name in ignore.rules or ():
            if name not in RULES:
                why = f"this comment ignores '{name}', which is no rule{_hint(name)}"
                yield Violation(shown, ignore.line, ignore.column, UNKNOWN_RULE, why, "name a rule", ignore.line)


def _hint(name: str) -> str:
    return nearest(name, RULES) or f"; there are {', '.join(RULES)}"


def _unreadable(shown: Path, line: int, column: int, why: str) -> Violation:
    return Violation(shown, line, column, UNREADABLE, why, "", line)


def _read(file: Path) -> bytes | str:
    """Return what a file holds, or in words why it cannot be had."""
    try:
        if file.stat().st_size > MAX_SOURCE:
            return f"is larger than {MAX_SOURCE // 2**20} MiB and was not checked"
        return file.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _parsed(source: bytes) -> ast.Module | tuple[int, int, str]:
    """Return the syntax tree, or the line, the column, and in words why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in someone's string is not our concern
            return ast.parse(source)
    except SyntaxError as error:
        return error.lineno or 1, max(error.offset or 1, 1), f"is not Python: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nesting without end
        return 1, 1, f"is not Python: {error or type(error).__name__}"
