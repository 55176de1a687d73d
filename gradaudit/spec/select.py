"""The language of ``-k``: words that a case's id contains, joined by ``and``, ``or``, ``not`` and parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable

from gradaudit.spec.case import Case

Selector = Callable[[Case], bool]


class SelectionError(ValueError):
    """The expression cannot be read."""


def parse_selection(expression: str) -> Selector:
    """Return a predicate on cases: a word holds where ``module/op::case[dtype]`` contains it, whatever its case.

    Raises:
        SelectionError: where parentheses or operators do not match up.

    """
    words = re.findall(r"\(|\)|[^\s()]+", expression)
    try:
        selector, rest = _either(words)
    except RecursionError:
        raise SelectionError("-k: the expression is nested too deeply") from None
    if rest:
        raise SelectionError(f"-k {expression!r}: found '{rest[0]}', expected 'and', 'or' or the end")
    return selector


def _either(words: list[str]) -> tuple[Selector, list[str]]:
    selector, words = _both(words)
    choices = [selector]
    while words[:1] == ["or"]:
        selector, words = _both(words[1:])
        choices.append(selector)
    return (lambda case: any(choice(case) for choice in choices)), words


def _both(words: list[str]) -> tuple[Selector, list[str]]:
    selector, words = _negated(words)
    demands = [selector]
    while words[:1] == ["and"]:
        selector, words = _negated(words[1:])
        demands.append(selector)
    return (lambda case: all(demand(case) for demand in demands)), words


def _negated(words: list[str]) -> tuple[Selector, list[str]]:
    if not words or words[0] in (")", "and", "or"):
        raise SelectionError(f"-k: expected a word, found {words[0]!r}" if words else "-k: the expression ends early")
    first, words = words[0], words[1:]
    if first == "not":
        inner, words = _negated(words)
        return (lambda case: not inner(case)), words
    if first == "(":
        inner, words = _either(words)
        if words[:1] != [")"]:
            raise SelectionError("-k: a parenthesis is not closed")
        return inner, words[1:]
    return (lambda case: first.lower() in case.id.lower()), words
