"""What exploring has found, in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn

from gradaudit.report.depth import never_reached
from gradaudit.report.mismatch import block
from gradaudit.report.numbers import counted
from gradaudit.report.visible import visible

if TYPE_CHECKING:
    from gradaudit.explore.explore import Explored
    from gradaudit.explore.hunt import Progress


@contextmanager
def progress_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """Show what is going on for as long as the context lasts; nothing stays of it."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda progress: bar.update(task, description=_now(progress))


def _now(progress: Progress) -> str:
    refused = sum(progress.refused.values())
    kinds = f"; fails: {', '.join(progress.found)}, shrinking" if progress.found else ""
    return f"{progress.op}: {progress.tried:,} cases, {refused:,} refused by forward, {progress.seconds:.0f} s{kinds}"


def explored_lines(explored: Explored, max_rows: int) -> Iterator[str]:
    """Yield what is said of an op."""
    progress = explored.progress
    refused = sum(progress.refused.values())
    told = (
        f"{explored.op}: {counted(progress.tried, 'case')} in {progress.seconds:.1f} s, {refused:,} refused by forward"
    )
    if not explored.failures:
        yield f"{told}: none fails"
        if progress.tried and refused == progress.tried:
            yield f"  forward takes none of them: {progress.refused.most_common(1)[0][0]}"
        yield from (f"  never reached: {place}: {what}" for place, what in never_reached(explored.depth))
        return
    yield f"{explored.op}: fails as it did before" if explored.known else f"{told}: fails"
    first, *others = explored.failures
    yield ""
    yield from map(visible, block(first.found.results[0], max_rows))
    if not first.again:
        yield "  It fails after other cases only, and not by itself: the op keeps state between calls."
    yield ""
    yield from (f"  {line}" for line in first.text.rstrip().split("\n"))
    if others:
        yield ""
        kinds = ", ".join(one.found.kind for one in others)
        yield f"  Larger cases fail otherwise, perhaps for the same reason: {kinds}"


def summary(done: Sequence[Explored]) -> str:
    """Return the line that stands at the end."""
    tried = sum(explored.progress.tried for explored in done)
    failing = [explored.op for explored in done if explored.failures]
    ends = f"{len(failing)} fail: {', '.join(failing)}" if failing else "none fails"
    return f"{counted(len(done), 'op')} explored in {counted(tried, 'case')}: {ends}"
