"""Every mistake in a spec is refused where it stands, with what was found, what was expected and the nearest word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from spec_text import HEAD, load, refusal, refusals, spec

from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs

UNKNOWN_KEYS = {
    "document": (spec(rest="▸toleranc: {}"), "toleranc", "tolerance"),
    "input": (spec("x: {shape: [3], ▸rnge: [0, 1]}"), "inputs.x.rnge", "range"),
    "avoid": (spec("x: {shape: [3], avoid: {points: [0.0], ▸margn: 0.1}}"), "inputs.x.avoid.margn", "margin"),
    "tolerance": (spec(rest="tolerance: {▸rtoll: 1e-3}"), "tolerance.rtoll", "rtol"),
    "target": (spec(head="op: a\ntarget: {forward: m:f, ▸backwards: m:g}\n"), "target.backwards", "backward"),
    "backward": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: {call: m:g, ▸return: [x]}}\n"),
        "target.backward.return",
        "returns",
    ),
    "outputs": (
        spec(head="op: a\ntarget: {forward: m:f, backward: m:g, outputs: {differentiable: [0], ▸differentable: 0}}\n"),
        "target.outputs.differentable",
        "differentiable",
    ),
    "process": (
        spec(head="op: gelu\ntarget: {process: {command: [a], op: b, ▸comand: [c]}}\n"),
        "target.process.comand",
        "command",
    ),
    "case": (spec(rest="cases: [{name: a, ▸dtypes: float32}]"), "cases.0.dtypes", "dtype"),
    "case input": (
        spec(rest="cases:\n  - name: a\n  - name: b\n    inputs:\n      x:\n        ▸shap: [4]\n"),
        "cases.1.inputs.x.shap",
        "shape",
    ),
    "upstream": (spec(rest="upstream: {scale: 2, ▸layot: expanded}"), "upstream.layot", "layout"),
    "case avoid": (
        spec(rest="cases: [{name: a, inputs: {x: {avoid: {▸point: [0.0]}}}}]"),
        "cases.0.inputs.x.avoid.point",
        "points",
    ),
    "case tolerance": (spec(rest="cases: [{name: a, tolerance: {▸attol: 1}}]"), "cases.0.tolerance.attol", "atol"),
    "case target": (spec(rest="cases: [{name: a, target: {▸foward: m:f}}]"), "cases.0.target.foward", "forward"),
    "case backward": (
        spec(rest="cases: [{name: a, target: {backward: {call: m:g, ▸arg: [x]}}}]"),
        "cases.0.target.backward.arg",
        "args",
    ),
}


@pytest.mark.parametrize(("text", "path", "meant"), UNKNOWN_KEYS.values(), ids=UNKNOWN_KEYS)
def test_an_unknown_key_is_named_with_the_nearest_valid_spelling(
    tmp_path: Path, text: str, path: str, meant: str
) -> None:
    word = path.rsplit(".", 1)[-1]
    assert refusal(tmp_path, text) == f"{path}: unknown key '{word}'; did you mean '{meant}'?"


@pytest.mark.parametrize("key", ["op", "module", "cases"])
def test_what_belongs_to_the_document_is_an_unknown_key_in_a_case(tmp_path: Path, key: str) -> None:
    message = refusal(tmp_path, spec(rest=f"cases: [{{name: a, ▸{key}: b}}]"))
    assert message.startswith(f"cases.0.{key}: unknown key '{key}'")


def test_an_unknown_key_like_no_other_lists_the_valid_ones(tmp_path: Path) -> None:
    message = refusal(tmp_path, spec(rest="tolerance: {▸zzzzzz: 1}"))
    assert message == "tolerance.zzzzzz: unknown key 'zzzzzz'; expected one of rtol, atol, reason"


WRONG_VALUES = {
    "op a number": ("op: ▸3\n" + spec(head="target: {forward: m:f, backward: m:g}\n"), "found 3", "expected a string"),
    "op with a space": (spec(head=HEAD.replace("gelu", "▸ge lu")), "found 'ge lu'", "letters, digits"),
    "module a list": (spec(rest="module: ▸[a]"), "found ['a']", "expected a string"),
    "module empty": (spec(rest="module: ▸''"), "found ''", "at least 1 character"),
    "target a word": (spec(head="op: gelu\ntarget: ▸m:f\n"), "found 'm:f'", "expected a mapping"),
    "target nothing": (spec(head="op: gelu\ntarget:▸\n"), "found nothing", "expected a mapping"),
    "forward without a function": (
        spec(head="op: gelu\ntarget: {forward: ▸m.f, backward: m:g}\n"),
        "found 'm.f'",
        "expected module:function",
    ),
    "forward an expression": (
        spec(head="op: gelu\ntarget: {forward: ▸'m:f(1)', backward: m:g}\n"),
        "found 'm:f(1)'",
        "expected module:function",
    ),
    "backward a list": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: ▸[m:g]}\n"),
        "found ['m:g']",
        "expected a mapping",
    ),
    "backward a bad name": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: ▸g}\n"),
        "found 'g'",
        "expected module:function",
    ),
    "a function by its dotted path": (
        spec(head="op: gelu\ntarget: {forward: ▸m.f, backward: m:g}\n"),
        "found 'm.f'",
        "expected module:function; did you mean 'm:f'?",
    ),
    "args a word": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: {call: m:g, args: ▸x}}\n"),
        "found 'x'",
        "expected a list",
    ),
    "outputs negative": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: m:g, outputs: {differentiable: [0, ▸-1]}}\n"),
        "found -1",
        "greater than or equal to 0",
    ),
    "outputs none": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: m:g, outputs: {differentiable: ▸[]}}\n"),
        "found []",
        "at least 1",
    ),
    "inputs a list": (f"{HEAD}inputs: ▸[x]\n", "found ['x']", "expected a mapping"),
    "input nothing": (spec("x: ▸~"), "found nothing", "expected a mapping"),
    "shape a number": (spec("x: {shape: ▸3}"), "found 3", "expected a list, found 3; did you mean [3]?"),
    "shape alone": (
        spec("x: ▸[3, 4]"),
        "found [3, 4]",
        "expected a mapping, found [3, 4]; did you mean {shape: [3, 4]}?",
    ),
    "shape in words": (spec("x: {shape: ▸3x4}"), "found '3x4'", "did you mean [3, 4]?"),
    "shape in parentheses": (spec("x: {shape: ▸(3, 4)}"), "found '(3, 4)'", "did you mean [3, 4]?"),
    "shape of Python's in a block": (f"{HEAD}inputs:\n  x:\n    shape: ▸(3,)\n", "found '(3,)'", "did you mean [3]?"),
    "range in parentheses": (
        spec("x: {shape: [3], range: ▸(-1.5, 2e-3)}"),
        "found '(-1.5, 2e-3)'",
        "did you mean [-1.5, 2e-3]?",
    ),
    "shape a name": (spec("x: {shape: ▸n}"), "found 'n'", "expected a list, found 'n'"),
    "dtype of another library": (spec(rest="dtype: ▸fp32"), "found 'fp32'", "did you mean 'float32'?"),
    "dtypes of C": (spec(rest="dtype: [float16, ▸double]"), "found 'double'", "did you mean 'float64'?"),
    "distribution by another name": (spec("x: {shape: [3], distribution: ▸gaussian}"), "found 'gau", "mean 'normal'?"),
    "size a float": (spec("x: {shape: [3, ▸2.0]}"), "found 2.0", "expected a whole number"),
    "size true": (spec("x: {shape: [▸true]}"), "found true", "expected a whole number"),
    "size a word": (spec("x: {shape: [▸n]}"), "found 'n'", "expected a whole number"),
    "size negative": (spec("x: {shape: [2, ▸-1]}"), "found -1", "greater than or equal to 0"),
    "65 axes": (spec(f"x: {{shape: ▸[{', '.join('1' * 65)}]}}"), "found [1, 1,", "at most 64"),
    "range of one": (spec("x: {shape: [3], range: ▸[1.0]}"), "found [1.0]", "at least 2"),
    "range of three": (spec("x: {shape: [3], range: ▸[0, 1, 2]}"), "found [0, 1, 2]", "at most 2"),
    "range a word": (spec("x: {shape: [3], range: [▸low, 1]}"), "found 'low'", "expected a number"),
    "range true": (spec("x: {shape: [3], range: [0, ▸true]}"), "found true", "expected a number"),
    "range infinite": (spec("x: {shape: [3], range: [0, ▸.inf]}"), "found inf", "expected a finite number"),
    "range NaN": (spec("x: {shape: [3], range: [▸.nan, 1]}"), "found nan", "expected a finite number"),
    "range beyond doubles": (spec(f"x: {{shape: [3], range: [0, ▸1{'0' * 400}]}}"), "found 1000", "expected a number"),
    "lo above hi": (spec("x: {shape: [3], range: ▸[1.5, -0.5]}"), "found lo 1.5 above hi -0.5", "expected [lo, hi]"),
    "dtype of an input": (spec("x: {shape: [3], dtype: ▸flot32}"), "found 'flot32'", "did you mean 'float32'?"),
    "differentiable a word": (spec("x: {shape: [3], differentiable: ▸yes}"), "found 'yes'", "expected true or false"),
    "distribution": (spec("x: {shape: [3], distribution: ▸unifrom}"), "found 'unifrom'", "did you mean 'uniform'?"),
    "layout": (spec("x: {shape: [3], layout: ▸transpose}"), "found 'transpose'", "did you mean 'transposed'?"),
    "avoid a number": (spec("x: {shape: [3], avoid: ▸0.0}"), "found 0.0", "expected a mapping"),
    "avoid nothing": (spec("x: {shape: [3], avoid: {points: ▸[], margin: 0.1}}"), "found []", "at least 1"),
    "margin zero": (spec("x: {shape: [3], avoid: {points: [0], margin: ▸0}}"), "found 0", "greater than 0"),
    "margin negative": (spec("x: {shape: [3], avoid: {points: [0], margin: ▸-0.1}}"), "found -0.1", "greater than 0"),
    "avoid a word": (spec("x: {shape: [3], avoid: {points: [0, ▸zero], margin: 1}}"), "found 'zero'", "a number"),
    "gap negative": (spec("x: {shape: [3], gap: ▸-1}"), "found -1", "greater than 0"),
    "gap true": (spec("x: {shape: [3], gap: ▸true}"), "found true", "expected a number"),
    "values a word": (spec("x: {values: ▸[1.0, one]}"), "found [1.0, 'one']", "nested lists of numbers"),
    "values a mapping": (spec("x: {values: ▸{a: 1}}"), "found {'a': 1}", "nested lists of numbers"),
    "values with a hole": (spec("x: {values: ▸[1.0, ~]}"), "found [1.0, None]", "nested lists of numbers"),
    "params a list": (spec(rest="params: ▸[eps]"), "found ['eps']", "expected a mapping"),
    "dtype": (spec(rest="dtype: ▸bfloat"), "found 'bfloat'", "did you mean 'bfloat16'?"),
    "dtype in a list": (spec(rest="dtype: [float32, ▸flaot64]"), "found 'flaot64'", "did you mean 'float64'?"),
    "dtype not floating": (spec(rest="dtype: ▸int32"), "found 'int32'", "expected 'float16'"),
    "no dtype": (spec(rest="dtype: ▸[]"), "found []", "at least 1"),
    "rtol a word": (spec(rest="tolerance: {rtol: ▸small}"), "found 'small'", "expected a number"),
    "atol negative": (spec(rest="tolerance: {atol: ▸-1e-5}"), "found -1e-05", "greater than or equal to 0"),
    "rtol infinite": (spec(rest="tolerance: {rtol: ▸.inf}"), "found inf", "finite number"),
    "reason a number": (spec(rest="tolerance: {rtol: 1, reason: ▸1}"), "found 1", "expected a string"),
    "upstream a word": (spec(rest="upstream: ▸zeros"), "found 'zeros'", "expected 'random', 'ones', 'none', or nested"),
    "upstream's layout": (
        spec(rest="upstream: {layout: ▸expandedd}"),
        "upstream.layout: found 'expandedd', expected 'contiguous', 'transposed'",
        "did you mean 'expanded'?",
    ),
    "upstream a mapping": (spec(rest="upstream: ▸{}"), "found {}", "expected 'random', 'ones', 'none', or nested"),
    "buffers a number": (
        spec(head="op: a\ntarget: {library: {path: a, header: h, forward: f, backward: g, outputs: {y: ▸3}}}\n"),
        "target.library.outputs.y: ",
        "expected a list or a string, found 3",
    ),
    "a buffer's size a list": (
        spec(head="op: a\ntarget: {library: {path: a, header: h, forward: f, backward: g, outputs: {y: [n, ▸[]]}}}\n"),
        "target.library.outputs.y.1: ",
        "expected a whole number or a string, found []",
    ),
    "step zero": (spec(rest="step: ▸0"), "found 0", "expected 'auto' or a positive number"),
    "step true": (spec(rest="step: ▸true"), "found true", "expected 'auto' or a positive number"),
    "step NaN": (spec(rest="step: ▸.nan"), "found nan", "expected 'auto' or a positive number"),
    "step beyond doubles": (spec(rest=f"step: ▸1{'0' * 400}"), "found 1000", "expected 'auto' or a positive number"),
    "step a word": (spec(rest="step: ▸small"), "found 'small'", "expected 'auto' or a positive number"),
    "method": (spec(rest="method: ▸exaustive"), "found 'exaustive'", "did you mean 'exhaustive'?"),
    "budget of nothing": (spec(rest="budget: ▸0"), "found 0", "greater than or equal to 1"),
    "budget in words": (spec(rest="budget: ▸much"), "found 'much'", "expected a whole number"),
    "budget of a case": (spec(rest="cases: [{name: a, budget: ▸-5}]"), "found -5", "greater than or equal to 1"),
    "seed negative": (spec(rest="seed: ▸-1"), "found -1", "greater than or equal to 0"),
    "seed a float": (spec(rest="seed: ▸1.0"), "found 1.0", "expected a whole number"),
    "expect": (spec(rest="expect: ▸failure"), "found 'failure'", "expected 'pass' or 'fail'"),
    "expect by input": (spec(rest="expect: ▸{x: fals}"), "found 'fals'", "did you mean 'fail'?"),
    "expect nothing": (spec(rest="expect: ▸{}"), "found {}", "expected 'pass' or 'fail', or these by input: {x: fail}"),
    "finding": (
        spec(rest="expect: fail\nfindings: [input-mutated, ▸sign-fliped]"),
        "found the unknown finding 'sign-fliped'",
        "did you mean 'sign-flipped'?",
    ),
    "notes a list": (spec(rest="notes: ▸[a]"), "found ['a']", "expected a string"),
    "cases a mapping": (spec(rest="cases: ▸{name: a}"), "found {'name': 'a'}", "expected a list"),
    "case a word": (spec(rest="cases: [{name: a}, ▸b]"), "found 'b'", "expected a mapping"),
    "case name with a space": (spec(rest="cases: [{name: ▸a b}]"), "found 'a b'", "a name of letters"),
    "case name empty": (spec(rest="cases: [{name: ▸''}]"), "found ''", "a name of letters"),
    "case name a number": (spec(rest="cases: [{name: ▸1}]"), "found 1", "expected a string"),
    "case without a name": (spec(rest="cases: [{name: a}, ▸{seed: 1}]"), "cases.1.name", "required"),
    "no op": ("▸" + spec(head="target: {forward: m:f, backward: m:g}\n"), "op", "required"),
    "a list for a spec": ("▸- op: gelu\n", "found [{'op': 'gelu'}]", "expected a spec with keys"),
    "a word for a spec": ("▸gelu\n", "found 'gelu'", "expected a spec with keys"),
}


@pytest.mark.parametrize(("text", "found", "expected"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_wrong_value_is_told_as_found_and_expected(tmp_path: Path, text: str, found: str, expected: str) -> None:
    message = refusal(tmp_path, text)
    assert found in message
    assert expected in message


IMPOSSIBLE = {
    "no input": (f"{HEAD}inputs: ▸{{}}\n", "expected at least one input"),
    "no inputs at all": (f"▸{HEAD}", "expected at least one input"),
    "no shape": (spec("x: ▸{range: [0, 1]}"), "expected 'shape' or 'values', found neither"),
    "no forward": (spec(head="op: gelu\n▸target: {backward: m:g}\n"), "expected 'forward: module:function'"),
    "no backward": (spec(head="op: gelu\n▸target: {forward: m:f}\n"), "expected 'backward: module:function'"),
    "no call": (
        spec(head="op: gelu\ntarget: {forward: m:f, ▸backward: {args: [x]}}\n"),
        "expected 'call: module:function'",
    ),
    "a target of two kinds": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: m:g, ▸torch: m:f}\n"),
        "found 'torch' beside 'forward'",
    ),
    "an argument that is no input": (
        spec(head="op: gelu\ntarget: {forward: m:f, backward: {call: m:g, args: [▸upstraem, x]}}\n"),
        "found 'upstraem'; expected upstream, output, output[k], cache, grad[INPUT] or an input; "
        "did you mean 'upstream'?",
    ),
    "a gradient of no input": (
        spec("gamma: {shape: [3]}", head="op: gelu\ntarget: {forward: m:f, backward: {call: m:g, returns: [▸gama]}}\n"),
        "found 'gama'; expected one of the inputs gamma; did you mean 'gamma'?",
    ),
    "an expectation of no input": (
        spec("gamma: {shape: [3]}", "expect: {▸gama: fail}"),
        "expect.gama: there is no gradient of 'gama', only of gamma; did you mean 'gamma'?",
    ),
    "an expectation of what has no gradient": (
        spec("x: {shape: [3]}, m: {shape: [3], differentiable: false}", "cases: [{name: a, expect: {▸m: pass}}]"),
        "there is no gradient of 'm', only of x",
    ),
    "the name upstream": (spec("▸upstream: {shape: [3]}"), "this name is taken"),
    "the name output": (spec("▸output: {shape: [3]}"), "this name is taken"),
    "the name output[0]": (spec("▸'output[0]': {shape: [3]}"), "this name is taken"),
    "the name upstream[1]": (spec("▸'upstream[1]': {shape: [3]}"), "this name is taken"),
    "the empty name": (spec("▸'': {shape: [3]}"), "at least 1 character"),
    "nothing to differentiate": (
        f"{HEAD}inputs: ▸{{i: {{shape: [3], distribution: integers, range: [0, 2]}}}}\n",
        "none of the inputs is differentiable",
    ),
    "derivatives of integers": (
        spec("x: {shape: [3]}, i: {shape: [3], dtype: int32, distribution: permutation, differentiable: ▸true}"),
        "found true, but int32 has no derivatives",
    ),
    "outside float16": (
        spec("x: {shape: [3], range: ▸[0, 1e5]}", "dtype: float16"),
        "found 100000, outside float16, which ends at -65504 and 65504",
    ),
    "outside bfloat16": (
        spec("x: {shape: [3], range: ▸[-3.4e38, 0]}", "dtype: bfloat16"),
        "outside bfloat16, which ends at -3.3895e+38 and 3.3895e+38",
    ),
    "outside complex64": (spec("x: {shape: [3], range: ▸[0, 1e39]}", "dtype: complex64"), "outside complex64"),
    "outside int8": (
        spec("x: {shape: [3]}, i: {shape: [3], dtype: int8, distribution: integers, range: ▸[0, 128]}"),
        "found 128, outside int8, which ends at -128 and 127",
    ),
    "outside uint8": (
        spec("x: {shape: [3]}, i: {shape: [3], dtype: uint8, distribution: integers, range: ▸[-1, 3]}"),
        "found -1, outside uint8",
    ),
    "values outside float16": (spec("x: {values: ▸[[1.0, -7e4]]}", "dtype: float16"), "found -70000, outside float16"),
    "values outside int64": (
        spec("x: {shape: [3]}, i: {values: ▸[9223372036854775808], dtype: int64}"),
        "outside int64",
    ),
    "a float outside int64": (
        spec("x: {shape: [3]}, i: {values: ▸[9.223372036854775808e18], dtype: int64}"),
        "outside int64",
    ),
    "values outside everything": (spec(f"x: {{values: ▸[1{'0' * 400}]}}"), "no dtype can hold"),
    "values outside bool": (spec("x: {shape: [3]}, m: {values: ▸[0, 2], dtype: bool}"), "found 2, outside bool"),
    "a fraction in int32": (spec("x: {shape: [3]}, i: {values: ▸[1, 0.5], dtype: int32}"), "holds whole numbers"),
    "infinity in int32": (spec("x: {shape: [3]}, i: {values: ▸[.inf], dtype: int32}"), "holds whole numbers"),
    "NaN in int32": (spec("x: {shape: [3]}, i: {values: ▸[.nan], dtype: int32}"), "holds whole numbers"),
    "ragged values": (spec("x: {values: ▸[[1, 2], [3]]}"), "ragged"),
    "values of another shape": (
        spec("x: {shape: ▸[3], values: [1.0, 2.0]}"),
        "found [3], but the values have shape [2]",
    ),
    "a range beside values": (spec("x: {values: [1.0], ▸range: [0, 2]}"), "found beside 'values'"),
    "a gap beside values": (spec("x: {values: [1.0, 2.0], ▸gap: 0.1}"), "found beside 'values'"),
    "avoid beside values": (spec("x: {values: [1.0], ▸avoid: {points: [0], margin: 1}}"), "found beside 'values'"),
    "ragged upstream": (spec(rest="upstream: ▸[[1, 2], [3]]"), "ragged"),
    "upstream outside float16": (spec(rest="upstream: ▸[1e9]\ndtype: float16"), "outside float16"),
    "integers without a range": (
        spec("x: {shape: [3]}, i: ▸{shape: [3], distribution: integers}"),
        "needs a range: [lo, hi]",
    ),
    "integers between fractions": (
        spec("x: {shape: [3]}, i: {shape: [3], distribution: integers, range: ▸[0, 2.5]}"),
        "integers need whole bounds",
    ),
    "integers that float16 rounds": (
        spec("x: {shape: [3], dtype: float16, distribution: integers, range: ▸[0, 2049]}"),
        "float16 holds all of them up to 2048 only",
    ),
    "a permutation that int8 cannot count": (
        spec("x: {shape: [3]}, i: {shape: ▸[2, 129], dtype: int8, distribution: permutation}"),
        "int8 holds all of them up to 127 only",
    ),
    "bernoulli between fractions of int8": (
        spec("x: {shape: [3]}, i: {shape: [3], dtype: int8, distribution: bernoulli, range: ▸[0.5, 1]}"),
        "found 0.5, but int8 holds whole numbers",
    ),
    "a range of permutation": (
        spec("x: {shape: [3]}, i: {shape: [3], distribution: permutation, range: ▸[0, 2]}"),
        "'permutation' takes no range",
    ),
    "a range of one_hot": (spec("x: {shape: [3], distribution: one_hot, range: ▸[0, 2]}"), "'one_hot' takes no range"),
    "a range of spd": (spec("x: {shape: [3, 3], distribution: spd, range: ▸[0, 2]}"), "'spd' takes no range"),
    "one_hot without an axis": (spec("x: {shape: ▸[], distribution: one_hot}"), "at least one axis, found []"),
    "permutation without an axis": (
        spec("x: {shape: [3]}, i: {shape: ▸[], distribution: permutation}"),
        "at least one axis, found []",
    ),
    "spd of a vector": (spec("x: {shape: ▸[3], distribution: spd}"), "needs square matrices, found [3]"),
    "spd of a rectangle": (spec("x: {shape: ▸[2, 3, 4], distribution: spd}"), "needs square matrices, found [2, 3, 4]"),
    "spd of integers": (
        spec("x: {shape: [3]}, a: {shape: [3, 3], distribution: spd, dtype: ▸int64}"),
        "needs a floating dtype, found int64",
    ),
    "uniform integers": (
        spec("x: {shape: [3]}, i: ▸{shape: [3], dtype: int64}"),
        "'uniform' needs a floating dtype, found int64; use 'integers'",
    ),
    "a gap of normal": (spec("x: {shape: [3], distribution: normal, gap: ▸0.1}"), "a gap needs the distribution"),
    "a gap of complex": (spec("x: {shape: [3], gap: ▸0.1}", "dtype: complex64"), "a gap needs the distribution"),
    "avoided by integers": (
        spec(
            "x: {shape: [3]}, i: {shape: [3], distribution: integers, range: [0, 3], avoid: ▸{points: [1], margin: 1}}"
        ),
        "'integers' cannot avoid points",
    ),
    "points without a margin": (spec("x: {shape: [3], ▸avoid: {points: [0]}}"), "expected both points and margin"),
    "a margin without points": (spec("x: {shape: [3], ▸avoid: {margin: 1}}"), "expected both points and margin"),
    "avoided points that leave nothing": (
        spec("x: {shape: [3], range: [-1, 1], avoid: ▸{points: [-0.6, 0.6], margin: 0.7}}"),
        "the avoided points exclude the whole range",
    ),
    "avoided points that leave no float16": (
        spec("x: {shape: [3], range: [0.0001, 1.00001], avoid: ▸{points: [0.5], margin: 0.50001}}", "dtype: float16"),
        "the avoided points exclude the whole range",
    ),
    "a range that holds no float32": (
        spec("x: {shape: [3], range: ▸[0.1, 0.1]}", "dtype: float32"),
        "which contains no float32 number",
    ),
    "a range too wide for its width": (spec("x: {shape: [3], range: ▸[-1.7e308, 1.7e308]}"), "whose width"),
    "an impossible gap": (
        spec("x: {shape: [3, 4], range: [0, 1], gap: ▸0.1}"),
        "12 elements of float64 0.1 apart need a width of 1.1, but [0, 1] leaves 1",
    ),
    "a gap that avoided points make impossible": (
        spec("x: {shape: [10], range: [0, 1], avoid: {points: [0.5], margin: 0.1}, gap: ▸0.1}"),
        "but [0, 1] leaves 0.8",
    ),
    "10^12 elements": (
        spec("x: {shape: ▸[1000000, 1000000]}"),
        "1e+12 elements of float64 take 8,000 GB; this machine has",
    ),
    "10^12 values of an input that is not differentiated": (
        spec("x: {shape: [3]}, m: {shape: ▸[1000000000000], distribution: bernoulli, dtype: bool}"),
        "1e+12 elements of bool take 1,000 GB",
    ),
    "10^400 elements": (spec(f"x: {{shape: ▸[{', '.join(['10000000000'] * 40)}]}}"), "more than 9,223,372,037 GB"),
    "an empty shape that NumPy cannot hold": (spec(f"x: {{shape: ▸[0, 1{'0' * 30}]}}"), "more than"),
    "two cases of a name": (
        spec(rest="cases: [{name: a}, {name: b}, {name: ▸a}]"),
        "two cases of op 'gelu' are named 'a'",
    ),
}


@pytest.mark.parametrize(("text", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_audited_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


MODES: dict[str, tuple[str, str]] = {
    "of a pair of functions": (
        spec(rest="modes: ▸[reverse, second]"),
        "found 'second', which targets of kind torch, jax",
    ),
    "of a framework that has none": (
        spec(head="op: gelu\ntarget: {tinygrad: m:f}\n", rest="modes: ▸[forward]"),
        "found 'forward', which targets of kind torch, jax have",
    ),
    "a word that is none": (
        spec(head="op: gelu\ntarget: {torch: m:f}\n", rest="modes: [▸bckward]"),
        "found 'bckward', expected 'reverse', 'forward', 'second' or 'batched'",
    ),
    "a backward beside a framework": (
        spec(head="op: gelu\ntarget: {torch: m:f, ▸backward: m:g}\n"),
        "found 'backward' beside 'torch'; a target is of one kind",
    ),
    "two frameworks": (
        spec(head="op: gelu\ntarget: {torch: m:f, ▸jax: m:g}\n"),
        "found 'jax' beside 'torch'; a target is of one kind",
    ),
}


@pytest.mark.parametrize(("text", "message"), MODES.values(), ids=MODES)
def test_modes_and_kinds_of_targets_that_do_not_go_together(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_an_array_is_refused_where_the_machine_has_less_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4000}.__getitem__)
    assert load(tmp_path, spec("x: {shape: [1000, 500]}"))
    assert load(tmp_path, spec("x: {shape: [1000, 2000]}", "dtype: float16"))
    refusal(tmp_path, spec("x: {shape: ▸[1000, 501]}"))
    refusal(tmp_path, spec("x: {shape: ▸[1000, 2001]}", "dtype: bfloat16"))
    refusal(tmp_path, spec("x: {shape: ▸[1000, 251]}", "dtype: complex128"))


def test_a_mistake_that_comes_with_a_case_is_at_the_case_and_otherwise_at_the_document(tmp_path: Path) -> None:
    own = spec("x: {shape: [2], gap: 0.5}", "cases:\n  - name: a\n  - {name: b, inputs: {x: {gap: ▸3.0}}}\n")
    assert "[-1, 1] leaves 2" in refusal(tmp_path, own)
    inherited = spec("x: {shape: [2], gap: ▸0.5}", "cases:\n  - name: a\n  - {name: b, inputs: {x: {shape: [9]}}}\n")
    assert "9 elements" in refusal(tmp_path, inherited)


def test_the_same_mistake_in_every_dtype_and_case_is_told_once(tmp_path: Path) -> None:
    text = spec(
        "x: {shape: [3]}, i: ▸{shape: [2], dtype: int8}", "dtype: [float32, float64]\ncases: [{name: a}, {name: b}]"
    )
    refusal(tmp_path, text)


def test_all_mistakes_of_a_document_are_told_at_once_whatever_finds_them(tmp_path: Path) -> None:
    text = """
op: gelu
target:
  forward: m:f
  backward: {call: m:g, args: [upstream, ▸z], returns: [▸w]}
inputs:
  x: {shape: [3], range: ▸[0, 1e9], ▸avoid: {points: [0]}}
  y: {shape: [2], gap: ▸3.0}
  i: {shape: [3], dtype: int8, distribution: integers, range: ▸[0, 300]}
dtype: float16
upstream: ▸[[1, 2], [3]]
seed: 3
▸seed: 4
▸mehtod: auto
cases:
  - name: a
    inputs: {y: {gap: ▸9.0}}
  - name: b
    tolerance: {rtol: ▸-1}
  - name: ▸a
"""
    assert len(refusals(tmp_path, text)) == 12


def test_mistakes_beside_a_malformed_input_are_told_too(tmp_path: Path) -> None:
    text = """
op: gelu
target: {forward: m:f, backward: m:g}
inputs:
  x: {shape: [▸-3]}
  y: {shape: [2], gap: 3.0}
cases:
  - name: a
    inputs: {x: {shape: [2], range: ▸[1, 0]}, y: {range: [0, 9]}}
  - name: b
    inputs: {x: {shape: [2]}, y: {shape: [9], ▸rang: [0, 9]}}
  - name: c
    inputs: {y: {shape: ▸[1000000000000]}}
"""
    assert len(refusals(tmp_path, text)) == 4


def test_what_may_follow_from_a_reported_mistake_is_not_reported_too(tmp_path: Path) -> None:
    """A misspelt shape is one mistake, not a missing shape besides; nor is its input unknown to backward's args."""
    text = """
op: gelu
target: {forward: m:f, backward: {call: m:g, args: [upstream, x]}}
inputs: {x: {▸shap: [3]}}
"""
    refusal(tmp_path, text)
    refusal(tmp_path, spec("x: {shape: [3], range: [0, 1e9]}", "dtype: ▸flot16"))
    ranges = "{name: a, dtype: ▸flot64, inputs: {x: {range: [0, 1e9]}}}"
    refusal(tmp_path, spec(rest=f"dtype: float16\ncases: [{ranges}]"))
    refusal(tmp_path, spec(head="op: gelu\ntarget: {▸foward: m:f, backward: m:g}\n"))
    refusal(tmp_path, "op: gelu\n▸target_: {forward: m:f, backward: m:g}\ninputs: {x: {shape: [3]}}\n")
    refusal(tmp_path, f"{HEAD}▸input: {{x: {{shape: [3]}}}}\n")
    refusal(tmp_path, spec("x: {}", "cases: [{name: a, inputs: {x: {▸shap: [3]}}}]"))


def test_all_mistakes_of_all_files_are_told_at_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(spec(rest="sed: 1\n---\nop: 3\n"))
    (tmp_path / "b.yaml").write_bytes(b"op: \xff\n")
    (tmp_path / "c.yaml").write_text("op: [\n")
    (tmp_path / "d.yaml").write_text(spec("x: {shape: [3], gap: 5.0}", head=HEAD.replace("gelu", "d")))
    (tmp_path / "e.yaml").write_text(spec(head=HEAD.replace("gelu", "e")))
    (tmp_path / "f.yaml").write_text(spec(head=HEAD.replace("gelu", "e")))
    with pytest.raises(SpecError) as caught:
        load_specs([tmp_path / "missing", tmp_path])
    places = [
        (problem.location.file.name, problem.location.line, problem.location.column)
        for problem in caught.value.problems
    ]
    assert places == [
        ("a.yaml", 4, 1),
        ("a.yaml", 6, 5),
        ("b.yaml", 1, 5),
        ("c.yaml", 2, 1),
        ("d.yaml", 3, 31),
        ("f.yaml", 1, 5),
        ("missing", 1, 1),
    ]
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{tmp_path / 'a.yaml'}:4:1: sed: unknown key 'sed'")
    assert len(lines) == len(places)


def test_the_message_of_a_problem_starts_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, spec(rest="sede: 1"))
    assert str(caught.value) == f"{tmp_path / 'spec.yaml'}:4:1: sede: unknown key 'sede'; did you mean 'seed'?"
