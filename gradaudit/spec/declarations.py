"""Declarations of C functions, read from a header or a source file."""

from __future__ import annotations

import re
from dataclasses import dataclass

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
FUNCTION = re.compile(
    r"(?P<before>[A-Za-z_][\w\s*]*?[\s*])(?P<name>[A-Za-z_]\w*)\s*\((?P<args>[^()]*)\)\s*(?P<end>[;{])"
)
QUALIFIERS = re.compile(
    r"\b(static|inline|extern|restrict|__restrict__|__restrict|register|volatile|[A-Z][A-Z0-9_]{2,})\b"
)

FLOATS = {"float": "float32", "double": "float64", "real": "float64"}
INTEGERS = {
    "int": "int32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long": "int64",
    "long long": "int64",
    "short": "int16",
    "int8_t": "int8",
    "int16_t": "int16",
    "int32_t": "int32",
    "int64_t": "int64",
    "uint8_t": "uint8",
    "uint16_t": "uint16",
    "uint32_t": "uint32",
    "uint64_t": "uint64",
    "size_t": "uint64",
    "ssize_t": "int64",
    "ptrdiff_t": "int64",
    "char": "int8",
    "unsigned char": "uint8",
    "bool": "bool",
    "_Bool": "bool",
}
"""C's types by the dtypes of arrays of them."""


@dataclass(frozen=True)
class Parameter:
    """An argument of a C function.

    Attributes:
        name: what it is called.
        kind: its type without pointer and qualifiers.
        pointer: whether it is a pointer, or an array.
        constant: whether what it points to may not be written.

    """

    name: str
    kind: str
    pointer: bool
    constant: bool

    @property
    def floating(self) -> bool:
        """Whether it is, or points to, floating-point numbers."""
        return self.kind in FLOATS

    @property
    def dtype(self) -> str:
        """The name of the dtype of an array of it; empty where there is none."""
        return FLOATS.get(self.kind) or INTEGERS.get(self.kind, "")


@dataclass(frozen=True)
class Declaration:
    """A C function: its name, what it returns, what it takes, and the line on which it stands, from 1."""

    name: str
    returns: str
    parameters: tuple[Parameter, ...]
    line: int

    def text(self, *, double: bool = False) -> str:
        """Return the declaration as cffi reads it, with ``double`` for every ``float`` where that is asked for."""
        arguments = ", ".join(
            f"{_kind(one.kind, double=double)}{' *' if one.pointer else ' '}{one.name}" for one in self.parameters
        )
        return f"{_kind(self.returns, double=double)} {self.name}({arguments or 'void'});"


def _kind(kind: str, *, double: bool) -> str:
    return "double" if double and kind == "float" else kind


def declarations(text: str) -> dict[str, Declaration]:
    """Return the functions that a header or a source declares or defines, by name."""
    plain = COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    plain = re.sub(
        r"^[ \t]*#.*?(?<!\\)$", lambda found: re.sub(r"[^\n]", " ", found[0]), plain, flags=re.MULTILINE | re.DOTALL
    )
    plain = plain.replace('extern "C"', " " * 10)
    found: dict[str, Declaration] = {}
    for match in FUNCTION.finditer(plain):
        returns = _type(match["before"])
        parameters = [_parameter(part) for part in match["args"].split(",") if part.strip() not in ("", "void")]
        if returns and match["name"] not in found and all(parameters):
            line = plain.count("\n", 0, match.start("name")) + 1
            known = tuple(one for one in parameters if one is not None)
            found[match["name"]] = Declaration(match["name"], returns, known, line)
    return found


def _type(text: str) -> str:
    words = QUALIFIERS.sub(" ", text).replace("const", " ").replace("*", " ").split()
    kind = " ".join(word for word in words if word not in ("return", "else", "typedef", "struct"))
    return "" if {"return", "else", "typedef"} & set(words) else kind


def _parameter(text: str) -> Parameter | None:
    pointer = "*" in text or "[" in text
    constant = bool(re.search(r"\bconst\b", text.partition("*")[0]))
    bare = re.sub(r"\[[^\]]*\]", " ", QUALIFIERS.sub(" ", text)).replace("const", " ").replace("*", " ")
    words = bare.split()
    if len(words) < 2:
        return None
    return Parameter(words[-1], " ".join(words[:-1]), pointer, constant)
