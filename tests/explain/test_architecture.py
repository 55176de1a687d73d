"""What the pages for those who change gradaudit say of its files is true: imports, the way of a case, the version."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gradaudit.guides import guide

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gradaudit"
PAGE = guide("architecture")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    lines = [line for line in PAGE.section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def named(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def part_of(path: tuple[str, ...]) -> str:
    """Return the part of the package that a module belongs to, by its path in the package: a folder or a module."""
    return path[0] if (PACKAGE / path[0]).is_dir() else f"{path[0]}.py"


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a module's text imports, wherever it does, by statement or by ``import_module``."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), level=0):
                yield from [f"{module}.{alias.name}" for alias in node.names] if module == "gradaudit" else [module]
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.Call(func=ast.Name("import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                yield first.value if isinstance(first, ast.Constant) else ""
            case ast.ImportFrom(level=level) if level:
                raise AssertionError("an import that does not name its package is not seen here")


def imports() -> dict[str, set[str]]:
    """Return the other parts of the package that each part imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        importer = part_of(file.relative_to(PACKAGE).with_suffix("").parts)
        paths = [
            module.split(".")[1:]
            for module in imported(ast.parse(file.read_text("utf-8")))
            if module.startswith("gradaudit.")
        ]
        found[importer] |= {part_of(tuple(path)) for path in paths} - {importer}
    return found


def exceptions() -> set[tuple[str, str]]:
    return {tuple(named(row[0])) for row in rows("Exceptions")}


def test_each_part_imports_what_the_table_says_and_nothing_else() -> None:
    said = {named(part)[0]: set(named(cell)) for part, _, cell in rows("What imports what")}
    for importer, other in exceptions():
        said[importer].add(other)
    assert said == imports()


def test_parts_import_those_above_them_but_for_the_exceptions() -> None:
    above: set[str] = set()
    for part, _, cell in rows("What imports what"):
        assert set(named(cell)) <= above, part
        above.add(named(part)[0])
    order = [named(part)[0] for part, *_ in rows("What imports what")]
    assert all(order.index(other) > order.index(importer) for importer, other in exceptions())


def test_the_search_sees_imports_of_every_form() -> None:
    text = """
from gradaudit import results
from gradaudit.spec.case import Case
import gradaudit.targets.op
def f():
    from gradaudit.store import read
    return importlib.import_module("gradaudit.models.op")
"""
    found = {
        "gradaudit.results",
        "gradaudit.spec.case",
        "gradaudit.targets.op",
        "gradaudit.store",
        "gradaudit.models.op",
    }
    assert set(imported(ast.parse(text))) == found


def test_a_case_passes_functions_that_exist() -> None:
    way = PAGE.text.partition("\n## What imports what\n")[0]
    passed = re.findall(r"`(\w+)` in `([\w/.]+)`", way)
    assert len(passed) > 15
    for name, file in passed:
        tree = ast.parse((PACKAGE / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}, file


def test_files_that_a_change_takes_exist() -> None:
    files = re.findall(r"^\| `([^`]+)`", guide("contributing").text, re.MULTILINE)
    own = [name for name in files if not re.search("large|NAME", name)]
    assert len(own) >= 10
    assert [name for name in own if not (ROOT / name).is_file()] == []


def test_the_newest_section_of_the_changelog_is_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.findall(r"^## (.*)$", guide("changelog").text, re.MULTILINE)[0] == version
