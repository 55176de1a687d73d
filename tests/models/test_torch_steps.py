"""Steps of torch are taken again, alone: the wrong ones are named at the line that calls them, and no right one is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flow_audits import audit, codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

pytest.importorskip("torch")

SOURCE = Path(__file__).with_name("step_modules.py")
WRITTEN = next(k for k, line in enumerate(SOURCE.read_text().splitlines(), 1) if line.startswith("class Scaled")) + 9


def stepping(folder: Path, kind: str) -> Audit:
    inputs = {"x": {"shape": [4, 4], "differentiable": False}}
    return audit(
        folder,
        model="step_modules:build",
        loss="modules_by_name:loss",
        tape="torch",
        params={"kind": kind},
        inputs=inputs,
    )


def marked(kind: str, mark: str) -> set[int]:
    """Return the lines of a module that a mark is behind."""
    text = SOURCE.read_text().splitlines()
    first = next(k for k, line in enumerate(text) if line.startswith(f"def {kind}("))
    end = next((k for k in range(first, len(text)) if text[k].startswith("@module")), len(text))
    return {k for k in range(first + 1, end + 1) if text[k - 1].endswith(f"  # {mark}")}


def blamed(message: str) -> set[int]:
    return {int(line) for line in re.findall(r"Backward\w* at \S*step_modules\.py:(\d+) in", message)}


def cut(message: str) -> set[int]:
    return {int(line) for line in re.findall(r"made at \S*step_modules\.py:(\d+) in", message)}


FIRST, BOTH = {"first.weight", "first.bias"}, {"first.weight", "first.bias", "third.weight", "third.bias"}
WRONG = {
    "before_norm": {"first.weight"},
    "after_norm_and_dropout": {*FIRST, "norm.weight", "norm.bias"} - {"first.bias"},
    "in_three_branches": {*BOTH, "second.bias"},
    "masked_scores": BOTH - {"third.bias"},
    "infinite_scores": BOTH - {"third.bias"},
    "views_and_in_place": FIRST,
    "in_a_checkpoint": FIRST,
    "in_a_reentrant_checkpoint": {*FIRST, "second.weight", "second.bias"},
    "what_another_call_left": BOTH,
}
"""By module, some of the parameters that its one wrong step spoils."""


@pytest.mark.parametrize("kind", WRONG)
def test_the_wrong_step_is_named_at_the_line_of_its_call(tmp_path: Path, kind: str) -> None:
    made = stepping(tmp_path, kind)
    spoiled = {result.input for result in made.results if result.verdict is Verdict.FAIL}
    assert spoiled >= WRONG[kind], said(made)
    for result in made.results:
        if result.verdict is Verdict.FAIL:
            assert blamed(result.message) == marked(kind, "wrong"), said(made)
            assert not cut(result.message), said(made)


def test_the_line_where_its_backward_is_written_is_told_too(tmp_path: Path) -> None:
    assert f"(written at {_shown()}:{WRITTEN - 1})" in of(stepping(tmp_path, "masked_scores"), "first.weight").message


def _shown() -> str:
    return str(SOURCE.relative_to(Path.cwd())) if SOURCE.is_relative_to(Path.cwd()) else str(SOURCE)


def test_a_backward_that_answers_for_another_call_is_told_to_do_so(tmp_path: Path) -> None:
    assert "it uses values saved by another call" in said(stepping(tmp_path, "what_another_call_left"))


def test_of_two_faults_each_parameter_is_told_its_own(tmp_path: Path) -> None:
    made = stepping(tmp_path, "cut_and_wrong")
    assert codes(made)["third.weight"] == {"unreached-parameter"}
    assert cut(of(made, "third.weight").message) == marked("cut_and_wrong", "cut")
    assert blamed(of(made, "first.weight").message) == marked("cut_and_wrong", "wrong")
    assert not cut(of(made, "first.weight").message)
    assert of(made, "second.weight").verdict is Verdict.PASS


def test_a_compiled_module_is_explained_as_it_is_written(tmp_path: Path) -> None:
    made = stepping(tmp_path, "compiled")
    assert set(codes(made)) == {"_orig_mod.first.weight", "_orig_mod.first.bias"}
    assert cut(of(made, "_orig_mod.first.weight").message) == marked("compiled", "cut"), said(made)


def test_a_number_that_is_read_off_a_tensor_is_a_cut(tmp_path: Path) -> None:
    made = stepping(tmp_path, "number_read_off")
    assert cut(of(made, "first.weight").message) == marked("number_read_off", "cut"), said(made)
    assert of(made, "second.weight").verdict is Verdict.PASS


def test_a_deep_model_that_is_cut_off_takes_a_bounded_number_of_runs(tmp_path: Path) -> None:
    made = stepping(tmp_path, "deep_and_cut")
    lost = [result for result in made.results if result.input.startswith("layers.")]
    assert len(lost) == 120
    assert all(cut(result.message) == marked("deep_and_cut", "cut") for result in lost), said(made)
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 350


RIGHT = ["right_in_two_checkpoints", "right_in_torch_func", "right_and_compiled", "right_channels_last"]


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_module_is_left_in_peace(tmp_path: Path, kind: str) -> None:
    made = stepping(tmp_path, kind)
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert codes(made) == {}
