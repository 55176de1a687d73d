"""Backward passes in Python, found in the syntax tree: nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from gradaudit.coverage.naming import (
    BACKWARD_METHODS,
    backward_method,
    forward_among,
    forward_method,
    naming,
    snake,
)
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.source.modules import Imported, note_imports, parsed

WORTH_PARSING = re.compile(
    rb"[Bb]ack_?(ward|prop)|vjp|bwd|bprop|pullback|[Gg]rad|[Dd]eriv|_der\b|[Pp]rime|custom_gradient|[Jj]ac(obian)?\b|_jac|jac_"
    rb"|\bdef _?d_?[a-z]|[Aa]djoint|\bdef df|\bdef \w*(loss|cost|entropy|objective|hinge|mse)"
)
"""What stands in every file that has a backward pass: most files are passed over without a syntax tree."""

VERBS = re.compile(
    "(assert|bench|benchmark|call|can|check|compile|disable|enable|get(?!_item)|has|is|make|maybe|needs|no|numerical|prepare|"
    "register|requires|run|save|should|supports|test|trace|update|validate|warn|with)(_|$)"
)
"""How names begin that end as those of backward passes do and are something else: ``needs_backward``."""

NO_OPS = frozenset({"fn", "func", "function", "graph", "hook", "hooks", "pass", "step", "zero"})
"""What is no op in ``backward_pass``, ``backward_hook``, ``zero_grad``."""

UPSTREAM_WORDS = re.compile(r"ctx|g|gs|ct|cts|cotangents?|upstream\w*|d[a-z]?(out\w*)?|g[a-z]|\w*grad\w*|dL\w*|d_\w+")
"""What the argument of a backward pass that carries the upstream gradient is called."""

ATTACHED = frozenset({"_backward", "backward", "_backward_fn", "backward_fn", "_grad_fn", "grad_fn"})
"""Attributes of an output that hold what computes the gradients of the inputs it was made from."""

REGISTRATIONS = frozenset({"defvjp", "defvjp_argnum", "defvjp_argnums", "defvjp_all"})
"""Functions of autograd (and of JAX, inside) that give an op its backward pass."""

TORCH_BASE = re.compile(r"(.*\bautograd\b.*\.|torch\..*)?Function")
"""What classes are derived from that are functions to torch, imports resolved."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_passes(source: bytes, file: Path) -> list[BackwardPass] | str:
    """Return the backward passes that a Python file defines, by line, or in words why it cannot be read."""
    if not WORTH_PARSING.search(source):
        return []
    tree = parsed(source)
    if isinstance(tree, str):
        return tree
    finder = _Finder(file)
    try:
        finder.search(tree.body, "", within_class=False)
    except RecursionError:
        return "is nested too deeply to be searched"
    return finder.passes()


@dataclass(frozen=True)
class _Candidate:
    """A backward pass, with the tree that defines it and whether it is registered as one, not just named like one."""

    found: BackwardPass
    node: ast.AST
    registered: bool


class _Finder:
    """Collects what looks like a backward pass in one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._imports: dict[str, Imported] = {}
        self._candidates: list[_Candidate] = []
        self._used: set[str] = set()

    def passes(self) -> list[BackwardPass]:
        """Return what was found, less what is only a part of something that was found."""
        kept: dict[str, BackwardPass] = {}
        for candidate in sorted(self._candidates, key=lambda candidate: candidate.found.line):
            found = candidate.found
            if not (candidate.registered or self._is_part(candidate)):
                kept.setdefault(found.name, found)
            elif candidate.registered:
                before = kept.get(found.name)
                kept[found.name] = found if before is None or before.kind is Kind.FUNCTION else before
        return sorted(kept.values(), key=lambda found: found.line)

    def _is_part(self, candidate: _Candidate) -> bool:
        """Whether this function belongs to another backward pass: registered there, or a private part of it."""
        owner, _, last = candidate.found.name.rpartition(".")
        classes = {other.found.name for other in self._candidates if other.found.kind is Kind.CLASS}
        if last in self._used or (last.startswith("_") and owner in classes):
            return True
        others = (other for other in self._candidates if other.node is not candidate.node)
        return last.startswith("_") and any(last in _mentioned(other.node) for other in others)

    def _add(self, name: str, op: str, kind: Kind, node: ast.stmt | ast.expr, *, registered: bool = True) -> None:
        found = BackwardPass(self._file, node.lineno, name, op, kind)
        self._candidates.append(_Candidate(found, node, registered))

    def search(self, body: Iterable[ast.stmt], prefix: str, *, within_class: bool) -> None:
        """Look at the statements of a body whose names begin with a prefix, and below them."""
        body = list(body)
        siblings = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        for node in body:
            match node:
                case ast.Import() | ast.ImportFrom():
                    note_imports(self._imports, node, "")
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._function(node, prefix, siblings, method=within_class)
                    self.search(node.body, f"{prefix}{node.name}.<locals>.", within_class=False)
                case ast.ClassDef():
                    pair = self._class(node, prefix)
                    own = backward_method({getattr(below, "name", "") for below in node.body}) if pair else ""
                    inner = [
                        below for below in node.body if not (pair and getattr(below, "name", "") in (own, "backward"))
                    ]
                    self.search(inner, f"{prefix}{node.name}.", within_class=True)
                case ast.Assign():
                    self._assignment(node, prefix)
                    self._attachment(node, body, prefix)
                case ast.Expr(value=ast.Call() as call):
                    self._registration(call, prefix)
            for block in ("body", "orelse", "finalbody", "handlers", "cases"):
                if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                    self._blocks(getattr(node, block, []), prefix, within_class=within_class)

    def _blocks(self, block: list[ast.AST], prefix: str, *, within_class: bool) -> None:
        for part in block:
            if isinstance(part, (ast.ExceptHandler, ast.match_case)):
                self.search(part.body, prefix, within_class=within_class)
        self.search([part for part in block if isinstance(part, ast.stmt)], prefix, within_class=within_class)

    def _function(self, node: Function, prefix: str, siblings: set[str], *, method: bool) -> None:
        for decorator in node.decorator_list:
            if self._decorated(node, decorator, prefix):
                return
        if handed_on(node):
            self._add(prefix + node.name, node.name.strip("_"), Kind.CLOSURE, node)
            return
        op = "" if _is_adapter(node) else _op_of(node, siblings, method=method)
        if not op and _gives_loss_and_gradient(node, method=method):
            self._add(prefix + node.name, _op_of_loss(node.name), Kind.VALUE_AND_GRAD, node, registered=False)
        if op and not _is_stub(node):
            self._add(prefix + node.name, op, Kind.FUNCTION, node, registered=False)

    def _decorated(self, node: Function, decorator: ast.expr, prefix: str) -> bool:
        """Note a function that a decorator makes or gives a backward pass; return whether it does."""
        words = _last_words(decorator)
        if "custom_vjp" in words:
            self._add(prefix + node.name, node.name, Kind.JAX, node)
        elif "custom_gradient" in words:
            self._add(prefix + node.name, node.name, Kind.GRADIENT, node)
        elif "RegisterGradient" in words and isinstance(decorator, ast.Call) and decorator.args:
            self._add(prefix + node.name, _text(decorator.args[0]), Kind.GRADIENT, node)
        else:
            return False
        return True

    def _class(self, node: ast.ClassDef, prefix: str) -> bool:
        """Note a class that has a backward pass; return whether it is one."""
        methods = {below.name: below for below in node.body if isinstance(below, Function)}
        assigned = {name for below in node.body if isinstance(below, ast.Assign) for name in _plain_targets(below)}
        bases = {_resolved(base, self._imports) for base in node.bases}
        torch = any(TORCH_BASE.fullmatch(base) for base in bases)
        name = backward_method(methods.keys() | assigned)
        backward = methods.get(name)
        if not name or (backward is not None and _is_stub(backward)):
            return False
        if not torch and not forward_method(methods.keys() | assigned, name):
            return False
        kind = Kind.TORCH_FUNCTION if torch else Kind.CLASS
        self._add(prefix + node.name, node.name, kind, node)
        return True

    def _assignment(self, node: ast.Assign, prefix: str) -> None:
        words = _last_words(node.value) if isinstance(node.value, ast.Call) else set()
        for name in _plain_targets(node):
            if "custom_vjp" in words:
                self._add(prefix + name, name, Kind.JAX, node)
            elif "custom_gradient" in words:
                self._add(prefix + name, name, Kind.GRADIENT, node)
            elif isinstance(node.value, ast.Lambda) and (op := _op_by_name(name, node.value.args)):
                self._add(prefix + name, op, Kind.FUNCTION, node, registered=False)

    def _attachment(self, node: ast.Assign, body: list[ast.stmt], prefix: str) -> None:
        """Note ``out._backward = _backward`` in a function that makes ``out``."""
        if not prefix.endswith(".<locals>.") or not isinstance(node.value, (ast.Name, ast.Lambda)):
            return
        made = {name for below in body if isinstance(below, ast.Assign) for name in _plain_targets(below)}
        for target in node.targets:
            if not isinstance(target, ast.Attribute) or _text(target.value) not in made:
                continue
            if _is_closure(target.attr) or _hands_on(node.value, _text(target.value), body):
                outer = prefix.removesuffix(".<locals>.")
                self._add(outer, outer.rpartition(".")[2].strip("_"), Kind.CLOSURE, node)

    def _registration(self, call: ast.Call, prefix: str) -> None:
        if not isinstance(call.func, (ast.Name, ast.Attribute)):
            return
        word = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        if word in REGISTRATIONS:
            self._defvjp(call, owner, prefix)
        elif word == "register_autograd":
            op = (
                call.args[0] if len(call.args) > 1 else owner
            )  # library.register_autograd(op, f), op.register_autograd(f)
            if op is not None:
                self._use(call.args)
                self._add(_text(op), _last_word(op), Kind.TORCH_LIBRARY, call)

    def _defvjp(self, call: ast.Call, owner: ast.expr | None, prefix: str) -> None:
        self._use(call.args)
        by_module = isinstance(owner, ast.Name) and owner.id in self._imports
        if owner is None or by_module:  # defvjp(op, ...), core.defvjp(op, ...)
            if call.args:
                op = _text(call.args[0])
                self._add(op, _last_word(call.args[0]), Kind.AUTOGRAD, call)
            return
        name = _text(owner)  # op.defvjp(forward, backward)
        declared = any(made.found.name in (prefix + name, name) and made.registered for made in self._candidates)
        if not declared:
            self._add(prefix + name, _last_word(owner), Kind.JAX, call)

    def _use(self, arguments: Iterable[ast.expr]) -> None:
        self._used |= {below.id for each in arguments for below in ast.walk(each) if isinstance(below, ast.Name)}


def _op_of(node: Function, siblings: set[str], *, method: bool) -> str:
    """Return the op that a function is the backward pass of by its name; empty where it is none."""
    if _text(node.returns) in ("bool", "str", "int"):
        return ""
    skip = int(method and not _has_decorator(node, "staticmethod"))
    return _op_by_name(node.name, node.args, siblings, skip=skip)


def _op_by_name(name: str, args: ast.arguments, siblings: AbstractSet[str] = frozenset(), *, skip: int = 0) -> str:
    named = naming(name)
    if named is None:
        return ""
    op = named.op
    arguments = [argument.arg for argument in (*args.posonlyargs, *args.args)][skip:]
    if op in NO_OPS or VERBS.match(op) or not (arguments or args.vararg):
        return ""
    if named.sure:
        return op
    by_upstream = name.endswith("_grad") and len(arguments) > 1 and UPSTREAM_WORDS.fullmatch(arguments[0])
    return op if forward_among(named, siblings - {name}) or by_upstream else ""


LOSS_AND_GRADIENT = re.compile(r"\w*(loss|cost|objective|nll|error|energy|f)_and_(its_)?(grads?|gradients?|dx)\w*|fg")
LOSS = re.compile(r"\w*(loss|cost|objective|nll|cross_?entropy|mse|hinge)\w*")
GRADIENT = re.compile(r"d|d_?[A-Za-z]\w*|\w*grads?\w*|\w*gradients?\w*|g")


def _gives_loss_and_gradient(node: Function, *, method: bool) -> bool:
    """Whether a function returns a loss with its gradient: by its name, or by that and what it returns."""
    if method or VERBS.match(node.name):
        return False
    if LOSS_AND_GRADIENT.fullmatch(node.name):
        return True
    if not LOSS.fullmatch(snake(node.name).lower()):
        return False
    returned = [below.value for below in ast.walk(node) if isinstance(below, ast.Return)]
    last = returned[-1] if returned else None
    return (
        isinstance(last, ast.Tuple)
        and len(last.elts) > 1
        and all(GRADIENT.fullmatch(_reshaped(part)) for part in last.elts[1:])
    )


def _reshaped(part: ast.expr) -> str:
    """Return the name of what is returned: ``dx`` of ``dx``, ``dx.reshape(x.shape)``, ``dx.T`` and ``dx / n``."""
    match part:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Attribute(value=inner)) | ast.Attribute(value=inner) | ast.BinOp(left=inner):
            return _reshaped(inner)
        case ast.UnaryOp(operand=inner):
            return _reshaped(inner)
    return ""


def _op_of_loss(name: str) -> str:
    return re.sub(r"_and_(its_)?(grads?|gradients?|dx)$", "", name).strip("_") or name


CLOSURE_NAMES = re.compile(r"_*(back|bwd|\w*vjp|pullback|\w*grad_?fn|backprop|backwards?\w*)_*")


def _is_closure(attribute: str) -> bool:
    return attribute in ATTACHED or bool(CLOSURE_NAMES.fullmatch(attribute))


GRADIENT_HELD = re.compile(r"_*(grad\w*|adj\w*|deriv\w*)")
"""What tensors call the attribute that holds their gradient."""


def _hands_on(value: ast.expr, out: str, body: list[ast.stmt]) -> bool:
    """Whether a closure hands what lies in an attribute of an output on to that attribute of something else.

    It may have forgotten the output's: then the attribute's name has to tell.
    """
    found = (one for one in body if isinstance(one, Function) and isinstance(value, ast.Name) and one.name == value.id)
    for closure in found:
        attributes = [below for below in ast.walk(closure) if isinstance(below, ast.Attribute)]
        read = {one.attr for one in attributes if isinstance(one.ctx, ast.Load) and _text(one.value) == out}
        written = {one.attr for one in attributes if isinstance(one.ctx, ast.Store) and _text(one.value) != out}
        if written & read or any(GRADIENT_HELD.fullmatch(name) for name in written):
            return True
    return False


def handed_on(node: Function) -> bool:
    """Whether a function defines a closure by the name of a backward pass, and gives it to a call or to its caller."""
    inner = {below.name for below in node.body if isinstance(below, Function) and CLOSURE_NAMES.fullmatch(below.name)}
    if not inner:
        return False
    for below in ast.walk(node):
        given: list[ast.expr] = []
        if isinstance(below, ast.Call):
            given = [*below.args, *(keyword.value for keyword in below.keywords)]
        elif isinstance(below, ast.Return) and isinstance(below.value, ast.Tuple):
            given = below.value.elts
        if any(isinstance(one, ast.Name) and one.id in inner for one in given):
            return True
    return False


def _is_adapter(node: Function) -> bool:
    """Whether a function that is not surely a backward pass by its name calls the backward method of something."""
    named = naming(node.name)
    if named is None or named.sure:
        return False
    called = {_last_word(below.func) for below in ast.walk(node) if isinstance(below, ast.Call)}
    return bool(called & set(BACKWARD_METHODS))


def _has_decorator(node: Function, word: str) -> bool:
    return any(word in _last_words(decorator) for decorator in node.decorator_list)


def _is_stub(node: Function) -> bool:
    """Whether a function has no body of its own: a declaration, an abstract method."""
    body = [each for each in node.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    declared = any(_has_decorator(node, word) for word in ("abstractmethod", "overload"))
    return declared or all(isinstance(each, (ast.Pass, ast.Raise)) for each in body)


def _last_words(node: ast.expr) -> set[str]:
    """Return the last word of a dotted name, of what is called, and of its arguments: ``partial(jax.custom_vjp)``."""
    if isinstance(node, ast.Call):
        return _last_words(node.func).union(*(_last_words(each) for each in node.args))
    if isinstance(node, ast.Attribute):
        return {node.attr}
    return {node.id} if isinstance(node, ast.Name) else set()


def _resolved(node: ast.expr, imports: dict[str, Imported]) -> str:
    """Return a dotted name as it reads where nothing is imported under another name."""
    first, _, rest = _text(node).partition(".")
    if first not in imports:
        return _text(node)
    source = imports[first]
    return ".".join(filter(None, (source.module, source.name, rest)))


def _plain_targets(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _mentioned(node: ast.AST) -> set[str]:
    names = {below.id for below in ast.walk(node) if isinstance(below, ast.Name)}
    return names | {below.attr for below in ast.walk(node) if isinstance(below, ast.Attribute)}


def _last_word(node: ast.expr) -> str:
    """Return the last word of an expression that names an op: ``exp`` of ``anp.exp`` and of ``"mylib::exp"``."""
    words: list[str] = re.findall(r"\w+", _text(node))
    return words[-1] if words else ""


def _text(node: ast.expr | None) -> str:
    if node is None:
        return ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
