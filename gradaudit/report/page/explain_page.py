"""The page of an explanation: its blocks as HTML, its drawings as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.explanation import Explanation, Study, Training
from gradaudit.explain.path_curve import PathCurve
from gradaudit.report.explanation.blocks import Block, Code, Drawing, Heading, Markdown
from gradaudit.report.explanation.glyphs import UNICODE
from gradaudit.report.explanation.page import page
from gradaudit.report.page.curve_picture import curve_picture
from gradaudit.report.page.gradients import diff_lines
from gradaudit.report.page.heat_picture import heat_picture
from gradaudit.report.page.path_picture import path_picture
from gradaudit.report.page.rendered import rendered
from gradaudit.report.page.scatter import scatter
from gradaudit.report.page.training_picture import training_picture
from gradaudit.results import Result


@dataclass(frozen=True)
class Part:
    """A piece of the page: what it is, and its data.

    ``kind`` is ``heading``, ``prose``, ``entries``, ``table``, ``drawing``, ``code``, ``diff``, ``markdown``,
    ``curve``, ``path``, ``heat``, ``scatter`` or ``training``.
    """

    kind: str
    of: Any


@dataclass(frozen=True)
class ExplainPage:
    """What the page of an explanation shows: its title, whether all ended as expected, and its parts in their order."""

    title: str
    state: str
    parts: tuple[Part, ...]
    version: str


def explanation_html(explanation: Explanation, max_rows: int) -> str:
    """Return the page of an explanation, its tables with at most ``max_rows`` rows."""
    title, *blocks = page(explanation, UNICODE, max_rows)
    assert isinstance(title, Heading)
    parts = tuple(part for block in blocks for part in _parts(block))
    state = "good" if explanation.as_expected else "bad"
    return rendered("explain.html", ExplainPage(title.text, state, parts, version("gradaudit")))


def _parts(block: Block) -> Iterator[Part]:
    match block:
        case Drawing(_, StepCurve() as curve):
            yield Part("curve", curve_picture(curve))
        case Drawing(_, PathCurve() as path):
            yield Part("drawing", block)
            yield Part("path", path_picture(path))
        case Drawing(_, Study(heat_map=heat, result=result)) if heat:
            yield Part("heat", heat_picture(heat, result))
        case Drawing(_, Result() as result) if picture := scatter(result):
            yield Part("drawing", block)
            yield Part("scatter", picture)
        case Drawing(_, Training() as training):
            yield Part("training", training_picture(training))
        case Code(text, "diff"):
            yield Part("diff", diff_lines(text))
        case Markdown(text):
            yield Part("markdown", _html_of(text))
        case _:
            yield Part(type(block).__name__.lower(), block)


def _html_of(text: str) -> Any:
    """Return Markdown as HTML in which no HTML of its own is left."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))
