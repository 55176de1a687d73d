"""Every gradient that is wrong names the line of the backward that it is written in."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradaudit
from gradaudit.source.place import place_of

X = np.linspace(0.2, 0.9, 6)


def line_of(function: Any) -> int:
    """Return the line of ``def``, found by its text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if "def " in line)


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


@decorated
@decorated
def cubed_backward(upstream: Any, x: Any) -> Any:
    return upstream * x**2


def raising_backward(upstream: Any, x: Any) -> Any:
    raise ValueError("no")


@pytest.mark.parametrize("backward", [cubed_backward, raising_backward])
def test_a_pair_of_functions(backward: Any) -> None:
    (result,) = gradaudit.check(gradaudit.op(lambda x: x**3, backward), {"x": X}).results
    assert result.source is not None
    assert result.source.file.endswith("test_lines_of_backwards.py")
    assert (result.source.line, result.source.function) == (line_of(backward), backward.__name__)
    assert f"Source:     {result.source}" in gradaudit.check(gradaudit.op(lambda x: x**3, backward), {"x": X}).report


def test_what_is_not_in_python_has_no_line() -> None:
    assert place_of(np.exp) is None
    assert place_of(len) is None
    assert place_of(functools.partial(cubed_backward, 1.0)) == place_of(cubed_backward)


def test_the_function_of_torch_that_is_called_inside() -> None:
    torch = pytest.importorskip("torch")

    class Cubed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            return upstream * ctx.saved_tensors[0] ** 2

    def model(x: Any) -> Any:
        return torch.sin(Cubed.apply(2 * x)) + x

    for function in (Cubed.apply, model):
        (result,) = gradaudit.check(gradaudit.torch_op(function), {"x": X}).results
        assert result.source is not None
        assert result.source.line == line_of(Cubed.backward)
    (right,) = gradaudit.check(gradaudit.torch_op(torch.sin), {"x": X}).results
    assert right.source is None


def test_the_rule_of_jax_that_is_called_inside() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cubed(x: Any) -> Any:
        return x**3

    def pull(saved: Any, upstream: Any) -> Any:
        return (upstream * saved**2,)

    cubed.defvjp(lambda x: (x**3, x), pull)
    for function in (cubed, lambda x: jax.numpy.sin(cubed(2 * x)) + x):
        (result,) = gradaudit.check(gradaudit.jax_op(function), {"x": X}).results
        assert result.source is not None
        assert result.source.line == line_of(pull)


def test_the_same_function_in_two_files_is_in_each(tmp_path: Path) -> None:
    places = []
    for name in ("one.py", "other.py"):
        file = tmp_path / name
        file.write_text("def backward(u, x):\n    return 2 * u * x\n")
        names: dict[str, Any] = {}
        exec(compile(file.read_text(), file, "exec"), names)
        places.append(place_of(names["backward"]))
    assert [place and Path(place.file).name for place in places] == ["one.py", "other.py"]
