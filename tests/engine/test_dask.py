"""Audits on a cluster: what a local run says, though a worker is killed in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_an_address_without_a_scheduler_ends_in_words(tmp_path: Path, document, write) -> None:
    folder = write(tmp_path, document("square"))
    command = [sys.executable, "-m", "gradaudit", "run", str(folder), "--no-store", "-q", "--dask", "nonsense://x"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert found.returncode == 3
    assert found.stderr.startswith("gradaudit could not go on: there is no scheduler at nonsense://x: ")
