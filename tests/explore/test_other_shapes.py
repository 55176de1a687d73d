"""Shapes that no case shows: what backward refuses is let be where forward takes them, and wrong numbers are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import find, settings

from gradaudit.explore.allowed import allowed
from gradaudit.explore.constants import Constants
from gradaudit.explore.shapes import is_refused, other_shapes
from gradaudit.explore.strategies import cases
from gradaudit.explore.trial import is_taken, try_case
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs

OPS = """
import numpy as np


def times(x, s):
    return x * s


def first_columns(u, x, s):
    return u * s, (u * x).sum(axis=0)[: s.size].reshape(s.shape)


def refuses(u, x, s):
    if x.ndim != 2 or s.shape != x.shape[1:]:
        raise ValueError("these shapes are not meant")
    return u * s, (u * x).sum(axis=0)


def of_another_shape(u, x, s):
    return u * s, (u * x).sum(axis=0)


def without_other_axes(u, x, s):
    first, second = (u * s, u * x)
    for name, made in (("x", first), ("s", second)):
        shape = (x if name == "x" else s).shape
        made = made.sum(axis=tuple(range(made.ndim - len(shape))))
        made = made.sum(axis=tuple(k for k, size in enumerate(shape) if size == 1), keepdims=True)
        first, second = (made, second) if name == "x" else (first, made)
    return first, second


def mean(x):
    return (x * x).mean(axis=-1)


def by_second_axis(u, x):
    return 2 * u[..., None] * x / x.shape[1]


def product(x, w):
    if x.ndim != 2:
        raise ValueError("two axes are expected")
    return x @ w


def product_backward(u, x, w):
    return u @ w.T, x.T @ u
"""

X, S, W = {"shape": [3, 4]}, {"shape": [4]}, {"shape": [4, 2]}


def case_in(folder: Path, forward: str, backward: str, inputs: Mapping[str, Any], **keys: Any) -> Case:
    """Return the only case of a spec."""
    (folder / "shaped.py").write_text(OPS)
    target = {"forward": f"shaped:{forward}", "backward": f"shaped:{backward}"}
    document = {"op": backward, "target": target, "inputs": inputs, **keys}
    (folder / "shaped.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return load_specs([folder / "shaped.yaml"]).cases[0]


def ends(folder: Path, forward: str, backward: str, inputs: Mapping[str, Any], **keys: Any) -> dict[Any, str]:
    """Return how each other shape of an op ends: it passes, is refused, or fails."""
    case = case_in(folder, forward, backward, inputs, **keys)
    found = {}
    for shape in other_shapes(case, is_taken):
        wrong = try_case(shape.of(case), 10.0).wrong
        key = (*shape.names, shape.change, shape.axis if shape.change == "one" else shape.size)
        found[key] = "passes" if not wrong else "refused" if is_refused(wrong) else "fails"
    return found


def failing(found: Mapping[Any, str], how: str = "fails") -> Sequence[Any]:
    return [shape for shape, end in found.items() if end == how]


def test_an_axis_more_shows_which_is_counted_from_the_front(tmp_path: Path) -> None:
    assert failing(ends(tmp_path, "mean", "by_second_axis", {"x": X})) == [("x", "more", 1), ("x", "more", 2)]


def test_axes_and_complex_numbers_are_drawn(tmp_path: Path) -> None:
    case = case_in(tmp_path, "times", "first_columns", {"x": X, "s": S}, dtype="complex128")
    everything = allowed([case], is_taken, Constants(), {}, lambda case: frozenset())
    long = settings(max_examples=2_000, derandomize=True, database=None)
    assert find(cases(everything), lambda drawn: not drawn.shown, settings=long)
    assert find(cases(everything), lambda drawn: drawn.case.inputs[0].range == (0.0, 0.0), settings=long)


def test_wrong_numbers_for_a_broadcast_fail(tmp_path: Path) -> None:
    found = ends(tmp_path, "times", "first_columns", {"x": X, "s": S})
    assert failing(found) == [("s", "less", 2), ("s", "one", 0)]


def test_a_backward_that_raises_or_gives_another_shape_is_let_be(tmp_path: Path) -> None:
    for backward in ("refuses", "of_another_shape"):
        found = ends(tmp_path, "times", backward, {"x": X, "s": S})
        assert not failing(found)
        assert ("s", "one", 0) in failing(found, "refused")


def test_what_sums_over_all_that_was_broadcast_passes(tmp_path: Path) -> None:
    found = ends(tmp_path, "times", "without_other_axes", {"x": X, "s": S})
    assert set(found.values()) == {"passes"}
    assert ("x", "more", 2) in found


def test_what_forward_refuses_is_not_tried(tmp_path: Path) -> None:
    found = ends(tmp_path, "product", "product_backward", {"x": X, "w": W})
    assert ("w", "more", 2) in found  # a product of matrices
    assert not [shape for shape in found if shape[0] == "x" and shape[1] != "one"]
    found = ends(tmp_path, "times", "first_columns", {"x": X, "s": S}, requires="s.shape[0] == x.shape[1]")
    assert not failing(found)
