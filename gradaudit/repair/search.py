"""The search for edits that make a backward right: all that need no fitting, then those that are fitted."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.repair.draws import Draw, Vector
from gradaudit.repair.edits import MAKERS, MAKERS_OF_SHAPES, Maker, edits
from gradaudit.repair.holes import Watched
from gradaudit.repair.program import Program, edit_cost
from gradaudit.repair.proposals import proposals
from gradaudit.repair.responses import response, rows_of
from gradaudit.repair.scope import Scopes, expressions_of, library_prefix
from gradaudit.repair.surroundings import (
    Surroundings,
    constants_of,
    for_other_shapes,
    places_of,
    short,
    templates_of,
)
from gradaudit.repair.values import as_numbers
from gradaudit.source.text import Edit
from gradaudit.source.written import Written, standing_in
from gradaudit.time_limit import TooLongError, time_limit

Shape = tuple[int, ...]
Key = tuple[Any, ...]
"""A function and what it compiles to: two edits that come to the same have one key."""


class Budget:
    """Time that a search may take, and a word to whoever watches.

    Args:
        seconds: how long.
        tell: called now and then with the number of edits tried and the share of the time that is gone.
        clock: tells the time in seconds.

    """

    def __init__(
        self,
        seconds: float,
        tell: Callable[[int, float], None] = lambda tried, share: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._start = clock()
        self._seconds = seconds
        self._tell = tell
        self.tried = 0

    @property
    def share(self) -> float:
        """How much of the time is gone, 1 for all of it."""
        return (self._clock() - self._start) / self._seconds

    @property
    def over(self) -> bool:
        """Whether the time is gone."""
        return self.share >= 1.0

    def count(self) -> None:
        """Note that one more edit is tried."""
        self.tried += 1
        if self.tried % 64 == 0:
            self._tell(self.tried, min(1.0, self.share))


@dataclass(frozen=True)
class Found:
    """A program with an edit more, and how right it is at the point of the search.

    Attributes:
        program: the program.
        right: which places are right.
        inputs: the inputs whose gradient is right everywhere.

    """

    program: Program
    right: NDArray[np.bool_]
    inputs: frozenset[str]

    @property
    def cost(self) -> float:
        """How much was changed."""
        return self.program.cost


@dataclass(frozen=True)
class Look:
    """A function as it was watched at the point of the search.

    Attributes:
        source: the function.
        watched: its expressions; None where they could not be.
        around: what edits may draw on.
        idle: the places of the expressions that what is wrong does not depend on.

    """

    source: Written
    watched: Watched | None
    around: Surroundings
    idle: tuple[tuple[int, int], ...]

    def is_idle(self, edit: Edit) -> bool:
        """Whether an edit is inside of an expression that what is wrong does not depend on."""
        return any(start <= edit.start and edit.end <= end for start, end in self.idle)


@dataclass
class Search:
    """One round: every single edit of a program.

    Attributes:
        program: what is edited.
        draws: the points; the first is searched at, the others confirm.
        forward: the functions that forward consists of, whose arithmetic is at hand too.
        budget: the time left.
        refuted: texts of programs that hold at the draws, and not in audits.

    """

    program: Program
    draws: Sequence[Draw]
    forward: Sequence[Written]
    budget: Budget
    refuted: frozenset[str] = frozenset()
    whole: list[Found] = field(default_factory=list)
    partial: list[Found] = field(default_factory=list)
    _seen: dict[Key, Found | None] = field(default_factory=dict)

    def run(self) -> None:
        """Try every edit while there is time; ``whole`` holds those that hold at all draws, ``partial`` what helps."""
        with self.program.installed():
            base = self._first = self.draws[0].gradient()
            self._base = self.draws[0].right(base)
            self._bases = [draw.right_inputs(draw.gradient()) for draw in self.draws]
            looked = {function: self._look(source, base) for function, source in self.program.sources.items()}
            makers = MAKERS if np.isfinite(base).all() else MAKERS_OF_SHAPES
            self._edit(makers[:FEW_KINDS], looked)
            for function, look in looked.items():
                if look.watched and self._dearest > PLAIN + ROOM:
                    self._fit(function, look, base)
            self._edit(makers[FEW_KINDS:], looked)

    def _edit(self, makers: Sequence[Maker], looked: Mapping[FunctionType, Look]) -> None:
        """Try what needs no fitting, kind by kind in all functions."""
        for make in makers:
            for function, look in looked.items():
                for edit in edits(make, look.source.body, look.around):
                    if self.budget.over:
                        return
                    if not look.is_idle(edit) and self._is_worth_trying(look.source, edit):
                        self._try(function, look.source, edit)

    def _is_worth_trying(self, source: Written, edit: Edit) -> bool:
        """Whether an edit is not much dearer than the plainest that was found."""
        if not self.whole:
            return True
        before = source.text.slice(edit.start, edit.end)
        return edit_cost(before, edit.replacement, self.program.words) <= self._dearest

    def _look(self, source: Written, base: Vector) -> Look:
        """Watch a function once, and see which of its expressions what is wrong does not depend on at all."""
        watched = self._watched(source)
        idle = self._idle(source, watched, base) if watched and np.isfinite(base).all() else ()
        return Look(source, watched, self._around(source, watched), tuple(idle))

    def _idle(self, source: Written, watched: Watched, base: Vector) -> Iterator[tuple[int, int]]:
        wrong = ~self._base
        compared = {id(below) for node in watched.nodes if isinstance(node, ast.Compare) for below in ast.walk(node)}
        with watched.hooked(), standing_in(source.function, watched.code):
            for k, hole in watched.holes.items():
                arrays = hole.numbers()
                if arrays is None or any(array.dtype.kind == "b" for array in arrays) or id(hole.node) in compared:
                    continue  # what is compared matters where it crosses something
                moved = [array * 1.37 + 0.11 for array in arrays]
                answer = watched.replace(k, moved, self.draws[0].gradient)
                if np.isfinite(answer).all() and np.array_equal(answer[wrong], base[wrong]):
                    yield source.text.span(hole.node)

    def _watched(self, source: Written) -> Watched | None:
        try:
            watched = Watched(source)
        except (ValueError, SyntaxError):
            return None
        with watched.hooked(), standing_in(source.function, watched.code):
            watched.watch(self.draws[0].gradient)
        return watched

    def _around(self, source: Written, watched: Watched | None) -> Surroundings:
        ndims, numbers, counts = {}, set(), set()
        for hole in watched.holes.values() if watched else ():
            arrays = [as_numbers(value) for value in hole.values]
            if hole.numbers() is not None:
                numbers.add(source.text.span(hole.node))
            if hole.values and all(type(value) is int for value in hole.values):
                counts.add(source.text.span(hole.node))
            if arrays and all(array is not None for array in arrays) and hasattr(hole.values[0], "shape"):
                ndims[source.text.span(hole.node)] = np.ndim(arrays[0])  # type: ignore[arg-type]
        taken = source.node.args
        given = [argument.arg for argument in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
        names = list(given)
        names += [
            below.id
            for below in ast.walk(source.node)
            if isinstance(below, ast.Name) and isinstance(below.ctx, ast.Store)
        ]
        nodes = self._ingredients(source)
        own_nodes = nodes[: len(self.program.sources) + len(self.forward)]
        templates = templates_of(nodes, ast.unparse)
        namespace = source.function.__globals__
        own = [f"{name}({{}})" for name in _unary(self.forward)]
        return Surroundings(
            text=source.text,
            names=list(dict.fromkeys(names)),
            templates=[*own, *for_other_shapes(templates, given)],
            numbers=frozenset(numbers),
            counts=frozenset(counts),
            ndims=ndims,
            prefix=library_prefix(namespace),
            constants=constants_of(own_nodes),
            places=places_of(own_nodes),
            expressions=short(expressions_of(own_nodes, ast.unparse)),
        )

    def _ingredients(self, source: Written) -> list[ast.AST]:
        """Return the functions whose parts may be of use: the op's own first, then the others of the file."""
        own: list[ast.AST] = [source.node, *(made.node for made in self.program.sources.values())]
        beside = [made.node for made in self.forward]
        module = ast.parse(self.program.text.text).body
        others = [node for node in module if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
        return list(dict.fromkeys([*own, *beside, *others]))

    def _fit(self, function: FunctionType, look: Look, base: Vector) -> None:
        """Try what is fitted, at every expression."""
        draw, source, watched = self.draws[0], look.source, look.watched
        assert watched is not None
        wrong = [name for name, right in draw.right_inputs(base).items() if not right]
        namespace = source.function.__globals__
        nodes, own = self._ingredients(source), len(self.program.sources) + len(self.forward)
        near, far = (expressions_of(part, ast.unparse) for part in (nodes[:own], nodes[own:]))
        scopes = Scopes(namespace, near, far, library_prefix(namespace), _unary(self.forward))
        end = (1.0 + self.budget.share) / 2  # the other half of the time is for what needs no fitting
        chosen = [frozenset(wrong), *(frozenset({name}) for name in wrong if len(wrong) > 1)]
        for targets in chosen:
            rows = rows_of(draw, base, targets)
            for edit in self._proposed(look, watched, rows, scopes, end):
                if self.budget.share >= end:
                    return
                self._try(function, source, edit)

    @property
    def _dearest(self) -> float:
        """The cost up to which an edit is worth trying, seeing what was found."""
        return min((found.cost for found in self.whole), default=np.inf) + ROOM

    def _proposed(
        self, look: Look, watched: Watched, rows: NDArray[np.bool_], scopes: Scopes, end: float
    ) -> Iterator[Edit]:
        draw, source = self.draws[0], look.source
        for k, hole in sorted(watched.holes.items()):
            if source.text.span(hole.node) in look.idle:
                continue
            for spread in _spreads(hole.numbers(), draw):
                if self.budget.share >= end:
                    return
                with watched.hooked(), standing_in(source.function, watched.code):
                    made = response(watched, k, draw, rows, spread)
                if made is None:
                    continue
                written_now = source.text.of(hole.node)
                for text in proposals(hole, made, scopes.atoms(hole.scopes), source.text):
                    if edit_cost(written_now, text, self.program.words) <= self._dearest:
                        yield source.text.expression(hole.node, text)

    def _try(self, function: FunctionType, source: Written, edit: Edit) -> None:
        """Judge an edit at the first draw, and where it is right there at the others."""
        try:
            code = source.code(edit)
        except (SyntaxError, ValueError):
            return
        key = (function, code.co_code, code.co_consts, code.co_names, code.co_varnames)
        if key in self._seen:
            self._say_plainer(key, edit)
            return
        self._seen[key] = None
        self.budget.count()
        with suppress(TooLongError), standing_in(function, code), time_limit(LONGEST):
            right = self.draws[0].right(self.draws[0].gradient())
            if (self._base & ~right).any() or right.sum() <= self._base.sum():
                return
            inputs = self._mended(right)
            if inputs and not right.all() and not self._leaves_the_rest(inputs):
                inputs = frozenset()
            self._note(key, edit, right, inputs)

    def _leaves_the_rest(self, inputs: frozenset[str]) -> bool:
        """Whether an edit, which is in place, leaves the gradients as they were that it does not mend."""
        draw = self.draws[0]
        rest = np.array([draw.names[k] not in inputs for k in draw.owners], bool)
        return bool(np.isfinite(self._first).all() and np.array_equal(draw.gradient()[rest], self._first[rest]))

    def _note(self, key: Key, edit: Edit, right: NDArray[np.bool_], inputs: frozenset[str]) -> None:
        """Keep an edit that mends some input, or helps enough to be worth another beside it."""
        if not inputs and right.sum() < self._base.sum() + max(2, LEAST_HELP * (~self._base).sum()):
            return
        with suppress(SyntaxError):
            found = Found(self.program.edited(edit), right, inputs)
            if found.program.text.text in self.refuted:
                return
            self._seen[key] = found
            (self.whole if right.all() and inputs else self.partial).append(found)

    def _say_plainer(self, key: Key, edit: Edit) -> None:
        """Take an edit for another that comes to the same program where it changes less of the text."""
        known = self._seen[key]
        if known is not None:
            other = replace(known, program=self.program.edited(edit))
            if other.cost < known.cost:
                self._seen[key] = other
                for found in (self.whole, self.partial):
                    found[:] = [other if made is known else made for made in found]

    def _mended(self, right: NDArray[np.bool_]) -> frozenset[str]:
        """Return the inputs that an edit, which is in place, mends at every draw; nothing where it spoils any."""
        first = self.draws[0]
        mended = {name for k, name in enumerate(first.names) if right[first.owners == k].all()}
        for draw, before in zip(self.draws[1:], self._bases[1:], strict=True):
            after = draw.right_inputs(draw.gradient())
            if any(before[name] and not after[name] for name in before):
                return frozenset()
            mended &= {name for name, is_right in after.items() if is_right}
        return frozenset(mended) if mended > {name for name, was in self._bases[0].items() if was} else frozenset()


FEW_KINDS = 7
"""Kinds of edits that are tried before anything is fitted: of the others there are many more edits."""

PLAIN = 2.1
"""Cost of an edit that no fitted one could be plainer than: one token for another."""

ROOM = 1.2
"""By how much an edit may cost more than the plainest that was found, and still be tried."""

LONGEST = 2.0
"""Seconds that backward may take with an edit, at all draws: a loop may have lost its end."""

LEAST_HELP = 0.2
"""Share of the wrong places that become right where an edit is worth another beside it."""


def _spreads(arrays: list[NDArray[np.generic]] | None, draw: Draw) -> list[Shape]:
    """Return the shapes that an expression's values may be spread to: its own, and where it is smaller a gradient's."""
    if arrays is None:
        return []
    shapes: list[Shape] = [()]
    own = arrays[0].shape
    for name in draw.names:
        shape = tuple(draw.inputs[name].shape)
        try:
            larger = np.broadcast_shapes(own, shape) == shape != own
        except ValueError:
            continue
        if larger and shape not in shapes and len(arrays) == 1:
            shapes.append(shape)
    return shapes[:2]


def _unary(sources: Sequence[Written]) -> list[str]:
    """Return the functions of one argument that the op consists of; its forward among them gives the output."""
    return [
        made.function.__name__
        for made in sources
        if made.function.__code__.co_argcount - len(made.function.__defaults__ or ()) == 1
        and made.function.__globals__.get(made.function.__name__) is made.function
    ][:8]
