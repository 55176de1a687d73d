"""The characters of drawings, and those that stand in for them where a terminal has ASCII only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """Characters for each thing that is drawn.

    ``shades`` go from slightly to grossly wrong, ``heights`` from the least to the greatest of a row of numbers.
    """

    rounding: str
    truncation: str
    noise: str
    chosen: str
    tolerance: str
    claim: str
    vertical: str
    horizontal: str
    corner: str
    right: str
    shades: str
    point: str
    heights: str
    left: str
    cut: str


UNICODE = Glyphs(
    rounding="x",
    truncation="●",
    noise="·",
    chosen="┊",
    tolerance="╌",
    claim="━",
    vertical="│",
    horizontal="─",
    corner="└",
    right="·",
    shades="░▒▓█",
    point="●",
    heights="▁▂▃▄▅▆▇█",
    left="←",
    cut="✂",
)
ASCII = Glyphs(
    rounding="x",
    truncation="o",
    noise=".",
    chosen=":",
    tolerance="-",
    claim="=",
    vertical="|",
    horizontal="-",
    corner="+",
    right=".",
    shades="+x%#",
    point="o",
    heights="_.-:=+*#",
    left="<-",
    cut="X",
)


def glyphs_for(encoding: str) -> Glyphs:
    """Return the drawing characters that an encoding has."""
    try:
        "".join(vars(UNICODE).values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
