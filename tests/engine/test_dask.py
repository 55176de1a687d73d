"""Audits on a cluster: what a local run says, though a worker is killed in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from gradaudit.engine.dask import LOCAL, closing_in_time, dask_executor
from gradaudit.engine.executor import ExecutorError

pytest.importorskip("distributed")

SCRIPT = """
import os, signal, sys
from pathlib import Path
from distributed import Client, LocalCluster
from gradaudit.engine.dask import DaskExecutor, packed
from gradaudit.engine.events import CaseDone, CaseFinished
from gradaudit.engine.run import run_specs
from gradaudit.spec.load import load_specs
from contextlib import nullcontext

def main():
    specs = load_specs([Path("specs")])
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            victims = list(client.run(os.getpid).values())

            def emit(event):
                if isinstance(event, CaseDone) and event.done == 3:
                    os.kill(victims[0], signal.SIGKILL)
                if isinstance(event, CaseFinished):
                    print(event.results[0].op, event.results[0].verdict, event.results[0].message.splitlines()[:1])

            upload = packed(Path("modules"))
            run_specs(specs, emit, elsewhere=nullcontext(DaskExecutor(client, 2.0, upload)))

if __name__ == "__main__":
    main()
"""


def test_nothing_is_lost_when_a_worker_is_killed(tmp_path: Path, document, write) -> None:
    """Twelve ops that take their time, one that hangs and one that crashes; their modules are sent along."""
    slow = [document(f"slow_{k}", "slow_square", params={"pause": 0.01}) for k in range(12)]
    wrong = document("wrong", "square", "square_backward_one_wrong")
    write(tmp_path / "modules", *slow, document("hangs"), document("aborts"), wrong)
    (tmp_path / "specs").mkdir()
    (tmp_path / "modules" / "specs.yaml").rename(tmp_path / "specs" / "specs.yaml")
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join(sys.path)
    found = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert found.stdout.splitlines() == [
        *(f"slow_{k} pass []" for k in range(12)),
        "hangs error ['exceeded its time limit of 2 s']",
        "aborts error ['crashed its process with SIGABRT']",
        "wrong fail ['1 of 3 indices wrong']",
    ], found.stderr


def test_a_scheduler_that_is_lost_ends_the_run_with_what_there_is(tmp_path: Path, document, write) -> None:
    slow = [document(f"slow_{k}", "slow_square", params={"pause": 0.01}) for k in range(40)]
    write(tmp_path, *slow)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    quiet = {"env": environment, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    at = f"tcp://127.0.0.1:{free_port()}"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", at, "--no-dashboard"]
    worker = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        at,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
    ]
    run = [sys.executable, "-m", "gradaudit", "run", "specs.yaml", "-q", "--store", "store.db", "--dask", at]
    with ended(subprocess.Popen(scheduler, **quiet)) as master, ended(subprocess.Popen(worker, **quiet)):
        told = quiet | {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with ended(subprocess.Popen([*run, "--json", "out.json"], **told)) as process:
            end = time.monotonic() + 100
            while not recorded(tmp_path / "store.db") and time.monotonic() < end:
                time.sleep(0.05)
            master.kill()
            _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert said == f"gradaudit had to stop: the scheduler at {at} is gone\n"
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert 0 < len(results) == recorded(tmp_path / "store.db") < 40


@contextlib.contextmanager
def ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def recorded(store: Path) -> int:
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection,
    ):
        return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    return 0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_cluster_that_does_not_close_is_left_and_its_workers_killed() -> None:
    with subprocess.Popen(["sleep", "1000"]) as worker:

        class Cluster:
            workers: ClassVar = {0: SimpleNamespace(pid=None), 1: worker}

            def close(self, timeout: float | None = None) -> None:
                assert timeout is not None, "it would be waited for without end"
                raise TimeoutError

        with closing_in_time(Cluster()):
            assert worker.poll() is None
        assert worker.wait(timeout=30) == -signal.SIGKILL


def test_an_address_without_a_scheduler_ends_in_words() -> None:
    with (
        pytest.raises(ExecutorError, match=r"^there is no scheduler at nonsense://x: "),
        dask_executor("nonsense://x", timeout=1.0),
    ):
        pass


def test_a_cluster_that_cannot_be_made_ends_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**options: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", refused)
    with (
        pytest.raises(ExecutorError, match=r"^no cluster can be made here: Nanny failed to start\.$"),
        dask_executor(LOCAL, timeout=1.0),
    ):
        pass
