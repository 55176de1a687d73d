"""Edits that need no fitting: the inverse of what people get wrong, and so of every fault that mutation plants."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from gradaudit.mutation.faults import OTHER_FUNCTION, REDUCTIONS
from gradaudit.repair.surroundings import Surroundings, is_loaded
from gradaudit.repair.wrapping import with_calls
from gradaudit.source.computing import computing
from gradaudit.source.text import Edit, SourceText

FAMILIES = (
    ("max", "min", "sum", "mean", "argmax", "prod", "cumsum", "amax", "amin"),
    ("argmax", "argmin"),
    ("maximum", "minimum"),
    ("sin", "cos", "tan"),
    ("sinh", "cosh", "tanh"),
    ("exp", "log", "expm1", "log1p"),
    ("floor", "ceil", "round"),
    ("zeros_like", "ones_like", "empty_like"),
    ("zeros", "ones"),
    ("var", "std"),
    ("sqrt", "square"),
    ("tril", "triu"),
    ("matmul", "multiply", "dot"),
    ("logical_and", "logical_or"),
    ("set", "add"),
)
"""Functions and methods that are mistaken for each other."""

BINARY = ("+", "-", "*", "/", "**", "@", "//", "%")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
AXES = ("-1", "0", "1", "-2", "2", "3", "(0, 1)", "(1, 2)", "(0, 2)", "(-2, -1)", "(0, 2, 3)", "(2, 3)", "None")
AXIS_WORDS = ("axis", "dim", "axes")


Maker = Callable[[ast.AST, Surroundings], Iterator[Edit]]


def edits(make: Maker, body: Sequence[ast.stmt], around: Surroundings) -> Iterator[Edit]:
    """Yield the edits of one kind of the statements of a function, each once."""
    seen = set()
    nodes = [node for statement in body for node in computing(statement, _is_left_alone)]
    written = {id(node.value) for node in nodes if isinstance(node, ast.Subscript) and not is_loaded(node)}
    for node in nodes:
        for edit in make(node, around):
            if id(node) in written and not PLACE.fullmatch(edit.replacement):
                continue
            if edit not in seen and around.text.slice(edit.start, edit.end) != edit.replacement:
                seen.add(edit)
                yield edit


PLACE = re.compile(r"[\w.]+(\[.*\])?")
"""What may be written into: a copy would take it and be lost."""


def _is_left_alone(node: ast.AST) -> bool:
    return isinstance(node, (ast.Assert, ast.Raise, ast.FunctionDef, ast.ClassDef))


def signs(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """A minus taken away or put in."""
    text = around.text
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield text.left_over(node, node.operand)
    elif isinstance(node, (ast.BinOp, ast.Name, ast.Call, ast.Subscript, ast.Attribute)) and is_loaded(node):
        yield text.expression(node, f"-{text.operand(node)}")


def operators(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """Another operator, another comparison, another function of the same family."""
    text = around.text
    match node:
        case ast.BinOp(left, _, right):
            a, b = text.operand(left), text.operand(right)
            yield from (text.expression(node, f"{a} {sign} {b}") for sign in BINARY)
            yield from (text.expression(node, f"{b} {sign} {a}") for sign in ("-", "/", "@", "**"))
            yield from (text.left_over(node, part) for part in (left, right))
            yield text.expression(node, f"-{b}")
        case ast.Compare(left, [_], [right]) | ast.BoolOp(_, [left, right]):
            a, b = text.operand(left), text.operand(right)
            signs = COMPARISONS if isinstance(node, ast.Compare) else ("and", "or")
            yield from (text.expression(node, f"{a} {sign} {b}") for sign in signs)
        case ast.Call(ast.Attribute(owner, name) as function):
            yield from (text.replaced(function, f"{text.operand(owner)}.{other}") for other in _family(name))
        case ast.Call(ast.Name(name) as function):
            yield from (text.replaced(function, other) for other in _family(name))


def assignments(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """``+=`` for ``=`` and the other way round, an assignment in place made one to a new array."""
    text = around.text
    match node:
        case ast.AugAssign(target, op, value):
            name, given = text.of(target), text.of(value)
            yield from (text.replaced(node, f"{name} {sign} {given}") for sign in ("+=", "-=", "*=", "/=", "="))
            yield text.replaced(node, f"{name} = {name} {_operator(op)} {text.operand(value)}")
            if isinstance(op, ast.Add):
                yield from _accumulated(node, target, value, around)
        case ast.Assign([(ast.Subscript() | ast.Name() | ast.Attribute()) as target], value):
            yield from (text.replaced(node, f"{text.of(target)} {sign} {text.of(value)}") for sign in ("+=", "-="))
            yield from _accumulated(node, target, value, around)


def _accumulated(node: ast.stmt, target: ast.expr, value: ast.expr, around: Surroundings) -> Iterator[Edit]:
    """Yield what adds to places once for each time that they are named, where ``+=`` adds once."""
    text = around.text
    if not isinstance(target, ast.Subscript) or not around.prefix:
        return
    whole, place, given = text.of(target.value), text.of(target.slice), text.of(value)
    if not around.is_torch:
        yield text.replaced(node, f"{around.prefix}.add.at({whole}, {place}, {given})")
    elif not any(isinstance(part, ast.Slice) for part in ast.walk(target.slice)):
        several = place if isinstance(target.slice, ast.Tuple) else f"{place},"
        yield text.replaced(node, f"{whole}.index_put_(({several}), {given}, accumulate=True)")


def _operator(op: ast.operator) -> str:
    return {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**"}.get(type(op), "+")


def _family(name: str) -> list[str]:
    alike = [other for family in FAMILIES if name in family for other in family if other != name]
    return list(dict.fromkeys([*([OTHER_FUNCTION[name]] if name in OTHER_FUNCTION else []), *alike]))


def conditions(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """A condition turned round, the two choices of one exchanged, or only one of them."""
    text = around.text
    match node:
        case ast.UnaryOp(ast.Not() | ast.Invert(), operand):
            yield text.left_over(node, operand)
        case ast.Call(ast.Attribute(attr="where"), [test, chosen, other]):
            yield Edit(text.span(chosen)[0], text.span(other)[1], f"{text.operand(other)}, {text.operand(chosen)}")
            yield text.expression(test, f"~({text.of(test)})")
        case ast.IfExp(test, chosen, other):
            yield text.expression(test, f"not {text.operand(test)}")
            yield text.left_over(node, chosen)
            yield text.left_over(node, other)
        case ast.If(test) | ast.While(test):
            yield text.replaced(test, f"not {text.operand(test)}")
            yield text.replaced(test, "True")
            yield text.replaced(test, "False")


def constants(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """Another whole number or truth value; what is no whole number is fitted instead."""
    text = around.text
    match node:
        case ast.Constant(bool(value)):
            yield text.replaced(node, repr(not value))
        case ast.Constant(float(value)):
            floats = (value / 1.1, value * 1.1, round(value), -value, 2 * value, value / 2, 10 * value, value / 10)
            near = dict.fromkeys([*(float(f"{each:.12g}") for each in floats), *around.constants])
            yield from (
                text.replaced(node, f"({each!r})" if each < 0 else repr(each)) for each in near if each != value
            )
        case ast.Constant(int(value)):
            others = (value - 1, value + 1, -value, 2 * value, -1, 0, 1, 2, 3, value + 2, value - 2)
            yield from (text.replaced(node, f"({n})" if n < 0 else str(n)) for n in dict.fromkeys(others) if n != value)
        case ast.UnaryOp(ast.USub(), ast.Constant(int(value))):
            yield from (text.replaced(node, str(-n)) for n in (value + 1, value - 1, value + 2))


def indices(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """An index, the end of a slice or of a range moved by one, left out or put in."""
    text = around.text
    match node:
        case ast.Subscript(slice=place):
            for part in place.elts if isinstance(place, ast.Tuple) else [place]:
                if isinstance(part, ast.Slice):
                    yield from _slices(part, around)
                elif not isinstance(part, ast.Constant):
                    yield from _moved(part, around)
            yield text.left_over(node, node.value) if is_loaded(node) else text.replaced(node, text.of(node.value))
            count = _parts(text.of(place))
            yield from (text.replaced(place, other) for other in around.places if _parts(other) == count)
        case ast.Call(ast.Attribute(attr="at"), [_, place, *_]):
            count = _parts(text.of(place))
            yield from (text.replaced(place, f"({other})") for other in around.places if _parts(other) == count > 1)
        case ast.Call(ast.Name("range"), arguments):
            for part in arguments:
                yield from _moved(part, around)
            if len(arguments) == 1:
                yield text.replaced(arguments[0], f"1, {text.of(arguments[0])}")
                yield text.expression(node, f"reversed({text.of(node)})")
            elif len(arguments) == 2:
                yield Edit(text.span(arguments[0])[0], text.span(arguments[1])[1], text.of(arguments[1]))


def _parts(place: str) -> int:
    """Return the number of axes that what stands between brackets speaks of."""
    try:
        held = ast.parse(f"_[{place}]", mode="eval").body
    except SyntaxError:
        return 0
    inside = held.slice if isinstance(held, ast.Subscript) else None
    return len(inside.elts) if isinstance(inside, ast.Tuple) else 1


def _moved(part: ast.expr, around: Surroundings) -> Iterator[Edit]:
    text = around.text
    if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Add, ast.Sub)) and isinstance(part.right, ast.Constant):
        yield text.left_over(part, part.left)
    yield text.replaced(part, f"{text.operand(part)} - 1")
    yield text.replaced(part, f"{text.operand(part)} + 1")


def _slices(part: ast.Slice, around: Surroundings) -> Iterator[Edit]:
    text = around.text
    ends = (text.of(part.lower) if part.lower else "", text.of(part.upper) if part.upper else "")
    step = f":{text.of(part.step)}" if part.step else ""
    lowers = [ends[0], "", *(["1"] if not ends[0] else [f"{ends[0]} - 1", f"{ends[0]} + 1"])]
    uppers = [ends[1], "", *(["-1"] if not ends[1] else [f"{ends[1]} + 1", f"{ends[1]} - 1"])]
    if isinstance(part.lower, ast.BinOp):
        lowers.append(text.of(part.lower.left))
    if isinstance(part.upper, ast.BinOp):
        uppers.append(text.of(part.upper.left))
    for lower in lowers:
        for upper in uppers:
            yield text.replaced(part, f"{lower}:{upper}{step}")
    yield text.replaced(part, f"{ends[0]}:{ends[1]}" if step else f"{ends[0]}:{ends[1]}:-1")


def axes(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """Another axis, an axis put in or left out, axes kept or not."""
    text = around.text
    match node:
        case ast.keyword(word, value) if word in AXIS_WORDS:
            yield from (text.replaced(value, axis) for axis in AXES)
            if isinstance(value, ast.Tuple):
                yield from _with_another_axis(value, text)
            yield from (text.replaced(value, name) for name in around.names)
        case ast.Call(args=arguments, keywords=keywords) if _called(node) in REDUCTIONS | {"argmax", "argmin", "norm"}:
            given = {keyword.arg for keyword in keywords}
            word, keep = ("dim", "keepdim") if around.is_torch else ("axis", "keepdims")
            end = text.span(node)[1] - 1
            comma = ", " if arguments or keywords else ""
            if not given.intersection(AXIS_WORDS):
                for axis in AXES[:9]:
                    yield Edit(end, end, f"{comma}{word}={axis}")
                    yield Edit(end, end, f"{comma}{word}={axis}, {keep}=True")
            elif keep not in given:
                yield Edit(end, end, f"{comma}{keep}=True")
            for keyword in keywords:
                start = text.span(keyword.value)[0] - len(f"{keyword.arg}=")
                yield Edit(start, text.span(keyword.value)[1], f"{keep}=True" if keyword.arg in AXIS_WORDS else "")


def _with_another_axis(value: ast.Tuple, text: SourceText) -> Iterator[Edit]:
    given = [text.of(part) for part in value.elts]
    for axis in ("0", "1", "2", "3", "-1", "-2"):
        if axis not in given:
            for place in range(len(given) + 1):
                parts = ", ".join([*given[:place], axis, *given[place:]])
                yield text.replaced(value, f"({parts})")
    for k in range(len(given)):
        parts = ", ".join(given[:k] + given[k + 1 :])
        yield text.replaced(value, f"({parts},)")
    for k in range(len(given) - 1):
        parts = ", ".join([*given[:k], given[k + 1], given[k], *given[k + 2 :]])
        yield text.replaced(value, f"({parts})")


def without_calls(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """What a function is applied to, without the function; a transposition taken away."""
    text = around.text
    match node:
        case ast.Attribute(value, "T" | "mT" | "real" | "imag", ast.Load()):
            yield text.left_over(node, value)
        case ast.Call(function, arguments):
            if arguments and not isinstance(arguments[0], ast.Starred):
                yield text.left_over(node, arguments[0])
            if isinstance(function, ast.Attribute):
                yield text.left_over(node, function.value)
            for a, b in pairwise(arguments):
                between = text.slice(*text.between(a, b))
                yield Edit(text.span(a)[0], text.span(b)[1], f"{text.of(b)}{between}{text.of(a)}")


def small_changes(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """One more or less, twice or half, the square, the inverse; a variable more as a factor, divisor or term."""
    text = around.text
    if not isinstance(node, (ast.BinOp, ast.Name, ast.Call, ast.Subscript, ast.Attribute)) or not is_loaded(node):
        return
    own = text.operand(node)
    if text.span(node) in around.counts:
        for made in ("{} - 1", "{} + 1", "{} - 2", "2 * {}", "-{}"):
            yield text.expression(node, made.format(own))
        for name in around.names:
            yield from (text.expression(node, f"{own} {sign} {name}") for sign in ("*", "+", "-", "//"))
    if text.span(node) not in around.numbers:
        return
    for made in ("{} - 1", "{} + 1", "1 - {}", "2 * {}", "{} / 2", "{}**2", "1 / {}"):
        yield text.expression(node, made.format(own))
    for other in (*around.names, *around.expressions):
        for made in ("{} * {}", "{} / {}", "{} + {}", "{} - {}"):
            yield text.expression(node, made.format(own, other))


def other_names(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """Another variable."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in around.names:
        yield from (around.text.replaced(node, name) for name in around.names if name != node.id)


def renamed(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """Another variable, in a whole statement that reads one more than once; two variables exchanged in it."""
    if not isinstance(node, (ast.Assign, ast.AugAssign, ast.Return, ast.Expr)):
        return
    text = around.text
    start, end = text.span(node)
    read = [below for below in ast.walk(node) if isinstance(below, ast.Name) and is_loaded(below)]
    own = [name for name in dict.fromkeys(each.id for each in read) if name in around.names]

    def said(names: Mapping[str, str]) -> Edit:
        made, place = "", start
        for each in sorted(read, key=text.span):
            first, last = text.span(each)
            made += text.slice(place, first) + names.get(each.id, each.id)
            place = last
        return Edit(start, end, made + text.slice(place, end))

    for name in own:
        if sum(each.id == name for each in read) > 1:
            yield from (said({name: other}) for other in around.names if other != name)
    yield from (said({a: b, b: a}) for k, a in enumerate(own) for b in own[k + 1 :])


def statements(node: ast.AST, around: Surroundings) -> Iterator[Edit]:
    """A statement left out, gradients returned in another order."""
    text = around.text
    if isinstance(node, (ast.AugAssign, ast.Expr)) or (
        isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Tuple)
    ):
        yield text.replaced(node, "pass")
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        parts = [text.of(part) for part in node.value.elts]
        for a in range(len(parts)):
            for b in range(a + 1, len(parts)):
                swapped = list(parts)
                swapped[a], swapped[b] = parts[b], parts[a]
                yield text.replaced(node.value, ", ".join(swapped))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(name):
            return name
    return ""


MAKERS: tuple[Maker, ...] = (
    operators,
    assignments,
    conditions,
    constants,
    indices,
    axes,
    signs,
    other_names,
    without_calls,
    statements,
    renamed,
    small_changes,
    with_calls,
)
"""The kinds of edits, the likeliest first."""

MAKERS_OF_SHAPES: tuple[Maker, ...] = (
    operators,
    indices,
    axes,
    constants,
    assignments,
    conditions,
    without_calls,
    with_calls,
    small_changes,
    other_names,
    signs,
    statements,
    renamed,
)
"""The same where backward raises, or a gradient has not its input's shape: what makes another shape comes earlier."""
