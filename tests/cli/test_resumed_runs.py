"""Runs that were ended, however, go on where they were; nothing that was computed is computed again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import spec, timeless, write_project
from typer.testing import Result

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from kills import killed

Command = Callable[..., Result]

SLOW = """
import time
from pathlib import Path

def square(x, name):
    with open(f"{name}.calls", "a") as file:
        file.write("x")
    time.sleep(0.002)
    return x * x

def right(u, x):
    return 2 * x * u

def wrong(u, x):
    gradient = 2 * x * u
    gradient.flat[2] *= 1.5
    return gradient
"""


def slow(op: str, backward: str = "right") -> dict[str, Any]:
    return {
        "op": op,
        "target": {"forward": "slow:square", "backward": f"slow:{backward}"},
        "inputs": {"x": {"shape": [4], "range": [0.5, 1.5]}},
        "params": {"name": op},
    }


@pytest.fixture
def slow_project(project: Path) -> Path:
    (project / "pyproject.toml").write_text("[tool.gradaudit]\n")
    write_project(project, *(slow(f"op_{k}", "wrong" if k % 3 == 2 else "right") for k in range(12)))
    (project / "slow.py").write_text(SLOW)
    return project


def test_what_is_recorded_and_unchanged_is_not_audited_again(gradaudit: Command, slow_project: Path) -> None:
    whole = gradaudit("run", "--json", "whole.json")
    calls = {file: file.read_text() for file in slow_project.glob("*.calls")}
    again = gradaudit("run", "--resume", "--json", "again.json")
    assert (whole.exit_code, again.exit_code) == (1, 1)
    assert "12 cases recorded before have not changed: not audited again" in again.stdout
    assert {file: file.read_text() for file in slow_project.glob("*.calls")} == calls
    assert timeless("again.json") == timeless("whole.json")


@pytest.mark.parametrize(
    ("file", "old", "new", "left"),
    [
        ("slow.py", "return 2 * x * u", "return x * u * 2", 4),
        ("slow.py", "import time", "import time  # a comment", 12),
        ("spec", "name: op_3", "name: other", 11),
        ("spec", "op: op_3", "notes: a note\nop: op_3", 12),
    ],
)
def test_what_has_changed_is(gradaudit: Command, slow_project: Path, file: str, old: str, new: str, left: int) -> None:
    gradaudit("run", "-q")
    path = slow_project / "slow.py" if file == "slow.py" else next((slow_project / "specs").iterdir())
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert f"{left} cases recorded before have not changed: not audited again" in gradaudit("run", "--resume").stdout


def test_a_run_that_is_interrupted_as_it_starts_reports_what_is_recorded(
    gradaudit: Command, slow_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    gradaudit("run", "-q", "-j", "2")
    whole = gradaudit("run", "-q", "--resume", "--json", "out.json")
    recorded = {result["op"] for result in timeless()["results"]}
    monkeypatch.setattr("gradaudit.engine.run.look_up", interrupted)
    found = gradaudit("run", "--resume", "--json", "out.json", "--junit", "out.xml")
    assert found.exit_code == 130 != whole.exit_code
    assert {result["op"] for result in timeless()["results"]} == recorded != set()


def test_stale_audits_what_has_changed_or_failed(gradaudit: Command, slow_project: Path) -> None:
    gradaudit("run", "-q")
    found = gradaudit("run", "--stale", "--json", "stale.json")
    assert "8 cases recorded before have not changed: left out" in found.stdout
    assert found.exit_code == 1
    assert {result["op"] for result in timeless("stale.json")["results"]} == {"op_2", "op_5", "op_8", "op_11"}
    path = slow_project / "slow.py"
    path.write_text(path.read_text().replace("*= 1.5", "*= 1.0"))
    assert gradaudit("run", "--stale", "-j", "1").exit_code == 0
    nothing = gradaudit("run", "--stale")
    assert "12 cases recorded before have not changed: left out" in nothing.stdout
    assert nothing.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--resume", "--stale"], "--resume reports everything, --stale only what has changed"),
        (["--resume", "--no-store"], "--resume needs recorded results; found --no-store"),
        (["--stale", "--depth"], "--depth needs every case to be audited; found --stale"),
    ],
)
def test_options_that_do_not_go_together(
    gradaudit: Command, slow_project: Path, arguments: list[str], said: str
) -> None:
    found = gradaudit("run", *arguments)
    assert found.exit_code == 2
    assert said in found.stderr


def test_without_a_project_runs_are_recorded_in_the_user_s_cache(
    gradaudit: Command, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_project(project, spec("good"))
    (stored,) = [line for line in gradaudit("run").stdout.splitlines() if line.startswith("Recorded in ")]
    assert Path(stored.removeprefix("Recorded in ")).parent == tmp_path / "cache" / "gradaudit"
    assert "1 case recorded before has not changed" in gradaudit("run", "--resume").stdout


def test_runs_whose_processes_are_killed_lose_nothing() -> None:
    """A share of what ``tests/benchmarks/kills.py`` does at length, with time for a busy machine."""
    ends, wrong = killed(3, seed=6, patience=30.0, ops=12)
    assert wrong == Counter()
    assert sum(count for what, count in ends.items() if "SIG" in what) == 3


def test_what_time_cut_off_is_told_everywhere_and_audited_again(gradaudit, project) -> None:
    code = """
import os

from gradaudit.targets import calls


class Clock:
    now = 0.0

    def monotonic(self):  # it is looked at before each call
        self.now += 1.0
        return self.now


if os.path.exists("slow"):
    calls.time = Clock()


def scaled(x, y):
    return 2 * x * y


def backward(u, x, y):
    return 2 * u * y, 3 * u * x
"""
    Path("slow.py").write_text(code)
    Path("slow").touch()
    large = {name: {"shape": [10, 10], "range": [0.5, 1.5]} for name in "xy"}
    target = {"forward": "slow:scaled", "backward": "slow:backward"}
    write_project(project, spec("slow", target=target, inputs=large), spec("right"))
    found = gradaudit("run", "-j", "2", "--timeout", "60", "--json", "out.json", "--junit", "out.xml")
    assert found.exit_code == 1
    assert "limit-reached: " in found.stdout
    by_op = {}
    for result in json.loads(Path("out.json").read_text())["results"]:
        by_op.setdefault(result["op"], []).append(result)
    assert [result["verdict"] for result in by_op["slow"]] == ["pass", "fail"], by_op["slow"][1]["message"]
    assert "the others were not all tested in the time given (60 s)" in by_op["slow"][1]["message"]
    assert 0 < by_op["slow"][1]["checked"] < 100
    assert "in the time given (60 s)" in Path("out.xml").read_text()
    Path("slow").unlink()
    resumed = gradaudit("run", "--resume", "--json", "out.json")
    assert "1 case recorded before has not changed" in resumed.stdout
    assert "100 of 100 indices wrong" in resumed.stdout
