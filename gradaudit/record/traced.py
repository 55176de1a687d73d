"""Watching functions of JAX, which are called inside of ``jit``, ``grad`` and ``vmap`` with values that come later.

What such a call is given is a tracer: it stands for an array that there is when the compiled program runs. The program
is made to hand those arrays over then.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from gradaudit.record.watch import Watch


def watched_by(watch: Watch, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same, and keeps a few of its calls as soon as their values are there."""
    import jax

    keep = watch.whole(function)

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        returned = function(*args, **kwargs)
        leaves, tree = jax.tree_util.tree_flatten((args, kwargs, returned))
        late = [k for k, leaf in enumerate(leaves) if isinstance(leaf, jax.core.Tracer)]
        held = [None if k in late else leaf for k, leaf in enumerate(leaves)]  # a tracer must not outlive its trace

        def arrived(*values: Any) -> None:
            known = dict(zip(late, values, strict=True))
            keep(*jax.tree_util.tree_unflatten(tree, [known.get(k, leaf) for k, leaf in enumerate(held)]))

        if late:
            jax.debug.callback(arrived, *(leaves[k] for k in late))
        else:
            arrived()
        return returned

    return watched


def wait_for_values() -> None:
    """Wait until all that JAX is still computing has handed over what was asked for."""
    if "jax" in sys.modules:
        sys.modules["jax"].effects_barrier()
