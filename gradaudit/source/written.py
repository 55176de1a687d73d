"""A live function beside its source: edited in text, compiled alone, and put in its own place for a while."""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from gradaudit.source.modules import read_tree
from gradaudit.source.place import plain_function
from gradaudit.source.text import Edit, SourceText, decoded

ANNOTATIONS = __future__.annotations.compiler_flag


class NoSourceError(Exception):
    """A function whose source cannot be edited; the message says why."""


@dataclass(frozen=True)
class Written:
    """A function of Python and the text that it is written in.

    Attributes:
        function: the function, as it is called.
        file: where it is written.
        text: what the file says.
        node: the function's tree, with its places in that text.

    """

    function: FunctionType
    file: Path
    text: SourceText
    node: ast.FunctionDef | ast.Lambda

    @property
    def body(self) -> list[ast.stmt]:
        """The statements of the function; of a lambda, its value returned."""
        if isinstance(self.node, ast.FunctionDef):
            return self.node.body
        return [ast.copy_location(ast.Return(self.node.body), self.node.body)]

    def tree(self, edit: Edit | None = None) -> ast.FunctionDef | ast.Lambda:
        """Return the tree of the function alone, with an edit made; its places are not those of the file.

        Raises:
            SyntaxError: where that is no Python.

        """
        start, end = self.text.span(self.node)
        source = self.text.slice(start, end)
        if edit:
            source = self.text.slice(start, edit.start) + edit.replacement + self.text.slice(edit.end, end)
        if isinstance(self.node, ast.Lambda):
            return next(made for made in ast.walk(ast.parse(f"({source})")) if isinstance(made, ast.Lambda))
        indented = f"if 1:\n{' ' * self.node.col_offset}{source}" if self.node.col_offset else source
        return next(made for made in ast.walk(ast.parse(indented)) if isinstance(made, ast.FunctionDef))

    def code(self, edit: Edit | None = None) -> CodeType:
        """Return what the function compiles to, with an edit made.

        Raises:
            SyntaxError: where that is no Python.
            ValueError: where it uses other variables of the functions around it.

        """
        return compiled_for(self.function, self.tree(edit))

    def edited(self, edit: Edit) -> Written:
        """Return the function in a text with an edit made, to be edited again.

        Raises:
            SyntaxError: where that is no Python.

        """
        text = SourceText(self.text.edited(edit))
        start, _ = self.text.span(self.node)
        moved = [made for made in ast.walk(ast.parse(text.text)) if isinstance(made, type(self.node))]
        node = next((made for made in moved if text.span(made)[0] == start), None)
        if node is None:
            raise SyntaxError("the edit takes the function away")
        return Written(self.function, self.file, text, node)


def compiled_for(function: FunctionType, node: ast.FunctionDef | ast.Lambda) -> CodeType:
    """Return the code of a function's tree, with the function's own variables from around it.

    Raises:
        ValueError: where it uses others.

    """
    own = function.__code__
    made: ast.stmt = ast.Expr(node) if isinstance(node, ast.Lambda) else node
    if isinstance(made, ast.FunctionDef):
        made.decorator_list = []
    if own.co_freevars:
        around = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in own.co_freevars]
        arguments = ast.arguments([], [], None, [], [], None, [])
        made = ast.FunctionDef("around", arguments, [*around, made], [])
    module = ast.Module([_placed_as(made, node)], [])
    flags = own.co_flags & ANNOTATIONS
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    code = _code_named(compile(module, own.co_filename, "exec", flags, dont_inherit=True), name)
    if code is None or code.co_freevars != own.co_freevars:
        raise ValueError("uses other variables of the functions around it")
    return code


def _placed_as(made: ast.stmt, node: ast.FunctionDef | ast.Lambda) -> ast.stmt:
    """Give what was put around a function's tree its place; the function's own parts have theirs."""
    if made is not node:
        around = made.body[:-1] if isinstance(made, ast.FunctionDef) else []
        for part in (made, *(below for each in around for below in ast.walk(each))):
            ast.copy_location(part, node)
    return made


def trampoline(function: FunctionType, name: str) -> CodeType:
    """Return code that hands a function's arguments, a tuple and a dict, to a global of its module."""
    mentioned = ", ".join(function.__code__.co_freevars)  # so that the code has the variables that the function has
    text = f"def call(*given, **named):\n    if 0: ({mentioned},)\n    return {name}(given, named)\n"
    body = text if mentioned else text.replace("    if 0: (,)\n", "")
    node = ast.parse(body).body[0]
    assert isinstance(node, ast.FunctionDef)
    return compiled_for(function, node)


def _code_named(code: CodeType, name: str) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found = constant if constant.co_name == name else _code_named(constant, name)
            if found:
                return found
    return None


def written(function: Any) -> Written:
    """Return a function with its source.

    Raises:
        NoSourceError: saying why there is none.

    """
    plain = plain_function(function)
    if not isinstance(plain, FunctionType):
        raise NoSourceError("it is not a function in Python")
    file = Path(plain.__code__.co_filename)
    tree = read_tree(file) if file.is_file() else f"{file} is not there"
    if isinstance(tree, str):
        raise NoSourceError(f"its source is not available: {tree}")
    text = SourceText(decoded(file.read_bytes()))
    functions = [node for node in ast.walk(ast.parse(text.text)) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    for node in functions:
        if _is_of(node, plain.__code__) and _is_in(_whole(text, file), plain.__code__):
            return Written(plain, file, text, node)
    raise NoSourceError(f"{file} has changed since it was imported")


def _whole(text: SourceText, file: Path) -> CodeType:
    return compile(text.text, str(file), "exec", dont_inherit=True)


def _is_of(node: ast.FunctionDef | ast.Lambda, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.name == code.co_name and first == code.co_firstlineno


def _is_in(whole: CodeType, code: CodeType) -> bool:
    """Whether a code is what the file compiles to at its place."""
    for constant in whole.co_consts:
        if isinstance(constant, CodeType):
            if (constant.co_name, constant.co_firstlineno) == (code.co_name, code.co_firstlineno):
                return constant.co_code == code.co_code and constant.co_names == code.co_names
            if _is_in(constant, code):
                return True
    return False


@contextmanager
def standing_in(function: FunctionType, code: CodeType) -> Iterator[None]:
    """Let a function do what other code does, wherever it is called, within the context."""
    before = function.__code__
    function.__code__ = code
    try:
        yield
    finally:
        function.__code__ = before


def reached(function: Any) -> dict[FunctionType, None]:
    """Return a function and those of its own file that it calls by name, the nearest first."""
    found: dict[FunctionType, None] = {}
    waiting = [plain_function(function)]
    while waiting:
        made = waiting.pop(0)
        if not isinstance(made, FunctionType) or made in found:
            continue
        found[made] = None
        names = set(_names(made.__code__))
        owners = {made.__qualname__.split(".")[0], *names}
        for name in owners:
            held = _of_closure(made).get(name, made.__globals__.get(name))
            if inspect.isclass(held) and held.__module__ == made.__module__:
                waiting += [plain_function(vars(held)[each]) for each in sorted(names & vars(held).keys())]
            elif name in names:
                own = plain_function(held)
                if isinstance(own, FunctionType) and own.__code__.co_filename == made.__code__.co_filename:
                    waiting.append(own)
    return found


def _of_closure(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell that is empty yet
            found[name] = cell.cell_contents
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
