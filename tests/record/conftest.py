"""Specs are drafted in this process: workers would take longer to start than all of it. Scripts are recorded once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import REPOSITORIES, Recorded, copied, record
from typer.testing import Result

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # JAX compiles tiny functions here


@pytest.fixture(autouse=True, scope="session")
def _one_core() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gradaudit.record.run.cores", lambda: 0)
        yield


@pytest.fixture(scope="session")
def _scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Result]]:
    return {}


@pytest.fixture
def recorded(
    _scripts: dict[str, tuple[Path, Result]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorded]:
    """Record a script, in a folder that is current from then on; each is recorded once."""
    path = list(sys.path)

    def recorded(style: str) -> Result:
        if style not in _scripts:
            folder = tmp_path_factory.mktemp(style)
            copied(style, folder)
            monkeypatch.chdir(folder)
            if style.startswith("clib"):
                source = REPOSITORIES / "clib"
                (folder / "layers.h").write_text((source / "layers.h").read_text())
                command = ["cc", "-O1", "-shared", "-fPIC", str(source / "layers.c"), "-o", "liblayers.so", "-lm"]
                subprocess.run(command, check=True)
            _scripts[style] = folder, record("train.py")
        monkeypatch.chdir(_scripts[style][0])
        return _scripts[style][1]

    yield recorded
    sys.path[:] = path
    for name in [name for name in sys.modules if name in ("train", "layers", "engine", "ops")]:
        del sys.modules[name]
