"""JAX's trees among a function's arguments, their leaves as inputs: ``params['w']``, ``state[0].mean``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from gradaudit.drop_in.arguments import Bound, bound, is_array


def bound_tree(function: Callable[..., Any], arguments: Sequence[Any], names: Sequence[str]) -> Bound:
    """Return a function of the leaves of its arguments that are arrays or floating numbers.

    Args:
        function: called with the arguments by position.
        arguments: trees of arrays, numbers and whatever else they hold.
        names: of the arguments, in order.

    """
    found, structure = jax.tree_util.tree_flatten_with_path(tuple(arguments))
    if structure == jax.tree_util.tree_structure(tuple(range(len(arguments)))):
        called = function  # which may be looked at for what it is
    else:

        def called(*leaves: Any, **params: Any) -> Any:
            return function(*jax.tree_util.tree_unflatten(structure, leaves), **params)

    paths = [names[path[0].idx] + jax.tree_util.keystr(path[1:]) for path, _ in found]
    return bound(called, [leaf for _, leaf in found], paths, _is_input)


def _is_input(leaf: Any) -> bool:
    """Whether a leaf is an array of numbers, or a floating number; keys of random numbers stay as they are."""
    if is_array(leaf):
        return not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
    return isinstance(leaf, (float, complex))
