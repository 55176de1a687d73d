"""What becomes of mutants: noticed by a case, by none, or the same function after all."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_ops import ENDINGS_AS_EXPECTED, changes, source_of, write_op

from gradaudit.mutation.compiled import compiled
from gradaudit.mutation.mutants import Mutant
from gradaudit.mutation.trial import Fate, Trial, try_mutant
from gradaudit.results import Verdict
from gradaudit.spec.case import Case

SINE = """
import numpy as np

def slope(x):
    return np.cos(x)

def forward(x): return np.sin(x)

def backward(u, x):
    return u * slope(x)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def tried(mutant: Mutant, cases: tuple[Case, ...]) -> Trial:
    return try_mutant(mutant, cases, {case.id: ENDINGS_AS_EXPECTED for case in cases})


def fates(cases: tuple[Case, ...], folder: Path) -> dict[str, Fate]:
    return {line: tried(mutant, cases).fate for line, (mutant, *_) in changes(cases, folder).items()}


def unchanged(cases: tuple[Case, ...], folder: Path) -> Mutant:
    return Mutant("none", "op.py", 1, "backward", source_of(cases, folder), "")


def test_every_fault_in_a_sine_is_noticed(folder: Path) -> None:
    found = fates(write_op(folder, "sine", SINE), folder)
    assert {"return np.sin(x)", "return -np.cos(x)", "return u / slope(x)", "return slope(x)"} < set(found)
    assert set(found.values()) == {Fate.KILLED}


def test_the_other_sign_of_an_even_function_is_the_same_function(folder: Path) -> None:
    source = """
    import numpy as np

    def forward(x): return 1 / (1 + np.exp(-x))

    def backward(u, x):
        s = 1 / (1 + np.exp(-x))
        return u * s * (1 - s)
    """
    spec = {"inputs": {"x": {"shape": [3, 4], "range": [-3.0, 3.0]}}, "dtype": ["float32", "float64"]}
    found = fates(write_op(folder, "sigmoid", source, **spec), folder)
    assert [line for line, fate in found.items() if fate is Fate.EQUIVALENT] == ["s = 1 / (1 + np.exp(x))"]
    assert set(found.values()) == {Fate.KILLED, Fate.EQUIVALENT}


FORMS = {
    "decorated": """
        import functools

        def twice(function):
            @functools.wraps(function)
            def called(*args): return 2 * function(*args)
            return called

        @twice
        def forward(x): return x * x

        @twice
        def backward(u, x): return u * 2 * x
        """,
    "aliased": """
        from functools import partial

        def scaled(u, x, factor): return u * factor * x

        def forward(x): return x * x
        backward = partial(scaled, factor=2)
        """,
    "tabled": """
        def _square(u, x): return u * 2 * x

        RULES = {"square": _square}

        def forward(x): return x * x

        def backward(u, x): return RULES["square"](u, x)
        """,
    "remembering": """
        kept = None

        def forward(x):
            global kept
            kept = x
            return x * x

        def backward(u): return u * 2 * kept
        """,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_backward_is_mutated_however_it_is_written(folder: Path, form: str) -> None:
    backward = {"call": f"{form}:backward", "args": ["upstream"]} if form == "remembering" else f"{form}:backward"
    cases = write_op(folder, form, FORMS[form], backward=backward)
    assert tried(unchanged(cases, folder), cases).fate is Fate.EQUIVALENT
    found = fates(cases, folder)
    assert found
    assert set(found.values()) == {Fate.KILLED}


def test_a_method_is_mutated_and_the_rest_of_its_class_is_not(folder: Path) -> None:
    source = """
    class Square:
        @staticmethod
        def forward(x): return x * x

        @staticmethod
        def backward(u, x): return u * 2 * x
    """
    target = {"forward": "method:Square.forward", "backward": "method:Square.backward"}
    cases = write_op(folder, "method", source, target=target)
    assert {mutant.function for mutants in changes(cases, folder).values() for mutant in mutants} == {"Square.backward"}
    assert tried(unchanged(cases, folder), cases).fate is Fate.EQUIVALENT
    assert set(fates(cases, folder).values()) == {Fate.KILLED}


def test_what_forward_shares_with_backward_stays_right_for_forward(folder: Path) -> None:
    source = """
    def double(x):
        return 2.0 * x

    def forward(x): return double(x) * x

    def backward(u, x): return u * 2.0 * double(x)
    """
    cases = write_op(folder, "shared", source)
    before = (folder / "shared.py").read_text()
    (mutant,) = changes(cases, folder)["return 2.2 * x"]
    backward, module = compiled(mutant.source), importlib.import_module("shared")
    np.testing.assert_allclose(backward(1.0, 3.0), 13.2)
    np.testing.assert_allclose(module.backward(1.0, 3.0), 12.0)
    np.testing.assert_allclose(module.forward(3.0), 18.0)
    assert (folder / "shared.py").read_text() == before
    assert tried(mutant, cases).fate is Fate.KILLED


def test_the_same_function_written_otherwise_is_equivalent(folder: Path) -> None:
    source = """
    import numpy as np

    def forward(x): return np.exp(x)

    def backward(u, x):
        sign = 1.0 if x.size else -1.0
        return u * np.exp(x) * sign
    """
    cases = write_op(folder, "same", source)
    assert fates(cases, folder)["return u * np.exp(x) / sign"] is Fate.EQUIVALENT


NEAR_ZERO = {"shape": [6], "range": [-2.0, 2.0], "avoid": {"points": [0.0], "margin": 0.05}}
AT_ZERO = {"values": [-1.5, 0.0, 1.0]}


@pytest.mark.parametrize(("x", "fate"), [(NEAR_ZERO, Fate.SURVIVED), (AT_ZERO, Fate.KILLED)], ids=["near", "at zero"])
def test_a_fault_where_no_case_looks_survives(folder: Path, x: dict[str, Any], fate: Fate) -> None:
    source = """
    import numpy as np

    def forward(x): return np.abs(x)

    def backward(u, x):
        return u * np.sign(x)
    """
    assert fates(write_op(folder, "kink", source, inputs={"x": x}), folder)["return u / np.sign(x)"] is fate


@pytest.mark.parametrize(("rows", "fate"), [(1, Fate.SURVIVED), (2, Fate.KILLED)])
def test_a_mean_for_a_sum_survives_where_there_is_one_row(folder: Path, rows: int, fate: Fate) -> None:
    source = """
    def forward(x, bias): return x + bias

    def backward(u, x, bias):
        return u, u.sum(axis=0)
    """
    inputs = {"x": {"shape": [rows, 4]}, "bias": {"shape": [4]}}
    assert fates(write_op(folder, "bias", source, inputs=inputs), folder)["return u, u.mean(axis=0)"] is fate


def test_a_weak_spec_lets_survive_what_a_good_one_kills(folder: Path) -> None:
    weak = {"tolerance": {"rtol": 0.5, "reason": "none"}, "inputs": {"x": {"values": [[1.0, 1.0], [1.0, 1.0]]}}}
    source = """
    import numpy as np

    def forward(x): return x * np.exp(x)

    def backward(u, x):
        return u * np.exp(x) * (x + 1.0)
    """
    good, poor = write_op(folder, "good", source), write_op(folder, "poor", source, **weak)
    assert set(fates(good, folder).values()) == {Fate.KILLED}
    own = {case.id: {"x": Verdict.INCONCLUSIVE} for case in poor}
    found = {line: try_mutant(mutants[0], poor, own) for line, mutants in changes(poor, folder).items()}
    survivors = {line: trial for line, trial in found.items() if trial.fate is Fate.SURVIVED}
    assert "return u * np.exp(x) * (x + 1.1)" in survivors
    trial = survivors["return u * np.exp(x) * (x + 1.1)"]
    assert trial.case == poor[0].id
    assert trial.ratio == pytest.approx(0.05 / 0.5, rel=1e-5)


def test_a_mutant_that_cannot_be_defined_is_noticed(folder: Path) -> None:
    cases = write_op(folder, "sine", SINE)
    (mutant, *_) = changes(cases, folder)["return -np.cos(x)"]
    broken = mutant.source.text + "\n\ndef backward(u, x, y=1 / 0): return u\n"
    source = type(mutant.source)("sine", "backward", mutant.source.file, broken, mutant.source.names)
    trial = tried(Mutant("none", "sine.py", 1, "backward", source, ""), cases)
    assert trial.fate is Fate.KILLED
    assert "ZeroDivisionError" in trial.cause


def test_what_a_mutant_leaves_in_its_module_does_not_reach_the_next(folder: Path) -> None:
    source = """
    import numpy as np

    SCALES = np.array([1.0, 2.0])

    def forward(x): return SCALES[1] * x

    def backward(u, x):
        scales = SCALES
        scales += 0.0
        return u * scales[1]
    """
    cases = write_op(folder, "leaving", source)
    (harmful,) = changes(cases, folder)["scales += 1.0"]
    tried(harmful, cases)
    assert tried(unchanged(cases, folder), cases).fate is Fate.EQUIVALENT
