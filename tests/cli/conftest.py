"""The command line, called in this process, in a folder of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gradaudit.cli.app import app


@pytest.fixture
def project(folder: Path) -> Path:
    """The empty folder that the command line is called in."""
    return folder


@pytest.fixture
def gradaudit(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call the command line in this process; ``run`` does without workers unless it is given ``-j``."""
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Result:
        in_process = ["-j", "0"] if arguments[:1] == ("run",) and "-j" not in arguments else []
        return CliRunner().invoke(app, [*arguments, *in_process], prog_name="gradaudit", catch_exceptions=False)

    return call


@pytest.fixture(autouse=True)
def _ctrl_c_means_ctrl_c() -> Iterator[None]:
    """Undo what processes started in the background of a script inherit: an interrupt that is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
