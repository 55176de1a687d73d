"""What numerical libraries are told: few threads, huge pages, and that freed memory is kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gradaudit.engine.libraries import VARIABLES, set_up_libraries

TAKING_TWICE = """
import resource
import numpy as np
from gradaudit.engine.libraries import keep_freed_memory

def take():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [x.copy() for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{}
x = np.ones(10**6)
take()
print(take())
"""


def pages_taken_anew(first: str) -> int:
    made = subprocess.run(
        [sys.executable, "-c", TAKING_TWICE.format(first)], capture_output=True, text=True, check=True
    )
    return int(made.stdout)


def test_memory_that_is_freed_is_not_asked_for_again() -> None:
    assert pages_taken_anew("keep_freed_memory()") < 50 < pages_taken_anew("")


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(VARIABLES)
    monkeypatch.setenv(names[0], "3")
    monkeypatch.delenv(names[1], raising=False)
    set_up_libraries()
    assert (os.environ[names[0]], os.environ[names[1]]) == ("3", VARIABLES[names[1]])
