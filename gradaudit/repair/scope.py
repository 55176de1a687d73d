"""What could stand in an expression's place: the quantities at hand there, and what is usually made of them."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement, product
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.values import as_numbers, in_numpy

Array = NDArray[Any]

LIBRARIES = ("numpy", "jax.numpy", "torch", "autograd.numpy", "cupy")
"""Modules that have the usual functions by their usual names."""

UNARY = ("exp", "log", "tanh", "sqrt", "sin", "cos", "sign", "abs", "square", "cosh", "sinh", "conj")
"""Functions that derivatives are made of."""

MOST_NODES = 14
"""Nodes of an expression of the module that is taken over as a whole."""

ARITHMETIC = (ast.BinOp, ast.UnaryOp, ast.Call, ast.Attribute, ast.Subscript, ast.Name, ast.Constant, ast.Compare)


@dataclass(frozen=True)
class Atom:
    """An expression, what it is worth each time that its place is passed, and how far-fetched it is.

    ``rank`` is 0 for a name, and grows with what was made of names.
    """

    text: str
    values: tuple[Array, ...]
    rank: int

    @property
    def is_scalar(self) -> bool:
        """Whether it is one number each time."""
        return all(value.size == 1 for value in self.values)


@dataclass
class Scopes:
    """Makes the atoms of places; what was compiled once is kept.

    Attributes:
        namespace: the globals of the function.
        near: expressions of the op's own functions.
        far: expressions of the others of its module.
        prefix: the name that the library of arrays goes by, empty where there is none.
        unary: functions of one argument that the module has itself.

    """

    namespace: dict[str, Any]
    near: Sequence[str]
    far: Sequence[str] = ()
    prefix: str = ""
    unary: Sequence[str] = ()
    _compiled: dict[str, CodeType | None] = field(default_factory=dict)
    _atoms: dict[Any, list[Atom]] = field(default_factory=dict)

    def atoms(self, scopes: Sequence[Mapping[str, Any]]) -> list[Atom]:
        """Return the atoms where these variables are at hand, the plain ones first, none twice."""
        key = (*((name, id(value)) for name, value in sorted(scopes[0].items())), len(scopes))
        if key not in self._atoms:
            with in_numpy(self.namespace):
                self._atoms[key] = self._made(scopes)
        return self._atoms[key]

    def _made(self, scopes: Sequence[Mapping[str, Any]]) -> list[Atom]:
        found: dict[Any, list[Atom]] = {}
        kept: list[Atom] = []

        def add(texts: Iterable[str], rank: int) -> list[Atom]:
            new = []
            for text in texts:
                values = self._values(text, scopes)
                if values is None:
                    continue
                alike = found.setdefault(_key(values), [])
                of_rank = sum(atom.rank == rank for atom in alike)
                if not alike or (values[0].size == 1 and of_rank < MOST_ALIKE):
                    atom = Atom(text, values, rank)
                    alike.append(atom)
                    new.append(atom)
                    kept.append(atom)
            return new

        plain = add(_names(scopes[0]), 0)
        names = [atom.text for atom in plain]
        arrays = [atom for atom in plain if not atom.is_scalar]
        plain_arrays = list(arrays)
        add(_sizes(scopes[0]), 1)
        expressions = add(self.near, 1)
        arrays += [atom for atom in expressions if not atom.is_scalar][:MOST_EXPRESSIONS]
        add((f"{atom.text}[{place}]" for atom in plain_arrays[:MOST_COMPARED] for place in SPREADS), 2)
        add(_choices([text for text in self.near if COMPARED.search(text)], plain_arrays, self.prefix), 3)
        add((made for pair in combinations(plain_arrays[:MOST_COMPARED], 2) for made in _differences(*pair)), 2)
        add(self.far[:MOST_FAR], 2)
        matrices = [atom.text for atom in plain if atom.values[0].ndim == 2][:MOST_PAIRED]
        add(_matrix_products(matrices), 3)
        add((made for name in names for made in self._functions(name)), 2)
        add(self.far[MOST_FAR:], 3)
        add((made for atom in expressions[:MOST_EXPRESSIONS] for made in self._functions(f"({atom.text})")), 3)
        add((made for atom in arrays for made in _statistics(atom.text, atom.values[0].ndim, self.keepdims)), 3)
        pairs = list(combinations_with_replacement(arrays[:MOST_PAIRED], 2))
        add((made for a, b in pairs for made in self._sums(a, b)), 4)
        return kept

    @property
    def keepdims(self) -> str:
        """The keywords that reduce along an axis and keep it."""
        torch = getattr(self.namespace.get(self.prefix), "__name__", "") == "torch"
        return "{axis}, keepdim=True" if torch else "{axis}, keepdims=True"

    def _functions(self, name: str) -> Iterator[str]:
        yield f"(1 - {name})"
        yield f"(1 + {name})"
        yield f"{name}**2"
        yield f"(1 - {name}**2)"
        yield f"(1 + {name}**2)"
        yield f"{name}**3"
        yield f"({name} > 0)"
        yield f"({name} < 0)"
        yield f"(1 - 2 * {name})"
        yield f"{name} * (1 - {name})"
        for own in self.unary:
            yield f"{own}({name.strip('()') if name.startswith('(') else name})"
        if self.prefix:
            yield from (f"{self.prefix}.{function}({name})" for function in UNARY)
            yield f"1 / (1 + {self.prefix}.exp(-{name}))"
            yield f"{self.prefix}.sqrt(1 - {name}**2)"

    def _sums(self, a: Atom, b: Atom) -> Iterator[str]:
        shape = np.broadcast_shapes(a.values[0].shape, b.values[0].shape) if _fit(a.values[0], b.values[0]) else ()
        both = f"({a.text} * {b.text})" if a is not b else f"({a.text}**2)"
        if len(shape):
            yield from _statistics(both, len(shape), self.keepdims, last_only=len(shape) > 2)

    def _values(self, text: str, scopes: Sequence[Mapping[str, Any]]) -> tuple[Array, ...] | None:
        if text not in self._compiled:
            try:
                self._compiled[text] = compile(text, "<atom>", "eval")
            except (SyntaxError, ValueError):
                self._compiled[text] = None
        code = self._compiled[text]
        if code is None:
            return None
        made = []
        for scope in scopes:
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    value = as_numbers(eval(code, self.namespace, scope))
            except Exception:
                return None
            if value is None or value.size > LARGEST or not np.isfinite(value).all():
                return None
            made.append(np.array(value))
        return tuple(made)


MOST_ALIKE = 3
"""Scalars of a rank that are worth the same and are kept, since they may differ elsewhere: two sizes that coincide."""

MOST_EXPRESSIONS = 24
"""Expressions of the module that others are made of."""

MOST_FAR = 60
"""Expressions of other functions that are looked at before functions of names are."""

MOST_COMPARED = 6
"""Arrays whose differences and sums are looked at."""

MOST_PAIRED = 9
"""Arrays whose products are summed."""

LARGEST = 4096
"""Elements of what is looked at."""


def _key(values: tuple[Array, ...]) -> Any:
    return tuple((value.shape, np.round(value.astype(complex), 11).tobytes()) for value in values)


def _fit(a: Array, b: Array) -> bool:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


def _names(scope: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of numbers and arrays, and what tuples, dicts and simple objects hold of them."""
    for name, value in scope.items():
        if not name.isidentifier():
            continue
        if as_numbers(value) is not None:
            yield name
        elif isinstance(value, (tuple, list)):
            yield from (f"{name}[{k}]" for k, held in enumerate(value[:8]) if as_numbers(held) is not None)
        elif isinstance(value, dict):
            yield from (f"{name}[{key!r}]" for key, held in list(value.items())[:12] if as_numbers(held) is not None)
        elif not isinstance(value, (ModuleType, FunctionType, type, str, bytes)):
            held = getattr(value, "__dict__", {})
            yield from (f"{name}.{key}" for key, each in list(held.items())[:16] if as_numbers(each) is not None)


SPREADS = ("..., None", "..., None, None", ":, None")
"""Places that give an array more axes, to be spread along."""

COMPARED = re.compile(r"[<>]")
"""What makes an expression a condition."""


def _choices(conditions: Sequence[str], arrays: Sequence[Atom], prefix: str) -> Iterator[str]:
    """Yield choices between arrays, ones and zeros by conditions."""
    values = [*(atom.text for atom in arrays[:MOST_CHOSEN]), "1.0", "0.0"]
    for condition in conditions[:MOST_CHOSEN] if prefix else ():
        yield from (f"{prefix}.where({condition}, {a}, {b})" for a in values for b in values if a != b)


MOST_CHOSEN = 4
"""Conditions, and arrays, that choices are made of."""


def _differences(a: Atom, b: Atom) -> Iterator[str]:
    if a.values[0].shape == b.values[0].shape:
        yield f"({a.text} - {b.text})"
        yield f"({a.text} + {b.text})"


def _matrix_products(names: Sequence[str]) -> Iterator[str]:
    for a, b in product(names, repeat=2):
        yield from (f"{a} @ {b}", f"{a} @ {b}.T", f"{a}.T @ {b}")


def _sizes(scope: Mapping[str, Any]) -> Iterator[str]:
    for name, value in scope.items():
        shape = getattr(value, "shape", ())
        if name.isidentifier() and as_numbers(value) is not None:
            yield from (f"{name}.shape[{k}]" for k in range(len(shape)))
            if len(shape) > 1 and isinstance(value, np.ndarray):
                yield f"{name}.size"


def _statistics(name: str, ndim: int, keepdims: str, *, last_only: bool = False) -> Iterator[str]:
    axes = list(range(ndim)) if not last_only else []
    for axis in [-1, *axes[:-1]]:
        keywords = keepdims.format(axis=axis)
        yield f"{name}.sum({keywords})"
        yield f"{name}.mean({keywords})"
    if ndim > 1:
        yield f"{name}.sum()"
        yield f"{name}.mean()"


def library_prefix(namespace: Mapping[str, Any]) -> str:
    """Return the name that a library of arrays was imported as, the most common first; empty where there is none."""
    found = {
        value.__name__: name
        for name, value in namespace.items()
        if isinstance(value, ModuleType) and value.__name__ in LIBRARIES
    }
    return next((found[library] for library in ("jax.numpy", "torch", *LIBRARIES) if library in found), "")


def _may_change_something(node: ast.AST) -> bool:
    """Whether this is a call of what may write into its arguments, or do more than compute."""
    match node:
        case ast.Call(ast.Attribute(attr=name)) | ast.Call(ast.Name(name)):
            return name.endswith("_") or name in WRITERS
        case ast.Call() | ast.NamedExpr() | ast.Await() | ast.Yield():
            return True
    return False


WRITERS = frozenset(
    {"at", "fill", "sort", "put", "pop", "append", "extend", "insert", "remove", "clear", "update", "resize"}
    | {"copyto", "place", "putmask", "shuffle", "setflags", "itemset", "open", "print", "exec", "eval", "write", "next"}
    | {"save_for_backward", "backward", "forward", "apply", "step", "zero_grad", "seed"}
)
"""Functions and methods that are not called to see what they give."""


def expressions_of(functions: Iterable[ast.AST], text: Callable[[ast.expr], str]) -> list[str]:
    """Return the arithmetic in some functions, each expression once; of each function the shortest first."""
    found: dict[str, int] = {}
    for function in functions:
        own = {}
        for node in ast.walk(function):
            if isinstance(node, ARITHMETIC) and not isinstance(node, (ast.Name, ast.Constant)):
                size = sum(1 for _ in ast.walk(node))
                if size <= MOST_NODES and not any(map(_may_change_something, ast.walk(node))):
                    own[text(node)] = size
        for made in sorted(own, key=lambda made: (own[made], made)):
            found.setdefault(made, own[made])
    return list(found)[:MOST_TAKEN]


MOST_TAKEN = 400
"""Expressions of the module that are looked at."""
