"""The pool under the engine: processes may end at any time, tasks and temporary files may not be lost."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from pebble import ProcessPool

from gradaudit.engine import pool
from gradaudit.engine.pool import workers
from gradaudit.engine.worker import Lost


def write_to_stdout(text: str) -> str:
    print(text)
    return Path(f"/proc/self/fd/{sys.stdout.fileno()}").resolve().name


def test_outcomes_carry_the_position_of_their_task() -> None:
    with workers(2, timeout=10) as tasks:
        assert dict(tasks.map(pow, [(2, k) for k in range(40)])) == {k: 2**k for k in range(40)}


def test_no_tasks_no_outcomes() -> None:
    with workers(1, timeout=10) as tasks:
        assert list(tasks.map(pow, [])) == []


def test_a_worker_that_dies_idle_is_replaced() -> None:
    with workers(1, timeout=10) as tasks:
        ((_, first),) = tasks.map(os.getpid, [()])
        os.kill(first, signal.SIGKILL)
        time.sleep(0.3)  # the pool notices, finds no task to blame, and declares itself broken
        outcomes = [process for _, process in tasks.map(os.getpid, [()] * 3)]
    assert len(outcomes) == 3
    assert first not in outcomes


def test_tasks_on_their_way_when_the_pool_breaks_are_done_again(monkeypatch) -> None:
    class BreaksOnce(ProcessPool):
        broken = 0

        def schedule(self, *args: Any, **kwargs: Any) -> Any:
            scheduled = super().schedule(*args, **kwargs)
            if BreaksOnce.broken < 2:
                BreaksOnce.broken += 1
                scheduled = Future()
                scheduled.set_exception(BrokenProcessPool("All workers expired"))
            return scheduled

    monkeypatch.setattr(pool, "ProcessPool", BreaksOnce)
    with workers(2, timeout=10) as tasks:
        assert dict(tasks.map(pow, [(2, k) for k in range(12)])) == {k: 2**k for k in range(12)}


def test_a_pool_that_keeps_breaking_gives_up_in_words(monkeypatch) -> None:
    monkeypatch.setattr(pool, "MAX_RESTARTS", 0)
    with workers(1, timeout=10) as tasks:
        ((_, first),) = tasks.map(os.getpid, [()])
        os.kill(first, signal.SIGKILL)
        time.sleep(0.3)
        assert list(tasks.map(os.getpid, [()] * 2)) == [
            (0, Lost("found no worker process that stays alive")),
            (1, Lost("found no worker process that stays alive")),
        ]


def test_only_the_task_that_was_running_is_lost() -> None:
    with workers(1, timeout=10) as tasks:
        outcomes = dict(tasks.map(pow, [(2, 3), (2, "x"), (2, 5)]))
    assert (outcomes[0], outcomes[2]) == (8, 32)
    assert isinstance(outcomes[1], Lost)
    assert outcomes[1].cause.startswith("raised TypeError: unsupported operand")


def test_workers_work_in_the_folder_that_is_current_now(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with workers(1, timeout=10) as tasks:
        assert [folder for _, folder in tasks.map(os.getcwd, [()])] == [str(tmp_path)]


def test_a_task_begins_in_that_folder_wherever_the_one_before_went(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with workers(1, timeout=10) as tasks:
        assert list(tasks.map(os.chdir, [("/",)])) == [(0, None)]
        assert list(tasks.map(os.getcwd, [()])) == [(0, str(tmp_path))]


def test_ctrl_c_is_blocked_in_workers_from_their_first_moment() -> None:
    with workers(1, timeout=10) as tasks:
        ((_, blocked),) = tasks.map(signal.pthread_sigmask, [(signal.SIG_BLOCK, ())])
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_a_task_prints_goes_to_a_log_that_starts_empty(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workers(1, timeout=10) as tasks:
        ((_, log),) = tasks.map(write_to_stdout, [("first",)])
        list(tasks.map(write_to_stdout, [("second",)]))
        (found,) = tmp_path.glob(f"gradaudit-*/{log}")
        assert found.read_text() == "second\n"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("how", ["normally", "by an error", "while tasks hang"])
def test_processes_and_files_are_gone_when_the_context_ends(how: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[int] = []
    started = time.perf_counter()

    def use() -> None:
        with workers(2, timeout=60) as tasks:
            seen.extend(process for _, process in tasks.map(os.getpid, [()] * 6))
            if how == "by an error":
                raise LookupError
            if how == "while tasks hang":
                hanging = tasks.map(time.sleep, [(0,), (1000,), (1000,)])
                next(hanging)

    if how == "by an error":
        with pytest.raises(LookupError):
            use()
    else:
        use()
    assert time.perf_counter() - started < 5
    assert list(tmp_path.iterdir()) == []
    assert not [process for process in set(seen) if alive(process)]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
