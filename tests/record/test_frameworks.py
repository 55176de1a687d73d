"""Scripts that train with a framework are recorded: functions with backwards of their own."""

from __future__ import annotations

import pytest
from recorded import Recorded, cases, verdict


def test_functions_of_torch_are_recorded_with_their_dtypes(recorded: Recorded) -> None:
    pytest.importorskip("torch")
    ran = recorded("torch_function")
    assert ran.exit_code == 0, ran.output
    found = {(case.name, case.dtype): (case.params, verdict(case)) for case in cases()["Swish"]}
    assert found["recorded", "float32"] == ({"beta": 1.5}, "fail")
    assert found["recorded_2", "bfloat16"] == ({"beta": 1.0}, "pass")


def test_functions_of_jax_are_recorded_inside_of_what_compiles_and_differentiates_them(recorded: Recorded) -> None:
    pytest.importorskip("jax")
    ran = recorded("jax_rules")
    assert ran.exit_code == 0, ran.output
    found = cases()
    verdicts = {op: {verdict(case) for case in own} for op, own in found.items()}
    assert verdicts == {"softplus": {"pass"}, "scaled_tanh": {"fail"}, "linear": {"pass"}, "rms": {"fail"}}
    own, again = found["linear"]
    assert own.target.packs == {"params": ("b", "w")}
    assert [len(set(case.inputs[1].shape)) for case in (own, again)] == [1, 2]
    assert found["rms"][0].inputs[0].shape == (4,)  # as it is called, under vmap for each row
    assert found["scaled_tanh"][0].params == {"scale": 2.0}
