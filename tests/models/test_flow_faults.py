"""Each of the guide's mistakes, on three tapes: found, named with the culprit; the right model is left in peace."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

each_tape = pytest.mark.parametrize("tape", ["gradaudit", "teaching", "torch"])
ALL = {"table", "mix", "weight", "bias"}


def guide(folder: Path, tape: str, fault: str = "", **more: Any) -> Audit:
    if tape == "torch":
        pytest.importorskip("torch")
    module = import_module(f"guide_{tape}")
    document = {
        "model": f"{module.__name__}:build",
        "loss": f"{module.__name__}:loss",
        "tape": module.TAPE,
        "params": {"fault": fault},
        "inputs": {"tokens": {"shape": [4, 3], "distribution": "integers", "range": [0, 4]}},
        "targets": {"wanted": {"shape": [4, 3]}},
    }
    return audit(folder, **document | more)


def blaming(step: str, tape: str) -> str:
    """Return a pattern of what is said of a wrong step, which is called in the model or made in its framework."""
    return rf"; {step} at \S*(guide_{tape}|{tape}).py:\d+ in \S+: its backward is wrong"


def failed(audited: Audit) -> set[str]:
    return {result.input for result in audited.results if result.verdict is Verdict.FAIL}


@each_tape
class TestModel:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_that_is_right_is_left_in_peace(self, tmp_path: Path, tape: str, seed: int, dtype: str) -> None:
        made = guide(tmp_path, tape, seed=seed, dtype=dtype)
        assert {result.input: result.verdict for result in made.results} == dict.fromkeys(ALL, Verdict.PASS), said(made)
        assert codes(made) == {}

    def test_that_is_right_costs_few_forwards(self, tmp_path: Path, tape: str) -> None:
        made = guide(tmp_path, tape)
        assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 20


LOST = {
    "output": (ALL, "detached-output", "out", "linear"),
    "embedding": ({"table"}, "unreached-parameter", "h = ", "rows embedding index"),
    "residual": ({"table", "mix"}, "unreached-parameter", "h = ", "tanh"),
    "reshape": ({"table", "mix"}, "unreached-parameter", "h = ", "add plus"),
    "bias": ({"bias"}, "unreached-parameter", "", ""),
}
"""By mistake: whose gradients are lost, what is found, how the line begins that loses it, and the last step before."""


@each_tape
@pytest.mark.parametrize("fault", LOST)
def test_a_cut_is_found_and_named(tmp_path: Path, tape: str, fault: str) -> None:
    names, code, begins, last = LOST[fault]
    made = guide(tmp_path, tape, fault)
    assert failed(made) == names, said(made)
    found = [finding for result in made.results for finding in result.findings]
    assert {finding.code for finding in found} == {code}
    for evidence in (finding.evidence for finding in found):
        file, _, line = evidence["place"].rpartition(":")
        text = Path(file).read_text().splitlines()[int(line) - 1]
        assert file.endswith(f"guide_{tape}.py")
        assert begins in text
        assert not last or any(step in evidence["last"].lower() for step in last.split())
        assert evidence["depends"]


@pytest.mark.parametrize("tape", ["gradaudit", "teaching"])
def test_a_step_that_does_not_name_the_bias_is_the_culprit(tmp_path: Path, tape: str) -> None:
    finding = of(guide(tmp_path, tape, "bias"), "bias").findings[0]
    assert "linear" in finding.evidence["node"].lower()
    assert "does not name it among its parents" in finding.message


@each_tape
def test_a_parameter_that_is_not_registered_is_found(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "unregistered")
    (name,) = failed(made)
    assert name in ("bias", "held[0]")
    assert codes(made) == {name: {"unregistered-parameter"}}


@each_tape
def test_a_gradient_of_zeros_is_held_against_differences(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "zero")
    assert codes(made) == {"mix": {"zero-gradient"}}
    assert of(made, "mix").wrong == 16


@each_tape
def test_a_gradient_that_backward_keeps_to_itself_is_told_with_its_step(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "none")
    assert codes(made) == {"bias": {"missing-gradient"}}
    assert "linear" in of(made, "bias").message.lower()


@each_tape
def test_one_entry_of_one_weight_off_by_a_hundredth_is_found(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "entry")
    assert failed(made) == {"mix"}
    assert [row.index for row in of(made, "mix").mismatches] == [(2, 1)]
    step = {"gradaudit": "MatmulBackward", "teaching": "product", "torch": "ProductBackward"}[tape]
    assert re.search(
        rf"; {step} at \S*(guide_{tape}|teaching).py:\d+ in \S+: its backward is wrong", of(made, "mix").message
    )


@each_tape
def test_a_factor_spoils_all_that_lies_behind_it_and_nothing_else(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "scaled")
    assert failed(made) == {"mix", "table"}
    assert "constant-factor" in codes(made)["mix"]
    step = {"gradaudit": "MatmulBackward", "teaching": "product", "torch": "ProductBackward"}[tape]
    for name in ("mix", "table"):
        assert re.search(
            rf"; {step} at \S*(guide_{tape}|teaching).py:\d+ in \S+: its backward is wrong", of(made, name).message
        )


def test_gradients_that_are_replaced_do_not_accumulate(tmp_path: Path) -> None:
    made = guide(tmp_path, "teaching", "replaced")
    assert codes(made) == {name: {"accumulation"} for name in ALL}
    assert {finding.evidence["how"] for result in made.results for finding in result.findings} == {"replaced"}


@pytest.mark.parametrize(
    ("tape", "name"), [("gradaudit", "LinearBackward"), ("teaching", "linear"), ("torch", "LinearBackward")]
)
def test_the_step_that_made_the_output_is_the_expected_one(tmp_path: Path, tape: str, name: str) -> None:
    assert codes(guide(tmp_path, tape, backward=name)) == {}
    made = guide(tmp_path, tape, backward="SoftmaxBackward")
    assert codes(made) == {"table": {"wrong-backward"}}
    assert f"made by {name}; expected SoftmaxBackward" in said(made)


def test_a_known_fault_that_is_caught_is_as_expected(tmp_path: Path) -> None:
    made = guide(tmp_path, "teaching", "embedding", expect="fail", findings=["unreached-parameter"])
    assert all(result.expected for result in made.results)


@each_tape
def test_a_gradient_that_is_lost_on_one_of_two_ways_is_told_with_the_line(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "branch")
    assert failed(made) == {"table", "mix"}
    assert codes(made)["mix"] == {"unreached-parameter"}
    assert "part of the gradient is lost: the tensor made at" in of(made, "table").message
    line = re.search(rf"guide_{tape}.py:(\d+)", of(made, "table").message)
    source = Path(import_module(f"guide_{tape}").__file__ or "").read_text().splitlines()
    assert line is not None
    assert source[int(line[1]) - 1].strip().startswith("mixed = ")


@each_tape
def test_a_backward_that_returns_one_gradient_for_three_inputs_is_told_in_words(tmp_path: Path, tape: str) -> None:
    made = guide(tmp_path, tape, "single")
    assert {result.input: result.verdict for result in made.results} == dict.fromkeys(ALL, Verdict.ERROR)
    assert "backward raised" in said(made)
    assert "Traceback" not in said(made)


def test_the_step_is_the_last_on_all_ways_that_lead_to_it(tmp_path: Path) -> None:
    """Rows are used twice, by a residual and by what it adds to: the shorter of these ways says nothing of an order."""
    made = guide(tmp_path, "gradaudit", "rows")
    assert failed(made) == {"table"}
    assert re.search(
        r"; EmbeddingBackward at \S+:\d+ in Guide.__call__: its backward is wrong", of(made, "table").message
    )
    assert "wrong-subset" in codes(made)["table"]
