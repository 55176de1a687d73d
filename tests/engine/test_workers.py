"""The pool under the engine: processes may end at any time, tasks and temporary files may not be lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradaudit.engine import forked
from gradaudit.engine.executor import Lost, Task
from gradaudit.engine.forked import ForkedWorker
from gradaudit.engine.fresh import FreshWorker
from gradaudit.engine.pool import Workers, workers

PLACES = (ForkedWorker, FreshWorker)
"""The two ways to a process of one's own: forked, and where fork is not to be had."""


def mapped(pool: Workers, function: Any, *arguments: tuple[Any, ...], group: str | None = None) -> list[Any]:
    """Return the outcomes of calls, in the order of their arguments."""
    return [made for _, made in sorted(pool.map(function, [Task(own, group) for own in arguments]), key=first)]


def first(pair: tuple[int, Any]) -> int:
    return pair[0]


def read_what_is_printed(text: str) -> str:
    print(text)
    return os.pread(1, 100, 0).decode()


def leaves_a_variable(name: str) -> str | None:
    before = os.environ.get(name)
    os.environ[name] = "left"
    return before


def counts_its_calls(calls: list[int] = []) -> int:  # noqa: B006 (what it leaves behind is the point)
    calls.append(1)
    return len(calls)


def dies_once(file: str) -> str:
    if not Path(file).exists():
        Path(file).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def stops_its_template() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)


def starts_what_survives(file: str) -> None:
    """Leave a grandchild in a session of its own, which no signal to a group reaches."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(file).write_text(str(os.getpid()))
            time.sleep(60)
        os._exit(0)
    while not (Path(file).exists() and Path(file).read_text()):
        time.sleep(0.01)


def comes_back_twice() -> str:
    """Come back in a child, too, as a call of ``os.fork`` does that nobody looks at."""
    os.fork()
    return "once"


def test_outcomes_carry_the_position_of_their_task() -> None:
    with workers(2, timeout=10) as tasks:
        assert dict(tasks.map(pow, [Task((2, k), "powers") for k in range(40)])) == {k: 2**k for k in range(40)}


def test_no_tasks_no_outcomes() -> None:
    with workers(1, timeout=10) as tasks:
        assert list(tasks.map(pow, [])) == []


def test_tasks_of_a_group_share_a_process_and_no_other_sees_it() -> None:
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, counts_its_calls, *[()] * 3, group="one") == [1, 2, 3]
        assert mapped(tasks, counts_its_calls, *[()] * 3) == [1, 1, 1]


def test_tasks_whose_outcomes_may_stand_share_processes_with_other_groups() -> None:
    with workers(1, 60.0) as pool:
        tasks = [Task((), group=str(k), stands=bool) for k in range(40)]
        calls = [made for _, made in sorted(pool.map(counts_its_calls, tasks), key=first)]
    assert calls == [*range(1, 11)] * 4


def test_neither_large_tasks_nor_large_answers_hold_each_other_up() -> None:
    with workers(1, 60.0) as pool:
        tasks = [Task((bytes(10**6),), group=str(k), stands=bool) for k in range(16)]
        assert sorted(pool.map(bytes, tasks), key=first) == [(k, bytes(10**6)) for k in range(16)]


def is_not_two(made: int) -> bool:
    return made != 2


def test_what_does_not_stand_is_done_again_in_a_process_that_has_done_nothing_else() -> None:
    told: list[Task] = []
    with workers(1, 60.0, told.append) as pool:
        tasks = [Task((), group=str(k), stands=is_not_two if k == 1 else bool) for k in range(40)]
        calls = [made for _, made in sorted(pool.map(counts_its_calls, tasks), key=first)]
    assert calls[:3] == [1, 1, 2]
    assert told.count(tasks[1]) == 2
    assert len(told) == 41


def test_a_process_that_is_not_what_it_was_is_given_no_other_task() -> None:
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, leaves_a_variable, *[("GRADAUDIT_TEST",)] * 3, group="one") == [None] * 3


def test_a_process_that_dies_is_given_a_second_try(tmp_path) -> None:
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, dies_once, (str(tmp_path / "died"),)) == ["alive"]


def test_templates_may_die_at_any_time() -> None:
    with workers(1, timeout=10) as tasks:
        ((_, template),) = tasks.map(os.getppid, [Task(())])
        os.kill(template, signal.SIGKILL)
        (again,) = mapped(tasks, os.getppid, ())
    assert isinstance(again, int)
    assert again != template


def parent_and_its_group() -> tuple[int, int]:
    return os.getppid(), os.getpgid(os.getppid())


def test_each_template_is_in_a_group_of_its_own() -> None:
    with workers(1, timeout=10) as tasks:
        ((parent, group),) = mapped(tasks, parent_and_its_group, ())
    assert group == parent


def test_a_template_that_its_worker_stops_ends_with_the_time_limit() -> None:
    with workers(1, timeout=0.5) as tasks:
        assert mapped(tasks, stops_its_template, ()) == [Lost("exceeded its time limit of 0.5 s", 0.5)]
        assert mapped(tasks, pow, (2, 3)) == [8]


USES_WORKERS = """
from gradaudit.engine.executor import Task
from gradaudit.engine.fresh import FreshWorker
from gradaudit.engine.forked import ForkedWorker
from gradaudit.engine.pool import Workers

if __name__ == "__main__":
    list(Workers(1, 60, {place}).map(pow, [Task((2, 3), preload=("never_there",))]))
"""


@pytest.mark.parametrize("place", PLACES)
def test_a_process_that_imports_ends_with_the_one_that_it_is_for(place: Any, tmp_path) -> None:
    (tmp_path / "never_there.py").write_text(
        "import os, pathlib\n"
        "pathlib.Path(__file__).with_name('process').write_text(str(os.getpid()))\n"
        "while True: pass\n"
    )
    (tmp_path / "script.py").write_text(USES_WORKERS.format(place=place.__name__))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    script = subprocess.Popen([sys.executable, tmp_path / "script.py"], env=os.environ | {"PYTHONPATH": path})
    file = tmp_path / "process"
    wait_until(lambda: file.exists() and file.read_text())
    script.kill()
    script.wait()
    wait_until(lambda: not alive(int(file.read_text())), seconds=2)


def test_a_lifeline_ends_a_busy_process_until_it_is_cut() -> None:
    program = "import sys; from gradaudit.engine.lifeline import Lifeline; line = Lifeline({}); {}\nprint(flush=True)\n"
    ends = {}
    for cut in (True, False):
        ours, theirs = socket.socketpair()
        text = program.format(theirs.fileno(), "line.cut()" if cut else "") + "while True: pass"
        with theirs:
            process = subprocess.Popen([sys.executable, "-c", text], pass_fds=[theirs.fileno()], stdout=subprocess.PIPE)
        with ours, process:
            process.stdout.readline()
            ours.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5 if cut else 2)
            ends[cut] = process.poll()
            process.kill()
    assert ends == {True: None, False: 0}


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_what_a_task_starts_ends_with_it(tmp_path) -> None:
    file = tmp_path / "process"
    with workers(1, timeout=10) as tasks:
        mapped(tasks, starts_what_survives, (str(file),))
        mapped(tasks, pow, (2, 3))
        assert not alive(int(file.read_text()))


def test_a_child_that_comes_back_says_nothing() -> None:
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, comes_back_twice, *[()] * 3, group="one") == ["once"] * 3


def test_no_process_that_begins_gives_up_in_words(monkeypatch) -> None:
    monkeypatch.setattr(forked.sys, "executable", "/bin/false")
    monkeypatch.setattr(forked, "_templates", [])
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, pow, (2, 3), (2, 4)) == [Lost("no worker process stays alive")] * 2
    while forked._templates:
        forked._templates.pop().close()


@pytest.mark.parametrize("place", PLACES)
def test_only_the_task_that_was_running_is_lost(place: Any) -> None:
    tasks = Workers(1, 4, place)
    outcomes = mapped(tasks, pow, (2, 3), (2, "x"), (2, 5), group="one")
    assert (outcomes[0], outcomes[2]) == (8, 32)
    assert outcomes[1].cause.startswith("raised TypeError: unsupported operand")
    killed, alive = mapped(tasks, os.kill, (0, signal.SIGKILL), (os.getpid(), 0))
    assert killed.cause.startswith("was killed with its process (SIGKILL)")
    assert alive is None
    assert mapped(Workers(1, 0.1, place), time.sleep, (60,)) == [Lost("exceeded its time limit of 0.1 s", 0.1)]
    tasks.stop()


def test_workers_work_in_the_folder_that_is_current_now(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, os.getcwd, ()) == [str(tmp_path)]


def test_a_task_begins_in_that_folder_wherever_the_one_before_went(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with workers(1, timeout=10) as tasks:
        assert mapped(tasks, os.chdir, ("/",), ("/",), group="one") == [None, None]
        assert mapped(tasks, os.getcwd, ()) == [str(tmp_path)]


def test_workers_have_no_terminal_that_ctrl_c_could_come_from() -> None:
    with workers(1, timeout=10) as tasks:
        (session,) = mapped(tasks, os.getsid, (0,))
    assert session != os.getsid(0)


def test_what_a_task_prints_goes_to_a_log_that_starts_empty(tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workers(1, timeout=10) as tasks:
        printed = mapped(tasks, read_what_is_printed, ("first",), ("second",), group="one")
    assert printed == ["first\n", "second\n"]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["normally", "by an error", "while tasks hang"])
def test_processes_and_files_are_gone_when_the_context_ends(how: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[int] = []
    started = time.perf_counter()

    def use() -> None:
        with workers(2, timeout=60) as tasks:
            seen.extend(process for _, process in tasks.map(os.getpid, [Task(())] * 6))
            if how == "by an error":
                raise LookupError
            if how == "while tasks hang":
                hanging = tasks.map(time.sleep, [Task((0,)), Task((1000,)), Task((1000,))])
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


def test_tasks_are_told_of_as_they_begin() -> None:
    told: list[Task] = []
    tasks = [Task((2, k)) for k in range(3)]
    with workers(1, 30.0, told.append) as pool:
        assert len(list(pool.map(pow, tasks))) == 3
    assert told == tasks
