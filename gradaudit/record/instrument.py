"""Changing modules as they are imported, so that their backward passes and forwards are watched.

Behind each definition that is watched stands one more statement, which binds its name to what watches it. Lines stay
where they are, files as they were, and no bytecode is written.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from gradaudit.coverage.naming import forward_among, naming
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.coverage.python_passes import python_passes
from gradaudit.record.foreign import Libraries
from gradaudit.record.traced import watched_by
from gradaudit.record.watch import Clock, Watch

NAME = "__gradaudit_watched__"
"""What the function is called, among Python's own, that the added statements call."""

INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))

Watching = Callable[[Any], Any]


class Instruments:
    """Watches the backward passes of the modules that are compiled with it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.libraries = Libraries(self.clock)
        self.watches: list[Watch] = []
        self.troubles: list[str] = []
        self._by_name: dict[tuple[str, str], list[Watching]] = {}
        self._home = Path.cwd()

    def install(self) -> None:
        """Watch what is imported from now on, except what is installed."""
        setattr(builtins, NAME, self._watched)
        sys.meta_path.insert(0, _Finder(self))

    def compiled(self, source: bytes, path: str) -> CodeType:
        """Return the code of a module that watches its own backward passes; raises SyntaxError as Python does."""
        tree = ast.parse(source, path)
        self.libraries.watch(source)
        file = Path(path).absolute()
        found = python_passes(source, file.relative_to(self._home) if file.is_relative_to(self._home) else file)
        if isinstance(found, str):
            self.troubles.append(f"{path}: {found}")
        elif found:
            self._watch(found, path, tree)
        return compile(tree, path, "exec", dont_inherit=True)

    def _watch(self, found: Sequence[BackwardPass], path: str, tree: ast.Module) -> None:
        scopes = dict(_scopes(tree.body, ""))
        for one in found:
            watch = Watch(one, self.clock)
            self.watches.append(watch)
            for name, watching in _watchings(one, watch, scopes):
                self._by_name.setdefault((path, name), []).append(watching)
        names = {name for file, name in self._by_name if file == path}
        _watch_definitions(tree.body, "", names, path)
        ast.fix_missing_locations(tree)

    def _watched(self, path: str, name: str, held: Any) -> Any:
        """Return what watches a function or class, which is bound to its name instead."""
        for watching in self._by_name.get((path, name), ()):
            try:
                held = watching(held)
            except Exception as error:  # a class that cannot be changed: the script goes on with it as it is
                self.troubles.append(f"{path}: {name} cannot be watched: {type(error).__name__}: {error}")
        return held


def _watchings(one: BackwardPass, watch: Watch, scopes: dict[str, list[str]]) -> Iterator[tuple[str, Watching]]:
    """Yield the names that are watched for a backward pass, and how."""
    if one.kind is Kind.CLASS:
        yield one.name, watch.layer
    elif one.kind is Kind.TORCH_FUNCTION:
        yield one.name, lambda kind: _apply_of(kind, watch)
    elif one.kind is Kind.FUNCTION:
        prefix, _, last = one.name.rpartition(".")
        named = naming(last)
        siblings = [name for name in scopes.get(prefix, []) if name != last]
        forward = forward_among(named, siblings) if named else ""
        if forward:
            yield (f"{prefix}.{forward}" if prefix else forward), _as_function(watch.forward)
            yield one.name, _as_function(watch.backward)
    elif one.kind in (Kind.VALUE_AND_GRAD, Kind.CLOSURE):
        yield one.name, _as_function(watch.forward)
    elif one.kind is Kind.JAX:
        yield one.name, lambda function: _Called(function, watched_by(watch, function))


def _as_function(watching: Callable[[Callable[..., Any]], Any]) -> Watching:
    def watched(held: Any) -> Any:
        if isinstance(held, (staticmethod, classmethod)):
            return type(held)(watching(held.__func__))
        return watching(held) if callable(held) and not inspect.isclass(held) else held

    return watched


def _apply_of(kind: Any, watch: Watch) -> Any:
    """Watch ``apply`` of a class of torch's functions; one of somebody's own making is a layer."""
    if not is_of_torch(kind):
        return watch.layer(kind)
    names = list(inspect.signature(kind.forward).parameters.values())
    skip = int(bool(names) and names[0].name in ("ctx", "context", "_"))
    apply = kind.apply

    def called(*args: Any) -> Any:
        return apply(*args)

    called.__signature__ = inspect.Signature(names[skip:])  # type: ignore[attr-defined]
    kind.apply = staticmethod(watch.forward(called))
    return kind


def is_of_torch(kind: type) -> bool:
    """Whether a class is one of torch's functions, rather than of somebody's own that are called so."""
    return any(base.__module__.startswith("torch.") for base in kind.__mro__)


class _Called:
    """A callable with attributes of its own, such as ``defvjp``, whose calls are watched."""

    def __init__(self, function: Any, watched: Callable[..., Any]) -> None:
        self._function = function
        self._watched = watched
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._watched(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _scopes(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the functions and lambdas of a module and of each class in it, by the name of the class."""
    names = []
    for node in _within(body):
        if isinstance(node, (ast.FunctionDef, ast.Assign)):
            names += _names(node)
        elif isinstance(node, ast.ClassDef):
            yield from _scopes(node.body, f"{prefix}.{node.name}" if prefix else node.name)
    yield prefix, names


def _within(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        for block in _blocks(node):
            yield from _within(block)


def _blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """Return the statements inside of a statement that is no scope of its own."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    blocks += [handler.body for handler in getattr(node, "handlers", [])]
    return [block for block in blocks if isinstance(block, list)]


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return [one.id for one in node.targets if isinstance(one, ast.Name)] if isinstance(node, ast.Assign) else []


def _watch_definitions(body: list[ast.stmt], prefix: str, names: set[str], path: str) -> None:
    """Add a statement behind each definition of some names, in a body whose own names begin with a prefix."""
    for k in reversed(range(len(body))):
        node = body[k]
        for block in _blocks(node):
            _watch_definitions(block, prefix, names, path)
        if isinstance(node, ast.ClassDef):
            _watch_definitions(node.body, f"{prefix}{node.name}.", names, path)
        for name in _names(node):
            if prefix + name in names:
                body.insert(k + 1, ast.copy_location(_bound(path, name, prefix + name), node))


def _bound(path: str, name: str, dotted: str) -> ast.stmt:
    arguments = [ast.Constant(path), ast.Constant(dotted), ast.Name(name, ast.Load())]
    call = ast.Call(ast.Name(NAME, ast.Load()), arguments, [])
    return ast.Assign([ast.Name(name, ast.Store())], call)


class _Finder(MetaPathFinder):
    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "gradaudit":
            return None
        found = PathFinder.find_spec(fullname, path, target)
        origin = found.origin if found else None
        if found is None or not origin or not origin.endswith(".py") or is_installed(origin):
            return None
        found.loader = _Loader(fullname, origin, self._instruments)
        return found


def is_installed(origin: str) -> bool:
    """Whether a module is Python's own or was installed, rather than written by who runs the script."""
    return origin.startswith(INSTALLED) or "site-packages" in Path(origin).parts


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, instruments: Instruments) -> None:
        super().__init__(fullname, path)
        self._instruments = instruments

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self._instruments.compiled(self.get_data(path), path)
