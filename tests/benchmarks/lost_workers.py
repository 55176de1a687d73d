"""What a run on a cluster of Dask loses when workers are killed in the middle of it."""

from __future__ import annotations

import os
import random
import signal
import tempfile
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gradaudit.engine.dask import LOCAL, dask_executor
from gradaudit.engine.events import CaseDone, CaseFinished, Event
from gradaudit.engine.run import run_specs
from gradaudit.spec.load import load_specs

OPS = 120

SLOW = """
import time

def square(x):
    time.sleep(0.002)
    return x * x

def right(u, x):
    return 2 * x * u

def wrong(u, x):
    return -2 * x * u
"""


def documents() -> list[dict[str, Any]]:
    return [
        {
            "op": f"op_{k}",
            "target": {"forward": "slow:square", "backward": f"slow:{'wrong' if k % 3 == 2 else 'right'}"},
            "inputs": {"x": {"shape": [3], "range": [0.5, 1.5]}},
        }
        for k in range(OPS)
    ]


def lost_workers(kills: int, seed: int = 0) -> tuple[int, int, int]:
    """Return how many workers were killed, and of how many cases how many ended otherwise than on this machine."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "slow.py").write_text(SLOW)
        (folder / "specs.yaml").write_text(yaml.safe_dump_all(documents()))
        specs = load_specs([folder])
        here, there = {}, {}
        run_specs(specs, lambda event: _kept(event, here), jobs=2)
        with dask_executor(LOCAL, 60.0, jobs=2) as executor:
            moments = set(rng.sample(range(1, OPS // 2), kills))
            done = 0

            def emit(event: Event) -> None:
                nonlocal done
                _kept(event, there)
                if isinstance(event, CaseDone) and event.done in moments:
                    with suppress(OSError, IndexError):
                        os.kill(rng.choice(list(executor.client.run(os.getpid).values())), signal.SIGKILL)
                        done += 1

            run_specs(specs, emit, elsewhere=nullcontext(executor))
    return done, OPS, sum(here[id_] != there.get(id_) for id_ in here)


def _kept(event: Event, results: dict[str, str]) -> None:
    if isinstance(event, CaseFinished):
        results[event.id] = repr([replace(result, seconds=0.0) for result in event.results])


if __name__ == "__main__":
    print(lost_workers(8))
