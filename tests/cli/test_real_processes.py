"""The command in processes of its own: pipes, terminals, locales, noise, and modules of the current folder."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import command, environment, spec, write_project

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    """Return exit status and everything that a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=environment(COLUMNS="80", **variables)
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    return process.wait(30), written.decode()


@pytest.fixture
def mixed(project):
    write_project(project, spec("wrong", backward="wrong"), spec("right"), spec("raising", backward="raises"))


def test_a_pipe_gets_plain_text_wherever_temporary_files_are(mixed, tmp_path) -> None:
    """The path of a socket has room in some hundred bytes; the name of a folder may be longer."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    found = subprocess.run(command("run"), capture_output=True, text=True, env=environment(TMPDIR=str(folder)))
    assert (found.returncode, found.stderr) == (1, "")
    assert "\x1b" not in found.stdout
    assert "auditing" not in found.stdout
    assert found.stdout.splitlines()[-1].startswith("3 gradients, 3 ops, 3 cases: 1 pass, 1 fail, 1 error (")
    assert list(folder.iterdir()) == []


def test_a_pipe_gets_no_progress_even_where_colour_is_forced(mixed) -> None:
    found = subprocess.run(command("run", "-j", "0"), capture_output=True, text=True, env=environment(FORCE_COLOR="1"))
    assert "\x1b[1;31mFAIL" in found.stdout
    assert "auditing" not in found.stdout
    assert "\x1b[2K" not in found.stdout


def test_a_terminal_gets_progress_and_colour(mixed) -> None:
    status, text = in_terminal("run")
    assert status == 1
    assert "auditing" in text
    assert "\x1b[1;31mFAIL" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden, then shown again
    lines = ESCAPE.sub("", text).replace("\r", "\n").splitlines()
    wide = [line for line in lines if len(line) > 80 and " " in line]
    assert [line for line in wide if not line.startswith("Recorded in ")] == []  # a path is not broken in two
    headline = "wrong (float64, case default): gradient mismatch w.r.t. x at index "
    assert any(line.startswith(headline) for line in lines)


def test_a_terminal_without_colour(mixed) -> None:
    _, text = in_terminal("run", "-j", "0", NO_COLOR="1")
    assert "FAIL" in text
    assert not re.search(r"\x1b\[[0-9;]*(3|9)[0-7]m", text)


def test_what_ops_print_stays_out_of_the_report(project) -> None:
    write_project(project, spec("talks", "talks"))
    found = subprocess.run(command("run", "--json", "-"), capture_output=True, text=True, env=environment())
    assert found.returncode == 0
    assert json.loads(found.stdout)["summary"]["pass"] == 1
    assert "CHATTER" not in found.stderr


def test_a_locale_without_the_characters_of_a_message(project) -> None:
    write_project(project, spec("raising", backward="raises"))
    kernels = Path("kernels.py")
    kernels.write_text(kernels.read_text().replace("no gradient today", "kein Gradient für → 🎲"), encoding="utf-8")
    variables = environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    found = subprocess.run(command("run", "-j", "0"), capture_output=True, text=True, env=variables)
    assert found.returncode == 1
    assert found.stderr == ""
    assert r"kein Gradient f\xfcr \u2192 \U0001f3b2" in found.stdout


def test_the_console_script_finds_modules_of_the_current_folder(project) -> None:
    write_project(project, spec("right"))
    script = Path(sys.executable).with_name("gradaudit")
    if not script.exists():
        pytest.skip("gradaudit is not installed as a script beside this Python")
    found = subprocess.run([script, "run", "-q"], capture_output=True, text=True, env=environment())
    assert (found.returncode, found.stderr) == (0, "")


def test_an_installed_copy_audits_in_a_folder_that_holds_another(project) -> None:
    write_project(project, spec("relu") | {"target": RELU})
    (project / "gradaudit").mkdir()
    (project / "gradaudit" / "__init__.py").touch()
    installed = [sys.executable, "-P", "-m", "gradaudit", "run", "-q"]
    found = subprocess.run(installed, capture_output=True, text=True, env=environment())
    assert (found.returncode, found.stderr) == (0, ""), found.stdout


RELU = {"forward": "gradaudit.ops.activation:relu", "backward": "gradaudit.ops.activation:relu_backward"}


def test_a_reader_that_goes_away_ends_the_run_quietly(mixed) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(command("run"), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(writer)
    assert found.returncode != 0
    assert "Traceback" not in found.stderr


def test_the_time_of_a_run_is_that_of_its_command_from_the_start(mixed) -> None:
    program = "import time, sys; sys.argv = ['gradaudit', 'run', '-q', '-j', '0', '--seed', '0']\n"
    program += "import typer; first = typer.Typer.__call__\n"
    program += "def late(*given, **keys): time.sleep(0.5); return first(*given, **keys)\n"
    program += "typer.Typer.__call__ = late; from gradaudit.cli import main; main()\n"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment())
    (seconds,) = re.findall(r"(\d+\.\d+) s\)$", found.stdout, re.MULTILINE)
    assert float(seconds) >= 0.5
