"""What to write in the place of an expression, given what it would have to be worth."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.coefficients import Coefficient, coefficients, constant_texts
from gradaudit.repair.holes import Hole, stacked
from gradaudit.repair.products import products
from gradaudit.repair.responses import Response
from gradaudit.repair.scope import Atom
from gradaudit.source.text import ATOMS, SourceText

Floats = NDArray[np.float64]

TOLERANCE = 1e-5
"""Relative residual up to which a replacement is worth trying: it is judged exactly afterwards."""

MOST_PAIRED = 40
"""Atoms that are tried two at a time, where sums hide what each number should be."""

MOST_OF_EACH = 8
"""Replacements of each form that are handed on."""

LEAST_NUMBERS = 3
"""Independent numbers that a fitted formula must account for."""


def proposals(hole: Hole, made: Response, atoms: Sequence[Atom], text: SourceText) -> Iterator[str]:
    """Yield texts for an expression that would mend the gradient, as far as one draw tells.

    Args:
        hole: the expression.
        made: how the gradient depends on it.
        atoms: what is at hand.
        text: the file, for the expression as it is written.

    """
    now, missing = text.operand(hole.node), made.missing
    scalars = [atom for atom in atoms if atom.is_scalar]
    if len(made.now) == 1 and isinstance(hole.node, ast.Constant):
        prefix = next((atom.text.partition(".")[0] for atom in atoms if ".exp(" in atom.text), "")
        yield from constant_texts(float(made.wanted[0]), float(made.now[0]), prefix)
    if len(made.now) == 1 and made.now[0]:
        yield from (_scaled(now, each) for each in coefficients(float(made.wanted[0] / made.now[0]), scalars))
    if all(shape.dtype.kind != "c" for shape in made.shapes):
        fitting = [(atom, vector) for atom in atoms if (vector := _spread(atom, made)) is not None]
        kept = [atom for atom, _ in fitting]
        values = np.array([vector for _, vector in fitting]).reshape(len(kept), len(made.now))
        if made.linear:
            yield from _forms(now, made, missing, kept, values, scalars)
        if made.determined.sum() >= LEAST_NUMBERS:
            yield from _of_products(now, made, kept, values, scalars)
    elif made.linear:
        yield from _of_complex(now, made, missing)


def _spread(atom: Atom, made: Response) -> Floats | None:
    """Return an atom's values spread to those of the expression, as one vector; None where they do not fit."""
    try:
        pairs = zip(atom.values, made.shapes, strict=True)
        spread = [np.broadcast_to(value, model.shape) for value, model in pairs]
    except ValueError:
        return None
    vector = stacked([np.asarray(each) for each in spread]) if all(v.dtype.kind != "c" for v in atom.values) else None
    return vector if vector is not None and len(vector) == len(made.now) else None


def _scaled(now: str, factor: Coefficient) -> str:
    made = factor.times(now)
    return f"-{made}" if factor.negative else made


def _forms(
    now: str, made: Response, missing: Floats, atoms: Sequence[Atom], values: Floats, scalars: Sequence[Atom]
) -> Iterator[str]:
    """Yield what replaces, scales, divides or is added to an expression, by what it makes of the gradient."""
    matrix, present = made.matrix, made.matrix @ made.now
    full = missing + present
    if factor := _fitted(present[None, :], full):
        yield from (_scaled(now, each) for _, value in factor for each in coefficients(value, scalars))
    forms: list[tuple[Callable[[str], str], Floats, Floats]] = [
        (lambda t: t, values, full),
        (lambda t: f"{now} * {_factor(t)}", values * made.now, full),
        (lambda t: f"{now} / {_divisor(t)}", _ratio(made.now, values), full),
        (lambda t: f"{_factor(t)} / {now}", _ratio(values, made.now), full),
    ]
    for write, vectors, goal in forms:
        for k, value in _fitted(vectors @ matrix.T, goal)[:MOST_OF_EACH]:
            for each in coefficients(value, scalars):
                yield _scaled(write(atoms[k].text), each)
    for k, value in _fitted(values @ matrix.T, missing)[:MOST_OF_EACH]:
        yield from (_added(now, atoms[k].text, each) for each in coefficients(value, scalars))
    if not made.determined.all() or len(made.now) <= LEAST_NUMBERS:
        yield from _of_pairs(now, made, missing, atoms, values, scalars)


def _of_pairs(
    now: str, made: Response, missing: Floats, atoms: Sequence[Atom], values: Floats, scalars: Sequence[Atom]
) -> Iterator[str]:
    few = [k for k, atom in enumerate(atoms) if not atom.is_scalar][:MOST_PAIRED]
    first, second = np.triu_indices(len(few))
    pairs = values[few][first] * values[few][second]
    full = missing + made.matrix @ made.now
    for vectors, goal, write in (
        (pairs, full, lambda p: p),
        (pairs * made.now, full, lambda p: f"{now} * {p}"),
        (pairs, missing, None),
    ):
        for place, value in _fitted(vectors @ made.matrix.T, goal)[:MOST_OF_EACH]:
            a, b = atoms[few[first[place]]].text, atoms[few[second[place]]].text
            product = f"{_factor(a)} * {_factor(b)}"
            for each in coefficients(value, scalars):
                yield _added(now, product, each) if write is None else _scaled(write(product), each)


def _of_products(
    now: str, made: Response, atoms: Sequence[Atom], values: Floats, scalars: Sequence[Atom]
) -> Iterator[str]:
    """Yield products of several factors that an expression lacks as a factor, as a term, or is itself."""
    known = made.determined
    wanted, present = made.wanted[known], made.now[known]
    change = wanted - present
    values = values[:, known]
    with np.errstate(all="ignore"):
        ratio = wanted / present
    if np.isfinite(ratio).all():
        for found in products(ratio, atoms, values):
            for each in coefficients(found.coefficient, scalars):
                yield _scaled(_times(now, found.text), each)
    for found in products(change, atoms, values):
        yield from (_added(now, found.text, each) for each in coefficients(found.coefficient, scalars))
    for found in products(wanted, atoms, values):
        yield from (_scaled(found.text, each) for each in coefficients(found.coefficient, scalars))
    yield from _of_two_terms(now, change, atoms, values, scalars)


MOST_TERMS = 600


def _of_two_terms(
    now: str, change: Floats, atoms: Sequence[Atom], values: Floats, scalars: Sequence[Atom]
) -> Iterator[str]:
    """Yield pairs of terms, each a product of two, that an expression lacks: by regression on all pairs."""
    if len(change) < LEAST_NUMBERS + 3:
        return
    few = [k for k, atom in enumerate(atoms) if not atom.is_scalar][: MOST_PAIRED - 6]
    first, second = np.triu_indices(len(few))
    terms = np.concatenate([values[few], values[few][first] * values[few][second]])[:MOST_TERMS]
    texts = [atoms[k].text for k in few]
    texts += [
        f"{_factor(atoms[few[a]].text)} * {_factor(atoms[few[b]].text)}" for a, b in zip(first, second, strict=True)
    ]
    norms = np.linalg.norm(terms, axis=1)
    usable = np.flatnonzero(np.isfinite(norms) & (norms > 0))
    units = terms[usable] / norms[usable][:, None]
    gram, along = units @ units.T, units @ change
    with np.errstate(all="ignore"):
        explained = (along[:, None] ** 2 - 2 * gram * along[:, None] * along[None, :] + along[None, :] ** 2) / (
            1 - gram**2
        )
    left = np.abs(1 - explained / (change @ change))
    left[~np.isfinite(left) | (np.abs(gram) > 1 - 1e-9)] = 1.0
    found = np.argwhere(np.triu(left < 1e-9, 1))
    for i, j in found[:MOST_OF_EACH]:
        both = terms[usable[[i, j]]]
        factors, *_ = np.linalg.lstsq(both.T, change, rcond=None)
        if np.abs(factors @ both - change).max() > TOLERANCE * np.abs(change).max():
            continue
        for a in coefficients(float(factors[0]), scalars):
            for b in coefficients(float(factors[1]), scalars):
                yield _added(_added(now, texts[usable[i]], a), texts[usable[j]], b)


def _of_complex(now: str, made: Response, missing: Floats) -> Iterator[str]:
    """Yield the conjugate, and a complex expression with one factor."""
    half = len(made.now) // 2
    conjugated = np.concatenate([made.now[:half], -made.now[half:]])
    full = missing + made.matrix @ made.now
    for vector, write in ((made.now, now), (conjugated, f"{now}.conj()")):
        for _, value in _fitted((made.matrix @ vector)[None, :], full):
            yield from (_scaled(write, each) for each in coefficients(value, []))


def _fitted(vectors: Floats, goal: Floats) -> list[tuple[int, float]]:
    """Return which vectors are the goal up to a factor, with that factor."""
    size = float(np.abs(goal).max(initial=0.0))
    with np.errstate(all="ignore"):
        factors = vectors @ goal / np.einsum("ij,ij->i", vectors, vectors)
        off = np.abs(factors[:, None] * vectors - goal).max(axis=1, initial=0.0)
        near = np.flatnonzero(np.isfinite(factors) & (off <= TOLERANCE * size) & (factors != 0.0))
    return [(int(k), float(factors[k])) for k in near]


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(all="ignore"):
        made = np.asarray(above / below)
    return np.where(np.isfinite(made), made, np.nan)


def _times(now: str, product: str) -> str:
    if product.startswith("1 / "):
        return f"{now} / {product.removeprefix('1 / ')}"
    return f"{now} * {product}"


def _added(now: str, term: str, factor: Coefficient) -> str:
    return f"{now} {'-' if factor.negative else '+'} {factor.times(term)}"


def _factor(text: str) -> str:
    return text if _is_atom(text) or (text.startswith("(") and text.endswith(")")) else f"({text})"


def _divisor(text: str) -> str:
    return text if isinstance(ast.parse(text, mode="eval").body, ATOMS) else f"({text})"


def _is_atom(text: str) -> bool:
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    return isinstance(node, ATOMS) or (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.Mult)))
