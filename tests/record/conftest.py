"""Specs are drafted in this process: workers would take longer to start than all of it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradaudit.record.run.cores", lambda: 0)
