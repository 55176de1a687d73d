"""Importing the definitions of a module without what it runs: a script that trains when it is imported need not.

Imports, functions and classes are kept, and those assignments that they read; what fails among them is passed over.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

HARMLESS = frozenset(
    {"append", "insert", "seed", "filterwarnings", "simplefilter", "set_printoptions", "seterr", "use"}
)
"""Methods that statements call which set a module up: ``sys.path.append``, ``np.random.seed``."""

_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))


@contextmanager
def definitions_only(wanted: bool) -> Iterator[None]:
    """Import only the definitions of modules that run something, while the context lasts."""
    if not wanted:
        yield
        return
    finder = _Finder()
    before = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "Agg"  # no window opens
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        os.environ.pop("MPLBACKEND")
        if before is not None:
            os.environ["MPLBACKEND"] = before


def runs_something(tree: ast.Module) -> bool:
    """Whether a module does more at its top level than to define: loops, calls of its own functions, open files."""
    return any(_runs(statement) for statement in tree.body)


def definitions(tree: ast.Module) -> ast.Module:
    """Return a module's definitions, and what they read, without what it runs."""
    kept = [statement for statement in tree.body if _defines(statement)]
    assignments = [statement for statement in tree.body if isinstance(statement, (ast.Assign, ast.AnnAssign))]
    needed = _read([*kept, *filter(_is_harmless, tree.body)])
    wanted: list[ast.stmt] = []
    grown = True
    while grown:
        more = [one for one in assignments if one not in wanted and _assigned(one) & needed]
        grown = bool(more)
        wanted += more
        needed |= _read(more)
    body = [one for one in tree.body if one in kept or one in wanted or _is_harmless(one)]
    made = ast.Module([_passed_over(one) for one in body], type_ignores=[])
    return ast.fix_missing_locations(made)


def without_what_is_missing(tree: ast.Module) -> ast.Module:
    """Return a module that passes over imports of what is not installed: a backward pass seldom needs a plot."""
    body = [_passed_over(one) if isinstance(one, (ast.Import, ast.ImportFrom)) else one for one in tree.body]
    return ast.fix_missing_locations(ast.Module(body, type_ignores=[]))


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = PathFinder.find_spec(fullname, path, target)
        origin = found.origin if found else None
        if found is None or not origin or not origin.endswith(".py") or origin.startswith(_INSTALLED):
            return None
        found.loader = _Loader(fullname, origin)
        return found


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        kept = definitions(tree) if runs_something(tree) else without_what_is_missing(tree)
        return compile(kept, path, "exec", dont_inherit=True)


def _runs(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.For, ast.While, ast.With, ast.AugAssign)):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Call) and not _is_harmless(statement)
    if isinstance(statement, ast.Assign):
        return isinstance(statement.value, ast.Call) and isinstance(statement.value.func, ast.Name)
    return False


def _is_harmless(statement: ast.stmt) -> bool:
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    function = statement.value.func
    return isinstance(function, ast.Attribute) and (
        function.attr in HARMLESS or function.attr.startswith(("def", "register"))
    )


def _defines(statement: ast.stmt) -> bool:
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, (ast.If, ast.Try)) and not _asks_for_main(statement):
        return not any(isinstance(below, (ast.For, ast.While)) for below in ast.walk(statement)) and any(
            _defines(below) for below in ast.iter_child_nodes(statement) if isinstance(below, ast.stmt)
        )
    return False


def _asks_for_main(statement: ast.stmt) -> bool:
    test = getattr(statement, "test", None)
    return test is not None and any(isinstance(b, ast.Name) and b.id == "__name__" for b in ast.walk(test))


def _read(statements: Sequence[ast.stmt]) -> set[str]:
    return {below.id for one in statements for below in ast.walk(one) if isinstance(below, ast.Name)}


def _assigned(statement: ast.stmt) -> set[str]:
    return {
        below.id for below in ast.walk(statement) if isinstance(below, ast.Name) and isinstance(below.ctx, ast.Store)
    }


def _passed_over(statement: ast.stmt) -> ast.stmt:
    """Return a statement that is passed over where it fails; definitions stay as they are."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return statement
    handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    return ast.copy_location(ast.Try([statement], [handler], [], []), statement)
