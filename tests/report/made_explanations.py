"""Explanations made by hand: of a wrong gradient, and of a right one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from made_results import made_mismatch, made_result

from gradaudit.explain.curve import Point, StepCurve
from gradaudit.explain.explanation import Explanation, Sighting, Signature, Study, ToleranceInForce
from gradaudit.explain.heat_map import heat_map
from gradaudit.guides import finding_page, guide
from gradaudit.results import Finding, Result
from gradaudit.spec.case import Case, Expectation, Input, Location
from gradaudit.spec.op_targets import BackwardCall, PythonTarget

CASE = Case(
    op="norm",
    module="normalization",
    name="default",
    dtype="float32",
    target=PythonTarget("ops:norm", BackwardCall("ops:norm_backward", ("upstream", "x"), ("x",)), None, Path()),
    inputs=(Input("x", (3, 4), "float32", range=(-1.0, 1.0)),),
    params={"eps": 1e-5},
    tolerance=None,
    upstream="random",
    step=None,
    method="auto",
    seed=0,
    expect=Expectation(),
    notes="",
    location=Location(Path("specs/norm.yaml"), 7, 1),
)


def made_curve(difference: float = 0.5) -> StepCurve:
    """Return the curve of a function whose errors are h**2 and 1e-16 / h."""
    points = tuple(
        Point(2.0**k, 4.0**k + 1e-16 / 2.0**k, 1e-16 / 2.0**k, "truncation" if k > -18 else "rounding")
        for k in range(-40, 1)
    )
    return StepCurve((0, 0), "real", "float64", 1.0 + difference, 1.0, 1e-11, 2.0**-18, 1e-4, points)


def made_explanation(result: Result, **keys: object) -> Explanation:
    curve = made_curve(0.5 if result.mismatches else 0.0)
    study = Study(
        CASE, result, curve, "", heat_map(result, (3, 4)), "gradaudit run 'a b'", "print('x')\n\n\nprint(2)\n"
    )
    sightings = tuple(Sighting(finding, (("default[float32]", "x"),)) for finding in result.findings)
    made = Explanation(
        op="norm",
        module="normalization",
        location="specs/norm.yaml:1",
        notes="Prose of | the *spec*.",
        signature=Signature({"forward": "ops:norm(x, eps=1e-05)", "backward": "ops:norm_backward(upstream, x) -> x"}),
        cases=(CASE,),
        tolerances=(ToleranceInForce(1e-4, 1e-6, "default", "", (("default[float32]", "x"),)),),
        results=(result,),
        studies=(study,),
        sightings=sightings,
        remedies=tuple(finding_page(made.finding.code) for made in sightings) or (guide("debugging"),),
    )
    return replace(made, **keys)


FINDINGS = (
    Finding("kink", "it bends", {"index": [0, 1]}),
    Finding("constant-factor", "numerical = 2.000 x analytical", {"explained": 0.997, "factor": 2.0}),
)
WRONG = made_result("fail", [made_mismatch((0, 1), 2.0), made_mismatch((2, 3), 1.001)], findings=FINDINGS)
RIGHT = made_result("pass")
