"""How a worker process ended, in words."""

from __future__ import annotations

import signal
from pathlib import Path

from gradaudit.engine.template import Ended
from gradaudit.engine.worker import CUT_OFF, ENDED_TEMPLATE

SHOWN_LINES = 8
"""Lines of what a case printed that go with its error."""

SHOWN_FRAMES = 4
"""Frames of the op's own that go with a crash, innermost first."""

_OWN_FOLDER = str(Path(__file__).parent.parent)


def describe_exit(ended: Ended) -> str:
    """Say how a process ended, from its exit status and the end of its log."""
    said = f"ended its process with exit status {ended.status}"
    if ended.with_template:
        said = ENDED_TEMPLATE
    elif ended.status == CUT_OFF:
        said = "left its process unable to send its result"
    elif ended.status < 0:
        number = -ended.status
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        said = f"crashed its process with {name}"
        if name == "SIGKILL":
            said = "was killed with its process (SIGKILL), most likely because the machine ran out of memory"
    return said + printed_tail(ended.printed)


def printed_tail(printed: bytes) -> str:
    """Return the end of what a worker printed, or where it crashed, on lines of their own; empty for neither."""
    text, crashed, trace = printed.decode("utf-8", errors="replace").strip().partition("Fatal Python error: ")
    if crashed:
        frames = [line.strip() for line in trace.splitlines() if line.startswith("  File ")]
        ours = next((k for k, frame in enumerate(frames) if _OWN_FOLDER in frame), len(frames))
        return "".join(f"\n  {frame}" for frame in frames[:ours][:SHOWN_FRAMES])
    last = text.splitlines()[-SHOWN_LINES:]
    return "\n  it printed last:" + "".join(f"\n    {line}" for line in last) if last else ""
