"""Runs leave no descriptor open, however they end: in a long process those would add up."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gradaudit.engine import forked
from gradaudit.engine.executor import Task
from gradaudit.engine.interrupt import Interrupted, told_apart
from gradaudit.engine.pool import Workers, workers
from gradaudit.engine.single import SingleWorker

DESCRIPTORS = Path("/dev/fd")


@contextmanager
def nothing_left() -> Iterator[None]:
    """Count the descriptors before and after, and let no object close one when it is collected."""
    gc.collect()
    before = open_now()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert open_now() == before
    assert [str(one.message) for one in said] == []


def open_now() -> dict[str, str]:
    found = {}
    for entry in os.listdir(DESCRIPTORS):
        with suppress(OSError):  # the descriptor that they are listed by
            found[entry] = os.readlink(DESCRIPTORS / entry)
    return found


@pytest.fixture(autouse=True)
def _nothing_older_is_collected() -> Iterator[None]:
    """Let the collector go through what a test makes, and not each time through all that was there before it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def _templates_are_there() -> None:
    """Let the templates begin, which stay from run to run."""
    with workers(1, timeout=30) as tasks:
        list(tasks.map(pow, [Task((2, 3))]))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(pow, (2, 3)), (pow, (2, "x")), (os.abort, ()), (time.sleep, (60,))],
    ids=["returns", "raises", "dies", "hangs"],
)
def test_a_pool_closes_what_it_opened_however_its_tasks_end(function: Any, arguments: Any) -> None:
    with nothing_left(), workers(2, 0.3 if function is time.sleep else 30) as tasks:
        assert len(list(tasks.map(function, [Task(arguments)] * 2))) == 2


def test_what_nobody_stopped_ends_with_its_pool() -> None:
    with nothing_left():
        started = Workers(2, timeout=30).map(pow, [Task((2, 3))] * 4)
        next(started)
        del started


def test_a_run_whose_reader_fails_leaves_nothing() -> None:
    with nothing_left(), suppress(LookupError), workers(2, timeout=30) as tasks:
        for _ in tasks.map(pow, [Task((2, 3))] * 4):
            raise LookupError


def test_a_worker_that_answers_questions_leaves_nothing() -> None:
    with nothing_left():
        worker = SingleWorker((), timeout=30)
        worker.ask(pow, 2, 3)
        worker.ask(os.abort)
        worker.ask(pow, 2, 3)
        worker.stop()


def test_a_template_that_cannot_be_started_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "_templates", [])
    monkeypatch.setattr(forked.sys, "executable", "/nowhere/python")
    with nothing_left(), pytest.raises(FileNotFoundError):
        forked.prepare()


WATCHED = {
    function.__code__
    for function in (
        Workers._free_place,
        Workers._let_go,
        Workers.stop,
        forked.ForkedWorker.__init__,
        forked.ForkedWorker.start,
        forked.ForkedWorker.kill,
        forked.Templates.clone,
        forked.Templates._cloned,
    )
}
"""What opens descriptors, and what closes them."""


class Pressed:
    """Presses Ctrl-C at the line of this number of what is watched, and counts the lines."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.lines = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> Pressed | None:
        if frame.f_code not in WATCHED:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.line:
                signal.raise_signal(signal.SIGINT)
        return self


def interrupted_at(line: int) -> int:
    """Return how many lines were run of what is watched, till Ctrl-C ended it or the task was done."""
    pressed, before = Pressed(line), sys.gettrace()
    with suppress(Interrupted), told_apart():
        sys.settrace(pressed)
        try:
            with workers(1, timeout=30) as tasks:
                list(tasks.map(pow, [Task((2, 3))]))
        finally:
            sys.settrace(before)
    return pressed.lines


def test_ctrl_c_at_any_line_leaves_nothing() -> None:
    lines = interrupted_at(0)
    assert lines > 20
    for line in range(1, lines + 1):
        with nothing_left():
            interrupted_at(line)
