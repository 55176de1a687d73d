"""On tapes that only a description tells of, every fault is named too: the place of a cut, the step that is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import guide_teaching
import pytest
from flow_audits import audit, said
from test_wrong_steps import TAPE as KEPT

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

TAPES: dict[str, Any] = {"kept": KEPT, "passing": guide_teaching.TAPE}
SOURCE = Path(__file__).with_name("described_models.py").read_text().splitlines()
CUT = next(k for k, line in enumerate(SOURCE, 1) if line.endswith("# cut"))


def described(folder: Path, tape: str, faults: str) -> Audit:
    named = {"model": "described_models:Model", "loss": f"described_models:{tape}_loss", "tape": TAPES[tape]}
    inputs = {"x": {"shape": [5, 3], "differentiable": False}}
    return audit(folder, params={"tape": tape, "faults": faults}, inputs=inputs, **named)


def wrong_steps(message: str) -> set[str]:
    """Return the steps that are said to be wrong; of two that cannot be told apart, that nearer the parameters."""
    found = re.findall(r"(\w+) at \S+\.py:\d+ in \S+: its backward is wrong", message)
    return {*found, *re.findall(r"one of these steps has a wrong backward: (\w+) \(\S+\), \w+ \(\S+\)", message)}


def cuts(message: str) -> set[int]:
    return {int(line) for line in re.findall(r"made at \S*described_models\.py:(\d+)", message)}


def messages(made: Audit) -> dict[str, str]:
    return {result.input: result.message for result in made.results if result.verdict is not Verdict.PASS}


FOUND: dict[str, dict[str, tuple[set[str], bool]]] = {
    "cut": {"first": (set(), True), "gate": (set(), True)},
    "wrong": {"first": ({"swish"}, False)},
    "missing": {"first": ({"norm"}, False), "second": ({"norm"}, False)},
    "cut wrong": {"first": ({"swish"}, True), "gate": (set(), True)},
    "cut missing": {"first": ({"norm"}, True), "gate": (set(), True), "second": ({"norm"}, False)},
}
"""By faults and by parameter that they spoil: the steps that are wrong on its way, and whether it is cut."""


@pytest.mark.parametrize("tape", TAPES)
def test_a_right_model_is_left_in_peace(tmp_path: Path, tape: str) -> None:
    assert messages(described(tmp_path, tape, "")) == {}


@pytest.mark.parametrize("faults", FOUND)
@pytest.mark.parametrize("tape", TAPES)
def test_each_parameter_is_told_its_own_faults(tmp_path: Path, tape: str, faults: str) -> None:
    made = described(tmp_path, tape, faults)
    found = {name: (wrong_steps(message), cuts(message) == {CUT}) for name, message in messages(made).items()}
    assert found == FOUND[faults], said(made)
