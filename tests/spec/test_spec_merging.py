"""From a document to its cases: defaults, deep merging, dtypes, and what the command line sets over them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from spec_text import load, refusal, spec

from gradaudit.spec.case import Avoid, Case, Expectation, Input, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import BackwardCall, FrameworkTarget, PythonTarget

BATCH_NORM = """\
op: batch_norm2d
module: normalization                  # the row of the coverage table
target:
  forward: gradaudit.ops.normalization:batch_norm2d
  backward: gradaudit.ops.normalization:batch_norm2d_backward
inputs:
  x:     {shape: [4, 3, 5, 5], range: [-2.0, 2.0]}
  gamma: {shape: [3], range: [0.5, 1.5]}
  beta:  {shape: [3], range: [-0.5, 0.5]}
params: {eps: 1.0e-5, training: true}
dtype: [float32, float64]
tolerance: {rtol: 1.0e-4, atol: 1.0e-6}
cases:
  - name: default
  - name: one_channel
    inputs: {x: {shape: [8, 1, 3, 3]}, gamma: {shape: [1]}, beta: {shape: [1]}}
"""
"""The example of the design, word for word."""


def one(folder: Path, text: str, overrides: Overrides | None = None) -> Case:
    (case,) = load(folder, text, overrides)
    return case


def test_the_example_of_the_design_loads_as_it_reads(tmp_path: Path) -> None:
    cases = load(tmp_path, BATCH_NORM)
    assert [case.id for case in cases] == [
        f"normalization/batch_norm2d::{name}[{dtype}]"
        for name in ("default", "one_channel")
        for dtype in ("float32", "float64")
    ]
    first, *_, last = cases
    assert first == Case(
        op="batch_norm2d",
        module="normalization",
        name="default",
        dtype="float32",
        target=PythonTarget(
            forward="gradaudit.ops.normalization:batch_norm2d",
            backward=BackwardCall(
                call="gradaudit.ops.normalization:batch_norm2d_backward",
                args=("upstream", "x", "gamma", "beta"),
                returns=("x", "gamma", "beta"),
            ),
            differentiable_outputs=None,
            folder=tmp_path.resolve(),
        ),
        inputs=(
            Input("x", (4, 3, 5, 5), "float32", range=(-2.0, 2.0)),
            Input("gamma", (3,), "float32", range=(0.5, 1.5)),
            Input("beta", (3,), "float32", range=(-0.5, 0.5)),
        ),
        params={"eps": 1e-5, "training": True},
        tolerance=Tolerance(1e-4, 1e-6),
        upstream="random",
        step=None,
        method="auto",
        seed=0,
        expect=Expectation("pass", ()),
        notes="",
        location=first.location,
    )
    assert [entry.shape for entry in last.inputs] == [(8, 1, 3, 3), (1,), (1,)]
    assert [entry.range for entry in last.inputs] == [(-2.0, 2.0), (0.5, 1.5), (-0.5, 0.5)]
    assert (first.location.line, first.location.column) == (14, 5)


def test_a_spec_that_says_little_gets_the_documented_defaults(tmp_path: Path) -> None:
    case = one(tmp_path, spec())
    assert (case.name, case.dtype, case.seed, case.method) == ("default", "float64", 0, "auto")
    assert (case.step, case.upstream, case.tolerance, case.notes) == (None, "random", None, "")
    assert case.params == {}
    assert case.expect == Expectation("pass")
    assert case.inputs == (Input("x", (3,), "float64", differentiable=True, range=(-1.0, 1.0)),)


def test_everything_that_a_spec_says_is_kept(tmp_path: Path) -> None:
    text = """
op: pool
module: pooling
target:
  forward: m.n:Class.f
  backward: {call: m:g, args: ["upstream[0]", i, output, "output[1]", x], returns: [x]}
  outputs: {differentiable: [0, 2]}
inputs:
  x: {shape: [2, 3], range: [0, 4], avoid: {points: [1, 2.5], margin: 0.1}, layout: strided}
  i: {shape: [3], distribution: integers, range: [0, 5]}
  p: {shape: [3], distribution: permutation, dtype: int32}
  w: {values: [[1, 2.5]], differentiable: false, dtype: float16}
  s: {shape: [], gap: 0.5, distribution: uniform}
params: {kernel: [2, 2], mode: max, nested: {a: {b: 1}}, none: ~}
dtype: bfloat16
tolerance: {atol: 0.5, reason: it is coarse}
upstream: [[1.0, -2.0]]
step: 0.25
method: search
seed: 7
expect: fail
findings: [sign-flipped]
notes: A note.
"""
    case = one(tmp_path, text)
    assert case.target == PythonTarget(
        "m.n:Class.f",
        BackwardCall("m:g", ("upstream[0]", "i", "output", "output[1]", "x"), ("x",)),
        (0, 2),
        tmp_path.resolve(),
    )
    x, i, p, w, s = case.inputs
    assert x == Input("x", (2, 3), "bfloat16", True, (0.0, 4.0), "uniform", Avoid((1.0, 2.5), 0.1), layout="strided")
    assert i == Input("i", (3,), "int64", False, (0.0, 5.0), "integers")
    assert p == Input("p", (3,), "int32", False, None, "permutation")
    assert w == Input("w", (1, 2), "float16", False, None, values=[[1, 2.5]])
    assert s == Input("s", (), "bfloat16", True, (-1.0, 1.0), gap=0.5)
    assert case.params == {"kernel": [2, 2], "mode": "max", "nested": {"a": {"b": 1}}, "none": None}
    assert case.tolerance == Tolerance(DEFAULT_TOLERANCES["bfloat16"].rtol, 0.5, "it is coarse")
    assert (case.upstream, case.step, case.method, case.seed) == ([[1.0, -2.0]], 0.25, "search", 7)
    assert case.expect == Expectation("fail", ("sign-flipped",))
    assert case.notes == "A note."


def test_what_is_expected_by_input_is_merged_by_input(tmp_path: Path) -> None:
    text = """
op: a
target: {forward: m:f, backward: m:g}
inputs: {x: {shape: [3]}, w: {shape: [3]}}
expect: {x: fail}
cases:
  - name: as_it_is
  - {name: both, expect: {w: fail}}
  - {name: mended, expect: {x: pass}}
  - {name: whole, expect: fail}
"""
    as_it_is, both, mended, whole = load(tmp_path, text)
    assert as_it_is.expect == Expectation("fail", (), {"x": "fail"})
    assert both.expect == Expectation("fail", (), {"x": "fail", "w": "fail"})
    assert mended.expect == Expectation("pass", (), {"x": "pass"})
    assert whole.expect == Expectation("fail")


@pytest.mark.parametrize(
    ("given", "dtype", "differentiable", "limits"),
    [
        ("{shape: [3]}", "float32", True, (-1.0, 1.0)),
        ("{shape: [3], differentiable: false}", "float32", False, (-1.0, 1.0)),
        ("{shape: [3], dtype: complex64}", "complex64", True, (-1.0, 1.0)),
        ("{shape: [3], distribution: normal}", "float32", True, (-1.0, 1.0)),
        ("{shape: [3], distribution: bernoulli}", "float32", True, (0.0, 1.0)),
        ("{shape: [3], distribution: bernoulli, dtype: bool}", "bool", False, (0.0, 1.0)),
        ("{shape: [3], distribution: integers, range: [2, 2]}", "int64", False, (2.0, 2.0)),
        ("{shape: [3], distribution: integers, range: [0, 3], dtype: float32}", "float32", True, (0.0, 3.0)),
        ("{shape: [3], distribution: permutation}", "int64", False, None),
        ("{shape: [3], distribution: one_hot}", "float32", True, None),
        ("{shape: [3], distribution: one_hot, dtype: int8}", "int8", False, None),
        ("{shape: [3, 3], distribution: spd}", "float32", True, None),
        ("{values: [1, 2], distribution: integers}", "int64", False, None),
        ("{values: [1, 2]}", "float32", True, None),
        ("{values: [-9223372036854775808, 9223372036854775807], dtype: int64}", "int64", False, None),
        ("{shape: [1], range: [0, 0]}", "float32", True, (0.0, 0.0)),
        ("{shape: [0, 3]}", "float32", True, (-1.0, 1.0)),
        ("{shape: [2], range: [-65504, 65504], dtype: float16}", "float16", True, (-65504.0, 65504.0)),
    ],
)
def test_what_an_input_does_not_say_follows_from_what_it_says(
    tmp_path: Path, given: str, dtype: str, differentiable: bool, limits: tuple[float, float] | None
) -> None:
    case = one(tmp_path, spec(f"other: {{shape: []}}, x: {given}", "dtype: float32"))
    made = case.inputs[1]
    assert (made.dtype, made.differentiable, made.range) == (dtype, differentiable, limits)


def test_cases_are_merged_deeply_over_the_document(tmp_path: Path) -> None:
    text = """
op: a
target:
  forward: m:f
  backward: {call: m:g, args: [upstream, x], returns: [x]}
inputs:
  x: {shape: [3], range: [0.0, 1.0], avoid: {points: [0.25], margin: 0.01}, layout: strided}
  y: {shape: [3]}
params: {a: 1, b: {c: 2, d: 3}, e: [1, 2]}
tolerance: {rtol: 1.0e-3, atol: 1.0e-5, reason: why}
dtype: [float32, float64]
notes: Of the document.
cases:
  - name: plain
  - name: changed
    target: {backward: {args: [x, upstream]}, outputs: {differentiable: [1]}}
    inputs:
      x: {range: [0.5, 2.0], avoid: {margin: 0.5}}
      z: {shape: [1]}
    params: {b: {d: 4}, e: [3]}
    tolerance: {atol: 0.5}
    dtype: float16
    notes: Of the case.
  - name: other
    target: {backward: m:h}
"""
    plain, _, changed, other, _ = load(tmp_path, text)
    assert plain.notes == "Of the document."
    assert changed.target.forward == "m:f"
    assert changed.target.backward == BackwardCall("m:g", ("x", "upstream"), ("x",))
    assert changed.target.differentiable_outputs == (1,)
    assert [entry.name for entry in changed.inputs] == ["x", "y", "z"]
    assert changed.inputs[0] == Input(
        "x", (3,), "float16", range=(0.5, 2.0), avoid=Avoid((0.25,), 0.5), layout="strided"
    )
    assert changed.params == {"a": 1, "b": {"c": 2, "d": 4}, "e": [3]}
    assert changed.tolerance == Tolerance(1e-3, 0.5, "why")
    assert changed.notes == "Of the case."
    assert other.target.backward == BackwardCall("m:h", ("upstream", "x"), ("x",))
    assert other.params == plain.params == {"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2]}


def test_each_mode_but_reverse_makes_a_case_named_for_it(tmp_path: Path) -> None:
    head = "op: gelu\ntarget: {torch: m:f}\n"
    text = spec(head=head, rest="modes: [reverse, second]\ncases: [{name: a}, {name: b, modes: [forward]}]")
    cases = load(tmp_path, text)
    assert [(case.name, case.name_in_spec) for case in cases] == [("a", "a"), ("a+second", "a"), ("b+forward", "b")]
    folder = tmp_path.resolve()
    assert cases[0].target == FrameworkTarget("torch", "m:f", None, folder)
    assert cases[2].target == FrameworkTarget("torch", "m:f", None, folder, "forward")


def test_a_case_may_lift_what_the_document_asks_for(tmp_path: Path) -> None:
    text = spec(
        "x: {shape: [3], gap: 0.1, avoid: {points: [0], margin: 0.1}}",
        "cases: [{name: a, inputs: {x: {gap: ~, avoid: ~}}}]",
    )
    (made,) = one(tmp_path, text).inputs
    assert (made.gap, made.avoid) == (0.0, None)


def test_values_of_a_case_replace_all_that_is_about_drawing(tmp_path: Path) -> None:
    text = spec(
        "x: {shape: [9], range: [0, 1], avoid: {points: [0.5], margin: 0.01}, gap: 0.01, layout: strided}",
        "cases: [{name: a, inputs: {x: {values: [[7.0], [8.0]]}}}, {name: b}]",
    )
    explicit, drawn = load(tmp_path, text)
    assert explicit.inputs == (Input("x", (2, 1), "float64", values=[[7.0], [8.0]], layout="strided"),)
    assert drawn.inputs[0].gap == 0.01


def test_a_shape_of_a_case_replaces_values(tmp_path: Path) -> None:
    text = spec("x: {values: [1.0, 2.0]}", "cases: [{name: a, inputs: {x: {shape: [3], range: [2, 3]}}}, {name: b}]")
    drawn, explicit = load(tmp_path, text)
    assert drawn.inputs == (Input("x", (3,), "float64", range=(2.0, 3.0)),)
    assert explicit.inputs[0].values == [1.0, 2.0]


def test_a_range_alone_does_not_replace_values(tmp_path: Path) -> None:
    text = spec("x: {values: [1.0, 2.0]}", "cases: [{name: a, inputs: {x: {▸range: [2, 3]}}}]")
    assert "found beside 'values'" in refusal(tmp_path, text)


def test_a_document_may_leave_to_its_cases_what_they_all_say(tmp_path: Path) -> None:
    text = """
op: a
inputs: {x: {range: [0, 1]}, y: {avoid: {margin: 0.1}}}
cases:
  - name: a
    target: {forward: m:f, backward: m:g}
    inputs: {x: {shape: [2]}, y: {shape: [1], avoid: {points: [0.5]}}}
"""
    assert one(tmp_path, text).inputs[1].avoid == Avoid((0.5,), 0.1)


def test_one_case_does_not_leak_into_the_next(tmp_path: Path) -> None:
    changed = "{name: a, seed: 3, params: {k: {l: 1}}, inputs: {x: {shape: [5]}, y: {shape: [1]}}, dtype: float16}"
    _, second = load(tmp_path, spec(rest=f"params: {{k: {{}}}}\ncases: [{changed}, {{name: b}}]"))
    alone = one(tmp_path, spec(rest="params: {k: {}}\ncases: [{name: b}]"))
    assert second == replace(alone, location=second.location)
    assert [entry.shape for entry in second.inputs] == [(3,)]
    assert (second.seed, second.params, second.dtype) == (0, {"k": {}}, "float64")


def test_cases_come_in_the_order_of_the_spec_and_dtypes_within_each_once(tmp_path: Path) -> None:
    text = spec(rest="dtype: [float64, float32, float64]\ncases: [{name: z}, {name: a, dtype: bfloat16}, {name: m}]")
    assert [(case.name, case.dtype) for case in load(tmp_path, text)] == [
        ("z", "float64"),
        ("z", "float32"),
        ("a", "bfloat16"),
        ("m", "float64"),
        ("m", "float32"),
    ]


@pytest.mark.parametrize("dtype", DEFAULT_TOLERANCES)
def test_half_a_tolerance_takes_the_other_half_from_the_dtype(tmp_path: Path, dtype: str) -> None:
    default = DEFAULT_TOLERANCES[dtype]
    assert one(tmp_path, spec(rest=f"dtype: {dtype}\ntolerance: {{rtol: 0}}")).tolerance == Tolerance(0.0, default.atol)
    assert one(tmp_path, spec(rest=f"dtype: {dtype}\ntolerance: {{atol: 1}}")).tolerance == Tolerance(default.rtol, 1.0)
    assert one(tmp_path, spec(rest=f"dtype: {dtype}\ntolerance: {{}}")).tolerance is None


def test_the_command_line_wins_over_documents_and_cases(tmp_path: Path) -> None:
    text = spec(
        "x: {shape: [3]}, m: {shape: [3], dtype: float32, differentiable: false}",
        "seed: 1\nmethod: search\ndtype: [float32]\n"
        "cases: [{name: a}, {name: b, seed: 2, dtype: float64, method: auto}]",
    )
    overrides = Overrides(dtypes=("float16", "bfloat16"), seed=9, method="exhaustive")
    cases = load(tmp_path, text, overrides)
    assert [(case.name, case.dtype) for case in cases] == [
        (name, dtype) for name in ("a", "b") for dtype in ("float16", "bfloat16")
    ]
    assert {(case.seed, case.method) for case in cases} == {(9, "exhaustive")}
    assert {entry.dtype for case in cases for entry in case.inputs} == {"float16", "bfloat16", "float32"}


def test_a_seed_of_zero_on_the_command_line_is_a_seed(tmp_path: Path) -> None:
    assert one(tmp_path, spec(rest="seed: 5"), Overrides(seed=0)).seed == 0
    assert one(tmp_path, spec(rest="seed: 5"), Overrides()).seed == 5


def test_a_dtype_from_the_command_line_that_cannot_hold_the_range_is_refused(tmp_path: Path) -> None:
    text = spec("x: {shape: [3], range: ▸[0, 1e6]}", "dtype: float64")
    assert "outside float16" in refusal(tmp_path, text, Overrides(dtypes=("float16",)))


def test_a_part_of_a_case_is_located_in_the_case_or_in_the_document(tmp_path: Path) -> None:
    """What cannot be imported is told where the name stands that counts for the case."""
    file = tmp_path / "spec.yaml"
    file.write_text("""\
op: a
target:
  forward: m:f
  backward:
    call: m:g
inputs: {x: {shape: [3]}}
cases:
  - name: plain
  - {name: own, target: {forward: m:h}}
  - {name: short, target: {backward: m:k}}
  - {name: long, target: {backward: {call: m:l}}}
""")
    specs = load_specs([file])
    cases = {case.name: case for case in specs.cases}

    def place(name: str, *path: str) -> tuple[int, int]:
        found = specs.locate(cases[name], path)
        return found.line, found.column

    assert place("plain", "target", "forward") == (3, 12)
    assert place("own", "target", "forward") == (9, 35)
    assert place("short", "target", "forward") == (3, 12)
    assert place("plain", "target", "backward", "call") == (5, 11)
    assert place("own", "target", "backward", "call") == (5, 11)
    assert place("short", "target", "backward", "call") == (10, 38)
    assert place("long", "target", "backward", "call") == (11, 44)
