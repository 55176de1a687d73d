"""Python modules as they are written: where names are defined and imported, read from the text without importing."""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_SOURCE = 4 * 2**20
"""Bytes of a source file that is read: larger ones are generated, and their syntax trees fill gigabytes."""

MAX_ALIASES = 20
"""Longest chain of re-exports that is followed: a circle of imports ends here."""


@dataclass(frozen=True)
class Imported:
    """What a name was imported as: a module, or where ``name`` is not empty a name in a module."""

    module: str
    name: str = ""


@dataclass(frozen=True)
class Module:
    """A module's text, by name.

    Attributes:
        name: dotted, as it was asked for.
        file: where it is.
        own: whether it belongs to the project, rather than to an installed package.
        definitions: the statements that define or change each name at module level.
        imports: what each imported name stands for.
        stars: the modules that everything was imported from.

    """

    name: str
    file: Path
    own: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=lambda: defaultdict(list))
    imports: dict[str, Imported] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Definition:
    """Where ``module:name`` is defined, once re-exports are followed; ``name`` may be dotted below a class."""

    module: Module
    name: str


class Modules:
    """The modules that can be reached from some folders, each read once.

    Args:
        folders: where the project's own modules are looked for, in this order.

    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self._known: dict[str, Module | None] = {}
        self._files: dict[str, Path | None] = {}

    def find(self, name: str) -> Module | None:
        """Return the module of this dotted name; None where no source is found, or it cannot be read."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def is_own(self, name: str) -> bool:
        """Whether the module of this dotted name belongs to the project; which is known without reading it."""
        file = self._file(name)
        return file is not None and self._is_of_project(file)

    def _read(self, name: str) -> Module | None:
        file = self._file(name)
        tree = read_tree(file) if file else ""
        if file is None or isinstance(tree, str):
            return None
        return _module(name, file.resolve(), tree, own=self._is_of_project(file))

    def _file(self, name: str) -> Path | None:
        if name not in self._files:
            candidates = _candidates(name, [*self._folders, *(Path(entry) for entry in sys.path if entry)])
            # isfile is false, not an error, where a folder may not be looked into
            self._files[name] = next((file for file in candidates if os.path.isfile(file)), None)
        return self._files[name]

    def _is_of_project(self, file: Path) -> bool:
        return any(_is_inside(file, folder) for folder in self._folders) or not _is_installed(file)

    def locate(self, target: str) -> Definition | None:
        """Return where ``module:function`` is defined, wherever it is imported from; None where that is not seen."""
        name, _, attribute = target.partition(":")
        for _ in range(MAX_ALIASES):
            module = self.find(name)
            if module is None:
                return None
            first, _, rest = attribute.partition(".")
            if first in module.definitions:
                return Definition(module, attribute)
            source = module.imports.get(first) or self._starred(module, first) or Imported(f"{name}.{first}")
            name, attribute = self._entered(source, rest)
        return None

    def _entered(self, source: Imported, rest: str) -> tuple[str, str]:
        """Return the module and the attribute that lie behind an imported name."""
        if not source.name:
            return source.module, rest
        if self.find(f"{source.module}.{source.name}") is not None:
            return f"{source.module}.{source.name}", rest
        return source.module, f"{source.name}.{rest}" if rest else source.name

    def _starred(self, module: Module, name: str) -> Imported | None:
        for star in module.stars:
            found = self.find(star)
            if found is not None and (name in found.definitions or name in found.imports):
                return Imported(star, name)
        return None


_LIBRARY = Path(ast.__file__).parent
"""Where Python's own modules are."""


def _is_inside(file: Path, folder: Path) -> bool:
    """Whether a file is of a folder, and not of an environment that lies in it."""
    return file.is_relative_to(folder) and not _is_installed(file.relative_to(folder))


def _is_installed(file: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(file.parts) or file.is_relative_to(_LIBRARY)


def _candidates(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    below = Path(*name.split("."))
    for folder in folders:
        yield folder / below / "__init__.py"
        yield folder / below.with_name(f"{below.name}.py")


def read_tree(file: Path) -> ast.Module | str:
    """Return a file's syntax tree, or in words why it has none."""
    try:
        if file.stat().st_size > MAX_SOURCE:
            return f"is larger than {MAX_SOURCE // 2**20} MiB"
        return parsed(file.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def parsed(source: bytes) -> ast.Module | str:
    """Return the syntax tree of a file's content, or in words why it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in someone's string is not our concern
            return ast.parse(source)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        return f"is not Python: {line}{error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nesting without end
        return f"is not Python: {error or type(error).__name__}"


def _module(dotted: str, file: Path, tree: ast.Module, *, own: bool) -> Module:
    module = Module(dotted, file, own)
    package = dotted if file.name == "__init__.py" else dotted.rpartition(".")[0]
    effects: list[ast.stmt] = []
    for statement in statements(tree.body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                module.definitions[statement.name].append(statement)
            case ast.Import() | ast.ImportFrom():
                module.stars.extend(note_imports(module.imports, statement, package))
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Expr():
                defined = assigned_names(statement)
                for target in defined:
                    module.definitions[target].append(statement)
                effects += [] if defined else [statement]
    for nested in ast.walk(tree):
        if isinstance(nested, (ast.Import, ast.ImportFrom)):  # inside functions; what the module imports goes before
            note_imports(module.imports, nested, package)
    for effect in effects:  # f.defvjp(forward, backward), f.gradient = g: these change what f is
        mentioned = {node.id for node in ast.walk(effect) if isinstance(node, ast.Name)}
        for name in mentioned & module.definitions.keys():
            module.definitions[name].append(effect)
    return module


def note_imports(imports: dict[str, Imported], statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Note what each name is imported as by a statement in a package; return the modules imported with a star."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            bound = alias.asname or alias.name.partition(".")[0]
            imports.setdefault(bound, Imported(alias.name if alias.asname else bound))
        return []
    source = absolute(statement, package)
    named = [alias for alias in statement.names if alias.name != "*"]
    for alias in named:
        imports.setdefault(alias.asname or alias.name, Imported(source, alias.name))
    return [source] if len(named) < len(statement.names) else []


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body and of the blocks in it, but not those inside functions and classes."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for block in ("body", "orelse", "finalbody"):
            yield from statements(getattr(statement, block, ()))
        for branch in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from statements(branch.body)


def assigned_names(statement: ast.stmt) -> list[str]:
    """Return the plain names that a statement assigns to."""
    match statement:
        case ast.Assign():
            targets = statement.targets
        case ast.AnnAssign() | ast.AugAssign():
            targets = [statement.target]
        case _:
            return []
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [target.id for target in flat if isinstance(target, ast.Name)]


def absolute(statement: ast.ImportFrom, package: str) -> str:
    """Return the dotted name of the module that a ``from`` import names, seen from a package."""
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - statement.level + 1])
    return f"{base}.{statement.module}" if statement.module else base
