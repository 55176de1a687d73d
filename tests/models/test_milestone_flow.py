"""The milestones: audited in a handful of forwards, and one entry of one weight that is off is found."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from flow_audits import codes, of, said

from gradaudit.audit.conclusion import Audit
from gradaudit.audit.elsewhere import MOST_FORWARDS
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict
from gradaudit.spec.load import load_specs
from gradaudit.tape import reverse, tensor

FOLDER = Path(__file__).parents[2] / "specs" / "milestones" / "flow"
PARAMETERS = {"perceptron": 2, "xor": 4, "mlp": 4, "cnn": 6, "transformer": 19}


def milestone(name: str, seed: int = 0) -> Audit:
    from gradaudit.spec.expand import Overrides

    (case,) = load_specs([FOLDER / f"{name}.yaml"], Overrides(seed=seed)).cases
    return audit_case(case)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_milestone_is_left_in_peace(name: str, seed: int) -> None:
    made = milestone(name, seed)
    assert len(made.results) == PARAMETERS[name]
    assert {result.verdict for result in made.results} == {Verdict.PASS}, said(made)
    assert codes(made) == {}


def test_all_parameters_of_the_transformer_take_at_most_twenty_forwards() -> None:
    made = milestone("transformer")
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 20


SHARES = (0.2, 0.5, 1.0)
"""Which entry is off: one with a small gradient, the middle one, the largest."""


@pytest.mark.parametrize("number", range(19))
def test_one_entry_of_any_weight_of_the_transformer_is_found_and_explained_in_few_forwards(
    number: int,
) -> None:
    name = [result.input for result in milestone("transformer").results][number]
    right = reverse.reverse

    def wrong(output: tensor.Tensor, upstream: object = None) -> None:
        right(output, upstream)
        parameter = lookup[name]
        sizes = np.abs(parameter.grad).ravel()
        ordered = [index for index in sizes.argsort() if sizes[index] > 0.0]
        parameter.grad.flat[ordered[int(SHARES[number % 3] * (len(ordered) - 1))]] *= 1.5

    from gradaudit.milestones import transformer

    lookup: dict[str, tensor.Tensor] = {}
    build = transformer.build

    def building(**params: object) -> transformer.Transformer:
        made = build(**params)
        lookup.update(made.named_parameters())
        return made

    with patch.object(transformer, "build", building), patch.object(tensor, "reverse", wrong):
        made = milestone("transformer")
    assert {result.input for result in made.results if result.verdict is Verdict.FAIL} == {name}, said(made)
    assert of(made, name).wrong == 1
    assert sum(result.evaluations for result in made.results) + made.check_evaluations <= 140 + MOST_FORWARDS
