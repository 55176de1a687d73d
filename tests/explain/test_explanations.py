"""What an explanation gathers from the audits of an op's cases."""

from __future__ import annotations

from pathlib import Path

import pytest
from audits import Explained

from gradaudit.explain.explain import cases_of, explain
from gradaudit.spec.load import load_specs


def test_each_input_is_studied_once_where_it_ended_worst(explained: Explained) -> None:
    # Wrong in the second case only, where x is negative.
    cases = "[{name: positive}, {name: negative, inputs: {x: {range: [-1.5, -0.5]}}}]"
    (study,) = explained("x * x", "2 * np.abs(x) * u", cases=cases).studies
    assert (study.result.case, study.result.verdict) == ("negative", "fail")


def test_the_first_case_stands_for_others_that_end_alike(explained: Explained) -> None:
    (study,) = explained("x * x", "2 * x * u", cases="[{name: one}, {name: two}]").studies
    assert study.result.case == "one"


def test_a_finding_is_told_once_for_all_cases(explained: Explained) -> None:
    made = explained("x * x", "None", cases="[{name: one}, {name: two}]", dtype="[float32, float64]")
    (sighting,) = made.sightings
    assert sighting.finding.code == "missing-gradient"
    assert [place for place, _ in sighting.places] == ["one[float32]", "one[float64]", "two[float32]", "two[float64]"]
    assert [page.name for page in made.remedies] == ["missing-gradient", "debugging"]


SINGLE = "x.astype(np.float32) ** 2"


@pytest.mark.parametrize(
    ("forward", "settings", "origin", "rtol"),
    [
        ("x * x", {}, "default", 1e-7),
        ("x * x", {"tolerance": "{rtol: 1.0e-3, reason: so}"}, "spec", 1e-3),
        (SINGLE, {"dtype": "float32"}, "native", 1e-2),
        (SINGLE, {"dtype": "float32", "tolerance": "{rtol: 0.02}"}, "spec", 0.02),
    ],
)
def test_tolerances_say_where_they_are_from(explained: Explained, forward, settings, origin, rtol) -> None:
    (made,) = explained(forward, "2 * x * u", **settings).tolerances
    assert (made.origin, made.rtol) == (origin, rtol)
    assert made.used_for == ((f"default[{settings.get('dtype', 'float64')}]", "x"),)


def test_a_tolerance_of_a_small_gradient_is_not_taken_for_that_of_a_single_precision_forward(
    explained: Explained,
) -> None:
    (made,) = explained("1e-12 * x * x", "2e-12 * x * u").tolerances
    assert (made.origin, made.rtol) == ("default", 1e-7)
    assert made.atol < 1e-20


def test_the_call_is_told_with_its_arguments(explained: Explained) -> None:
    calls = explained("x * x", "2 * x * u").signature.calls
    assert calls == {"forward": "kernels:forward(x)", "backward": "kernels:backward(upstream, x) -> x"}


def test_a_right_op_needs_no_remedy(explained: Explained) -> None:
    made = explained("x * x", "2 * x * u")
    assert made.as_expected
    assert made.sightings == made.remedies == ()


def test_a_code_that_two_inputs_share_is_told_for_each(explained: Explained, folder: Path) -> None:
    inputs = "x: {shape: [3]}\n  w: {shape: [4]}"
    (folder / "pair.py").write_text(
        "def forward(x, w):\n    return x.sum() * w\n\n\ndef backward(u, x, w):\n    return None, None\n"
    )
    target = "{forward: 'pair:forward', backward: 'pair:backward'}"
    (folder / "pair.yaml").write_text(f"op: pair\ntarget: {target}\ninputs:\n  {inputs}\n")
    made = explain(cases_of(load_specs([Path("pair.yaml")]), "pair"), jobs=0)
    assert [(sighting.finding.code, sighting.places[0][1]) for sighting in made.sightings] == [
        ("missing-gradient", "x"),
        ("missing-gradient", "w"),
    ]
    assert [page.name for page in made.remedies] == ["missing-gradient", "debugging"]
