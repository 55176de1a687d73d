"""Wrong backwards are mended to the right function, and nothing else is called a repair."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searches import HERE, drawn, mended, searched

from gradaudit.repair.repairs import Applicability, Repairs

X34 = {"shape": [3, 4], "range": [-2.0, 2.0]}
POSITIVE = {"shape": [3, 4], "range": [0.3, 2.0]}


def swish_gradient(u: Any, x: Any) -> Any:
    s = 1 / (1 + np.exp(-x))
    return u * (s + x * s * (1 - s))


def softmax_gradient(u: Any, x: Any) -> Any:
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    return p * (u - (u * p).sum(-1, keepdims=True))


def dense_gradient(u: Any, x: Any, w: Any) -> Any:
    g = u * (1 - np.tanh(x @ w) ** 2)
    return g @ w.T, x.T @ g


CASES = {
    "swish": ({"x": X34}, swish_gradient, [(5, 2), (5, 2)]),
    "ratio": ({"x": POSITIVE, "y": POSITIVE}, lambda u, x, y: (u / y, -u * x / y**2), [(5, 2)] * 3),
    "scaled": ({"x": X34, "w": X34}, lambda u, x, w: (u * (w + np.cos(x)), u * x), [(5, 2)] * 3),
    "softmax": ({"x": X34}, softmax_gradient, [(5, 2), (5, 2)]),
    "dense": ({"x": X34, "w": {"shape": [4, 4]}}, dense_gradient, [(5, 2), (5, 3), (3, 2)]),
    "step": ({"x": X34}, lambda u, x: u * np.where(x > 0.25, 1.0, 0.1), [(5, 2), (5, 2)]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("op", CASES)
def test_a_mistake_is_mended(folder: Path, op: str) -> None:
    inputs, gradient, shapes = CASES[op]
    found = searched(folder, op, inputs)
    assert found.repairs, found.message
    assert found.repairs[0].applicability is Applicability.VERIFIED
    given = drawn(*shapes)
    own = mended(found, f"{op}_backward", op)(*given)
    for got, wanted in zip(*(x if isinstance(x, tuple) else (x,) for x in (own, gradient(*given))), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_none_that_is_right_for_one_input_stands_in_no_way_of_the_other(folder: Path) -> None:
    found = searched(folder, "cube", {"x": X34, "unused": {"shape": [4]}})
    u, x, y = drawn((5, 2), (5, 2), (2,))
    own, none = mended(found, "cube_backward", "cube")(u, x, y)
    np.testing.assert_allclose(own, 3 * u * x**2)
    assert none is None


def test_a_diff_is_what_patch_takes(folder: Path) -> None:
    (best, *_) = searched(folder, "step", {"x": X34}).repairs
    assert best.file == best.path.name
    subprocess.run(["patch", "-p0"], input=best.diff, text=True, check=True, cwd=folder, stdout=subprocess.DEVNULL)
    assert best.path.read_text() == best.after != best.before


def test_what_is_right_is_not_mended(folder: Path) -> None:
    found = searched(folder, "right", {"x": X34})
    assert found.repairs == ()
    assert "nothing is wrong" in found.message


def test_a_size_that_coincides_misleads_nobody(folder: Path) -> None:
    """``4 / x.shape[1]`` is 1 where there are four columns: at other shapes it has to be gone."""
    found = searched(folder, "coincident", {"x": {"shape": [3, 5]}})
    own = mended(found, "coincident_backward", "coincident")
    (x, upstream) = drawn((2, 7), (7,))
    np.testing.assert_allclose(own(upstream, x), np.broadcast_to(upstream, x.shape))


def test_a_threshold_is_the_one_that_holds_beyond_what_is_drawn(folder: Path) -> None:
    """Where all numbers are positive ``x > -0.5`` is right as well."""
    found = searched(folder, "rectified", {"x": {"shape": [4, 5], "range": [0.1, 2.0]}})
    assert found.repairs[0].applicability is Applicability.VERIFIED
    x = np.linspace(-2.0, 2.0, 9)
    own = mended(found, "rectified_backward", "rectified")(np.ones_like(x), x)
    np.testing.assert_array_equal(own[x != 0], x[x != 0] > 0)


def test_a_repair_that_holds_only_where_the_spec_draws_is_no_verified_one(folder: Path) -> None:
    """Of an absolute value at positive numbers, 1 is the slope, and nobody has to write a sign."""
    found = searched(folder, "folded", {"x": {"shape": [4, 5], "range": [0.1, 2.0]}})
    held = [made for made in found.repairs if made.applicability is Applicability.VERIFIED]
    x = np.linspace(-2.0, 2.0, 8)
    for made in held:
        own = mended(Repairs("folded", (made,)), "folded_backward", "folded")(np.ones_like(x), x)
        np.testing.assert_allclose(own, np.sign(x))
    assert held or all(any("of the other sign" in where for where in made.missed) for made in found.repairs)


def test_a_number_that_is_a_param_is_written_as_the_param(folder: Path) -> None:
    found = searched(folder, "pooled", {"x": {"shape": [3, 8]}})
    own = mended(found, "pooled_backward", "pooled")(np.ones((2, 3)), np.ones((2, 12)), size=4)
    np.testing.assert_allclose(own, 0.25)


def test_places_of_another_subscript_are_tried(folder: Path) -> None:
    found = searched(folder, "taken", {"x": {"shape": [9]}})
    own = mended(found, "taken_backward", "taken")(np.array([1.0, 2.0]), np.ones(5), stride=3)
    np.testing.assert_allclose(own, [1.0, 1.0, 0.0, 2.0, 2.0])


def test_rows_that_are_taken_more_than_once_add_up(folder: Path) -> None:
    ids = {"values": [1, 4, 1, 0, 4], "dtype": "int64"}
    found = searched(folder, "looked_up", {"table": {"shape": [5, 3]}, "ids": ids})
    own = mended(found, "looked_up_backward", "looked_up")(np.ones((4, 2)), np.ones((3, 2)), np.array([2, 0, 2, 2]))
    np.testing.assert_allclose(own, np.array([1.0, 0.0, 3.0])[:, None] * np.ones(2))


def test_a_forward_that_cannot_be_called_says_so(folder: Path) -> None:
    found = searched(folder, "looked_up", {"table": {"shape": [5, 3]}, "ids": {"values": [0.5, 1.5]}})
    assert found.message.startswith("forward cannot be called: ")


def test_the_backward_of_a_layer_is_mended(folder: Path) -> None:
    target = {"layer": "mistaken_ops:Layer"}
    found = searched(folder, "layer", {"x": {"shape": [4, 3]}}, target)
    assert found.repairs, found.message
    layer = mended(found, "Layer", "layer")()
    x, upstream = drawn((2, 3), (2, 3))
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(upstream), 2 * upstream * x * layer.w)


def test_functions_are_left_as_they_were(folder: Path) -> None:
    searched(folder, "step", {"x": X34})
    module = next(made for made in sys.modules.values() if Path(getattr(made, "__file__", "") or ".").parent == folder)
    x, upstream = drawn((2, 3), (2, 3))
    np.testing.assert_array_equal(module.step_backward(upstream, x), upstream * np.where(x < 0.25, 1.0, 0.1))
    assert Path(module.__file__).read_text() == (HERE / "mistaken_ops.py").read_text()
    assert not any("gradaudit_hole" in name for name in vars(module))
