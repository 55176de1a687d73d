"""JAX's ``check_grads``: its signature and its behaviour, our verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from gradaudit.api import check
from gradaudit.drop_in.arguments import argument_names, signature_names
from gradaudit.drop_in.settings import function_of, whole_number
from gradaudit.drop_in.trees import bound_tree
from gradaudit.framework_ops import jax_op, name_of
from gradaudit.results import Verdict
from gradaudit.spec.op_targets import Mode
from gradaudit.targets.jax import double_precision

Array = Any

MODES: dict[str, Mode] = {"fwd": "forward", "rev": "reverse"}
"""Our names of JAX's two modes."""


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[Literal["fwd", "rev"]] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Audit a JAX function up to an order of differentiation, called as ``jax.test_util.check_grads`` is.

    Args:
        f: takes trees of arrays and numbers by position, and returns one.
        args: what it takes; gradients are audited of what is floating, in double precision where it is a float.
        order: of the highest derivative, from 1 on.
        modes: ``fwd``, ``rev`` or both.
        atol: absolute tolerance; default: the dtype's.
        rtol: relative tolerance; default: the dtype's.
        eps: of no effect: the step is chosen for every index.

    Raises:
        GradientMismatch: where a gradient does not pass, or cannot be decided; an ``AssertionError`` whose text is the
            report.
        TypeError: where ``f`` cannot be called, ``args`` is no tuple, or a number is none.
        ValueError: where there is no such order or mode, or nothing is floating.

    """
    function_of("f", f)
    asked = (modes,) if isinstance(modes, str) else tuple(modes)
    if unknown := [mode for mode in asked if mode not in MODES]:
        raise ValueError(f"modes: found {unknown[0]!r}, expected 'fwd', 'rev' or both")
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"args: expected a tuple of arguments, found {type(args).__name__}")
    if whole_number("order", order) < 1:
        raise ValueError(f"order: expected 1 or more, found {order}")
    call = bound_tree(f, args, argument_names(signature_names(f), len(args)))
    arrays = {name: np.asarray(array) for name, array in call.arrays.items()}
    _audit(call.function, arrays, name_of(f), order, asked, atol, rtol)


def _audit(
    function: Callable[..., Any],
    arrays: Mapping[str, Array],
    name: str,
    order: int,
    modes: Sequence[str],
    atol: float | None,
    rtol: float | None,
) -> None:
    for mode in modes:
        op = jax_op(function, mode=MODES[mode], name=name)
        audit = check(op, arrays, atol=atol, rtol=rtol)
        if audit.verdict is Verdict.INCONCLUSIVE:  # perhaps at so loose a tolerance as was asked for only
            audit = check(op, arrays) or audit
        audit.assert_ok()
        if order > 1:
            derived, directions = _derivative(function, arrays, mode)
            _audit(derived, {**arrays, **directions}, f"{mode} of {name}", order - 1, modes, atol, rtol)


def _derivative(
    function: Callable[..., Any], arrays: Mapping[str, Array], mode: str
) -> tuple[Callable[..., list[Any]], dict[str, Array]]:
    """Return the derivative of a function in a direction as a function of both, and the directions that are drawn.

    Args:
        function: takes the arrays by position.
        arrays: where it is differentiated, by name.
        mode: ``rev`` for a pullback, which takes a cotangent for each floating output; ``fwd`` for a pushforward, which
            takes a tangent for each floating input.

    """
    count, given = len(arrays), list(arrays.values())
    moving = [k for k, array in enumerate(given) if jnp.issubdtype(array.dtype, jnp.inexact)]

    def floating(every: Sequence[Any]) -> Callable[..., list[Any]]:
        def called(*moved: Any) -> list[Any]:
            arguments = list(every)
            for k, array in zip(moving, moved, strict=True):
                arguments[k] = array
            made = map(jnp.asarray, jax.tree_util.tree_leaves(function(*arguments)))
            return [leaf for leaf in made if jnp.issubdtype(leaf.dtype, jnp.inexact)]

        return called

    def pullback(*both: Any) -> list[Any]:
        outputs, pull = jax.vjp(floating(both[:count]), *(both[k] for k in moving))
        return list(pull([u.astype(out.dtype) for u, out in zip(both[count:], outputs, strict=True)]))

    def pushforward(*both: Any) -> list[Any]:
        _, pushed = jax.jvp(floating(both[:count]), [both[k] for k in moving], list(both[count:]))
        return list(pushed)

    with double_precision():
        outputs = floating(given)(*(given[k] for k in moving))
    word, like = ("cotangent", outputs) if mode == "rev" else ("tangent", [given[k] for k in moving])
    generator = np.random.default_rng(0)
    depth = "'" * sum("tangent[0]" in name for name in arrays)
    directions = {f"{word}[{k}]{depth}": _drawn(array, generator) for k, array in enumerate(like)}
    return (pullback if mode == "rev" else pushforward), directions


def _drawn(like: Array, generator: np.random.Generator) -> Array:
    """Return random numbers of an array's shape and dtype."""
    drawn = generator.standard_normal(like.shape)
    if jnp.issubdtype(like.dtype, jnp.complexfloating):
        drawn = drawn + 1j * generator.standard_normal(like.shape)
    return np.asarray(drawn, like.dtype)
