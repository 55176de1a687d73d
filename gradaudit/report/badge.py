"""A badge of a run: how many gradients passed, as an SVG image or as the JSON that badge services read."""

from __future__ import annotations

import json
from html import escape

from gradaudit.engine.events import Event, RunFinished
from gradaudit.report.failures import UNEXPECTED_PASS
from gradaudit.report.files import AtomicFile, UnwritableError
from gradaudit.report.tally import Tally
from gradaudit.results import Verdict

LABEL = "gradients"

COLOURS = {"brightgreen": "#3a8e00", "orange": "#b35900", "red": "#c0392b", "lightgrey": "#6c6c6c"}
"""By the names that services know: shades on which white text can be read."""

WIDTHS = {**dict.fromkeys("fijlrt.,:;!|'() ", 4.0), **dict.fromkeys("mw%", 10.5)}
"""Pixels of narrow and wide characters at 11 pixels in a sans serif; ``WIDTH`` of the others."""

WIDTH = 6.8

SUFFIXES = (".svg", ".json")


class BadgeReport:
    """A handler of events that writes a badge when the run ends.

    Args:
        path: a name in ``.svg`` for an image, in ``.json`` for what a badge service reads from an address.

    Raises:
        UnwritableError: where it is neither, or cannot be written.

    """

    def __init__(self, path: str) -> None:
        if not path.endswith(SUFFIXES):
            raise UnwritableError(f"cannot write a badge to {path}: expected a name in {' or '.join(SUFFIXES)}")
        self._file = AtomicFile(path)
        self._as_json = path.endswith(".json")
        self._tally = Tally()

    def __call__(self, event: Event) -> None:
        """Count; write at the end."""
        self._tally(event)
        if isinstance(event, RunFinished):
            message, colour = badge_of(self._tally)
            self._file.write(endpoint(message, colour) if self._as_json else svg(message, colour))


def badge_of(tally: Tally) -> tuple[str, str]:
    """Return what a badge says of a run, and its colour by name."""
    found = tally.total.verdicts
    bad = [
        f"{tally.unexpected[verdict]:,} {UNEXPECTED_PASS if verdict is Verdict.PASS else verdict}"
        for verdict in reversed(Verdict)
        if tally.unexpected[verdict]
    ]
    known = f", {tally.expected_failures:,} known to fail" if tally.expected_failures else ""
    if bad:
        undecided = set(tally.unexpected) <= {Verdict.INCONCLUSIVE}
        return ", ".join(bad), "orange" if undecided else "red"
    if not found:
        return "none", "lightgrey"
    return f"{found[Verdict.PASS]:,} pass{known}", "brightgreen"


def endpoint(message: str, colour: str) -> str:
    """Return the JSON of a badge, in the format of endpoint badges."""
    return json.dumps({"schemaVersion": 1, "label": LABEL, "message": message, "color": colour}) + "\n"


def svg(message: str, colour: str) -> str:
    """Return a badge as an image of one line of text on two fields."""
    left, right = _width(LABEL), _width(message)
    text = '<text x="{x:.1f}" y="14" text-anchor="middle">{said}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="20" role="img" '
        f'aria-label="{LABEL}: {escape(message)}">\n'
        f"<title>{LABEL}: {escape(message)}</title>\n"
        f'<clipPath id="round"><rect width="{left + right:.0f}" height="20" rx="3"/></clipPath>\n'
        f'<g clip-path="url(#round)"><rect width="{left:.0f}" height="20" fill="#444"/>'
        f'<rect x="{left:.0f}" width="{right:.0f}" height="20" fill="{COLOURS[colour]}"/></g>\n'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{text.format(x=left / 2, said=LABEL)}{text.format(x=left + right / 2, said=escape(message))}</g>\n"
        "</svg>\n"
    )


def _width(text: str) -> float:
    """Return the pixels of a field with a text in it."""
    return round(sum(WIDTHS.get(character, WIDTH) for character in text) + 12)
