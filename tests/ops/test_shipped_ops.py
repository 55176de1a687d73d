"""What every shipped op and spec keeps to, beyond the gradient being right."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from shipped import CASES, CASES_BY_OP

import gradaudit.ops
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.targets import names_to_import, open_op

SEEDS = 200


def ops() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("op", CASES_BY_OP)


AT_A_KINK = {"at_zero", "ties"}
"""Cases whose inputs lie on a kink on purpose: the op has to give one of the slopes around it."""

SATURATED = {"tails", "saturated", "one_logit_dominates"}
"""Cases in which some gradients are next to nothing on purpose: a pass has to say that they are lost beside others."""


def other_seed(position: int) -> int:
    """Return a seed out of 1..199 for a case, another for each of its neighbours."""
    return 1 + 7 * position % (SEEDS - 1)


def in_turn(op: str) -> Iterator[tuple[Case, int]]:
    """Yield every second case of an op with its position among all, no dtype being left out."""
    for position, case in enumerate(CASES):
        if case.op == op and (position + position // 4) % 2 == 0:
            yield case, position


@ops()
def test_right_gradients_pass_at_other_seeds_than_the_spec_s_own(op: str) -> None:
    results = [
        (f"{case.id} seed {other_seed(position)}, {result.input}", result)
        for case, position in in_turn(op)
        for result in audit_case(replace(case, seed=other_seed(position))).results
    ]
    assert len(results) >= 2
    assert [(name, result.verdict, result.message) for name, result in results if not result.expected] == []
    told = [
        (name, finding.message)
        for name, result in results
        for finding in result.findings
        if not (finding.code == "kink" and result.case in AT_A_KINK)
        and not (finding.code == "below-noise" and result.case in SATURATED)
    ]
    assert told == []


@ops()
def test_the_spec_s_own_cases_end_as_expected_without_findings_that_fail(op: str) -> None:
    for case in CASES_BY_OP[op]:
        for result in audit_case(case).results:
            assert (result.verdict, result.expected) == (Verdict.PASS, True), (case.id, result.input, result.message)
            assert [finding for finding in result.findings if finding.fails] == []


@ops()
def test_dtypes_are_preserved_inputs_left_alone_and_nothing_is_warned_of(op: str) -> None:
    for case in CASES_BY_OP[op]:
        opened, inputs = open_op(case), draw_inputs(case)
        before = {name: array.tobytes() for name, array in inputs.items()}
        with np.errstate(divide="raise", over="raise", invalid="raise"):
            outputs = opened.forward(inputs)
            counted = opened.differentiable_outputs(outputs)
            upstream = tuple(draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted)
            bits = [array.tobytes() for array in (*upstream, *outputs)]
            gradients = opened.backward(upstream, inputs, outputs)
        floating = {output.dtype.name for output in outputs if has_derivatives(output.dtype)}
        assert floating == {case.dtype}, case.id
        for name, gradient in gradients.items():
            assert gradient is not None, (case.id, name)
            assert (gradient.shape, gradient.dtype) == (inputs[name].shape, inputs[name].dtype), (case.id, name)
        assert {name: array.tobytes() for name, array in inputs.items()} == before, case.id
        assert [array.tobytes() for array in (*upstream, *outputs)] == bits, case.id


@ops()
def test_a_gradient_is_not_what_the_next_call_writes_into(op: str) -> None:
    case = CASES_BY_OP[op][0]
    opened, inputs = open_op(case), draw_inputs(case)
    outputs = opened.forward(inputs)
    counted = opened.differentiable_outputs(outputs)
    upstream = tuple(draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted)
    first = opened.backward(upstream, inputs, outputs)
    kept = {name: np.array(gradient) for name, gradient in first.items()}
    again = opened.backward(tuple(2 * u for u in upstream), inputs, outputs)
    for name, gradient in kept.items():
        assert np.array_equal(np.asarray(first[name]), gradient)
        assert np.allclose(np.asarray(again[name]), 2 * gradient)


@ops()
def test_a_spec_has_three_cases_and_both_common_dtypes(op: str) -> None:
    cases = CASES_BY_OP[op]
    assert len({case.name for case in cases}) >= 3
    assert {"float32", "float64"} <= {case.dtype for case in cases}


@ops()
def test_biases_and_scales_are_neither_zero_nor_one(op: str) -> None:
    for case in CASES_BY_OP[op]:
        for name, array in draw_inputs(case).items():
            if name in ("bias", "gamma", "beta") or name.startswith("b_"):
                values = array.astype(np.float64)
                assert not np.isin(values, (0.0, 1.0)).any(), (case.id, name)


def test_there_are_as_many_as_promised() -> None:
    assert len(CASES_BY_OP) >= 65
    assert len(CASES) >= 300


def test_every_backward_that_is_shipped_has_a_spec() -> None:
    named = {name for case in CASES for name in names_to_import(case.target).values()}
    shipped = {
        f"{found.__module__}:{name}"
        for module in pkgutil.iter_modules(gradaudit.ops.__path__, "gradaudit.ops.")
        for name, found in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction)
        if name.endswith("_backward") and not name.startswith("_")
    }
    assert shipped <= named
