"""What an op does not write holds known numbers, and an answer that depends on them is told of."""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy import empty, empty_like

from gradaudit.engine.run import audit_here
from gradaudit.results import Verdict
from gradaudit.spec.load import load_specs
from gradaudit.targets.unwritten import FIRST, SECOND, Fill, unwritten, unwritten_number

ORIGINALS = (np.empty, np.empty_like)

each_fill = pytest.mark.parametrize("fill", [FIRST, SECOND], ids=["first", "second"])

OPS = """
import numpy as np
from numpy import empty_like

def square(x):
    return x * x

def whole(x):
    y = np.empty_like(x)
    np.multiply(x, x, out=y)
    return y

def part(x):
    y = np.empty(x.shape, x.dtype)
    y[:-1] = (x * x)[:-1]
    return y

def right(u, x):
    gradient = np.empty_like(x)
    gradient[...] = 2 * x * u
    return gradient

def last_rows_forgotten(u, x):
    gradient = empty_like(x)
    gradient[:-2] = (2 * x * u)[:-2]
    return gradient

def positive_only(u, x):
    gradient = np.empty(x.shape, x.dtype)
    np.multiply(2 * x, u, out=gradient, where=x > 0)
    return gradient

calls = []

def toggling(u, x):
    calls.append(1)
    return 2 * x * u + (len(calls) % 2)
"""


def audited(folder: Path, forward: str, backward: str, shape: list[int], dtype: str = "float64") -> Any:
    (folder / "unwritten_ops.py").write_text(OPS)
    (folder / "spec.yaml").write_text(
        f"op: example\ntarget: {{forward: 'unwritten_ops:{forward}', backward: 'unwritten_ops:{backward}'}}\n"
        f"inputs: {{x: {{shape: {shape}}}}}\ndtype: {dtype}\n"
    )
    (case,) = load_specs([folder / "spec.yaml"]).cases
    sys.modules.pop("unwritten_ops", None)
    (result,) = audit_here(case).results
    return result


@each_fill
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "int32", "uint8", "bool"])
def test_arrays_of_every_size_hold_the_number(fill: Fill, dtype: str) -> None:
    for size in (1, 8, 100, 129, 1000):
        np.full(size, 7, dtype)  # which leaves a block of this size behind
        with unwritten(fill):
            made = [np.empty(size, dtype), np.empty_like(np.ones(size, dtype)), empty_like(np.ones(size, dtype))]
        number = abs(fill.number) if dtype == "uint8" else fill.number
        assert all((array == np.array(number).astype(dtype)).all() for array in made)


@each_fill
def test_what_is_zero_stays_zero(fill: Fill) -> None:
    with unwritten(fill):
        assert not any(np.zeros(size).any() for size in (1, 100, 10_000))


@each_fill
def test_large_blocks_of_malloc_hold_the_byte(fill: Fill) -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):  # another allocator than glibc's, which cannot be told to
        return
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    with unwritten(fill):
        block = libc.malloc(5_000)
    assert ctypes.string_at(block, 5_000) == bytes([fill.byte]) * 5_000
    libc.free(block)
    values = np.frombuffer(bytes([fill.byte]) * 8, dtype="float16"), np.frombuffer(bytes([fill.byte]) * 8)
    assert all(np.isfinite(each).all() and each.all() for each in values)


def test_functions_are_put_back_whatever_happens_and_whoever_else_fills() -> None:
    with pytest.raises(ZeroDivisionError), unwritten(FIRST), unwritten(SECOND):
        _ = 1 / 0
    inside, outside = threading.Event(), threading.Event()

    def other() -> None:
        with unwritten(SECOND):
            inside.set()
            outside.wait(10)

    thread = threading.Thread(target=other)
    with unwritten(FIRST):
        thread.start()
        inside.wait(10)
    outside.set()
    thread.join()
    assert (np.empty, np.empty_like) == ORIGINALS == (empty, empty_like)
    assert unwritten_number(1.5) == 1.5


@pytest.mark.parametrize("shape", [[3, 4], [40, 50]], ids=["small", "large"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
class TestNumPy:
    @pytest.mark.parametrize(
        ("forward", "backward", "by"),
        [
            ("square", "last_rows_forgotten", "backward"),
            ("square", "positive_only", "backward"),
            ("part", "right", "forward"),
        ],
    )
    def test_what_is_forgotten_is_found(
        self, tmp_path: Path, forward: str, backward: str, by: str, shape: list[int], dtype: str
    ) -> None:
        result = audited(tmp_path, forward, backward, shape, dtype)
        (found,) = [finding for finding in result.findings if finding.fails]
        assert (result.verdict, found.code, found.evidence["by"]) == (Verdict.FAIL, "unwritten-memory", by)
        rows = {"last_rows_forgotten": 2, "right": 1}.get(backward)
        assert rows is None or found.evidence["changed"] == rows * shape[1]

    def test_right_ops_may_leave_memory_unwritten_until_they_write_it(
        self, tmp_path: Path, shape: list[int], dtype: str
    ) -> None:
        assert audited(tmp_path, "whole", "right", shape, dtype).verdict is Verdict.PASS


def test_state_of_earlier_calls_is_not_taken_for_it(tmp_path: Path) -> None:
    result = audited(tmp_path, "square", "toggling", [3, 4])
    assert "unwritten-memory" not in {finding.code for finding in result.findings}
    assert result.verdict is Verdict.FAIL
