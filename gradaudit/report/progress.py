"""How far a run is, as a terminal shows it while the run lasts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from gradaudit.report.visible import visible

LONG = 3.0
"""Seconds from which a case that is being audited is named: it may hang."""


def progress_bar(console: Console, cases: int, begun: Mapping[str, float]) -> Progress:
    """Return the bar of a run; its one task has a field ``id``, the case that was done last.

    Args:
        console: where it is drawn.
        cases: how many there are.
        begun: when each case at work was begun, as ``time.monotonic`` tells.

    """
    columns = (
        TextColumn("auditing"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _AtWork(begun),
    )
    progress = Progress(*columns, console=console, transient=True, expand=True)
    progress.add_task("", total=cases, id="")
    return progress


class _AtWork(ProgressColumn):
    """The case that was done last; where one has been audited for long, that one, and for how long.

    Args:
        begun: when each case at work was begun.

    """

    def __init__(self, begun: Mapping[str, float]) -> None:
        super().__init__(table_column=Column(no_wrap=True, ratio=1))
        self._begun = begun

    def render(self, task: Task) -> Text:
        oldest = min(tuple(self._begun.items()), key=lambda item: item[1], default=None)
        if oldest is not None and (seconds := time.monotonic() - oldest[1]) >= LONG:
            return Text(f"{seconds:.0f} s at {visible(oldest[0])}", style="yellow")
        return Text(visible(task.fields["id"]), style="dim")
