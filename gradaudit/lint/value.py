"""What is known of an expression's value: which tensors it is, and which tensors' arrays went into it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias


class How(Enum):
    """How an array was made of the arrays of tensors."""

    AS_IS = "as it is"
    RESHAPED = "only rearranged"
    SUMMED = "a sum of two tensors' arrays"
    COMPUTED = "anything else"


Names: TypeAlias = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True)
class NewTensor:
    """A tensor that is built of the arrays of other tensors.

    Attributes:
        call: where it is built.
        sources: the tensors whose arrays went into it.
        how: what became of them.

    """

    call: ast.Call
    sources: Names
    how: How


@dataclass(frozen=True)
class Value:
    """What is known of a value.

    Attributes:
        tensors: names of the tensors that it may be, where a gradient may be asked for.
        holds: names of the tensors that it is, contains, or was computed from.
        raw: names of the tensors whose arrays went into it, where it is an array.
        how: what became of these.
        new: the new tensors that it is, contains, or was computed from on the tape.
        items: its elements where it is written as a list or a tuple.
        is_tensor: whether it surely is a tensor.

    """

    tensors: Names = NONE
    holds: Names = NONE
    raw: Names = NONE
    how: How = How.AS_IS
    new: frozenset[NewTensor] = frozenset()
    items: tuple[Value, ...] | None = None
    is_tensor: bool = False


NOTHING = Value()
"""A value that no gradient flows through, as far as one can see."""


def tensor_of(name: str) -> Value:
    """Return the value of a name that may be a tensor."""
    return Value(tensors=frozenset({name}), holds=frozenset({name}))


def joined(values: Iterable[Value]) -> Value:
    """Return what is known of a value that is one of these, or made of all of them."""
    values = list(values)
    if not values:
        return NOTHING
    if len(values) == 1:
        return values[0]
    hows = {value.how for value in values if value.raw}
    alike = {None if value.items is None else len(value.items) for value in values}
    items = None
    if len(alike) == 1 and values[0].items is not None:
        items = tuple(joined(parts) for parts in zip(*(value.items or () for value in values), strict=True))
    return Value(
        tensors=frozenset().union(*(value.tensors for value in values)),
        holds=frozenset().union(*(value.holds for value in values)),
        raw=frozenset().union(*(value.raw for value in values)),
        how=hows.pop() if len(hows) == 1 else How.COMPUTED,
        new=frozenset().union(*(value.new for value in values)),
        items=items,
        is_tensor=any(value.is_tensor for value in values),
    )


def computed(values: Iterable[Value], how: How = How.COMPUTED) -> Value:
    """Return what is known of an array that is computed from these, or of what the tape computes from them."""
    return replace(joined([*values, NOTHING]), how=how, items=None)


def element(value: Value) -> Value:
    """Return what is known of an element of a value that is looped over."""
    return joined(value.items) if value.items else replace(value, items=None)
