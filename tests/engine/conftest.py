"""Specs written on the spot, and runs of them in this process or in workers."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from gradaudit.engine.events import CaseFinished, Event
from gradaudit.engine.run import run_specs
from gradaudit.results import Result
from gradaudit.spec.load import load_specs

OPS = Path(__file__).with_name("broken_ops.py")


@dataclass
class Record:
    """A handler of events that remembers them."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def finished(self) -> list[CaseFinished]:
        return [event for event in self.events if isinstance(event, CaseFinished)]

    @property
    def results(self) -> dict[str, Result]:
        """The result of each op's only input."""
        return {event.results[0].op: event.results[0] for event in self.finished}


def document(op: str, forward: str = "", backward: str = "square_backward", **keys: Any) -> dict[str, Any]:
    """Return the spec of an op of one input, whose functions are in the module of broken ops unless they say more."""
    forward = forward or op
    return {
        "op": op,
        "target": {
            "forward": forward if ":" in forward else f"broken_ops:{forward}",
            "backward": backward if ":" in backward else f"broken_ops:{backward}",
        },
        "inputs": {"x": {"shape": [3], "range": [0.5, 1.5]}},
        **keys,
    }


def write(folder: Path, *documents: Mapping[str, Any]) -> Path:
    """Write specs into a folder, the module of broken ops beside them, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(OPS, folder)
    (folder / "specs.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return folder


def run(*paths: Path, **options: Any) -> Record:
    record = Record()
    run_specs(load_specs(paths), record, **options)
    return record


@pytest.fixture(scope="session", name="document")
def _document() -> Callable[..., dict[str, Any]]:
    return document


@pytest.fixture(scope="session", name="write")
def _write() -> Callable[..., Path]:
    return write


@pytest.fixture(scope="session", name="run")
def _run() -> Callable[..., Record]:
    return run


@pytest.fixture(autouse=True)
def _ctrl_c_means_ctrl_c() -> Any:
    """Undo what processes started in the background of a script inherit: an interrupt that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _light_main_module() -> Any:
    """Spare every worker the import of pytest, which it would run as the main module it was started from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        yield
