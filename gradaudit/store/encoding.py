"""Results as bytes and back, whole: what a run that is resumed reports is what it would have reported at once."""

from __future__ import annotations

import json
import types
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from gradaudit.results import Result

COMPLEX = "complex"
"""The key of what stands for a complex number, which JSON does not know."""


class UnreadableError(Exception):
    """Bytes are no result of this version of gradaudit."""


def encoded(result: Result) -> bytes:
    """Return a result as bytes. Arrays among the evidence of its findings become lists."""
    return zlib.compress(json.dumps(_plain(result)).encode("utf-8"), 1)


def decoded(content: bytes) -> Result:
    """Return the result that bytes stand for.

    Raises:
        UnreadableError: where they are damaged, or those of a result with other fields.

    """
    try:
        made: Result = _made(Result, json.loads(zlib.decompress(content)))
    except (zlib.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableError(str(error)) from None
    return made


_LEAVES = frozenset({str, int, float, bool, type(None)})
"""Classes of what is plain by itself."""


def _plain(value: Any) -> Any:
    kind: type = type(value)
    if kind in _LEAVES:
        return value
    if (names := _names(kind)) is not None:
        said = ((name, getattr(value, name)) for name in names)
        return {name: held if type(held) in _LEAVES else _plain(held) for name, held in said}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, complex):
        return {COMPLEX: [value.real, value.imag]}
    if hasattr(value, "tolist"):  # arrays and their scalars, of whatever framework
        return _plain(value.tolist())
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _made(kind: Any, value: Any) -> Any:
    """Return plain data as what a field of this type holds."""
    origin = get_origin(kind)
    if isinstance(value, dict) and value.keys() == {COMPLEX}:
        return complex(*value[COMPLEX])
    if is_dataclass(kind) and isinstance(kind, type):
        known = _types(kind)
        if not value.keys() <= known.keys():
            raise ValueError(f"{kind.__name__} has other fields")
        return kind(**{name: _made(known[name], item) for name, item in value.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if origin is tuple:
        of = get_args(kind)
        kinds = [of[0]] * len(value) if of[-1] is Ellipsis else of
        return tuple(_made(one, item) for one, item in zip(kinds, value, strict=True))
    if origin in (Union, types.UnionType) and value is not None:
        made = [one for one in get_args(kind) if is_dataclass(one) or get_origin(one) is tuple]
        return _made(made[0], value) if made else value
    if isinstance(value, dict):
        return {key: _made(Any, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_made(Any, item) for item in value]
    return value


@cache
def _names(kind: type) -> tuple[str, ...] | None:
    """Return the names of a dataclass's fields; None of any other class."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
