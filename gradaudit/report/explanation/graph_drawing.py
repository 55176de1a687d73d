"""The graph of a model as lines of characters, the loss first, each step once and below all that take from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gradaudit.explain.graph import Graph, GraphStep, Leaf
from gradaudit.report.explanation.glyphs import Glyphs

WIDTH = 76
"""Columns that steps joined in one line may take."""

MAX_LINES = 72
"""Most lines of a graph that is drawn in full."""

KEPT = 30
"""Lines at the beginning, and at the end, of a graph that is folded."""


@dataclass(frozen=True)
class _Line:
    """A line of the drawing; one that ``joins`` may go on with the next step, one of ``trouble`` is never folded."""

    indent: int
    text: str
    joins: bool = False
    trouble: bool = False


@dataclass(frozen=True)
class _Stop:
    """A step where it is drawn; ``later`` are the steps that it takes from and that stand further below."""

    step: int
    indent: int
    later: tuple[int, ...]


def draw_graph(graph: Graph, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the drawing: steps from the loss on, below each its parameters with the size of their gradients."""
    leaves = [leaf for step in graph.steps for leaf in step.leaves if leaf.name]
    bar = _Bar([leaf.gradient for leaf in leaves if leaf.gradient], glyphs)
    width = max((len(leaf.name) for leaf in [*leaves, *graph.unreached]), default=0)
    stops = list(_stops(graph.steps))
    numbers = {step: k for k, step in enumerate(dict.fromkeys(own for stop in stops for own in stop.later), 1)}
    lines = [line for stop in stops for line in _lines_of(stop, graph, numbers, width, bar, glyphs)]
    lines = list(_joined(lines, glyphs))
    lines += [_Line(0, f"{glyphs.cut} {_leaf(leaf, width, bar)}", trouble=True) for leaf in graph.unreached]
    return tuple(_drawn(line, glyphs) for line in _folded(lines, glyphs))


def in_order(steps: Sequence[GraphStep]) -> tuple[int, ...]:
    """Return the positions of the steps so that each comes after all that are computed from it."""
    return tuple(stop.step for stop in _stops(steps))


def _stops(steps: Sequence[GraphStep]) -> Iterator[_Stop]:
    """Yield steps so that each comes after all that take from it; the longest way on keeps the margin."""
    waiting = Counter(parent for step in steps for parent in step.parents)
    heights = _heights(steps)
    stack = [(0, 0)] if steps else []
    while stack:
        step, indent = stack.pop()
        parents = steps[step].parents
        waiting.subtract(parents)
        ready = sorted((own for own in parents if not waiting[own]), key=lambda own: -heights[own])
        yield _Stop(step, indent, tuple(own for own in parents if waiting[own]))
        stack += [(own, indent + (k > 0)) for k, own in enumerate(ready)]


def _heights(steps: Sequence[GraphStep]) -> list[int]:
    """Return how many steps lie on the longest way from each to a leaf; 0 for those that are part of a circle."""
    heights = [0] * len(steps)
    takers: dict[int, list[int]] = {}
    missing = Counter({k: len(step.parents) for k, step in enumerate(steps)})
    for k, step in enumerate(steps):
        for parent in step.parents:
            takers.setdefault(parent, []).append(k)
    done = [k for k in range(len(steps)) if not missing[k]]
    for k in done:
        for taker in takers.get(k, ()):
            heights[taker] = max(heights[taker], heights[k] + 1)
            missing[taker] -= 1
            if not missing[taker]:
                done.append(taker)
    return heights


def _lines_of(
    stop: _Stop, graph: Graph, numbers: dict[int, int], width: int, bar: _Bar, glyphs: Glyphs
) -> Iterator[_Line]:
    step = graph.steps[stop.step]
    named = [leaf for leaf in step.leaves if leaf.name or leaf.cut]
    label = f"[{numbers[stop.step]}] " if stop.step in numbers else ""
    later = "".join(f" and [{numbers[own]}] below" for own in stop.later)
    ends = not step.parents and not named and not step.cut
    text = f"{label}{step.name}{later}{' (of constants)' if ends else ''}"
    yield _Line(stop.indent, text, joins=not (label or later or named or ends or step.cut))
    if step.cut:
        yield _Line(stop.indent, f"  {glyphs.cut} computes from {step.cut} but does not name it", trouble=True)
    for leaf in named:
        yield _Line(stop.indent, _leaf_line(leaf, width, bar, glyphs), trouble=bool(leaf.cut) or not leaf.gradient)


def _leaf_line(leaf: Leaf, width: int, bar: _Bar, glyphs: Glyphs) -> str:
    if leaf.cut:
        return f"  {glyphs.cut} {leaf.name or 'a tensor'} {list(leaf.shape)} is on no tape, made at {leaf.cut}"
    return f"    {_leaf(leaf, width, bar)}"


def _leaf(leaf: Leaf, width: int, bar: _Bar) -> str:
    size = "gets no gradient" if leaf.gradient is None else f"rms {leaf.gradient:.1e} {bar.of(leaf.gradient)}"
    if leaf.gradient == 0.0:
        size = "gradient all zero"
    return f"{leaf.name:{width}}  {list(leaf.shape)!s:12}  {size}"


class _Bar:
    """How large a gradient is among all, as one character, by its logarithm."""

    def __init__(self, magnitudes: Sequence[float], glyphs: Glyphs) -> None:
        logs = [math.log10(one) for one in magnitudes if 0.0 < one < math.inf] or [0.0]
        self._low, self._span = min(logs), (max(logs) - min(logs)) or 1.0
        self._heights = glyphs.heights

    def of(self, magnitude: float) -> str:
        """Return the character; a question mark where the magnitude is not finite."""
        if not 0.0 < magnitude < math.inf:
            return "?"
        return self._heights[round((math.log10(magnitude) - self._low) / self._span * (len(self._heights) - 1))]


def _joined(lines: Sequence[_Line], glyphs: Glyphs) -> Iterator[_Line]:
    """Yield the lines, steps that follow each other without a parameter between them in one."""
    before: _Line | None = None
    for line in lines:
        if before and before.joins and not line.text.startswith(" ") and before.indent == line.indent:
            text = f"{before.text} {glyphs.left} {line.text}"
            if len(text) + 2 * line.indent <= WIDTH:
                before = replace(line, text=text)
                continue
        if before:
            yield before
        before = line
    if before:
        yield before


def _folded(lines: Sequence[_Line], glyphs: Glyphs) -> Iterator[_Line]:
    """Yield the lines, of a large graph only its ends and what is wrong between them."""
    if len(lines) <= MAX_LINES:
        yield from lines
        return
    folded = 0
    for k, line in enumerate(lines):
        if KEPT <= k < len(lines) - KEPT and not line.trouble:
            folded += 1
            continue
        if folded:
            yield _Line(0, f"{glyphs.vertical} ({folded} lines folded)")
            folded = 0
        yield line


def _drawn(line: _Line, glyphs: Glyphs) -> str:
    return f"{glyphs.vertical} " * line.indent + line.text
