"""The JSON Schema of spec documents, which editors read: what may stand where, and what it is."""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from gradaudit.spec.kinds import DEFAULT, KINDS, kind_named
from gradaudit.spec.strict import Before, Field, Strict, plain

Schema = dict[str, Any]

PLAIN: dict[Any, Schema] = {
    Any: {},
    NoneType: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
}


def json_schema() -> Schema:
    """Return the JSON Schema of one spec document, of whichever kind."""
    parts: dict[str, Schema] = {}
    kinds = {name: _schema(kind_named(name).document, parts) for name in KINDS}
    schema = kinds.pop(DEFAULT)
    for name, then in kinds.items():
        asked = {"properties": {"kind": {"const": name}}, "required": ["kind"]}
        schema = {"if": asked, "then": then, "else": schema}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": dict(sorted(parts.items()))}


def _schema(kind: Any, parts: dict[str, Schema]) -> Schema:
    """Return the schema of a type; those of the parts of documents that it is made of are added to ``parts``."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:], parts)
    if origin is Literal:
        return {"type": "string", **({"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]})}
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(one, parts) for one in arguments]}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], parts)}
    if origin is dict:
        names, values = (_schema(one, parts) for one in arguments)
        del names["type"]  # keys are nothing else
        return {"type": "object", "additionalProperties": values, **({"propertyNames": names} if names else {})}
    return dict(PLAIN[kind]) if kind in PLAIN else _part(kind, parts)


def _part(part: type[Strict], parts: dict[str, Schema]) -> Schema:
    name = part.__name__
    if name not in parts:
        parts[name] = {}  # which it may be made of itself
        properties = {}
        for key, kind in part.declared.items():
            default = {"default": plain(getattr(part, key))} if key in part.unsaid else {}
            properties[key] = _schema(kind, parts) | default
        parts[name] = {
            "type": "object",
            "title": name,
            "description": inspect.getdoc(part),
            "additionalProperties": False,
            "properties": properties,
            "required": [key for key in properties if key not in part.unsaid],
        }
    return {"$ref": f"#/$defs/{name}"}


def _annotated(kind: Any, said: tuple[Any, ...], parts: dict[str, Schema]) -> Schema:
    taken = next((one.takes for one in said if isinstance(one, Before)), kind)
    schema = _schema(taken, parts)
    for field in (one for one in said if isinstance(one, Field)):
        for limited in schema.get("anyOf", [schema]):
            limited.update(_limits(field, limited.get("type")))
        if field.description:
            schema["description"] = field.description
    return schema


def _limits(field: Field, kind: str | None) -> Schema:
    """Return what a field says of values of a type of JSON's; nothing where it speaks of another type."""
    sizes = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
    sizes["object"] = ("minProperties", "maxProperties")
    said: Schema = {}
    if kind in ("integer", "number"):
        said = {"minimum": field.ge, "exclusiveMinimum": field.gt, "maximum": field.le, "exclusiveMaximum": field.lt}
    elif kind in sizes:
        said = dict(zip(sizes[kind], (field.min_length, field.max_length), strict=True))
    if kind == "string":
        said |= {"pattern": field.pattern or None, "examples": list(field.examples) or None}
        said |= {"enum": field.words() if field.words else None}
    return {key: value for key, value in said.items() if value is not None}
