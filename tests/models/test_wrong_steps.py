"""The step that is wrong is named and no other, whatever it does to what the others have done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

TAPE = {
    "tensor": "overwriting:Tensor",
    "node": "self",
    "name": "op",
    "requires_grad": None,
    "cleared": "zeros",
}


def overwriting(folder: Path, fault: str = "") -> Audit:
    named = {"model": "overwriting:Model", "loss": "overwriting:loss", "tape": TAPE}
    return audit(folder, params={"fault": fault}, inputs={"x": {"shape": [5, 3], "differentiable": False}}, **named)


def steps(message: str) -> set[str]:
    return set(re.findall(r"(\w+) at \S+overwriting.py:\d+ in \w+", message))


def test_a_tape_that_is_right_is_left_in_peace(tmp_path: Path) -> None:
    assert {result.verdict for result in overwriting(tmp_path).results} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("fault", "blamed"),
    [("replaces", {"exp"}), ("sine", {"sine"}), ("tanh", {"tanh"}), ("both", {"tanh", "sine"})],
)
def test_every_wrong_step_is_named_and_no_right_one(tmp_path: Path, fault: str, blamed: set[str]) -> None:
    made = overwriting(tmp_path, fault)
    assert of(made, "second").verdict is Verdict.PASS
    assert steps(of(made, "first").message) == blamed, said(made)


def test_a_backward_that_overwrites_is_told_to_do_so(tmp_path: Path) -> None:
    message = of(overwriting(tmp_path, "replaces"), "first").message
    assert "replaces the gradient of its inputs instead of adding to it" in message


def test_a_backward_that_overwrites_and_is_right_by_the_order_of_steps_is_told_too(tmp_path: Path) -> None:
    made = overwriting(tmp_path, "hidden")
    assert codes(made) == {"first": {"accumulation"}}
    assert steps(of(made, "first").message) == {"exp"}
    assert of(made, "first").verdict is Verdict.FAIL
    assert codes(overwriting(tmp_path)) == {}
