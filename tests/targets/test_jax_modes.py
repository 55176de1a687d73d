"""Forward mode, batches of upstreams and the second order in JAX: each finds what reverse mode does not see."""

from __future__ import annotations

from typing import Any

import pytest
from framework_audits import array, audit, codes, messages, verdict

from gradaudit.results import Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradaudit.targets.jax import jax_op  # noqa: E402

MODES = ["forward", "second", "batched"]


def audited(function: Any, mode: Any, *inputs: Any, **settings: Any) -> Any:
    return audit(jax_op, function, *(inputs or (array("x", 3, 4),)), mode=mode, **settings)


@pytest.mark.parametrize("mode", MODES)
def test_a_right_function_passes_in_every_mode(mode: Any) -> None:
    made = audited(lambda x, w: (jnp.sin(x) @ w, x.sum()), mode, array("x", 2, 3), array("w", 3))
    assert (verdict(made), codes(made)) == (Verdict.PASS, set())


def test_a_wrong_custom_jvp_is_found_in_forward_mode() -> None:
    @jax.custom_jvp
    def sine(x: Any) -> Any:
        return jnp.sin(x)

    sine.defjvp(lambda primals, tangents: (sine(*primals), -jnp.cos(*primals) * tangents[0]))
    made = audited(sine, "forward")
    assert (verdict(made), "sign-flipped" in codes(made)) == (Verdict.FAIL, True)


def test_a_backward_that_leaves_the_graph_is_found_in_the_second_order() -> None:
    @jax.custom_vjp
    def sine(x: Any) -> Any:
        return jnp.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, upstream: (upstream * jnp.cos(jax.lax.stop_gradient(x)),))
    assert verdict(audited(sine, "reverse")) is Verdict.PASS
    made = audited(sine, "second")
    assert [result.verdict for result in made.results] == [Verdict.FAIL, Verdict.PASS]


def test_a_wrong_rule_for_batches_is_found() -> None:
    @jax.custom_batching.custom_vmap
    def times_cosine(upstream: Any, x: Any) -> Any:
        return upstream * jnp.cos(x)

    @times_cosine.def_vmap
    def _rule(size: int, batched: Any, upstream: Any, x: Any) -> Any:
        return jnp.broadcast_to(upstream[:1], upstream.shape) * jnp.cos(x), True

    @jax.custom_vjp
    def sine(x: Any) -> Any:
        return jnp.sin(x)

    sine.defvjp(lambda x: (sine(x), x), lambda x, upstream: (times_cosine(upstream, x),))
    assert verdict(audited(sine, "reverse")) is Verdict.PASS
    assert verdict(audited(sine, "batched")) is Verdict.FAIL


@pytest.mark.parametrize("mode", MODES)
def test_complex_inputs_beside_real_ones(mode: Any) -> None:
    z, a = array("z", 3, dtype="complex128"), array("a", 3)
    made = audited(lambda z, a: z * jnp.conj(z) * z + a * z, mode, z, a, dtype="complex128")
    assert verdict(made) is Verdict.PASS


def test_a_custom_vjp_has_no_forward_mode_and_jax_says_so() -> None:
    sine = jax.custom_vjp(jnp.sin)
    sine.defvjp(lambda x: (sine(x), x), lambda x, upstream: (upstream * jnp.cos(x),))
    made = audited(sine, "forward")
    assert (verdict(made), "forward-mode" in messages(made)) == (Verdict.ERROR, True)
