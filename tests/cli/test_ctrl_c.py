"""Ctrl-C, as a terminal sends it: to every process of the group at once."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from xml.etree import ElementTree

import pytest
from commands import command, environment, finished, members_of_session, spec, wait_until, write_project

from gradaudit.cli import POLITE, main


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
        ("2", [(os.killpg, signal.SIGINT)] * 4),
        ("0", [(os.killpg, signal.SIGINT)]),
        ("2", [(os.kill, signal.SIGTERM)]),
    ],
    ids=["impatiently", "without workers", "politely from elsewhere"],
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


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back what is done about signals, which the end of a process would."""
    before = {number: signal.getsignal(number) for number in POLITE}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


EARLY = "Interrupted before it was done\n"
LATER = "Interrupted before any report was written\n"


MOMENTS = [
    ("gradaudit.spec.load.load_specs", EARLY),
    ("gradaudit.cli.recording.recording_of", LATER),
    ("gradaudit.cli.recording.without_what_is_known", LATER),
    ("gradaudit.engine.run._auditable", LATER),
    ("gradaudit.engine.run.look_up", ""),
    ("gradaudit.report.record.begin_run", ""),
    ("gradaudit.engine.audit.audit_op", ""),
    ("gradaudit.report.record.add_results", ""),
    ("gradaudit.engine.run.RunFinished", LATER),
    ("gradaudit.report.record.finish_run", ""),
    ("gradaudit.report.terminal.TerminalReport._finish", ""),
    ("gradaudit.report.files.AtomicFile._replace", ""),
    ("gradaudit.cli.running._tell_what_was_not_recorded", ""),
]
"""When a function is called for the first time, and what is said of an end there."""


@pytest.mark.parametrize(
    ("moment", "said", "number"), [(*each, number) for each, number in zip(MOMENTS, cycle(POLITE), strict=False)]
)
def test_a_run_that_is_ended_replaces_its_reports_or_says_that_it_wrote_none(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    moment: str,
    said: str,
    number: signal.Signals,
) -> None:
    """A report holds what is recorded: what was recalled, and what was audited by then."""
    write_project(project, spec("first"), spec("second", backward="wrong"), spec("third"))
    options = ["--store", "s.db", "--resume", "--json", "out.json", "--junit", "out.xml", "-j", "0"]

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["gradaudit", "run", *options, *arguments])
        with handlers_kept(), pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0)

    run("-k", "first")
    reports = [Path("out.json"), Path("out.xml")]
    for report in reports:
        report.write_text("old")
    capfd.readouterr()

    _end_at(monkeypatch, moment, number)
    assert run() == 130
    assert capfd.readouterr().err == said
    assert [report.read_text() == "old" for report in reports] == [bool(said)] * 2
    with closing(sqlite3.connect("s.db")) as connection:
        recorded = {op for (op,) in connection.execute("SELECT op FROM subjects")}
    if not said:
        assert {result["op"] for result in json.loads(Path("out.json").read_text())["results"]} == recorded
        assert ElementTree.parse("out.xml").getroot().get("tests") == str(len(recorded))
    assert recorded >= {"first"}


def _end_at(monkeypatch: pytest.MonkeyPatch, moment: str, number: int) -> None:
    """Send this process a signal, and then another one, when a function is called for the first time."""
    function, left = resolve_name(moment), [number, signal.SIGTERM]

    def ended(*arguments: Any, **options: Any) -> Any:
        while left:
            os.kill(os.getpid(), left.pop(0))
        return function(*arguments, **options)

    monkeypatch.setattr(moment, ended)
