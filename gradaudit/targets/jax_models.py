"""Models in JAX: a function with a tree of parameters, as flax has them, or a module that is such a tree itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from gradaudit.targets.framework_op import UnusableError, needs_nothing

Tree = Any


@dataclass(frozen=True)
class JaxModel:
    """A function of inputs whose parameters lie in a tree.

    Attributes:
        call: takes the tree and the inputs.
        leaves: what the tree holds.
        structure: the tree without its leaves.
        parameters: the floating arrays among the leaves, by the path that leads to each, as ``layers[0].weight``.
        places: their places among the leaves.

    """

    call: Callable[..., Any]
    leaves: Sequence[Any]
    structure: Any
    parameters: Mapping[str, NDArray[Any]]
    places: Sequence[int]

    def __call__(self, names: Sequence[str], arrays: Sequence[Any], **params: Any) -> Any:
        """Call the model with inputs in their order, and with parameters by their names; others stay as they are."""
        given = dict(zip(names, arrays, strict=True))
        leaves = list(self.leaves)
        for name, place in zip(self.parameters, self.places, strict=True):
            leaves[place] = given.pop(name, leaves[place])
        return self.call(jax.tree_util.tree_unflatten(self.structure, leaves), *given.values(), **params)


def model_of(function: Any) -> JaxModel | None:
    """Return the model that is given, or made by what needs no arguments; None for a function of inputs.

    Args:
        function: a module, which is called and is a tree; a pair of a function and the tree that it takes first; or
            what returns either of them.

    Raises:
        UnusableError: where a function that needs no arguments makes something else, or a tree without parameters.

    """
    made = function() if callable(function) and not _is_module(function) and needs_nothing(function) else function
    if _is_module(made):
        return _model(lambda module, *inputs, **params: module(*inputs, **params), made)
    if isinstance(made, tuple) and len(made) == 2 and callable(made[0]):
        return _model(*made)
    if made is not function:
        found = type(made).__name__
        raise UnusableError(
            f"needs no inputs and returned {found}; expected a function of inputs, a pair of a function and its "
            "parameters, or a module that is a tree of them"
        )
    return None


def _is_module(value: Any) -> bool:
    return callable(value) and not isinstance(value, (type, partial)) and not jax.tree_util.all_leaves([value])


def _model(call: Callable[..., Any], tree: Tree) -> JaxModel:
    found, structure = jax.tree_util.tree_flatten_with_path(tree)
    floating = [k for k, (_, leaf) in enumerate(found) if _is_parameter(leaf)]
    if not floating:
        raise UnusableError("has no parameters: nothing in its tree is a floating array")
    named = {_path(found[k][0]): np.asarray(found[k][1]) for k in floating}
    return JaxModel(call, [leaf for _, leaf in found], structure, named, floating)


def _path(keys: Any) -> str:
    """Return the path to a leaf, the keys of dicts as names where they can be: ``layers[0].kernel``."""
    return re.sub(r"\['([^\W\d]\w*)'\]", r".\1", jax.tree_util.keystr(keys)).lstrip(".")


def _is_parameter(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)
