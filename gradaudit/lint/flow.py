"""The walk through a function's statements: which new tensors leave it, and which of them the tape knows."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gradaudit.lint.expressions import Environment, Reader, Scope, Seen
from gradaudit.lint.value import NOTHING, NewTensor, Value, computed, element, joined, tensor_of
from gradaudit.lint.vocabulary import (
    MAXIMA,
    NO_DERIVATIVE,
    NO_TAPE,
    PLAIN_ARGUMENTS,
    SHIFTED,
    Vocabulary,
    carries_gradient,
    last_word,
    words,
)

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Body: TypeAlias = Function | ast.Module

HARMLESS = words(
    "print debug info warning log append extend backward close eval train requires_grad_ zero_grad set_requires_grad "
    "retain_grad"
)
"""Functions and methods that are called for their effect and do not put a tensor on the tape."""

TRAINING = frozenset({"backward", "zero_grad"})
"""What a loop that trains calls: the tensors that it is given are data there, and the model's parameters are leaves."""

TWICE = 3
"""How deep loops may be nested whose bodies are run twice, for what flows from one round into the next."""

PLAIN_ATTRIBUTES = frozenset({"grad", "requires_grad", "_requires_grad", "_grad", "T"})
"""Attributes that, set on a tensor, record nothing, beside those that a constructor is given too."""


@dataclass(frozen=True)
class Flow:
    """What was seen in a function, and what its names are worth in the end."""

    seen: Seen
    environment: Environment

    @property
    def lost(self) -> frozenset[NewTensor]:
        """The new tensors that go on while the tape knows nothing of them."""
        return frozenset(self.seen.reached - self.seen.recorded.keys())


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes below some, less what functions and classes inside are made of."""
    for node in body:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            yield from own_nodes(ast.iter_child_nodes(node))


def trains(body: Sequence[ast.stmt]) -> bool:
    """Whether these statements differentiate a loss, or forget the gradients of the last step."""
    calls = (node for node in own_nodes(body) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    return any(last_word(call.func) in TRAINING for call in calls)


def flow_of(node: Body, vocabulary: Vocabulary, outer: Environment, *, within_tensor: bool) -> Flow:
    """Return what flows in a function's body, or in a module's.

    Args:
        node: the function or module.
        vocabulary: how the project calls its tensors.
        outer: what the names around it are worth.
        within_tensor: whether it is a method of the tensors' class.

    """
    training = trains(node.body)
    environment = dict(outer)
    if not isinstance(node, ast.Module):
        arguments = node.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            environment[argument.arg] = _argument(argument, training=training)
        for several in (arguments.vararg, arguments.kwarg):
            if several:
                environment[several.arg] = _argument(several, training=training)
        environment["self"] = tensor_of("self") if within_tensor else NOTHING
        environment["cls"] = NOTHING
    shifted = not isinstance(node, ast.Module) and SHIFTED.search(node.name)
    no_derivative = NO_DERIVATIVE | MAXIMA if shifted else NO_DERIVATIVE
    walk = _Walk(Reader(Scope(vocabulary, within_tensor, training, no_derivative), environment))
    walk.run(node.body)
    return Flow(walk.reader.seen, walk.reader.environment)


def _argument(argument: ast.arg, *, training: bool) -> Value:
    return tensor_of(argument.arg) if carries_gradient(argument.arg) and not training else NOTHING


class _Walk:
    """Runs the statements of a body in their order; branches are joined, loops run twice."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.depth = 0

    def run(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        run = _RUN.get(type(node))
        if run is not None:
            run(self, node)

    def _assignment(self, node: ast.Assign | ast.AnnAssign) -> None:
        if node.value is None:
            return
        value = self.reader.value(node.value)
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self._assign(target, value)

    def _return(self, node: ast.Return) -> None:
        if not self.reader.scope.trains:
            self.reader.seen.reached |= self.reader.value(node.value).new

    def _expression(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self._effect(node.value)
        else:
            self.reader.value(node.value)

    def _if(self, node: ast.If) -> None:
        self.reader.value(node.test)
        self._branches([node.body, node.orelse])

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        self.reader.bind(node.target, element(self.reader.value(node.iter)))
        self._loop(node.body)
        self.run(node.orelse)

    def _while(self, node: ast.While) -> None:
        self.reader.value(node.test)
        self._loop(node.body)

    def _try(self, node: ast.Try | ast.TryStar) -> None:
        self.run(node.body)
        self._branches([node.orelse, *(handler.body for handler in node.handlers)])
        self.run(node.finalbody)

    def _match(self, node: ast.Match) -> None:
        self._branches([*(case.body for case in node.cases), []])

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.reader.environment[(alias.asname or alias.name).partition(".")[0]] = NOTHING

    def _definition(self, node: Function | ast.ClassDef) -> None:
        self.reader.environment[node.name] = NOTHING

    def _assign(self, target: ast.expr, value: Value) -> None:
        reader = self.reader
        if isinstance(target, ast.Attribute):
            plain = target.attr in PLAIN_ATTRIBUTES or PLAIN_ARGUMENTS.fullmatch(target.attr)
            if not plain and target.attr not in reader.scope.vocabulary.attributes:
                reader.seen.record(reader.value(target.value).new, value.holds)
        if isinstance(target, ast.Name) and target.id not in reader.environment:
            # A piece of code whose beginning is not seen: the name's tensor is replaced by one detached from it.
            reader.seen.reached |= {new for new in value.new if target.id in new.sources}
        reader.bind(target, value)

    def _augment(self, node: ast.AugAssign) -> None:
        reader = self.reader
        before, value = reader.value(node.target), reader.value(node.value)
        if isinstance(node.target, (ast.Name, ast.Attribute)):
            adds = isinstance(node.op, (ast.Add, ast.Sub))
            reader.bind(node.target, reader.sum_of(before, value) if adds else computed([before, value]))
        else:
            reader.bind(node.target, value)

    def _effect(self, call: ast.Call) -> None:
        """Look at a call whose result is dropped: what it is given, or called on, it may put on the tape."""
        reader = self.reader
        reader.value(call)
        word = last_word(call.func)
        if word in HARMLESS and not self._goes_elsewhere(call, word):
            return
        owner = [call.func.value] if isinstance(call.func, ast.Attribute) else []
        given = [*owner, *call.args, *(keyword.value for keyword in call.keywords)]
        values = joined([reader.value(each) for each in given])
        reader.seen.record(values.new, values.holds)

    def _goes_elsewhere(self, call: ast.Call, word: str) -> bool:
        """Whether something is appended to a list that is not the function's own: a tape, say."""
        if word not in ("append", "extend") or not isinstance(call.func, ast.Attribute):
            return False
        return self.reader.value(call.func.value).items is None

    def _branches(self, bodies: Iterable[Sequence[ast.stmt]]) -> None:
        reader = self.reader
        before = reader.environment
        ends: list[Environment] = []
        for body in bodies:
            reader.environment = dict(before)
            self.run(body)
            if not (body and isinstance(body[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))):
                ends.append(reader.environment)
        reader.environment = _merged(ends) if ends else before

    def _loop(self, body: list[ast.stmt]) -> None:
        self.depth += 1
        self._branches([body * (2 if self.depth <= TWICE else 1), []])
        self.depth -= 1

    def _context(self, node: ast.With | ast.AsyncWith) -> None:
        reader = self.reader
        untaped = any(takes_off_the_tape(item.context_expr) for item in node.items)
        for item in node.items:
            value = reader.value(item.context_expr)
            if item.optional_vars is not None:
                reader.bind(item.optional_vars, value)
        reader.untaped += untaped
        self.run(node.body)
        reader.untaped -= untaped


_RUN: dict[type[ast.stmt], Callable[[_Walk, Any], None]] = {
    ast.Assign: _Walk._assignment,
    ast.AnnAssign: _Walk._assignment,
    ast.AugAssign: _Walk._augment,
    ast.Return: _Walk._return,
    ast.Expr: _Walk._expression,
    ast.If: _Walk._if,
    ast.For: _Walk._for,
    ast.AsyncFor: _Walk._for,
    ast.While: _Walk._while,
    ast.With: _Walk._context,
    ast.AsyncWith: _Walk._context,
    ast.Try: _Walk._try,
    ast.TryStar: _Walk._try,
    ast.Match: _Walk._match,
    ast.Import: _Walk._import,
    ast.ImportFrom: _Walk._import,
    ast.FunctionDef: _Walk._definition,
    ast.AsyncFunctionDef: _Walk._definition,
    ast.ClassDef: _Walk._definition,
}
"""How each kind of statement is run; what is not here changes nothing that is followed."""


def takes_off_the_tape(node: ast.expr) -> bool:
    """Whether nothing is recorded in this context, or in what this decorates."""
    words = [last_word(below) for below in ast.walk(node) if isinstance(below, (ast.Name, ast.Attribute))]
    return any(NO_TAPE.search(word) for word in words) or "enable_backprop" in ast.unparse(node)


def _merged(ends: Sequence[Environment]) -> Environment:
    if len(ends) == 1:
        return ends[0]
    merged: Environment = {}
    for name in dict.fromkeys(name for end in ends for name in end):
        values = [end[name] for end in ends if name in end]
        merged[name] = values[0] if all(value is values[0] for value in values) else joined(values)
    return merged
