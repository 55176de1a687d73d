"""The functions of a backward in the text of their file: edited, and put in the place of the live ones."""

from __future__ import annotations

import ast
import difflib
import io
import keyword
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path
from types import FunctionType

from gradaudit.source.text import Edit, SourceText
from gradaudit.source.written import Written, standing_in, written


@dataclass(frozen=True)
class Program:
    """A text of a file, and the live functions that it defines.

    Attributes:
        file: which.
        text: what it says, edits made.
        functions: those that may be edited, each with its place among all functions of the file.
        first: the text before any edit.
        words: what the functions were made of before it.

    """

    file: Path
    text: SourceText
    functions: tuple[tuple[FunctionType, int], ...]
    first: SourceText
    words: frozenset[str]

    @cached_property
    def sources(self) -> dict[FunctionType, Written]:
        """Each function with its tree in this text."""
        nodes = _functions_in(ast.parse(self.text.text))
        return {function: Written(function, self.file, self.text, nodes[place]) for function, place in self.functions}

    def edited(self, edit: Edit) -> Program:
        """Return the program with an edit made.

        Raises:
            SyntaxError: where that is no Python, or not the same functions any more.

        """
        made = Program(self.file, SourceText(self.text.edited(edit)), self.functions, self.first, self.words)
        touched = f"{self.text.slice(edit.start, edit.end)} {edit.replacement}"
        if FUNCTION.search(touched) and _count(made.text.text) != _count(self.text.text):
            raise SyntaxError("the edit takes a function away")
        return made

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the live functions do what this text says, within the context."""
        with ExitStack() as stack:
            for function, source in self.sources.items():
                stack.enter_context(standing_in(function, source.code()))
            yield

    @cached_property
    def cost(self) -> float:
        """How much was changed: tokens put in and taken away, those of far-fetched numbers counted more."""
        before, after = self.first.text.splitlines(), self.text.text.splitlines()
        return sum(edit_cost(a, b, self.words) for a, b in _changed(before, after))

    @property
    def line(self) -> int:
        """The first line that was changed."""
        before, after = self.first.text.splitlines(), self.text.text.splitlines()
        pairs = enumerate(zip(before, after, strict=False), 1)
        return next((k for k, (a, b) in pairs if a != b), min(len(before), len(after)))

    def tidied(self) -> Program:
        """Return the program without brackets that were put in and are not needed."""
        made = self
        if self.text.text.count("\n") != self.first.text.count("\n"):
            return made
        place = 0
        while (place := made.text.text.find("(", place)) >= 0:
            line = made.text.text.count("\n", 0, place)
            lines = self.first.text.split("\n")
            if line >= len(lines) or made.text.text.split("\n")[line] != lines[line]:
                made = made._without_brackets(place, lines[line] if line < len(lines) else "") or made
            place += 1
        return made

    def _without_brackets(self, place: int, line: str) -> Program | None:
        whole = self.text.text
        depth, end = 0, place
        for end in range(place, min(len(whole), place + LONGEST_BRACKET)):
            depth += {"(": 1, ")": -1}.get(whole[end], 0)
            if depth == 0:
                break
        else:
            return None
        for gap in ("", " "):
            text = (
                whole[:place] + (gap if whole[place - 1].isalnum() else "") + whole[place + 1 : end] + whole[end + 1 :]
            )
            try:
                same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(whole))
            except SyntaxError:
                continue
            row = whole.count("\n", 0, place)
            made, here = text.split("\n")[row], whole.split("\n")[row]
            if same and edit_cost(line, made, self.words) < edit_cost(line, here, self.words):
                return Program(self.file, SourceText(text), self.functions, self.first, self.words)
        return None


FUNCTION = re.compile(r"\b(def|lambda)\b")
"""What the functions of a file begin with."""


def _count(text: str) -> int:
    return len(_functions_in(ast.parse(text)))


def program_of(functions: Sequence[FunctionType]) -> Program:
    """Return the program of some functions of one file.

    Raises:
        NoSourceError: where there is no source of the first; others without it are left out.

    """
    first = written(functions[0])
    nodes = _functions_in(ast.parse(first.text.text))
    places = {first.text.span(node): k for k, node in enumerate(nodes)}
    sources = [first]
    for function in functions[1:]:
        try:
            made = written(function)
        except Exception:
            continue
        if made.file == first.file:
            sources.append(made)
    chosen = tuple((made.function, places[first.text.span(made.node)]) for made in sources)
    words = frozenset(token for made in sources for token in _tokens(made.text.of(made.node)))
    return Program(first.file, first.text, chosen, first.text, words)


LONGEST_BRACKET = 400
"""Characters between two brackets that are looked at."""


def edit_cost(before: str, after: str, words: frozenset[str]) -> float:
    """Return how much it takes to make one text of another: tokens put in and taken away.

    Brackets count half, and what is no word of the functions yet counts more.
    """
    odd = len(ODD.findall(after)) - len(ODD.findall(before))
    return _cost(_tokens(before), _tokens(after), words) + max(0, odd) + 1e-3 * abs(len(after) - len(before))


ODD = re.compile(r"[-+*/] *-|[*/]=? *1\b(?![.\d])|[-+]= *0\b(?![.\d])|\b(\w+) ?: ?\1\b")
"""What nobody writes: two signs in a row, a factor of one, a zero that is added, a slice that ends where it begins."""

TAKEN_AWAY = 0.45
"""What taking a token away costs of putting one in: of two edits, the one that leaves less is the plainer."""


def _functions_in(tree: ast.AST) -> list[ast.FunctionDef | ast.Lambda]:
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Lambda))]


def _same_at_start(before: list[str], after: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))


def _changed(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    start = _same_at_start(before, after)
    end = _same_at_start(before[start:][::-1], after[start:][::-1])
    before, after = before[start : len(before) - end], after[start : len(after) - end]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            yield "\n".join(before[a:b]), "\n".join(after[c:d])


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[str, ...]:
    try:
        made = tokenize.generate_tokens(io.StringIO(text.strip()).readline)
        return tuple([token.string for token in made if token.string.strip()])
    except (tokenize.TokenError, IndentationError):
        return tuple(text.split())


def _cost(before: Sequence[str], after: Sequence[str], words: frozenset[str]) -> float:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    cost = 0.0
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            cost += TAKEN_AWAY * sum(0.5 if token in "()" else 1.0 for token in before[a:b])
            for k in range(c, d):
                is_function = after[k + 1 : k + 2] == ("(",) and after[k - 1 : k] != (".",)
                cost += NEW_FUNCTION if is_function and _is_new(after[k], words) else _weight(after[k], words)
    return cost


def _weight(token: str, words: frozenset[str]) -> float:
    if token in "()":
        return 0.5
    if token in words:
        return 1.0
    if _is_new(token, words):
        return NEW_WORD
    return 1.0 + 0.5 * max(0, sum(letter.isdigit() for letter in token) - 1)


def _is_new(token: str, words: frozenset[str]) -> bool:
    return token.isidentifier() and token not in words and not keyword.iskeyword(token)


NEW_FUNCTION = 7.0
"""What a call of one of the module's functions costs that the functions do not call yet."""

NEW_WORD = 2.0
"""What a name costs that the functions do not mention yet."""
