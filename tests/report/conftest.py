"""Results made by hand, and reports of them, as fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_results import events_of, made_mismatch, made_result, terminal_text

from gradaudit.engine.events import Event
from gradaudit.results import Mismatch, Result


@pytest.fixture(name="mismatch")
def _mismatch() -> Callable[..., Mismatch]:
    return made_mismatch


@pytest.fixture(name="result")
def _result() -> Callable[..., Result]:
    return made_result


@pytest.fixture(name="events")
def _events() -> Callable[..., list[Event]]:
    return events_of


@pytest.fixture(name="written")
def _written(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(variable, raising=False)
    return terminal_text
