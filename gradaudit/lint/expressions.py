"""What the expressions of a function are worth: the flow of tensors and of their raw arrays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gradaudit.lint.constructor import (
    asks_for_gradient,
    builds_tensor,
    content,
    is_constant_by_request,
    recorded_arguments,
)
from gradaudit.lint.value import NONE, NOTHING, How, Names, NewTensor, Value, computed, element, joined, tensor_of
from gradaudit.lint.vocabulary import (
    ALIASES,
    DESCRIBING,
    INTEGERS,
    NO_DERIVATIVE,
    RESHAPES,
    SUMS,
    Vocabulary,
    carries_gradient,
    dotted,
    last_word,
)

Environment = dict[str, Value]
"""What names, and dotted names, are known to be worth."""


@dataclass
class Seen:
    """What was seen of new tensors on the way.

    Attributes:
        recorded: the new tensors that were put on the tape, with the tensors that the tape then knows as their inputs.
        reached: the new tensors that are returned, or that a loss which is differentiated was computed from.
        added: the new tensors that were added to another tensor.

    """

    recorded: dict[NewTensor, Names] = field(default_factory=dict)
    reached: set[NewTensor] = field(default_factory=set)
    added: set[NewTensor] = field(default_factory=set)

    def record(self, new: frozenset[NewTensor], inputs: Names) -> None:
        """Note that new tensors were put on the tape, with these tensors as inputs."""
        for each in new:
            self.recorded[each] = self.recorded.get(each, NONE) | inputs


@dataclass(frozen=True)
class Scope:
    """Where expressions stand.

    Attributes:
        vocabulary: how the project calls its tensors.
        within_tensor: whether in a method of the tensors' class.
        trains: whether in a loop that trains: then what comes from outside is data.
        no_derivative: functions whose result has no derivative here.

    """

    vocabulary: Vocabulary
    within_tensor: bool
    trains: bool
    no_derivative: frozenset[str] = NO_DERIVATIVE


class Reader:
    """Evaluates expressions in an environment, which the walk through the statements changes."""

    def __init__(self, scope: Scope, environment: Environment) -> None:
        self.scope = scope
        self.environment = environment
        self.seen = Seen()
        self.untaped = 0
        """How many contexts are open in which nothing is recorded."""

    def value(self, node: ast.expr | None) -> Value:
        """Return what is known of an expression."""
        evaluate = _EVALUATED.get(type(node)) if node is not None else None
        return evaluate(self, node) if evaluate else NOTHING

    def bind(self, target: ast.expr, value: Value) -> None:
        """Give a target of an assignment its value."""
        match target:
            case ast.Name() | ast.Attribute() if name := dotted(target):
                if len(value.tensors) == 1 and "(" in next(iter(value.tensors)):  # a result gets its name
                    value = replace(value, tensors=frozenset({name}), holds=value.holds | {name})
                self.environment[name] = value
            case ast.Tuple() | ast.List():
                parts = value.items if value.items and len(value.items) == len(target.elts) else None
                for k, each in enumerate(target.elts):
                    self.bind(each, parts[k] if parts else element(value))
            case ast.Starred():
                self.bind(target.value, value)
            case ast.Subscript() if name := dotted(target.value):
                self.merge(name, value)

    def merge(self, name: str, value: Value) -> None:
        """Note that a value went into what a name stands for: an element that is set, or appended."""
        before = self.environment.get(name, NOTHING)
        how = How.COMPUTED if before.raw and value.raw else joined([before, value]).how
        items = () if before.items is not None else None
        self.environment[name] = replace(joined([before, value]), items=items, how=how)

    def _name(self, node: ast.Name) -> Value:
        name = node.id
        if name in self.environment:
            return self.environment[name]
        return NOTHING if self.scope.trains or not carries_gradient(name) else tensor_of(name)

    def _attribute(self, node: ast.Attribute) -> Value:
        name = dotted(node)
        if name in self.environment:
            return self.environment[name]
        base = self.value(node.value)
        if node.attr in self.scope.vocabulary.attributes:
            raw = base.tensors or base.raw
            return Value(raw=raw, holds=base.holds, how=base.how if base.raw else How.AS_IS)
        if node.attr in DESCRIBING:
            return NOTHING
        if node.attr in RESHAPES:
            return self._arranged(base, [])
        if base.raw:
            return computed([base])
        root = name.partition(".")[0]
        of_self = root == "self" and not self.scope.trains
        known = of_self or bool(base.tensors)
        return tensor_of(name) if name and known and carries_gradient(node.attr) else NOTHING

    def _subscript(self, node: ast.Subscript) -> Value:
        name = dotted(node.value)
        base = self.value(node.value)
        index = node.slice
        if base.items and isinstance(index, ast.Constant) and isinstance(index.value, int):
            return base.items[index.value] if -len(base.items) <= index.value < len(base.items) else NOTHING
        if base.raw:
            return computed([base])
        if base.tensors and base.is_tensor:
            return self._result(f"{name or 'x'}[...](...)", [base])
        return element(base)

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        return NOTHING if isinstance(node.op, ast.Not) else computed([value])

    def _either(self, node: ast.BoolOp | ast.IfExp) -> Value:
        if isinstance(node, ast.BoolOp):
            return joined([self.value(each) for each in node.values])
        self.value(node.test)
        return joined([self.value(node.body), self.value(node.orelse)])

    def _within(self, node: ast.Starred | ast.Await) -> Value:
        return self.value(node.value)

    def _walrus(self, node: ast.NamedExpr) -> Value:
        value = self.value(node.value)
        self.bind(node.target, value)
        return value

    def _operation(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            return self.sum_of(left, right)
        return self._result("a product(...)", [left, right])

    def sum_of(self, left: Value, right: Value) -> Value:
        """Return what is known of a sum, having noted which new tensors were added to another tensor."""
        if left.raw and right.raw and left.raw != right.raw:
            return computed([left, right], How.SUMMED)
        for one, other in ((left, right), (right, left)):
            if one.is_tensor and other.tensors - one.tensors:
                self.seen.added |= one.new
        return self._result("a sum(...)", [left, right])

    def _dict(self, node: ast.Dict) -> Value:
        return replace(joined([self.value(each) for each in node.values]), items=None)

    def _container(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        elements = node.elts
        values = [self.value(each) for each in elements]
        starred = any(isinstance(each, ast.Starred) for each in elements)
        inside = replace(joined(values), is_tensor=False)
        return replace(inside, items=() if starred else tuple(values), how=inside.how)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) -> Value:
        before = dict(self.environment)
        for loop in node.generators:
            self.bind(loop.target, element(self.value(loop.iter)))
        value = self.value(node.value if isinstance(node, ast.DictComp) else node.elt)
        self.environment = before
        return replace(value, items=() if isinstance(node, ast.ListComp) else None)

    def _comparison(self, node: ast.Compare) -> Value:
        for each in (node.left, *node.comparators):
            self.value(each)
        return NOTHING

    def _call(self, node: ast.Call) -> Value:
        if builds_tensor(node, self.scope.vocabulary, within_tensor=self.scope.within_tensor):
            return self._new_tensor(node)
        word = last_word(node.func)
        receiver = self.value(node.func.value) if isinstance(node.func, ast.Attribute) else NOTHING
        values = [self.value(each) for each in (*node.args, *(keyword.value for keyword in node.keywords))]
        if word == "backward":
            self.seen.reached |= receiver.new
            return NOTHING
        if word in ("append", "extend", "insert", "add") and isinstance(node.func, ast.Attribute):
            self.merge(dotted(node.func.value), joined(values))
        if word in self.scope.no_derivative or _makes_integers(word, node):
            return NOTHING
        if word in RESHAPES or word in ALIASES:
            return self._arranged(receiver, values, alike=word in ALIASES)
        if word in SUMS and len(values) == 2 and not receiver.raw:
            return self.sum_of(*values)
        if word == "where" and len(values) == 3:
            values = values[1:]
        return self._result(f"{word}(...)", [receiver, *_less_statistics(values)])

    def _arranged(self, receiver: Value, values: Sequence[Value], *, alike: bool = False) -> Value:
        """Return what is known of a value whose elements are only arranged anew, or left as they are."""
        given = receiver if receiver.raw or receiver.tensors or receiver.new else (values[0] if values else NOTHING)
        if given.raw:
            how = How.RESHAPED if given.how is How.AS_IS and not alike else given.how
            return computed([given], how)
        return self._result("a view(...)", [given])

    def _result(self, label: str, values: Sequence[Value]) -> Value:
        """Return what is known of a result: a tensor where tensors went in, an array where arrays did."""
        value = computed(values)
        if value.raw and not value.is_tensor:  # what else went in is a size or a scale as likely as a tensor
            return replace(value, tensors=NONE)
        if not (value.is_tensor or value.tensors):
            return value
        return replace(value, tensors=frozenset({label}), holds=value.holds | {label}, raw=NONE)

    def _new_tensor(self, node: ast.Call) -> Value:
        given = self.value(content(node))
        recorded = [self.value(each) for each in recorded_arguments(node)]
        if is_constant_by_request(node) or self.untaped:
            return Value(is_tensor=True)
        if not given.raw:
            name = frozenset({ast.unparse(node.func) + "(...)"}) if asks_for_gradient(node) else NONE
            return Value(tensors=name, holds=name, new=given.new, is_tensor=True)
        new = frozenset({NewTensor(node, given.raw, given.how)})
        if recorded:
            self.seen.record(new, joined(recorded).holds)
        return Value(tensors=given.raw, holds=given.raw, new=new, is_tensor=True)


def _makes_integers(word: str, node: ast.Call) -> bool:
    """Whether an array is cast to a dtype that has no derivative: ``x.astype(np.int64)``."""
    if word not in ("astype", "array", "asarray", "to", "type"):
        return False
    dtypes = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "dtype")]
    names = (str(each.value) if isinstance(each, ast.Constant) else last_word(each) for each in dtypes)
    return any(INTEGERS.fullmatch(name) for name in names)


def _less_statistics(values: Sequence[Value]) -> list[Value]:
    """Return arguments without the new tensors whose sources are arguments as well: ``batch_norm(x, mean_of_x)``.

    The function's own backward may account for them.
    """
    given = NONE.union(*(value.tensors for value in values if not value.new))
    return [replace(value, new=frozenset(new for new in value.new if not new.sources <= given)) for value in values]


_EVALUATED: dict[type[ast.AST], Callable[[Reader, Any], Value]] = {
    ast.Name: Reader._name,
    ast.Attribute: Reader._attribute,
    ast.Call: Reader._call,
    ast.BinOp: Reader._operation,
    ast.UnaryOp: Reader._unary,
    ast.Compare: Reader._comparison,
    ast.BoolOp: Reader._either,
    ast.IfExp: Reader._either,
    ast.Subscript: Reader._subscript,
    ast.List: Reader._container,
    ast.Tuple: Reader._container,
    ast.Set: Reader._container,
    ast.Dict: Reader._dict,
    ast.ListComp: Reader._comprehension,
    ast.GeneratorExp: Reader._comprehension,
    ast.SetComp: Reader._comprehension,
    ast.DictComp: Reader._comprehension,
    ast.Starred: Reader._within,
    ast.Await: Reader._within,
    ast.NamedExpr: Reader._walrus,
}
"""How each kind of expression is evaluated; what is not here carries no gradient."""
