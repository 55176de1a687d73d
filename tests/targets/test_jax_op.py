"""JAX targets: compiled or not, right ops are left in peace and planted faults are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, codes, messages, verdict

from gradaudit.results import Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradaudit.targets.framework_op import UnusableError  # noqa: E402
from gradaudit.targets.jax import jax_op  # noqa: E402


def with_vjp(backward: Any) -> Any:
    """Return ``tanh(x) * w`` with a hand-written backward, which gets the upstream, x and w."""

    @jax.custom_vjp
    def gated(x: Any, w: Any) -> Any:
        return jnp.tanh(x) * w

    gated.defvjp(lambda x, w: (gated(x, w), (x, w)), lambda saved, upstream: backward(upstream, *saved))
    return gated


def right(u: Any, x: Any, w: Any) -> Any:
    return u * w * (1 - jnp.tanh(x) ** 2), (u * jnp.tanh(x)).sum(0)


RIGHT = with_vjp(right)
X, W = array("x", 3, 4), array("w", 4)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_a_right_custom_vjp_passes_in_every_dtype_and_layout(dtype: str, layout: str) -> None:
    made = audit(jax_op, RIGHT, array("x", 3, 4, dtype=dtype, layout=layout), array("w", 4, dtype=dtype), dtype=dtype)
    assert (verdict(made), codes(made), messages(made)) == (Verdict.PASS, set(), "\n")


@pytest.mark.parametrize(
    ("backward", "code"),
    [
        (lambda u, x, w: (-right(u, x, w)[0], right(u, x, w)[1]), "sign-flipped"),
        (lambda u, x, w: (right(u, x, w)[0] / 2, right(u, x, w)[1]), "constant-factor"),
        (lambda u, x, w: (u * (1 - jnp.tanh(x) ** 2), right(u, x, w)[1]), "factor-per-axis"),
        (lambda u, x, w: right(jnp.ones_like(u), x, w), "upstream-ignored"),
        (lambda u, x, w: right(jnp.clip(u, -0.7, 0.7), x, w), "nonlinear-upstream"),
        (lambda u, x, w: (right(u, x, w)[0].at[:, -1].set(0.0), right(u, x, w)[1]), "wrong-subset"),
        (lambda u, x, w: (right(u, x, w)[0] + u, right(u, x, w)[1]), "missing-term"),
        (lambda u, x, w: (right(u, x, w)[0], None), "missing-gradient"),
    ],
)
def test_planted_faults_are_found_and_named(backward: Any, code: str) -> None:
    made = audit(jax_op, with_vjp(backward), X, W)
    assert verdict(made) is Verdict.FAIL
    assert code in codes(made)


def test_a_softmax_without_its_sum_lacks_a_term() -> None:
    @jax.custom_vjp
    def softmax(x: Any) -> Any:
        return jax.nn.softmax(x)

    softmax.defvjp(lambda x: (softmax(x), softmax(x)), lambda y, upstream: (upstream * y,))
    made = audit(jax_op, softmax, X)
    assert (verdict(made), codes(made)) == (Verdict.FAIL, {"missing-term"})


def test_a_gradient_that_is_stopped_is_missing() -> None:
    made = audit(jax_op, lambda x, w: jnp.sin(x) * jax.lax.stop_gradient(w), X, W)
    assert [result.verdict for result in made.results] == [Verdict.PASS, Verdict.FAIL]
    assert codes(made) == {"missing-gradient"}


def test_a_nan_out_of_the_branch_that_was_not_taken() -> None:
    made = audit(jax_op, lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0), X)
    assert (verdict(made), codes(made)) == (Verdict.FAIL, {"nonfinite"})


def test_a_custom_jvp_with_a_wrong_factor_is_found_through_reverse_mode() -> None:
    @jax.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    square.defjvp(lambda primals, tangents: (square(*primals), primals[0] * tangents[0]))
    made = audit(jax_op, square, array("x", 5))
    assert (verdict(made), "constant-factor" in codes(made)) == (Verdict.FAIL, True)


def test_a_trace_is_compiled_once_for_many_forwards() -> None:
    traced = []

    def function(x: Any) -> Any:
        traced.append(isinstance(x, jax.core.Tracer))
        return jnp.sin(x)

    (result,) = audit(jax_op, function, array("x", 4, 5)).results
    assert result.evaluations > 4
    assert all(traced)
    assert len(traced) <= 4  # forward and backward, and once more to see that they are the same again


def drawing(draw: Callable[[Any], Any]) -> Any:
    return lambda x: jnp.sin(x) * draw(x.shape)


class TestWhatIsDrawnWhenAFunctionIsTraced:
    """It is the same at every call then, and another in the backward."""

    @pytest.mark.parametrize(
        ("dtype", "function"),
        [
            ("float64", drawing(lambda shape: np.random.rand())),
            ("float32", drawing(lambda shape: np.random.default_rng().random(shape))),
            (
                "float64",
                drawing(
                    lambda shape: jax.random.uniform(jax.random.key(np.random.default_rng().integers(2**30)), shape)
                ),
            ),
            ("float32", lambda x: jax.jit(drawing(lambda shape: np.random.default_rng().random(shape)))(x)),
            ("float64", jax.jit(drawing(lambda shape: np.random.default_rng().random(shape)))),
            (
                "float32",
                lambda x: jax.lax.fori_loop(
                    0, 2, lambda k, y: y * np.random.default_rng().random(y.shape).astype(y.dtype), x
                ),
            ),
        ],
        ids=["a number", "an array", "a key", "inside jit", "under jit", "inside a loop"],
    )
    def test_it_is_named_and_no_factor_is_made_of_it(self, function: Any, dtype: str) -> None:
        made = audit(jax_op, function, array("x", 6, dtype=dtype), dtype=dtype)
        assert (verdict(made), codes(made)) == (Verdict.FAIL, {"stochastic-forward"})

    def test_a_backward_that_draws_is_named_too(self) -> None:
        noisy = with_vjp(lambda u, x, w: (right(u, x, w)[0] * np.random.default_rng().random(4), right(u, x, w)[1]))
        made = audit(jax_op, noisy, X, W)
        assert verdict(made) is Verdict.FAIL
        assert codes(made) == {"stochastic-backward"}

    def test_a_key_that_stays_is_left_in_peace(self) -> None:
        held = drawing(lambda shape: jax.random.uniform(jax.random.key(3), shape))
        fixed = drawing(lambda shape: np.random.default_rng(3).random(shape))
        for function in (held, fixed):
            assert (verdict(made := audit(jax_op, function, X)), codes(made)) == (Verdict.PASS, set())

    def test_a_trace_that_reads_otherwise_and_is_the_same_is_left_in_peace(self) -> None:
        names = iter(range(100))

        def function(x: Any) -> Any:
            def inner(y: Any) -> Any:
                return jnp.sin(y)

            inner.__name__ = f"turn_{next(names)}"
            return jax.jit(inner)(x)

        assert (verdict(made := audit(jax_op, function, X)), codes(made)) == (Verdict.PASS, set())


def test_what_looks_at_values_is_called_without_jit() -> None:
    made = audit(jax_op, lambda x: x * 2 if x.sum() > 0 else x * 3, array("x", 4))
    assert (verdict(made), codes(made)) == (Verdict.PASS, set())
    made = audit(jax_op, lambda x: jnp.sin(x)[np.asarray(x) > 0], array("x", 6))
    assert "TracerArrayConversionError" in messages(made)  # which a VJP without jit raises too


def test_double_precision_is_on_inside_only() -> None:
    (output,) = jax_op(jnp.exp).forward({"x": np.ones(2)})
    assert output.dtype == np.float64
    assert jnp.ones(2).dtype == jnp.float32


def test_trees_constants_and_params() -> None:
    def function(x: Any, index: Any, *, power: int) -> Any:
        return {"power": x**power, "rest": (x[index], jnp.argmax(x))}

    drawn = {"lo": 0, "hi": 3, "dtype": "int32", "distribution": "integers", "differentiable": False}
    made = audit(jax_op, function, array("x", 4, lo=0.5), array("index", 2, **drawn), params={"power": 3})
    assert [(result.input, result.message) for result in made.results] == [("x", "")]
    outputs = jax_op(function, params={"power": 3}).forward({"x": np.ones(4), "index": np.array([1], np.int32)})
    assert [output.shape for output in outputs] == [(4,), (1,), ()]


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_complex_inputs_beside_real_ones(dtype: str) -> None:
    real = {"complex128": "float64", "complex64": "float32"}[dtype]
    for function in (lambda z, a: z * jnp.conj(z) * z + a * z, lambda z, a: jnp.abs(z) * jnp.exp(a)):
        made = audit(jax_op, function, array("z", 3, 2, lo=0.3, dtype=dtype), array("a", 2, dtype=real), dtype=dtype)
        assert (verdict(made), messages(made)) == (Verdict.PASS, "\n")


def test_one_wrong_element_of_a_large_op_is_found() -> None:
    wrong = with_vjp(lambda u, x, w: (right(u, x, w)[0].at[1, 1234].mul(1.01), right(u, x, w)[1]))
    (of_x, of_w) = audit(jax_op, wrong, array("x", 2, 3000), array("w", 3000, lo=0.5)).results
    assert [mismatch.index for mismatch in of_x.mismatches] == [(1, 1234)]
    assert of_w.verdict is Verdict.PASS


def test_an_output_without_elements_leaves_nothing_to_be_wrong_about() -> None:
    made = audit(jax_op, lambda x: jnp.sin(x)[:0], array("x", 4))
    assert verdict(made) is Verdict.PASS


def layers(p: Any, x: Any, act: Any) -> Any:
    return act(x @ p["layers"][0]["kernel"] + p["layers"][0]["bias"]) @ p["layers"][1]["kernel"] * p["count"]


def tree() -> Any:
    first, second = (jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate([(4, 5), (5, 2)]))
    return {"layers": [{"kernel": first, "bias": jnp.zeros(5)}, {"kernel": second}], "count": 3}


@jax.custom_vjp
def tanh_with_vjp(x: Any) -> Any:
    return jnp.tanh(x)


tanh_with_vjp.defvjp(lambda x: (jnp.tanh(x), x), lambda x, u: (u * (1 - jnp.tanh(x)),))


@jax.tree_util.register_pytree_with_keys_class
class Layer:
    """A module that is a tree of its parameters, its activation among the leaves."""

    def __init__(self, weight: Any, act: Any) -> None:
        self.weight, self.act = weight, act

    def __call__(self, x: Any) -> Any:
        return self.act(x @ self.weight)

    def tree_flatten_with_keys(self) -> Any:
        key = jax.tree_util.GetAttrKey
        return [(key("weight"), self.weight), (key("act"), self.act)], None

    @classmethod
    def tree_unflatten(cls, _: Any, leaves: Any) -> Any:
        return cls(*leaves)


PATHS = {"layers[0].bias", "layers[0].kernel", "layers[1].kernel"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_each_parameter_in_a_models_tree_is_audited_by_its_path(dtype: str) -> None:
    build = lambda: (lambda p, x: layers(p, x, jnp.tanh), tree())  # noqa: E731
    made = audit(jax_op, build, array("x", 3, 4, dtype=dtype), dtype=dtype)
    assert verdict(made) is Verdict.PASS, messages(made)
    assert {result.input for result in made.results} == {"x", *PATHS}


def test_a_wrong_backward_in_a_layer_is_told_by_the_parameters_before_it() -> None:
    build = lambda: (lambda p, x: layers(p, x, tanh_with_vjp), tree())  # noqa: E731
    made = audit(jax_op, build, array("x", 3, 4))
    wrong = {result.input for result in made.results if result.verdict is Verdict.FAIL}
    assert wrong == {"x", "layers[0].bias", "layers[0].kernel"}


@pytest.mark.parametrize("given", [lambda made: made, lambda made: lambda: made])
def test_a_module_that_is_a_tree(given: Any) -> None:
    for act, failing in ((jnp.tanh, set()), (tanh_with_vjp, {"x", "weight"})):
        made = audit(jax_op, given(Layer(tree()["layers"][0]["kernel"], act)), array("x", 3, 4))
        assert {result.input for result in made.results} == {"x", "weight"}
        assert {result.input for result in made.results if result.verdict is Verdict.FAIL} == failing


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: 3, "needs no inputs and returned int; expected a function of inputs, a pair of a function"),
        (lambda: (jnp.tanh, {"count": 3}), "has no parameters: nothing in its tree is a floating array"),
    ],
)
def test_what_makes_no_model_is_told(build: Any, said: str) -> None:
    with pytest.raises(UnusableError, match=said):
        jax_op(build)
