"""What is found in a training that was seen, by expectations of which each is a number."""

from __future__ import annotations

import math
from typing import Any

from gradaudit.models.learning.course import Course, Moment, Passage
from gradaudit.models.learning.judge import judge
from gradaudit.results import Finding, Measured
from gradaudit.spec.model_targets import Attainment


def passage(**changes: Any) -> Passage:
    return Passage(
        **{
            "shape": (3,),
            "answered": 10,
            "told": 10,
            "pull": 1.0,
            "nonfinite": None,
            "moved": 0.1,
            "spacing": 1e-16,
            **changes,
        }
    )


def course(first: float = 2.0, last: float = 0.5, accuracy: float | None = None, **changes: Any) -> Course:
    measured = (Measured(0, first, accuracy), Measured(10, last, accuracy))
    parameters = changes.pop("parameters", {"weight": passage(), "bias": passage()})
    defaults: dict[str, Any] = {"steps": 10, "forwards": 12, "seconds": 1.5, **changes}
    return Course(measured, parameters, **defaults)


def found(seen: Course, **expected: Any) -> list[Finding]:
    return list(judge(seen, Attainment(**expected)))


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_what_goes_as_expected_is_left_in_peace() -> None:
    assert found(course(accuracy=0.9), parameters=2, loss_falls_by=0.75, accuracy=0.9, seconds=1.5) == []


class TestLoss:
    def test_that_falls_by_less_than_expected(self) -> None:
        (finding,) = found(course(2.0, 0.51), loss_falls_by=0.75)
        assert finding.code == "not-learning"
        assert finding.fails
        assert finding.message == "the loss fell by 74.5% in 10 epochs, from 2 to 0.51; it should fall by at least 75%"
        assert finding.evidence["losses"] == [2.0, 0.51]

    def test_that_falls_by_almost_all_says_how_much_was_expected(self) -> None:
        assert "it should fall by at least 99.99%" in found(course(2.0, 0.01), loss_falls_by=0.9999)[0].message

    def test_that_rises_or_stays(self) -> None:
        assert "rose by 50.0%" in found(course(2.0, 3.0))[0].message
        assert "did not change" in found(course(2.0, 2.0))[0].message

    def test_of_a_negative_logarithm_falls_below_zero(self) -> None:
        assert found(course(-1.0, -2.0), loss_falls_by=0.9) == []
        assert codes(found(course(-1.0, -1.5), loss_falls_by=0.9)) == ["not-learning"]

    def test_of_zero_has_nowhere_to_fall_but_below(self) -> None:
        assert codes(found(course(0.0, 0.0))) == ["not-learning"]
        assert found(course(0.0, -1.0), loss_falls_by=0.5) == []


def test_accuracy_below_the_expected_one() -> None:
    (finding,) = found(course(accuracy=0.61), accuracy=0.9)
    assert finding.code == "not-learning"
    assert finding.message == "accuracy reached 0.61 in 10 epochs, expected at least 0.9"


class TestDivergence:
    def test_says_when_and_whose_gradient_was_first(self) -> None:
        parameters = {
            "late": passage(nonfinite=Moment(3, 1)),
            "first": passage(nonfinite=Moment(2, 7)),
            "never": passage(),
        }
        (finding,) = found(course(last=math.nan, diverged=Moment(3, 2), parameters=parameters), loss_falls_by=0.5)
        assert finding.code == "diverged"
        assert "not finite at epoch 3, batch 2, after 2 at first" in finding.message
        assert "the gradient of first is the first that is not finite, at epoch 2, batch 7" in finding.message

    def test_before_the_first_step(self) -> None:
        (finding,) = found(course(math.nan, math.nan, diverged=Moment(1, 1), steps=0))
        assert finding.message == "the loss is not finite before the first step"


class TestCount:
    def test_names_what_is_there(self) -> None:
        (finding,) = found(course(), parameters=3)
        assert (finding.code, finding.message) == ("parameter-count", "expected 3 parameters, found 2: weight, bias")

    def test_of_a_model_without_parameters(self) -> None:
        (finding,) = found(course(parameters={}), parameters=1)
        assert finding.message == "expected 1 parameters, found 0"


class TestStuckParameter:
    def test_is_named(self) -> None:
        (finding,) = found(course(parameters={"weight": passage(), "bias": passage(moved=0.0)}))
        assert (finding.code, finding.evidence["array"]) == ("parameter-stuck", "bias")
        assert "bias got a gradient at 10 of 10 steps and never changed" in finding.message

    def test_all_of_them_are_the_fault_of_the_optimiser(self) -> None:
        (finding,) = found(course(parameters={"weight": passage(moved=0.0), "bias": passage(moved=0.0)}))
        assert (finding.code, finding.evidence["array"]) == ("parameter-stuck", "loss")
        assert finding.evidence["parameters"] == ["weight", "bias"]

    def test_whose_steps_rounding_swallows_is_left_in_peace(self) -> None:
        """A bias that the loss does not depend on has a gradient of a few units of rounding."""
        still = passage(moved=0.0, pull=1e-16)
        assert found(course(parameters={"weight": passage(), "bias": still})) == []

    def test_without_a_gradient_at_any_step_is_said_to_have_none(self) -> None:
        (finding,) = found(course(parameters={"weight": passage(), "bias": passage(answered=0, told=0, moved=0.0)}))
        assert (finding.code, finding.evidence["array"]) == ("missing-gradient", "bias")

    def test_without_a_gradient_is_not_the_fault_of_the_optimiser(self) -> None:
        still = passage(moved=0.0, pull=0.0, told=0)
        assert found(course(parameters={"weight": passage(), "bias": still})) == []


def test_training_that_takes_too_long() -> None:
    (finding,) = found(course(seconds=21.0), seconds=20)
    assert finding.code == "too-slow"
    assert finding.message == "training took 21.0 s of processor time, where 20 s are allowed"
