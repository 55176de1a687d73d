"""What is told of a whole model: its graph, where that is cut, and how it learned."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.explain.explanation import Explanation, ModelView
from gradaudit.report.explanation.blocks import Block, Drawing, Entries, Heading, Prose
from gradaudit.report.explanation.glyphs import Glyphs
from gradaudit.report.explanation.graph_drawing import draw_graph
from gradaudit.report.explanation.loss_drawing import draw_losses, draw_norms
from gradaudit.report.learning import learned
from gradaudit.results import Finding, Result


def model_blocks(explanation: Explanation, glyphs: Glyphs) -> Iterator[Block]:
    """Yield the blocks about a model; none where a single op is explained."""
    for view in explanation.views:
        yield from _graph(view, explanation, glyphs)
    for training in explanation.trainings:
        result = training.loss
        yield Heading(f"Training (case {result.case}, {result.dtype})")
        yield Prose(f"{learned(result)}.".capitalize())
        norms = draw_norms(training.parameters, glyphs)
        yield Drawing((*draw_losses(result.training, glyphs), *norms), training)


def _graph(view: ModelView, explanation: Explanation, glyphs: Glyphs) -> Iterator[Block]:
    yield Heading(f"The graph (case {view.case}, {view.dtype})")
    if view.graph is None:
        yield Prose(f"There is none: {view.trouble}")
        return
    yield Prose(
        "From the loss back, each step below all that take from it, with the rms of each parameter's gradient; the "
        f"bar follows its logarithm. {glyphs.cut} marks what the graph does not reach."
    )
    yield Drawing(draw_graph(view.graph, glyphs))
    own = [result for result in explanation.results if (result.case, result.dtype) == (view.case, view.dtype)]
    if cuts := [(finding.code, finding.message) for finding in _of_flow(own)]:
        yield Entries(tuple(dict.fromkeys(cuts)))


def _of_flow(results: list[Result]) -> Iterator[Finding]:
    yield from (finding for result in results for finding in result.findings if finding.code in FLOW_CODES)


FLOW_CODES = (
    "detached-output",
    "unreached-parameter",
    "unregistered-parameter",
    "wrong-backward",
    "zero-gradient",
    "vanishing",
    "exploding",
)
"""Findings that say why a graph is cut, or what is wrong with the size of a gradient."""
