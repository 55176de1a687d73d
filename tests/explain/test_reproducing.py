"""The command and the snippet that an explanation ends with, run as they are printed."""

from __future__ import annotations

import io
import shlex
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from audits import Explained

from gradaudit.explain.reproduce import command_for
from gradaudit.spec.case import Location


def printed_by(snippet: str) -> dict[str, complex]:
    """Run a snippet in the current folder and return the numbers that it prints by their labels."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(snippet, {"__name__": "__main__"})
    pairs = (line.split(":") for line in printed.getvalue().splitlines())
    return {label: complex(number) for label, number in pairs}


@pytest.mark.parametrize(
    ("forward", "backward", "more"),
    [
        ("x * x", "3 * x * u", {}),
        ("np.tanh(x)", "u * x", {"dtype": "float32"}),
        ("np.sin(x)", "u * x", {"dtype": "bfloat16"}),
        ("(np.exp(x), x[0] * x[0])", "u[0] * x", {}),
        ("x * x", "2 * x * u + 1j", {"dtype": "complex64"}),
    ],
    ids=["float64", "float32", "bfloat16", "two outputs", "complex"],
)
def test_the_snippet_prints_both_gradients(explained: Explained, forward, backward, more) -> None:
    explanation = explained(forward, backward, **more)
    (study,) = explanation.studies
    worst, curve = study.result.mismatches[0], study.curve
    assert curve is not None
    assert [line for line in study.snippet.splitlines() if "import" in line] == ["import gradaudit"]
    printed = printed_by(study.snippet)
    assert printed["analytical"] == pytest.approx(curve.analytical, rel=1e-2)
    assert printed["numerical"] == pytest.approx(curve.estimate, rel=1e-4)
    assert curve.index == worst.index


def test_the_command_is_quoted_for_a_shell(explained: Explained) -> None:
    case = explained("x * x", "2 * x * u").cases[0]
    odd = replace(case, location=Location(Path("-my specs/it's.yaml"), 1, 1), seed=3)
    assert shlex.split(command_for(odd)) == [
        "gradaudit", "run", "./-my specs/it's.yaml", "-k", "/example::default[float64]", "--dtype", "float64",
        "--seed", "3",
    ]  # fmt: skip
