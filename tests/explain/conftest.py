"""Explanations of ops in the current folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from audits import Explained, explained


@pytest.fixture(name="explained")
def _explained(folder: Path) -> Explained:
    return partial(explained, folder)
