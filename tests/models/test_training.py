"""The loop that trains, held against gradient descent in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from weight import Number, descent, lesson

from gradaudit.models.learning.course import Course, Moment
from gradaudit.models.learning.train import MAX_MEASUREMENTS, Lesson, train
from gradaudit.targets.calls import Calls
from gradaudit.targets.op import OpError

ONES = [1.0, 1.0, 1.0]


def trained(own: Lesson, rate: float = 0.25, **settings: Any) -> Course:
    defaults: dict[str, Any] = {"epochs": 4, "batch_size": None, "seed": 0, "calls": Calls()}
    with np.errstate(all="ignore"):
        return train(own, descent(own.tape, rate), **defaults | settings)  # type: ignore[arg-type]


class TestDescent:
    def test_follows_the_closed_form(self) -> None:
        course = trained(lesson(8.0, ONES))
        assert [made.epoch for made in course.measured] == [0, 1, 2, 3, 4]
        assert [made.loss for made in course.measured] == [(8.0 * 0.5**k) ** 2 for k in range(5)]
        assert (course.steps, course.diverged) == (4, None)

    def test_notes_what_became_of_the_parameter(self) -> None:
        passage = trained(lesson(8.0, ONES)).parameters["w"]
        assert (passage.shape, passage.answered, passage.told) == ((1,), 4, 4)
        assert passage.moved == 8.0 - 0.5
        assert passage.pull == 2.0 * (8.0 + 4.0 + 2.0 + 1.0)
        assert passage.spacing == np.spacing(8.0)

    def test_that_changes_nothing(self) -> None:
        passage = trained(lesson(8.0, ONES), rate=0.0).parameters["w"]
        assert (passage.told, passage.moved) == (4, 0.0)

    def test_with_a_gradient_that_is_zero(self) -> None:
        passage = trained(lesson(8.0, [0.0, 0.0])).parameters["w"]
        assert (passage.answered, passage.told, passage.pull) == (4, 0, 0.0)


class TestBatches:
    def test_hold_each_example_once_an_epoch_in_an_order_of_its_own(self) -> None:
        own = lesson(1.0, list(range(12)))
        trained(own, rate=0.0, epochs=2, batch_size=5)
        taken = [batch for k, batch in enumerate(own.model.seen) if k % 6 > 2]
        assert [len(batch) for batch in taken] == [5, 5, 2] * 2
        first, second = ([x for batch in taken[3 * k : 3 * k + 3] for x in batch] for k in range(2))
        assert sorted(first) == sorted(second) == list(range(12))
        assert first != second != sorted(second)

    def test_depend_on_the_seed_alone(self) -> None:
        orders = []
        for seed in (1, 1, 2):
            own = lesson(1.0, list(range(12)))
            trained(own, rate=0.0, batch_size=5, seed=seed)
            orders.append(own.model.seen)
        assert orders[0] == orders[1] != orders[2]

    def test_weigh_by_their_examples_in_the_loss_over_all(self) -> None:
        """The mean over all examples, whatever the size of the last batch."""
        (first, *_) = trained(lesson(1.0, [1.0, 1.0, 1.0, 5.0]), epochs=1, batch_size=3).measured
        assert first.loss == pytest.approx(2.0, rel=1e-15)


def test_a_long_training_is_measured_now_and_then_and_at_its_end() -> None:
    measured = trained(lesson(1.0, ONES), rate=1e-3, epochs=1003).measured
    assert len(measured) <= MAX_MEASUREMENTS + 2
    assert measured[-1].epoch == 1003


def test_the_model_is_measured_out_of_training_mode() -> None:
    own = lesson(1.0, ONES)
    trained(own, epochs=1)
    assert own.model.modes == [False, True, True, False, True]


def test_accuracy_is_that_of_all_outputs_in_their_order() -> None:
    seen = []

    def accuracy(outputs: Any, targets: Any) -> float:
        seen.append((outputs.tolist(), targets[0].tolist()))
        return 0.5

    own = lesson(1.0, [1.0, 2.0, 3.0], accuracy=accuracy, targets=(np.array([4, 5, 6]),))
    course = trained(own, rate=0.0, epochs=1, batch_size=2)
    assert seen == [([1.0, 2.0, 3.0], [4, 5, 6])] * 2
    assert course.measured[-1].accuracy == 0.5


class TestDivergence:
    def test_ends_training_at_its_step(self) -> None:
        """The first step throws the weight to -2e200, the square of which is infinite."""
        course = trained(lesson(1.0, ONES), rate=1e200)
        assert course.diverged == Moment(1, 1)
        assert math.isinf(course.measured[-1].loss)
        assert course.steps == 1

    def test_before_the_first_step(self) -> None:
        course = trained(lesson(math.nan, ONES))
        assert (course.diverged, course.steps) == (Moment(1, 1), 0)
        assert len(course.measured) == 1

    def test_within_an_epoch_names_the_batch(self) -> None:
        course = trained(lesson(1.0, ONES), rate=1e200, batch_size=1)
        assert course.diverged == Moment(1, 2)

    def test_by_a_gradient_that_is_not_finite(self) -> None:
        own = lesson(1.0, ONES)
        whole = own.loss

        def loss(output: Number, targets: Any) -> Number:
            made = whole(output, targets)
            given = made.backward

            def backward() -> None:
                given()
                own.model.w.grad = own.model.w.grad * math.nan

            made.backward = backward
            return made

        course = trained(Lesson(**{**vars(own), "loss": loss}))
        assert course.parameters["w"].nonfinite == Moment(1, 1)
        assert course.diverged == Moment(1, 1)


def test_a_loss_that_is_no_scalar_is_said() -> None:
    own = lesson(1.0, ONES, loss=lambda output, targets: output)
    with pytest.raises(OpError, match=r"expected a scalar loss, found shape \(3,\)"):
        trained(own)
