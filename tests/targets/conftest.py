"""Tests of targets: JAX compiles tiny functions here, and to do it well would take longer than all else."""

from __future__ import annotations

import os

os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # read as JAX computes for the first time
