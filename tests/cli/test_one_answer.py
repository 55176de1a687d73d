"""However a run is made, at once or in parts, here or on a cluster, it says the same."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command, environment, of_every_verdict, spec, timeless, wait_until, write_project
from typer.testing import Result

pytest.importorskip("distributed")

SLOW = """
import time
from kernels import *

def slow_square(x):
    time.sleep(0.005)
    return x * x
"""


@pytest.fixture
def various(project: Path) -> Path:
    """Ops of every verdict, in several dtypes, shapes and cases; the last ones take their time."""
    write_project(
        project,
        *of_every_verdict(),
        spec("searched", inputs={"x": {"shape": [20, 30], "range": [0.5, 1.5]}}),
        *({**spec(f"slow_{k}"), "target": {"forward": "slow:slow_square", "backward": "kernels:right"}} for k in "ab"),
    )
    (project / "slow.py").write_text(SLOW)
    return project


Command = Callable[..., Result]


def in_shards(gradaudit: Command) -> None:
    for k in "12":
        gradaudit("run", "-q", "-j", "1", "--no-store", "--shard", f"{k}/2", "--json", f"{k}.json")
    gradaudit("merge", "-q", "2.json", "1.json", "--json", "out.json")


def on_a_cluster(gradaudit: Command) -> None:
    asked = ["-j", "1", "--dask", "local", "--no-store", "--json", "out.json"]
    found = subprocess.run(command("run", "-q", *asked), capture_output=True, text=True, env=environment(), timeout=100)
    assert (found.returncode, found.stderr) == (1, "")


def killed_and_resumed(gradaudit: Command) -> None:
    """Kill a run as soon as some of its cases are recorded, and go on."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    process = subprocess.Popen(command("run", "-q", "-j", "1", "--store", "store.db"), **quiet)
    wait_until(lambda: recorded() > 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert recorded() < 12
    gradaudit("run", "-q", "-j", "1", "--store", "store.db", "--resume", "--json", "out.json")


def recorded() -> int:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect("file:store.db?mode=ro", uri=True)) as connection,
    ):
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    return 0


WAYS: dict[str, Callable[[Command], object]] = {
    "two processes": lambda gradaudit: gradaudit("run", "-q", "-j", "2", "--no-store", "--json", "out.json"),
    "a cluster": on_a_cluster,
    "two shards, merged": in_shards,
    "killed and resumed": killed_and_resumed,
}


def test_the_json_is_the_same_but_for_times(gradaudit: Command, various: Path) -> None:
    gradaudit("run", "-q", "-j", "1", "--no-store", "--json", "out.json")
    expected = timeless()
    assert {result["verdict"] for result in expected["results"]} == {"pass", "fail", "inconclusive", "error"}
    for name, way in WAYS.items():
        Path("out.json").unlink()
        way(gradaudit)
        assert timeless() == expected, name
