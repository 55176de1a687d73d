"""From plain data to the parts of a spec that they describe: every mistake with its place, none hiding another."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

from gradaudit.spec.errors import nearest
from gradaudit.spec.hints import meant_function, meant_list, torn
from gradaudit.spec.source import KeyPath
from gradaudit.spec.strict import FUNCTION, After, Before, Field, FunctionName, Strict


@dataclass(frozen=True)
class Wrong:
    """A value that is not as declared.

    Attributes:
        path: where it stands, seen from what was read.
        message: what was found and what was expected; empty where it is told of in another place.
        key: whether the key there is wrong rather than its value.

    """

    path: KeyPath
    message: str
    key: bool = False


class NotAsDeclaredError(ValueError):
    """What was read has mistakes: all of them, in ``wrong``."""

    def __init__(self, wrong: list[Wrong]) -> None:
        super().__init__("; ".join(one.message for one in wrong))
        self.wrong = wrong


Part = TypeVar("Part", bound=Strict)

Read = Callable[[Any, list[Wrong]], Any]
"""Takes what is written; returns the value, and adds what is wrong with it to a list."""


def validated(part: type[Part], data: Any) -> Part:
    """Return the part of a spec that data describe.

    Raises:
        NotAsDeclaredError: carrying every mistake.

    """
    wrong: list[Wrong] = []
    made: Part = _reader(cast(Any, part))(data, wrong)
    if wrong:
        raise NotAsDeclaredError(wrong)
    return made


def is_function_name(text: str) -> bool:
    """Whether a spec may name a function so."""
    wrong: list[Wrong] = []
    _reader(FunctionName)(text, wrong)
    return not wrong


def shown(value: Any) -> str:
    """Return a value as YAML writes nothing, true and false, and as Python writes all else: at most 60 characters."""
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def _reader(kind: Any) -> Read:
    """Return what reads values of a type: a part of a spec, or one that YAML has, however annotated."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(_reader(arguments[0]), arguments[1:])
    if origin is Literal:
        return _one_of(arguments)
    if origin in (Union, UnionType):
        read = _any_of([_reader(one) for one in arguments if one is not NoneType])
        return _or_nothing(read) if NoneType in arguments else read
    if origin is list:
        return _list_of(_reader(arguments[0]))
    if origin is dict:
        return _mapping_of(_reader(arguments[0]), _reader(arguments[1]))
    return _PLAIN.get(kind) or _part(kind)


def _part(part: type[Strict]) -> Read:
    kinds: dict[str, Read] = {}
    required = [key for key in part.declared if key not in part.unsaid]

    def read(data: Any, wrong: list[Wrong]) -> Any:
        if isinstance(data, part):
            return data
        if not isinstance(data, dict):
            return _refuse("a mapping", data, wrong, part.meant(data))
        # A part that no spec has costs nothing.
        kinds.update(() if kinds else {key: _reader(kind) for key, kind in part.declared.items()})
        given = {}
        for key, value in part.arranged(data).items():
            if (read_value := kinds.get(key)) is None:
                wrong.append(Wrong((key,), _unknown(key, data, kinds), key=True))
                continue
            before = len(wrong)
            given[key] = read_value(value, wrong)
            if len(wrong) > before:
                if isinstance(value, str) and (whole := torn(data).get(key)):
                    del wrong[before:]
                    read_value(whole, wrong)
                _below(key, wrong, before)
        missing = [key for key in required if key not in given]
        wrong += [Wrong((key,), "this key is required, found none") for key in missing]
        return part(**given)

    return read


def _unknown(key: str, data: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return what is said of a key that is not declared: nothing of the end of a value that was torn at a comma."""
    return (
        ""
        if key in torn(data)
        else f"unknown key '{key}'" + (nearest(key, known) or f"; expected one of {', '.join(known)}")
    )


def _below(key: str | int, wrong: list[Wrong], first: int) -> None:
    """Put a key before the places of mistakes, from this one on: what was read stands there."""
    wrong[first:] = [replace(one, path=(key, *one.path)) for one in wrong[first:]]


def _refuse(expected: str, found: Any, wrong: list[Wrong], hint: str = "") -> Any:
    wrong.append(Wrong((), f"expected {expected}, found {shown(found)}{hint}"))
    return found


def _of_type(kind: type, expected: str) -> Read:
    # true is no number, though Python has it so
    return lambda value, wrong: value if type(value) is kind else _refuse(expected, value, wrong)


def _number(value: Any, wrong: list[Wrong]) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        with suppress(OverflowError):
            return float(value)
    return _refuse("a number", value, wrong)


_PLAIN: Mapping[Any, Read] = {
    Any: lambda value, wrong: value,
    str: _of_type(str, "a string"),
    bool: _of_type(bool, "true or false"),
    int: _of_type(int, "a whole number"),
    float: _number,
}


def _one_of(words: tuple[str, ...]) -> Read:
    *first, last = map(repr, words)
    expected = f"{', '.join(first)} or {last}" if first else last

    def read(value: Any, wrong: list[Wrong]) -> Any:
        if not isinstance(value, str) or value not in words:
            wrong.append(Wrong((), f"found {shown(value)}, expected {expected}{nearest(str(value), words)}"))
        return value

    return read


def _or_nothing(read: Read) -> Read:
    return lambda value, wrong: None if value is None else read(value, wrong)


def _any_of(kinds: list[Read]) -> Read:
    """Return what reads the first type that fits; where none does, the one whose mistake lies deepest was meant."""
    if len(kinds) == 1:
        return kinds[0]

    def read(value: Any, wrong: list[Wrong]) -> Any:
        mistakes: list[list[Wrong]] = []
        for one in kinds:
            own: list[Wrong] = []
            made = one(value, own)
            if not own:
                return made
            mistakes.append(own)
        depth = max(len(own[0].path) for own in mistakes)
        if depth:
            wrong += next(own for own in mistakes if len(own[0].path) == depth)
        else:
            words = [own[0].message.removeprefix("expected ").partition(", found ")[0] for own in mistakes]
            _refuse(" or ".join(words), value, wrong)
        return value

    return read


def _list_of(read_one: Read) -> Read:
    def read(value: Any, wrong: list[Wrong]) -> Any:
        if not isinstance(value, list):
            return _refuse("a list", value, wrong, meant_list(value))
        made = []
        for k, one in enumerate(value):
            before = len(wrong)
            made.append(read_one(one, wrong))
            if len(wrong) > before:
                _below(k, wrong, before)
        return made

    return read


def _mapping_of(read_key: Read, read_one: Read) -> Read:
    def read(value: Any, wrong: list[Wrong]) -> Any:
        if not isinstance(value, dict):
            return _refuse("a mapping", value, wrong)
        made = {}
        for key, one in value.items():
            before = len(wrong)
            read_key(key, wrong)
            wrong[before:] = [replace(mistake, key=True) for mistake in wrong[before:]]
            made[key] = read_one(one, wrong)
            if len(wrong) > before:
                _below(key, wrong, before)
        return made

    return read


def _annotated(read: Read, said: tuple[Any, ...]) -> Read:
    makes = [one.make for one in said if isinstance(one, Before)]
    looks = [look for one in said for look in _looks(one)]
    if not makes and not looks:
        return read

    def read_annotated(value: Any, wrong: list[Wrong]) -> Any:
        before, written = len(wrong), value
        try:
            for make in makes:
                value = make(value)
            value = read(value, wrong)
            if value is not None and len(wrong) == before:
                for look in looks:
                    look(value)
        except NotAsDeclaredError as error:
            wrong += error.wrong
        except ValueError as error:
            message = str(error)
            wrong.append(Wrong((), message if message.startswith("found") else f"{message}, found {shown(written)}"))
        return value

    return read_annotated


def _looks(field: Any) -> Iterator[Callable[[Any], object]]:
    """Yield what holds a value against each thing that is said of it; it raises ``ValueError`` where it is wrong."""
    if isinstance(field, After):
        yield field.look
    if not isinstance(field, Field):
        return
    if field.finite:
        yield _look(math.isfinite, "expected a finite number")
    for holds, bound, words in (
        (operator.ge, field.ge, "greater than or equal to"),
        (operator.gt, field.gt, "greater than"),
        (operator.le, field.le, "less than or equal to"),
        (operator.lt, field.lt, "less than"),
    ):
        if bound is not None:
            yield _look(partial(_compares, holds, bound), f"expected a number {words} {bound}")
    if field.min_length is not None:
        yield _length(operator.ge, field.min_length, "at least")
    if field.max_length is not None:
        yield _length(operator.le, field.max_length, "at most")
    if field.pattern:
        yield _pattern(re.compile(field.pattern), field.named)


def _look(fits: Callable[[Any], bool], expected: str) -> Callable[[Any], None]:
    def look(value: Any) -> None:
        if not fits(value):
            raise ValueError(expected)

    return look


def _compares(holds: Callable[[Any, Any], bool], bound: float, value: float) -> bool:
    return holds(value, bound)


def _length(holds: Callable[[Any, Any], bool], bound: int, words: str) -> Callable[[Any], None]:
    def look(value: Any) -> None:
        if not holds(len(value), bound):
            kind = "a mapping" if isinstance(value, dict) else "a list"
            unit = f" character{'' if bound == 1 else 's'}" if isinstance(value, str) else ""
            raise ValueError(f"expected {'a text' if unit else kind} of {words} {bound}{unit}")

    return look


def _pattern(pattern: re.Pattern[str], named: str) -> Callable[[Any], None]:
    def look(value: str) -> None:
        if not pattern.fullmatch(value if value.isascii() else _with_letters(value)):
            hint = meant_function(value) if named == FUNCTION else ""
            raise ValueError(f"found {shown(value)}, expected {named}{hint}")

    return look


def _with_letters(text: str) -> str:
    """Return a text with a letter for each accent that stands alone: Python's names have them, its patterns do not."""
    import unicodedata

    return "".join("é" if unicodedata.category(one).startswith("M") else one for one in text)
