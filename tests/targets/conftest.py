"""Tests of targets: JAX compiles tiny functions here, and to do it well would take longer than all else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # read as JAX computes for the first time


@pytest.fixture(autouse=True)
def _path_restored() -> Iterator[None]:
    """Take away what the folders of specs add to the places of modules."""
    path = list(sys.path)
    yield
    sys.path[:] = path
