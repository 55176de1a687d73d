"""Scripts as people write them are recorded, and the specs that come of it find what is wrong with their gradients."""

from __future__ import annotations

import numpy as np
import pytest
from recorded import Recorded, cases, verdict

WRONG = {
    "course": {"batchnorm", "svm_loss"},
    "network": {"Tanh", "Dropout"},
    "script": {"gate", "cost"},
    "tape": {"matmul", "exp"},
}
COUNT = {"course": 8, "network": 8, "script": 4, "tape": 8}


@pytest.mark.parametrize("style", WRONG)
def test_every_pass_becomes_a_spec_and_the_wrong_ones_fail(recorded: Recorded, style: str) -> None:
    ran = recorded(style)
    assert ran.exit_code == 0, ran.output
    found = cases()
    assert len(found) == COUNT[style]
    for op, own in found.items():
        assert {case.name.partition("_")[0] for case in own} == {"recorded", "redrawn"}
        again = {verdict(case) for case in own if case.name.startswith("redrawn")}
        assert again == ({"fail"} if op in WRONG[style] else {"pass"}), op


def test_real_values_and_settings_that_hide_nothing_each_find_what_the_other_does_not(recorded: Recorded) -> None:
    recorded("course")
    found = cases()
    pooled = {case.name: verdict(case) for case in found["max_pool"]}
    assert pooled == {"recorded": "fail", "redrawn": "pass"}  # windows of zeros, which relu left: all are the largest
    own, again = found["conv"]
    assert own.params["conv_param"]["stride"] == 1
    assert again.params["conv_param"]["stride"] == 2
    assert len(set(again.inputs[0].shape)) == 4


def test_recorded_cases_have_the_values_and_redrawn_ones_other_sizes(recorded: Recorded) -> None:
    recorded("network")
    own, again = cases()["Linear"]
    assert [one.shape for one in own.inputs] == [(6, 6), (6, 6), (6,)]
    assert all(isinstance(one.values, np.ndarray) for one in own.inputs)
    assert own.params == {"in_features": 6, "out_features": 6}
    rows, wide, out = (*again.inputs[0].shape, again.inputs[1].shape[1])
    assert len({rows, wide, out}) == 3
    assert again.inputs[1].shape == (wide, out)
    assert again.inputs[2].shape == (out,)
    assert again.params == {"in_features": wide, "out_features": out}


def test_what_backward_takes_is_known_by_the_objects(recorded: Recorded) -> None:
    recorded("script")
    found = cases()
    assert found["gate"][0].target.backward.args == ("v", "u", "upstream")
    assert found["act"][0].target.backward.args == ("output",)


def test_unusual_ways_are_recorded_and_right_gradients_left_in_peace(recorded: Recorded) -> None:
    ran = recorded("unusual")
    assert ran.exit_code == 0, ran.output
    found = {op: {case.name: verdict(case) for case in own} for op, own in cases().items()}
    everywhere = {"recorded": "fail", "redrawn": "fail"}
    hidden = {"recorded": "pass", "redrawn": "fail"}  # by a stride of one, and by as many rows as columns
    wrong = {"Sq": everywhere, "embedding": everywhere, "mul": everywhere, "Conv1d": hidden, "mean_loss": hidden}
    wrong["Noise"] = everywhere  # as it is set in training
    assert {op: found[op] for op in wrong} == wrong
    right = {"add", "tanh", "Mul", "scale", "Dense", "LSTMCell", "pulled", "cube", "Noise_2"}
    assert {op: set(found[op].values()) for op in found if op not in wrong} == {op: {"pass"} for op in right}
