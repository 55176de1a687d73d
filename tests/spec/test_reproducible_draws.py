"""A draw depends on the seed, the op, the case and the input's name, and on nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_text import HEAD, load, spec

from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import UndrawableError, draw_inputs, draw_upstream, generator
from gradaudit.spec.dtypes import FLOATING_NAMES, dtype_of, is_complex
from gradaudit.spec.expand import Overrides

Array = np.ndarray[Any, Any]

EVERYTHING = """\
op: gelu
module: activation
target: {forward: m:f, backward: m:g}
inputs:
  x: {shape: [2, 3], range: [-2, 2]}
  i: {shape: [6], distribution: integers, range: [0, 9]}
  m: {shape: [5], distribution: bernoulli}
  p: {shape: [5], distribution: permutation}
  t: {shape: [2, 3], distribution: one_hot}
  a: {shape: [2, 2], distribution: spd}
  n: {shape: [4], distribution: normal}
  k: {shape: [4], avoid: {points: [0.0], margin: 0.25}}
  g: {shape: [3], gap: 0.25}
  s: {shape: [2, 3], layout: strided}
  c: {shape: [2, 3], dtype: complex128}
seed: 3
"""


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return load(tmp_path, EVERYTHING)[0]


def same(one: dict[str, Array], other: dict[str, Array]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name]) for name in one
    )


def test_the_numbers_are_these_on_every_machine(case: Case) -> None:
    drawn = draw_inputs(case)
    assert [float(number).hex() for number in drawn["x"].ravel()] == [
        "-0x1.bd2e562f62f0ap+0",
        "0x1.d7fef66338656p+0",
        "-0x1.3c37954693000p-7",
        "0x1.204e1e3aca9a0p+0",
        "-0x1.bf469e8ab7a6ap+0",
        "-0x1.c9c3a5ff1fe06p+0",
    ]
    assert drawn["i"].tolist() == [7, 9, 1, 8, 3, 8]
    assert drawn["m"].tolist() == [0, 1, 1, 0, 0]
    assert drawn["p"].tolist() == [0, 2, 4, 1, 3]
    assert drawn["a"].tolist() == [[0.9765625, 0.140625], [0.140625, 0.8125]]
    assert [float(number).hex() for number in draw_upstream(case, 0, (3,), np.dtype("float64"))] == [
        "-0x1.7d2a48aaf9950p+0",
        "-0x1.7cad784398c2bp+0",
        "-0x1.a8ec031d80710p-1",
    ]


def test_drawing_again_gives_the_same(case: Case) -> None:
    assert same(draw_inputs(case), draw_inputs(case))


def test_another_process_draws_the_same(case: Case, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.load import load_specs
case, = load_specs([Path(sys.argv[1])]).cases
sys.stdout.write(repr({name: array.tolist() for name, array in draw_inputs(case).items()}))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "spec.yaml")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said == repr({name: array.tolist() for name, array in draw_inputs(case).items()})


def test_the_global_state_of_numpy_is_neither_used_nor_changed(case: Case) -> None:
    first = draw_inputs(case)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    assert same(first, draw_inputs(case))
    assert np.array_equal(state, np.random.get_state()[1])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(11)), st.integers(1, 11))
def test_other_inputs_and_their_order_change_nothing(case: Case, order: list[int], count: int) -> None:
    inputs = tuple(case.inputs[k] for k in order[:count])
    everything = draw_inputs(case)
    some = draw_inputs(replace(case, inputs=inputs))
    assert list(some) == [made.name for made in inputs]
    assert same(some, {name: everything[name] for name in some})


def test_what_does_not_name_the_draw_does_not_change_it(tmp_path: Path, case: Case) -> None:
    text = EVERYTHING.replace("activation", "loss").replace("m:f", "n:h")
    other = load(tmp_path, f"{text}params: {{eps: 1}}\ntolerance: {{rtol: 1}}\nmethod: search\nnotes: Other.\n")[0]
    assert same(draw_inputs(case), draw_inputs(other))


def test_a_case_is_drawn_alike_alone_and_among_others(tmp_path: Path) -> None:
    def named(*names: str) -> dict[str, dict[str, Array]]:
        cases = ", ".join(f"{{name: {name}}}" for name in names)
        return {case.name: draw_inputs(case) for case in load(tmp_path, f"{EVERYTHING}cases: [{cases}]\n")}

    among = named("a", "b", "c")
    assert same(named("b")["b"], among["b"])
    assert same(named("c", "b", "d")["c"], among["c"])


@pytest.mark.parametrize("dtype", [name for name in FLOATING_NAMES if not is_complex(name)])
@pytest.mark.parametrize("name", ["x", "n", "k"])
def test_the_dtype_only_rounds(case: Case, dtype: str, name: str) -> None:
    (made,) = (made for made in case.inputs if made.name == name)
    inputs = (replace(made, dtype=dtype),)
    in_float64, in_dtype = draw_inputs(case)[name], draw_inputs(replace(case, inputs=inputs, dtype=dtype))[name]
    np.testing.assert_array_equal(in_dtype, in_float64.astype(dtype_of(dtype)))


def test_the_dtypes_of_a_spec_see_the_same_point(tmp_path: Path) -> None:
    double, single = load(tmp_path, f"{EVERYTHING}dtype: [float64, float32]\n")
    for name, array in draw_inputs(double).items():
        np.testing.assert_allclose(draw_inputs(single)[name], array, rtol=0, atol=1e-5)


def test_the_layout_does_not_change_the_draw(case: Case) -> None:
    for layout in ("transposed", "strided"):
        inputs = tuple(replace(made, layout=layout) for made in case.inputs)
        assert same(draw_inputs(case), draw_inputs(replace(case, inputs=inputs)))


def test_range_and_shape_rescale_the_same_stream(case: Case) -> None:
    """A wider range moves the points, it does not draw others; a longer array starts with the shorter one."""
    (x,) = (made for made in case.inputs if made.name == "x")
    base = draw_inputs(case)["x"]
    (wider,) = draw_inputs(replace(case, inputs=(replace(x, range=(-4.0, 4.0)),))).values()
    np.testing.assert_allclose(wider, 2 * base, rtol=1e-15)
    (longer,) = draw_inputs(replace(case, inputs=(replace(x, shape=(10,)),))).values()
    np.testing.assert_array_equal(longer[:6], base.ravel())


def test_seed_op_case_and_name_each_make_another_draw(case: Case) -> None:
    x = case.inputs[0]
    variants = [
        replace(case, inputs=(x,)),
        replace(case, inputs=(x,), seed=4),
        replace(case, inputs=(x,), seed=-3),
        replace(case, inputs=(x,), seed=33),
        replace(case, inputs=(x,), op="gelu2"),
        replace(case, inputs=(x,), name="other"),
        replace(case, inputs=(replace(x, name="y"),)),
        # The words do not run together: op and case, case and name, seed and op.
        replace(case, inputs=(x,), op="gelud", name="efault"),
        replace(case, inputs=(replace(x, name="tx"),), name="defaul"),
        replace(case, inputs=(x,), seed=33, op="gelu"[1:]),
    ]
    drawn = [next(iter(draw_inputs(variant).values())) for variant in variants]
    for one, other in combinations(drawn, 2):
        assert not np.any(one == other)


def test_inputs_of_different_names_are_uncorrelated(case: Case) -> None:
    names = [f"x{k}" for k in range(30)]
    inputs = tuple(Input(name, (2000,), "float64", range=(-1.0, 1.0)) for name in names)
    correlations = np.corrcoef(np.stack(list(draw_inputs(replace(case, inputs=inputs)).values())))
    assert np.abs(correlations - np.eye(30)).max() < 6 / np.sqrt(2000)


def test_seeds_give_uncorrelated_draws(case: Case) -> None:
    inputs = (Input("x", (2000,), "float64", range=(-1.0, 1.0)),)
    drawn = [draw_inputs(replace(case, inputs=inputs, seed=seed))["x"] for seed in range(30)]
    assert np.abs(np.corrcoef(np.stack(drawn)) - np.eye(30)).max() < 6 / np.sqrt(2000)


def test_the_seed_of_the_command_line_draws_as_the_specs_own(tmp_path: Path, case: Case) -> None:
    overridden = load(tmp_path, EVERYTHING.replace("seed: 3", "seed: 8"), Overrides(seed=3))[0]
    assert same(draw_inputs(case), draw_inputs(overridden))


def test_a_generator_belongs_to_its_name(case: Case) -> None:
    assert generator(case, "x").random() == generator(case, "x").random()
    assert generator(case, "x").random() != generator(case, "y").random()


@pytest.mark.parametrize("dtype", FLOATING_NAMES)
def test_a_random_upstream_has_no_small_element_and_both_signs(case: Case, dtype: str) -> None:
    array = draw_upstream(case, 0, (40, 50), dtype_of(dtype))
    assert array.shape == (40, 50)
    assert array.dtype == dtype_of(dtype)
    for part in (array.real, array.imag) if is_complex(dtype) else (array,):
        values = part.astype(np.float64)
        assert 0.5 <= np.abs(values).min() <= np.abs(values).max() <= 1.5
        assert abs(np.sign(values).sum()) < 6 * np.sqrt(values.size)
        assert np.abs(values).mean() == pytest.approx(1.0, abs=0.05)


def test_outputs_have_upstreams_of_their_own_that_depend_on_no_dtype(case: Case) -> None:
    first, second = (draw_upstream(case, k, (50,), np.dtype("float64")) for k in (0, 1))
    assert not np.any(first == second)
    np.testing.assert_array_equal(draw_upstream(case, 0, (50,), np.dtype("float32")), first.astype(np.float32))
    np.testing.assert_array_equal(draw_upstream(case, 0, (50,), np.dtype("complex128")).real, first)


def test_a_scalar_output_has_a_scalar_upstream(case: Case) -> None:
    for upstream in ("random", "ones", 2.5):
        for dtype in FLOATING_NAMES:
            array = draw_upstream(replace(case, upstream=upstream), 0, (), dtype_of(dtype))
            assert isinstance(array, np.ndarray)
            assert array.shape == ()
            assert array.dtype == dtype_of(dtype)


@pytest.mark.parametrize("dtype", FLOATING_NAMES)
def test_an_upstream_may_be_ones_or_given(tmp_path: Path, dtype: str) -> None:
    ones = load(tmp_path, spec(rest="upstream: ones"))[0]
    np.testing.assert_array_equal(draw_upstream(ones, 0, (2, 3), dtype_of(dtype)), np.ones((2, 3), dtype_of(dtype)))
    explicit = load(tmp_path, spec(rest="upstream: [[1, -2.5]]"))[0]
    array = draw_upstream(explicit, 0, (1, 2), dtype_of(dtype))
    assert array.dtype == dtype_of(dtype)
    assert array.tolist() == [[1, -2.5]]


def test_an_upstream_of_another_shape_than_the_output_is_told(tmp_path: Path) -> None:
    explicit = load(tmp_path, spec(rest="upstream: [1, 2]", head=HEAD))[0]
    with pytest.raises(UndrawableError, match=r"upstream has shape \(2,\), the output has shape \(3,\)"):
        draw_upstream(explicit, 0, (3,), np.dtype("float64"))
