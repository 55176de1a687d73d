"""What ``run`` does with known failures: reads them, passes results on by them, writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gradaudit.cli.ending import leave

if TYPE_CHECKING:
    from gradaudit.engine.events import Handler
    from gradaudit.report.baseline import BaselineFile
    from gradaudit.store.baseline import Baseline


def known_failures(path: Path | None, *, update: bool) -> Baseline | None:
    """Return the known failures of a file, None where there is none; leave where it cannot be used."""
    from gradaudit.store.baseline import Baseline, BaselineError, read_baseline

    if path is None:
        if update:
            leave("--update-baseline: expected --baseline FILE, or baseline = 'FILE' in [tool.gradaudit], found none")
        return None
    if update and not path.exists():
        return Baseline()
    try:
        return read_baseline(path)
    except BaselineError as error:
        leave(str(error))


def judged_by(emit: Handler, baseline: Baseline | None, path: Path | None) -> Handler:
    """Return what passes events on with known failures as expected."""
    from gradaudit.report.baseline import KnownFailures

    return emit if baseline is None or path is None else KnownFailures(emit, baseline, path)


def written_anew(baseline: Baseline | None, path: Path | None, *, whole: bool) -> list[BaselineFile]:
    """Return what writes the file of known failures when the run ends; one that is not written stays what it was."""
    from gradaudit.report.baseline import BaselineFile
    from gradaudit.report.files import AtomicFile

    if baseline is None or path is None:
        return []
    return [BaselineFile(AtomicFile(str(path)), path, baseline, whole=whole)]
