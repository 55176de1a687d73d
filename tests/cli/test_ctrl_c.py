"""Ctrl-C, as a terminal sends it: to every process of the group at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import command, environment, finished, members_of_session, spec, wait_until, write_project


def started(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(**variables),
    )


@pytest.fixture
def short() -> Iterator[Path]:
    """An empty folder for temporary files, of a short name: the path of a socket may have 108 characters at most."""
    with tempfile.TemporaryDirectory(prefix="g-") as folder:
        yield Path(folder)


@pytest.fixture
def stuck(project):
    """Three ops that end, then two that never do, then one more: two workers hang with three cases done."""
    ending = [spec("first"), spec("second", backward="wrong"), spec("third")]
    write_project(project, *ending, spec("stuck", "hangs"), spec("stuck_too", "hangs"), spec("last"))


@pytest.mark.parametrize(
    ("jobs", "press"),
    [
        ("2", [(os.killpg, signal.SIGINT)]),
        ("2", [(os.killpg, signal.SIGINT)] * 4),
        ("0", [(os.killpg, signal.SIGINT)]),
        ("2", [(os.kill, signal.SIGTERM)]),
    ],
    ids=["once", "impatiently", "without workers", "politely from elsewhere"],
)
def test_it_ends_a_run_that_hangs_and_reports_what_is_done(stuck, short: Path, jobs: str, press: list) -> None:
    Path("out.json").write_text("old")
    process = started("-j", jobs, "--json", "out.json", "--junit", "out.xml", TMPDIR=str(short))
    wait_until(lambda: len(list(Path().glob("hanging-*"))) == max(1, int(jobs)))
    time.sleep(0.2)  # for the results on their way
    pressed = time.monotonic()
    for send, number in press:
        send(process.pid, number)
        time.sleep(0.05)
    stdout, stderr = finished(process)
    assert time.monotonic() - pressed < 5
    assert process.returncode == 130
    assert stderr == ""
    lines = stdout.splitlines()
    assert lines[0].startswith("second (float64, case default): gradient mismatch w.r.t. x")
    assert "Interrupted after 3 of 6 cases" in lines
    assert lines[-1].startswith("3 gradients, 3 ops, 3 cases: 2 pass, 1 fail (")
    document = json.loads(Path("out.json").read_text())
    assert [result["op"] for result in document["results"]] == ["first", "second", "third"]
    assert ElementTree.parse("out.xml").getroot().get("tests") == "3"
    wait_until(lambda: not members_of_session(process.pid), seconds=2)
    assert list(short.iterdir()) == []
    assert not list(Path().glob(".out*"))


def test_it_ends_a_run_that_hangs_while_it_imports(project) -> None:
    write_project(project, spec("right"))
    Path("kernels.py").write_text(Path("kernels.py").read_text() + "\nhangs(0)\n")
    process = started("-j", "1", "--json", "out.json")
    wait_until(lambda: list(Path().glob("hanging-*")))
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = finished(process)
    assert (process.returncode, stderr) == (130, "")
    assert stdout.splitlines()[0] == "Interrupted after 0 of 1 cases"
    assert json.loads(Path("out.json").read_text())["results"] == []
    wait_until(lambda: not members_of_session(process.pid), seconds=2)


def test_a_run_that_is_killed_leaves_the_old_report_whole(stuck, short: Path) -> None:
    Path("out.json").write_text("old")
    process = started("-j", "2", "--json", "out.json", TMPDIR=str(short))
    wait_until(lambda: len(list(Path().glob("hanging-*"))) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    finished(process)
    assert Path("out.json").read_text() == "old"


def test_an_interrupt_that_is_ignored_stays_ignored(gradaudit, project) -> None:
    """As for what a script runs in its background: Ctrl-C is meant for what is in front."""
    write_project(project, spec("right"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert gradaudit("run").exit_code == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_handlers_are_put_back(gradaudit, project) -> None:
    write_project(project, spec("right"))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert gradaudit("run").exit_code == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
