"""What the models that were trained in a run have learned, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradaudit.report import numbers
from gradaudit.report.explanation.glyphs import Glyphs
from gradaudit.report.explanation.loss_drawing import spark
from gradaudit.results import Result


def learning_lines(trained: Sequence[Result], glyphs: Glyphs) -> Iterator[str]:
    """Yield a heading and a line for each result that has a training; nothing where there is none."""
    if not trained:
        return
    yield "Learning"
    names = [f"{result.op} ({result.dtype}, case {result.case})" for result in trained]
    curves = [spark([made.loss for made in result.training], glyphs) for result in trained]
    width, columns = max(map(len, names)), max(map(len, curves))
    for name, curve, result in zip(names, curves, trained, strict=True):
        yield f"  {name:{width}}  {curve:{columns}}  {learned(result)}"


def learned(result: Result) -> str:
    """Return in words how loss and accuracy went in a training."""
    first, last = result.training[0], result.training[-1]
    said = f"loss {first.loss:.3g} to {last.loss:.3g} in {numbers.counted(last.epoch, 'epoch')}"
    return said if last.accuracy is None else f"{said}, accuracy {last.accuracy:.3g}"
