"""Ten torch models in common styles: right ones are left in peace, and each fault is named at its line, in few runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, loaded, said

from gradaudit.models.checks.reach import unreached_parameter
from gradaudit.models.culprit import Culprits
from gradaudit.models.root import root_test
from gradaudit.models.subject import FlowSubject, examine_flow
from gradaudit.results import Verdict
from gradaudit.targets import opened
from gradaudit.targets.parameters import completed

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("one_thread")

SOURCE = Path(__file__).with_name("common_models.py")
STYLES = ["Mlp", "Cnn", "Residual", "Lstm", "Gru", "Transformer", "Experts", "Unet", "Checkpointed", "Autocast"]
FAULTS = ["cut", "wrong", "missing", "cut wrong"]


def document(style: str, faults: str = "") -> dict[str, Any]:
    return {
        "model": "common_models:build",
        "loss": "common_models:loss",
        "tape": "torch",
        "params": {"style": style, "faults": faults},
        "inputs": {"x": {"shape": [3, 4], "differentiable": False}},
        "targets": {"wanted": {"shape": [3, 2]}},
        "dtype": "float32" if style == "Autocast" else "float64",
    }


def marked(style: str, faults: str) -> set[int]:
    """Return the lines of a model that may have one of some faults."""
    text = SOURCE.read_text().splitlines()
    first = next(k for k, line in enumerate(text) if line.startswith(f"class {style}("))
    end = next(k for k in range(first + 1, len(text)) if text[k].startswith(("class ", "STYLES")))
    return {k + 1 for k in range(first, end) if text[k].endswith(tuple(f"  # {fault}" for fault in faults.split()))}


def explained(folder: Path, style: str, faults: str) -> tuple[dict[str, str], int]:
    """Return what is said of each gradient that is not right, without a search for its indices, and the runs for it."""
    case = loaded(folder, **document(style, faults))
    with opened(case) as op:
        subject: FlowSubject = examine_flow(completed(case, op), op)  # type: ignore[arg-type]
        lost = {name: found for name in subject.names if (found := unreached_parameter(subject, name))}
        left = [name for name in subject.names if name not in lost]
        wrong = [name for name in left if not {**(one := root_test(subject, [name])).right, **one.unresolved}]
        before = subject.op.calls.forwards
        culprits = Culprits(subject, wrong, {})
        messages = {name: culprits.of(name) for name in wrong}
        messages |= {name: "; ".join([found.message, *culprits.of_lost(name)]) for name, found in lost.items()}
        return messages, subject.op.calls.forwards - before


@pytest.mark.parametrize("style", STYLES)
def test_a_right_model_is_left_in_peace_for_a_few_runs(tmp_path: Path, style: str) -> None:
    made = audit(tmp_path, **document(style))
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert {code for found in codes(made).values() for code in found} <= {"vanishing"}
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 60


@pytest.mark.parametrize(
    ("layers", "width", "gain", "dtype"),
    [
        (14, 64, 1.0, "float64"),
        (14, 64, 1.0, "float32"),
        (14, 64, 2.0, "float64"),
        (14, 64, 3.0, "float64"),
        (8, 256, 1.0, "float64"),
    ],
)
def test_the_deepest_right_models_take_a_bounded_number_of_runs(
    tmp_path: Path, layers: int, width: int, gain: float, dtype: str
) -> None:
    inputs = {"x": {"shape": [4, width], "differentiable": False}}
    named = {"model": "torch_models:deep", "loss": "torch_models:squared", "tape": "torch", "dtype": dtype}
    params = {"layers": layers, "width": width, "gain": gain}
    made = audit(tmp_path, **named, params=params, inputs=inputs, targets={"wanted": {"shape": [4, 2]}})
    assert len(made.results) == 2 * layers + 2
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 60


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("style", STYLES)
def test_every_fault_is_named_at_its_line_and_no_other_line_is(tmp_path: Path, style: str, faults: str) -> None:
    messages, runs = explained(tmp_path, style, faults)
    assert messages
    lines = {
        name: re.findall(r"(?:made|\w+) at \S*common_models\.py:(\d+) in", said) for name, said in messages.items()
    }
    assert {int(line) for found in lines.values() for line in found} == marked(style, faults), messages
    assert all(found or "below the rounding of the loss" in messages[name] for name, found in lines.items()), messages
    assert runs <= 8 * len(messages) + 8
