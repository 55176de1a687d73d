"""Ctrl-C in this process: what is done is told, what is not is left out."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from gradaudit.engine.events import CaseDone, CaseFinished, Event, RunFinished
from gradaudit.engine.run import run_specs
from gradaudit.spec.load import load_specs


def interrupted_run(folder: Path, done: int, jobs: int) -> tuple[list[Event], float]:
    """Press Ctrl-C a moment after so many cases are done; return what was told, and the seconds it took to end."""
    events: list[Event] = []
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, CaseDone) and event.done == done:
            threading.Timer(0.1, press).start()

    run_specs(load_specs([folder]), emit, jobs=jobs, timeout=60)
    return events, time.perf_counter() - pressed[0]


def ops(events: list[Event]) -> list[str]:
    return [event.results[0].op for event in events if isinstance(event, CaseFinished)]


@pytest.mark.parametrize("hang", ["hangs", "hangs_in_c"])
def test_ctrl_c_ends_a_run_that_hangs(hang: str, tmp_path, document, write) -> None:
    folder = write(tmp_path, *(document(f"right_{k}", "square") for k in range(3)), document(hang), document("cube"))
    events, seconds = interrupted_run(folder, done=3, jobs=1)
    assert seconds < 2.5  # a process that has to be asked twice takes three
    assert ops(events) == ["right_0", "right_1", "right_2"]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].interrupted


@pytest.mark.parametrize("op", ["presses_ctrl_c", "calls_sys_exit"])
def test_in_process_an_op_s_own_interrupt_costs_its_case(op: str, tmp_path, document, write, run) -> None:
    folder = write(tmp_path, document("square"), document(op), document("cube", backward="cube_backward"))
    record = run(folder, jobs=0)
    assert {name: str(result.verdict) for name, result in record.results.items()} == {
        "square": "pass",
        op: "error",
        "cube": "pass",
    }
    assert not record.events[-1].interrupted


def test_in_process_ctrl_c_ends_the_run(tmp_path, document, write) -> None:
    folder = write(tmp_path, document("square"), document("hangs"), document("cube"))
    events, _ = interrupted_run(folder, done=1, jobs=0)
    assert ops(events) == ["square"]
    assert events[-1].interrupted


def test_cases_behind_one_that_hangs_are_told_of_too(tmp_path, document, write) -> None:
    folder = write(tmp_path, document("hangs"), *(document(f"right_{k}", "square") for k in range(20)))
    events, _ = interrupted_run(folder, done=20, jobs=2)
    assert ops(events) == [f"right_{k}" for k in range(20)]
    assert isinstance(events[-1], RunFinished)
    assert events[-1].interrupted
