"""What a user reads uses the glossary's words, and none of those that the glossary rules out."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gradaudit
from gradaudit.cli.app import COMMANDS, function_of
from gradaudit.guides import finding_names, finding_page, guide, guide_names

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gradaudit"


def banned() -> re.Pattern[str]:
    """Return what matches any word or phrase of the glossary's last table."""
    table = guide("words").section("Say this, not that")
    words = [word for row in re.findall(r"^\| (`.*`) \|", table, re.MULTILINE) for word in re.findall("`([^`]+)`", row)]
    assert len(words) > 30
    return re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b", re.IGNORECASE)


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module that may be printed: its strings of several words, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in remarks
            and " " in node.value
        ):
            yield node.lineno, node.value


@cache
def read_by_users() -> tuple[tuple[str, str], ...]:
    """Return what users read, each text with the place where it stands."""
    return tuple(texts())


def texts() -> Iterator[tuple[str, str]]:
    yield "README.md", re.sub(r"^\|.*\|$", "", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in guide_names():
        yield f"guide {name}", guide(name).text.partition("\n## Say this, not that\n")[0]
    for code in finding_names():
        yield f"page {code}", finding_page(code).text
    for file in sorted(PACKAGE.rglob("*.py")):
        for line, text in messages(file):
            yield f"{file.relative_to(ROOT)}:{line}", text
    for file in sorted(PACKAGE.rglob("*.html")):
        text = file.read_text(encoding="utf-8")
        yield str(file.relative_to(ROOT)), re.sub(r"\{[{%].*?[%}]\}|<[^>]*>", " ", text, flags=re.DOTALL)
    for command in COMMANDS:
        yield f"help of {command}", inspect.getdoc(function_of(command)) or ""
    for name in gradaudit.__all__:
        try:
            part = getattr(gradaudit, name)
        except ModuleNotFoundError:  # of a framework that is not installed
            continue
        if callable(part):
            yield f"gradaudit.{name}", inspect.getdoc(part) or ""


def test_nothing_that_a_user_reads_uses_a_word_that_is_ruled_out() -> None:
    pattern = banned()
    found = [f"{where}: {match[0]}" for where, text in read_by_users() for match in pattern.finditer(text)]
    assert not found, "\n".join(found)


def test_the_search_sees_messages_help_and_guides() -> None:
    said = dict(read_by_users())
    assert "Exits with 0" in said["help of run"]
    assert any("backward ignores strides" in text for text in said.values())
    assert banned().search("a claim that the arbiter bears out")


def test_findings_have_the_name_that_a_guide_gives_them() -> None:
    listed = guide("findings").text
    assert [code for code in finding_names() if f"`{code}`" not in listed] == []


def test_every_verdict_and_its_words_are_in_the_glossary() -> None:
    glossary = guide("words").text
    for term in ("op", "spec", "case", "upstream", "analytical gradient", "numerical gradient", "error bound"):
        assert re.search(rf"^\| [^|]*\b{term}\b[^|]*\|", glossary, re.MULTILINE), term
    for verdict in ("pass", "fail", "inconclusive", "error"):
        assert f"`{verdict}`" in glossary
