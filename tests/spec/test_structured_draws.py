"""Inputs with a structure, ranges by column, rows of tables, values from files, and upstreams as in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from spec_text import load, refusal, spec

from gradaudit.spec.draw import draw_inputs, draw_upstream

Array = NDArray[Any]


def drawn(folder: Path, said: str, rest: str = "dtype: float64") -> Array:
    return draw_inputs(load(folder, spec(f"x: {{{said}}}, y: {{shape: [3]}}", rest=rest))[0])["x"]


def is_orthogonal(x: Array) -> bool:
    return bool(np.allclose(x @ np.swapaxes(x, -1, -2), np.eye(x.shape[-1]), atol=1e-12))


STRUCTURES = {
    "symmetric": ("[2, 4, 4]", lambda x: (x == np.swapaxes(x, -1, -2)).all() and abs(x).max() <= 1),
    "orthogonal": ("[2, 4, 4]", is_orthogonal),
    "rotation": ("[3, 5, 5]", lambda x: is_orthogonal(x) and np.allclose(np.linalg.det(x), 1)),
    "triangular": ("[2, 4, 4]", lambda x: (np.triu(x, 1) == 0).all() and (np.einsum("bii->bi", x) >= 0.5).all()),
    "unit": ("[3, 5]", lambda x: np.allclose((x**2).sum(-1), 1)),
    "simplex": ("[3, 5]", lambda x: np.allclose(x.sum(-1), 1) and (x > 0.01).all()),
    "sorted": ("[3, 5]", lambda x: (np.diff(x) >= 0).all() and np.ptp(x) > 0.5),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_draws_have_the_structure_that_they_are_named_for(tmp_path: Path, name: str) -> None:
    shape, holds = STRUCTURES[name]
    x = drawn(tmp_path, f"shape: {shape}, distribution: {name}")
    assert holds(x)
    assert len(np.unique(x)) > x.shape[-1]
    assert (x == drawn(tmp_path, f"shape: {shape}, distribution: {name}")).all()


def test_float32_matrices_are_symmetric_to_the_last_bit(tmp_path: Path) -> None:
    x = drawn(tmp_path, "shape: [40, 40], distribution: symmetric", rest="dtype: float32")
    assert (x == x.T).all()


def test_each_column_has_a_range_of_its_own(tmp_path: Path) -> None:
    x = drawn(tmp_path, "shape: [200, 2], ranges: [[0, 1], [-50, -40]]")
    assert (x[:, 0] >= 0).all()
    assert (x[:, 0] <= 1).all()
    assert (x[:, 1] >= -50).all()
    assert (x[:, 1] <= -40).all()
    assert np.ptp(x[:, 1]) > 5


def test_the_rows_of_a_table_end_below_its_length(tmp_path: Path) -> None:
    x = drawn(tmp_path, "shape: [300], distribution: integers, below: 7")
    assert set(x.tolist()) == set(range(7))


@pytest.mark.parametrize("said", ["distribution: bernoulli, p: 0.2", "distribution: {bernoulli: {p: 0.2}}"])
def test_a_bernoulli_has_a_probability(tmp_path: Path, said: str) -> None:
    x = drawn(tmp_path, f"shape: [4000], {said}")
    assert set(x.tolist()) == {0.0, 1.0}
    assert 0.15 < x.mean() < 0.25


def test_layouts_go_backwards_and_keep_channels_innermost(tmp_path: Path) -> None:
    plain = drawn(tmp_path, "shape: [2, 3, 4, 5]")
    backwards = drawn(tmp_path, "shape: [2, 3, 4, 5], layout: reversed")
    channels = drawn(tmp_path, "shape: [2, 3, 4, 5], layout: channels_last")
    assert backwards.strides[-1] < 0
    assert channels.strides[1] == channels.itemsize
    assert (plain == backwards).all()
    assert (plain == channels).all()


@pytest.mark.parametrize("file", ["acts.npy", "acts.npz", "acts.safetensors"])
def test_values_come_from_files(tmp_path: Path, file: str) -> None:
    x = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    if file.endswith("npy"):
        np.save(tmp_path / file, x)
    elif file.endswith("npz"):
        np.savez(tmp_path / file, x=x, other=x)
    else:
        save_file({"x": x, "other": x}, tmp_path / file)
    name = "" if file.endswith("npy") else ", name: x"
    found = drawn(tmp_path, f"values: {{file: {file}{name}}}", rest="dtype: float32")
    assert found.dtype == np.float32
    assert (found == x).all()


def test_upstreams_are_scaled_and_expanded(tmp_path: Path) -> None:
    (plain,) = load(tmp_path, spec())
    (scaled,) = load(tmp_path, spec(rest="upstream: {scale: 256}"))
    (row,) = load(tmp_path, spec(rest="upstream: {layout: expanded}"))
    base = draw_upstream(plain, 0, (3, 4), np.dtype(np.float64))
    assert (draw_upstream(scaled, 0, (3, 4), np.dtype(np.float64)) == 256 * base).all()
    expanded = draw_upstream(row, 0, (3, 4), np.dtype(np.float64))
    assert expanded.strides[0] == 0
    assert (expanded == base[0]).all()


MISTAKES = {
    "no square": ("x: {shape: ▸[3, 4], distribution: symmetric}", "'symmetric' needs square matrices, found [3, 4]"),
    "no axis": ("x: {shape: ▸[], distribution: simplex}", "'simplex' needs at least one axis, found []"),
    "a range": ("x: {shape: [3], distribution: unit, range: ▸[0, 1]}", "'unit' takes no range"),
    "columns": ("x: {shape: [3, 2], ranges: ▸[[0, 1]]}", "found 1 ranges for the last axis of [3, 2]"),
    "columns turned": ("x: {shape: [1], ranges: ▸[[1, 0]]}", "found lo 1 above hi 0"),
    "below a range": ("x: {shape: [3], ▸below: 4}", "expected it with integers that have no range"),
    "p of normal": ("x: {shape: [3], distribution: normal, ▸p: 0.5}", "expected it with the distribution 'bernoulli'"),
    "no file": ("x: {values: ▸{file: nothing.npy}}", "there is no file"),
    "another file": ("x: {values: ▸{file: acts.csv}}", "expected a file ending in .safetensors, .npz, .npy"),
    "no such array": ("x: {values: ▸{file: acts.npz, name: xx}}", "has no array 'xx'; did you mean 'x'?"),
    "which array": ("x: {values: ▸{file: acts.npz}}", "has 2 arrays: name one of them"),
    "no numbers": ("x: {values: ▸{file: words.npy}}", "expected numbers"),
}


@pytest.mark.parametrize(("inputs", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_refused_where_they_stand(tmp_path: Path, inputs: str, said: str) -> None:
    np.savez(tmp_path / "acts.npz", x=np.ones(3), other=np.ones(2))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    (tmp_path / "acts.csv").write_text("1,2\n")
    assert said in refusal(tmp_path, spec(inputs))
