"""Writing the page of a project's coverage with its plots, all of them or none."""

from __future__ import annotations

from pathlib import Path

from gradaudit.coverage.model import Coverage, OpCoverage
from gradaudit.report.coverage_markdown import coverage_page, known_only_to, plot_names
from gradaudit.report.coverage_plots import errors_plot, modules_plot
from gradaudit.report.files import AtomicFile


def known_elsewhere(coverage: Coverage, page: Path) -> list[OpCoverage]:
    """Return the ops that the page there tells of and that a new one could not, for want of a framework here."""
    try:
        return known_only_to(page.read_text(encoding="utf-8"), coverage)
    except (OSError, UnicodeDecodeError):  # there is none, or none of ours
        return []


def write_page(coverage: Coverage, page: Path) -> None:
    """Write the Markdown page, and beside it the plots that it shows.

    Raises:
        UnwritableError: where that is not possible; nothing is written then.

    """
    by_module, by_op = plot_names(page)
    plots = [("Backward passes with a gradient check, by module", by_module), ("Worst error / tolerance by op", by_op)]
    text = coverage_page(coverage, [(caption, path.name.replace(" ", "%20")) for caption, path in plots])
    contents = {page: text, by_module: modules_plot(coverage), by_op: errors_plot(coverage)}
    files = {path: AtomicFile(str(path)) for path in contents}
    for path, file in files.items():
        file.write(contents[path])
