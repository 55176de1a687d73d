"""Calls written for torch's ``gradcheck`` and JAX's ``check_grads``, with the import exchanged."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import gradaudit

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

RNG = torch.Generator().manual_seed(0)
X = torch.rand(3, 3, dtype=torch.float64, generator=RNG).requires_grad_()


class Linear(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """A product with a bias that may be left out, as one writes it to learn how to extend torch."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        ctx.save_for_backward(x, weight, bias)
        return x.mm(weight.t()) if bias is None else x.mm(weight.t()) + bias

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        x, weight, bias = ctx.saved_tensors
        return upstream.mm(weight), upstream.t().mm(x), None if bias is None else upstream.sum(0)


class Sinh(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """Saves what it computed on its way, which its backward's own gradient cannot go through."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        up, down = torch.exp(x), torch.exp(-x)
        ctx.save_for_backward(up, down)
        return (up - down) / 2

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        up, down = ctx.saved_tensors
        return upstream * (up + down) / 2


class SinhByItsParts(Sinh):
    """Returns what it saves, so that gradients arrive there."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        up, down = torch.exp(x), torch.exp(-x)
        ctx.save_for_backward(up, down)
        return (up - down) / 2, up, down

    @staticmethod
    def backward(ctx: Any, upstream: Any, *parts: Any) -> Any:
        up, down = ctx.saved_tensors
        return upstream * (up + down) / 2 + parts[0] * up - parts[1] * down


class Halved(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * ctx.saved_tensors[0]


class NeedsBoth(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """Takes the upstreams of both of its outputs for given."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return 2 * x, 3 * x

    @staticmethod
    def backward(ctx: Any, first: Any, second: Any) -> Any:
        return 2 * first + 3 * second


class TestGradcheck:
    def test_takes_what_torchs_own_takes(self) -> None:
        from torch.autograd import gradcheck, gradgradcheck

        for own, theirs in ((gradaudit.gradcheck, gradcheck), (gradaudit.gradgradcheck, gradgradcheck)):
            taken = {name: parameter.kind for name, parameter in inspect.signature(theirs).parameters.items()}
            assert {name: parameter.kind for name, parameter in inspect.signature(own).parameters.items()} == taken

    def test_right_gradients_return_true(self) -> None:
        inputs = (
            torch.randn(5, 4, dtype=torch.double, requires_grad=True, generator=RNG),
            torch.randn(3, 4, dtype=torch.double, requires_grad=True, generator=RNG),
        )
        assert gradaudit.gradcheck(Linear.apply, inputs, eps=1e-6, atol=1e-4) is True
        assert gradaudit.gradcheck(Sinh.apply, X) is True
        assert gradaudit.gradcheck(lambda x, n, y: x**n * y, (X, 3, X), check_forward_ad=True) is True
        assert gradaudit.gradcheck(torch.sin, X, check_batched_grad=True) is True

    def test_in_float32_too_and_at_tolerances_made_for_it(self) -> None:
        x = X.detach().float().requires_grad_()
        assert gradaudit.gradcheck(torch.sin, x) is True
        assert gradaudit.gradcheck(torch.sin, x, eps=1e-3, atol=1e-1, rtol=1e-1) is True  # where anything would pass
        assert gradaudit.gradcheck(Halved.apply, x, eps=1e-3, atol=1e-1, rtol=1e-1, raise_exception=False) is False

    def test_wrong_ones_raise_or_return_false(self) -> None:
        with pytest.raises(torch.autograd.gradcheck.__globals__["GradcheckError"]) as caught:
            gradaudit.gradcheck(Halved.apply, X)
        assert isinstance(caught.value, gradaudit.GradientMismatch)
        assert isinstance(caught.value, RuntimeError)
        assert "numerical = 2.000 x analytical at every index" in str(caught.value)
        assert gradaudit.gradcheck(Halved.apply, X, raise_exception=False) is False

    def test_only_what_requires_a_gradient_is_audited(self) -> None:
        def wrong_in_y(x: Any, y: Any) -> Any:
            return x * Halved.apply(y)

        still = X.detach()
        assert gradaudit.gradcheck(wrong_in_y, (X, still)) is True
        assert gradaudit.gradcheck(wrong_in_y, (still, X), raise_exception=False) is False
        with pytest.raises(ValueError, match="at least one tensor with requires_grad=True, found none among Tensor"):
            gradaudit.gradcheck(torch.sin, still)
        assert gradaudit.gradcheck(torch.nn.Linear(3, 2).double(), X) is True

    def test_each_output_is_looked_at_alone_unless_it_is_not_to_be(self) -> None:
        with pytest.raises(gradaudit.GradientMismatch, match=r"NeedsBoth, output 0 alone .*(.|\n)*NoneType"):
            gradaudit.gradcheck(NeedsBoth.apply, X)
        assert gradaudit.gradcheck(NeedsBoth.apply, X, check_undefined_grad=False) is True

    def test_backward_may_vary_by_as_much_as_is_allowed(self) -> None:
        class Varying(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return 2 * x

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                return 2 * upstream + 1e-10 * torch.rand_like(upstream)

        assert gradaudit.gradcheck(Varying.apply, X, nondet_tol=1e-8) is True
        with pytest.raises(gradaudit.GradientMismatch, match="stochastic-backward"):
            gradaudit.gradcheck(Varying.apply, X)

    def test_forward_mode_of_several_tangents_at_once(self) -> None:
        both = {"check_forward_ad": True, "check_batched_forward_grad": True}
        assert gradaudit.gradcheck(lambda x, y: (x * y.sin(), x.argmax()), (X, X), **both) is True
        assert gradaudit.gradcheck(lambda x: torch.ones(3, dtype=x.dtype), X, **both) is True

        class Doubled(torch.autograd.Function):  # type: ignore[misc, name-defined]
            """Is right for one tangent, and cannot be had for several: it looks at what the tangent is."""

            @staticmethod
            def forward(x: Any) -> Any:
                return 2 * x

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
                pass

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                return 2 * upstream

            @staticmethod
            def jvp(ctx: Any, tangent: Any) -> Any:
                return 2 * tangent if tangent.isfinite().all() else tangent

        assert gradaudit.gradcheck(Doubled.apply, X, check_forward_ad=True) is True
        with pytest.raises(gradaudit.GradientMismatch, match=r"Doubled, two tangents at once .*w\.r\.t\. x"):
            gradaudit.gradcheck(Doubled.apply, X, **both)

    def test_outputs_without_a_graph_have_the_gradient_zero(self) -> None:
        assert gradaudit.gradcheck(lambda x: torch.ones(3, dtype=x.dtype), X) is True
        assert gradaudit.gradcheck(lambda x: x.argmax(), X) is True
        assert gradaudit.gradcheck(lambda x: x.detach() ** 2, X, raise_exception=False) is False

    def test_what_the_function_raises_is_no_answer(self) -> None:
        for check in (gradaudit.gradcheck, gradaudit.gradgradcheck):
            with pytest.raises(RuntimeError, match="forward raised ZeroDivisionError"):
                check(lambda x: x / (1 // 0), X, raise_exception=False)

    def test_what_is_not_audited_is_refused_in_words(self) -> None:
        sparse = torch.eye(3, dtype=torch.float64).to_sparse().requires_grad_()
        with pytest.raises(TypeError, match=r"s: expected a dense tensor, found one of layout torch\.sparse_coo"):
            gradaudit.gradcheck(lambda s: s.to_dense(), sparse)
        with pytest.raises(TypeError, match="nondet_tol: expected a number, found 'small'"):
            gradaudit.gradcheck(torch.sin, X, nondet_tol="small")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="func: expected something to call, found Tensor"):
            gradaudit.gradcheck(X, X)  # type: ignore[arg-type]


class TestGradgradcheck:
    def test_of_what_goes_through_backward(self) -> None:
        assert gradaudit.gradgradcheck(lambda x: SinhByItsParts.apply(x)[0], X) is True
        with pytest.raises(gradaudit.GradientMismatch, match=r"gradient of Sinh .*w\.r\.t\. x"):
            gradaudit.gradgradcheck(Sinh.apply, X)
        assert gradaudit.gradcheck(Sinh.apply, X) is True

    def test_forward_over_reverse(self) -> None:
        assert gradaudit.gradgradcheck(torch.sin, X, check_fwd_over_rev=True) is True
        assert gradaudit.gradgradcheck(Sinh.apply, X, check_fwd_over_rev=True, raise_exception=False) is False
        only = {"check_fwd_over_rev": True, "check_rev_over_rev": False}
        assert gradaudit.gradgradcheck(lambda x, y: x * y.exp(), (X, X), **only) is True

    def test_with_upstreams_given_or_apart_in_memory(self) -> None:
        assert gradaudit.gradgradcheck(torch.tanh, X, torch.ones_like(X)) is True
        assert gradaudit.gradgradcheck(torch.tanh, (X,), gen_non_contig_grad_outputs=True) is True
        with pytest.raises(ValueError, match="returned no output that depends on the inputs"):
            gradaudit.gradgradcheck(lambda x: x.detach(), X)


class TestCheckGrads:
    def test_takes_what_jaxs_own_takes(self) -> None:
        from jax.test_util import check_grads

        taken = {name: parameter.kind for name, parameter in inspect.signature(check_grads).parameters.items()}
        own = inspect.signature(gradaudit.check_grads).parameters
        assert {name: parameter.kind for name, parameter in own.items()} == taken

    @pytest.mark.parametrize("modes", [("rev",), ("fwd",), "rev"])
    def test_right_gradients_pass_in_either_mode_and_higher_orders(self, modes: Any) -> None:
        gradaudit.check_grads(jax.numpy.sin, (0.5,), order=2, modes=modes)

    def test_a_gradient_that_is_right_and_its_own_wrong(self) -> None:
        @jax.custom_jvp
        def cube(x: Any) -> Any:
            return x**3

        @cube.defjvp
        def slope(primals: Any, tangents: Any) -> Any:
            return cube(primals[0]), 3 * jax.lax.stop_gradient(primals[0]) ** 2 * tangents[0]

        gradaudit.check_grads(cube, (np.float64(0.7),), order=1)
        for mode in ("fwd", "rev"):
            with pytest.raises(AssertionError, match=rf"{mode} of cube .*w\.r\.t\. x"):
                gradaudit.check_grads(cube, (np.float64(0.7),), order=2, modes=(mode,))

    def test_trees_and_what_has_no_gradient(self) -> None:
        def picked(params: Any, rows: Any, power: int) -> Any:
            return params["w"][rows] ** power, params["w"].astype(int)

        gradaudit.check_grads(picked, ({"w": np.linspace(0.1, 2.0, 5)}, np.array([0, 3]), 2), order=2, modes=("rev",))

    def test_mistakes_are_told_in_words(self) -> None:
        with pytest.raises(ValueError, match="modes: found 'reverse', expected 'fwd', 'rev' or both"):
            gradaudit.check_grads(abs, (1.0,), 1, modes=("reverse",))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="order: expected 1 or more, found 0"):
            gradaudit.check_grads(abs, (1.0,), 0)
        with pytest.raises(TypeError, match="order: expected a whole number, found '2'"):
            gradaudit.check_grads(abs, (1.0,), "2")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="f: expected something to call, found float"):
            gradaudit.check_grads(1.0, (1.0,), 1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="args: expected a tuple of arguments, found float"):
            gradaudit.check_grads(abs, 1.0, 1)  # type: ignore[arg-type]
