"""What the system refuses, and what was damaged, is said in words: never by a traceback."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command, environment, spec, timeless, write_project
from typer.testing import Result

Command = Callable[..., Result]

READING = (["history", "good"], ["diff"], ["coverage"], ["merge", "reports/audit.db"], ["run", "--resume"])
"""Commands that read a store."""


@pytest.fixture
def settled(project: Path) -> Path:
    (project / "pyproject.toml").write_text("[tool.gradaudit]\n")
    write_project(project, spec("good"))
    return project


def test_a_full_disk_behind_standard_output(settled: Path) -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            command("run", "-j", "0", "--no-store"), stdout=full, stderr=subprocess.PIPE, text=True, env=environment()
        )
    assert (found.returncode, found.stderr) == (3, "gradaudit had to stop: No space left on device\n")


@pytest.mark.parametrize("arguments", [["run", "-j", "0"], ["coverage"]])
def test_a_current_folder_that_is_gone(project: Path, arguments: list[str]) -> None:
    (project / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$@"'
    found = subprocess.run(
        ["sh", "-c", script, "sh", *command(*arguments)], capture_output=True, text=True, env=environment()
    )
    assert (found.returncode, found.stderr) == (3, "gradaudit had to stop: the current folder has been deleted\n")


@pytest.mark.parametrize("setting", ['specs = ["a\\u0000b"]', 'store = "a\\u0000b"', 'sources = ["\\u0000"]'])
def test_a_nul_in_a_setting(gradaudit: Command, settled: Path, setting: str) -> None:
    (settled / "pyproject.toml").write_text(f"[tool.gradaudit]\n{setting}\n")
    found = gradaudit("run")
    assert found.exit_code == 2
    assert "expected a" in found.stderr


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**30])
def test_a_seed_that_cannot_be_recorded(gradaudit: Command, settled: Path, seed: int) -> None:
    assert gradaudit("run", "--seed", str(seed)).exit_code == 2
    write_project(settled, spec("good", seed=seed))
    found = gradaudit("run")
    assert found.exit_code == 2
    assert "seed" in found.stderr


def test_the_largest_seed(gradaudit: Command, settled: Path) -> None:
    assert gradaudit("run", "--seed", str(2**63 - 1)).exit_code == 0
    assert "1 case recorded before" in gradaudit("run", "--resume", "--seed", str(2**63 - 1)).stdout


def test_a_folder_whose_name_is_not_utf_8(project: Path) -> None:
    folder = os.fsencode(project) + b"/f\xff\xfe"
    os.mkdir(folder)
    write_project(Path(os.fsdecode(folder)), spec("good"), name=".")  # its ops are of a module called like it
    options = ["-j", "1", "--json", "o.json", "--junit", "o.xml"]
    found = subprocess.run(command("run", "ops.yaml", *options), cwd=folder, capture_output=True, env=environment())
    assert (found.returncode, found.stderr) == (0, b"")
    assert {b"o.json", b"o.xml"} <= set(os.listdir(folder))


def test_standard_streams_that_are_closed(project: Path) -> None:
    """A file of ours in the place of one would be what workers print into."""
    write_project(project, spec("good"))
    run = command("run", "-j", "1", "--json", "out.json")
    closing = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]  # JAX, where it is imported, has no process fork itself
    found = subprocess.run([*closing, *run], env=environment(), check=False)
    assert found.returncode == 0
    assert timeless()["summary"]["pass"] == 1


def test_a_record_and_a_report_that_cannot_be_written_are_both_told_of(gradaudit: Command, project: Path) -> None:
    write_project(project, spec("good"))
    Path("s.db").write_text("my diary")
    found = gradaudit("run", "-q", "--store", "s.db", "--json", "/dev/full", "--junit", "out.xml")
    assert found.exit_code == 2
    assert "Not recorded: s.db" in found.stderr
    assert "cannot write /dev/full: No space left on device" in found.stderr
    assert Path("out.xml").exists(), "a report that cannot be written keeps no other from being"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE runs SET versions = 'no JSON'",
        "UPDATE runs SET started = 'never'",
        "UPDATE results SET verdict = 'odd'",
        "UPDATE results SET recorded = 7",
        "UPDATE documents SET content = x'00'",
        "UPDATE documents SET content = NULL",
        "DROP TABLE findings",
    ],
)
def test_a_damaged_store(gradaudit: Command, settled: Path, damage: str) -> None:
    for _ in range(2):
        gradaudit("run", "-q")
    connection = sqlite3.connect("reports/audit.db")
    with contextlib.suppress(sqlite3.IntegrityError), connection:  # some damage the store does not suffer
        connection.execute(damage)
    connection.close()
    for arguments in READING:
        found = gradaudit(*arguments)  # which raises whatever would be a traceback
        assert found.exit_code in (0, 2), arguments
