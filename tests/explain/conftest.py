"""A folder of its own for ops and specs, whose modules are forgotten afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from audits import Explained, explained


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in ("kernels", "ops"):
        sys.modules.pop(name, None)


@pytest.fixture(name="explained")
def _explained(folder: Path) -> Explained:
    return partial(explained, folder)
