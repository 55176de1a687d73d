"""C functions that a script calls by ctypes or cffi are recorded: pointers have the shapes of what they point to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from recorded import Recorded, cases, record, verdict

EIGHT = {"encoder", "layernorm", "linear", "attention", "residual", "gelu", "softmax", "crossentropy"}
CALLED = {"clib": EIGHT, "clib_cffi": {"linear", "gelu"}, "clib_addresses": {"softmax", "gelu"}}
WRONG = {"gelu", "residual"}


@pytest.mark.parametrize("script", CALLED)
def test_every_pair_of_functions_becomes_a_spec_and_the_wrong_ones_fail(recorded: Recorded, script: str) -> None:
    ran = recorded(script)
    assert ran.exit_code == 0, ran.output
    found = cases()
    assert set(found) == CALLED[script]
    for op, own in found.items():
        assert [case.name for case in own] == ["recorded", "redrawn"], op
        assert {verdict(case) for case in own} == ({"fail"} if op in WRONG else {"pass"}), op


def test_sizes_differ_where_the_script_has_the_same(recorded: Recorded) -> None:
    recorded("clib_cffi")
    own, again = cases()["linear"]
    assert own.params == {"B": 4, "T": 4, "C": 4, "OC": 4}
    assert len(set(again.params.values())) == 4
    assert own.target.outputs == {"out": ("B", "T", "OC")}
    assert own.target.accumulates


def test_without_declarations_there_is_nothing_to_write(recorded: Recorded, folder: Path) -> None:
    recorded("clib_addresses")
    shutil.copy("liblayers.so", folder)
    shutil.copy("train.py", folder)
    os.chdir(folder)
    ran = record("train.py")
    assert ran.exit_code == 1
    assert "no header or source near liblayers.so declares gelu_forward and gelu_backward: put one there" in ran.output
