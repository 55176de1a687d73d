"""``run --watch``: the run again whenever a file has changed."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import command, environment, spec, wait_until, write_project

SECONDS_TO_SEE = 3.0
"""Seconds that a change may take to be seen and audited; one that is written again meanwhile is never at rest."""


def test_what_a_change_bears_on_is_audited_again(project: Path) -> None:
    pytest.importorskip("watchfiles")
    write_project(project, spec("right"), spec("wrong", backward="wrong"))
    (project / "pyproject.toml").write_text("[tool.gradaudit]\n")
    log = project / "log.txt"
    with log.open("w") as file:
        watching = subprocess.Popen(
            command("run", "-q", "-j", "1", "--watch"), stdout=file, stderr=subprocess.STDOUT, env=environment()
        )
    try:
        wait_until(lambda: "watching; Ctrl-C ends" in log.read_text())
        assert "2 gradients, 2 ops, 2 cases: 1 pass, 1 fail" in log.read_text()
        kernels = project / "kernels.py"
        written = 0.0

        def mended() -> bool:  # written until it is seen: the watch may have begun a moment later
            nonlocal written
            if time.monotonic() > written + SECONDS_TO_SEE:
                kernels.write_text(kernels.read_text().replace("return -2 * x * u", "return 2 * x * u") + "\n")
                written = time.monotonic()
            return "1 gradient, 1 op, 1 case: 1 pass" in log.read_text()

        wait_until(mended)
        assert "changed: kernels.py" in log.read_text()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    finally:
        watching.kill()
    assert "Traceback" not in log.read_text()


def test_without_the_package_it_says_how_to_install_it(gradaudit, project: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "watchfiles", None)
    write_project(project, spec("right"))
    told = gradaudit("run", "--watch")
    assert told.exit_code == 2
    assert told.stderr == "--watch needs the package watchfiles: pip install 'gradaudit[watch]'\n"


def test_without_a_store_there_is_nothing_to_go_by(gradaudit, project) -> None:
    write_project(project, spec("right"))
    told = gradaudit("run", "--watch", "--no-store")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "needs recorded results; found --no-store" in told.stderr
