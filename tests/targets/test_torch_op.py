"""PyTorch targets: right ops are left in peace, planted faults are found, state does not leak between calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, codes, messages, verdict

import gradaudit
from gradaudit.results import Verdict
from gradaudit.spec.dtypes import dtype_of

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradaudit.targets.torch import torch_op  # noqa: E402


class Tanh(torch.autograd.Function):
    """``scale * tanh(x)``, right unless a fault says how not."""

    fault = ""

    @staticmethod
    def forward(ctx: Any, x: Any, scale: float = 1.0) -> Any:
        made = torch.tanh(x)
        ctx.save_for_backward(made)
        ctx.scale = scale
        return scale * made

    @classmethod
    def slope(cls, made: Any) -> Any:
        return 1 - made * made

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (made,) = ctx.saved_tensors
        return upstream * ctx.scale * Tanh.slope(made), None


class SignFlipped(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return -Tanh.backward(ctx, upstream)[0], None


class Doubled(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return 2 * Tanh.backward(ctx, upstream)[0], None


class Forgotten(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return None, None


class UpstreamIgnored(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return Tanh.backward(ctx, torch.ones_like(upstream))


class Noisy(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return Tanh.backward(ctx, upstream)[0] * (torch.rand_like(upstream) < 0.5) * 2, None


class UpstreamChanged(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream.mul_(ctx.scale * Tanh.slope(ctx.saved_tensors[0])), None


class LastInput(Tanh):
    """It keeps its state on the class, so that a later forward changes the answer."""

    last: Any = None

    @staticmethod
    def forward(ctx: Any, x: Any, scale: float = 1.0) -> Any:
        if LastInput.last is None:
            LastInput.last = x.detach().clone()
        ctx.scale = scale
        return scale * torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * ctx.scale * Tanh.slope(torch.tanh(LastInput.last)).to(upstream.dtype), None


class WrongShape(Tanh):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return Tanh.backward(ctx, upstream)[0][:1, :2], None


class TestFunctions:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
    @pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
    def test_a_right_function_passes_in_every_dtype_and_layout(self, dtype: str, layout: str) -> None:
        made = audit(torch_op, Tanh.apply, array("x", 3, 4, dtype=dtype, layout=layout), dtype=dtype)
        assert (verdict(made), codes(made), messages(made)) == (Verdict.PASS, set(), "")

    def test_the_formula_is_audited_in_float64_whatever_the_dtype(self) -> None:
        (result,) = audit(torch_op, Tanh.apply, array("x", 3, 4, dtype="float32"), dtype="float32").results
        assert (result.rtol, "differenced in" in result.message) == (1e-4, False)

    @pytest.mark.parametrize(
        ("function", "code"),
        [
            (SignFlipped, "sign-flipped"),
            (Doubled, "constant-factor"),
            (UpstreamIgnored, "upstream-ignored"),
            (UpstreamChanged, "input-mutated"),
            (LastInput, "captured-state"),
            (Forgotten, "missing-gradient"),
        ],
    )
    def test_planted_faults_are_found_and_named(self, function: Any, code: str) -> None:
        made = audit(torch_op, function.apply, array("x", 3, 4))
        assert verdict(made) is Verdict.FAIL
        assert code in codes(made)

    def test_a_mask_that_backward_draws_anew_fails(self) -> None:
        assert verdict(audit(torch_op, Noisy.apply, array("x", 3, 4))) is Verdict.FAIL

    def test_one_wrong_element_among_many_is_found(self) -> None:
        class OneWrong(Tanh):
            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                gradient = Tanh.backward(ctx, upstream)[0]
                gradient[17, 33] *= 1.01
                return gradient, None

        (result,) = audit(torch_op, OneWrong.apply, array("x", 100, 100)).results
        assert result.method == "search"
        assert [mismatch.index for mismatch in result.mismatches] == [(17, 33)]

    def test_a_gradient_of_another_shape_is_an_error_in_torch_s_words(self) -> None:
        made = audit(torch_op, WrongShape.apply, array("x", 3, 4))
        assert verdict(made) is Verdict.ERROR
        assert "invalid gradient at index 0" in messages(made)

    def test_params_reach_apply_at_their_places(self) -> None:
        made = audit(torch_op, Tanh.apply, array("x", 3), params={"scale": 3.0})
        assert verdict(made) is Verdict.PASS
        (result,) = audit(torch_op, Doubled.apply, array("x", 3), params={"scale": 3.0}).results
        x = torch_op(Tanh.apply, params={"scale": 3.0}).forward({"x": np.ones(1)})[0]
        assert x == pytest.approx(3 * np.tanh(1.0))
        assert result.verdict is Verdict.FAIL

    def test_defaults_that_backward_does_not_know_of_are_left_to_torch(self) -> None:
        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any, by: float = 2.0, plus: float = 1.0, minus: float = 0.0) -> Any:
                ctx.by = by
                return by * x + plus - minus

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                return (upstream * ctx.by, None, None)[: len(ctx.needs_input_grad)]

        for params in ({}, {"by": 3.0}, {"plus": 3.0}):
            made = audit(torch_op, Scaled.apply, array("x", 3), params=params)
            assert (verdict(made), messages(made)) == (Verdict.PASS, "")

    def test_a_function_whose_context_is_set_up_apart(self) -> None:
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(x: Any, power: int) -> Any:
                return x**power

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
                ctx.save_for_backward(inputs[0])
                ctx.power = inputs[1]

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                return upstream * ctx.power * ctx.saved_tensors[0] ** (ctx.power - 1), None

        made = audit(torch_op, Cube.apply, array("x", 3), params={"power": 3})
        assert (verdict(made), messages(made)) == (Verdict.PASS, "")

    @pytest.mark.parametrize("dtype", ["complex128", "complex64"])
    def test_complex_inputs_beside_real_ones(self, dtype: str) -> None:
        real = {"complex128": "float64", "complex64": "float32"}[dtype]
        z, a = array("z", 3, 2, lo=0.3, dtype=dtype), array("a", 2, dtype=real)
        for function in (
            lambda z, a: z * z.conj() + a * z,
            lambda z, a: (z.abs() * a).sum(),
            lambda z, a: torch.view_as_real(z * torch.polar(a.exp(), a)),
        ):
            made = audit(torch_op, function, z, a, dtype=dtype)
            assert (verdict(made), messages(made)) == (Verdict.PASS, "\n")

    def test_of_several_outputs_those_count_that_autograd_differentiates(self) -> None:
        def function(x: Any) -> Any:
            return {"top": x.max(1), "mask": (x > 0).to(x.dtype), "square": x.square()}

        op = torch_op(function)
        outputs = op.forward({"x": np.array([[1.0, 2.0]])})
        assert op.differentiable_outputs(outputs) == (0, 3)
        assert verdict(audit(torch_op, function, array("x", 3, 4))) is Verdict.PASS
        assert "output 2, but it is constant" in messages(audit(torch_op, function, array("x", 3, 4), counted=(2,)))

    def test_an_input_that_nothing_depends_on_has_the_gradient_zero(self) -> None:
        made = audit(torch_op, lambda x, y: x * 2, array("x", 3), array("y", 3))
        assert (verdict(made), codes(made)) == (Verdict.PASS, set())
        assert made.results[1].message == "its gradient is zero at every index: no output depends on it here"
        assert torch_op(lambda x, y: x * 2).backward((np.ones(3),), {"x": np.ones(3), "y": np.ones(3)}, (np.ones(3),))[
            "y"
        ] == pytest.approx([0, 0, 0])

    def test_a_constant_input_gets_no_gradient(self) -> None:
        target = array("target", 3, lo=0.1, hi=0.9, differentiable=False)
        made = audit(torch_op, nn.functional.binary_cross_entropy, array("p", 3, lo=0.1, hi=0.9), target)
        assert [result.input for result in made.results] == ["p"]
        assert verdict(made) is Verdict.PASS

    def test_detaching_everything_is_an_error_that_says_so(self) -> None:
        made = audit(torch_op, lambda x: x.detach() * 2, array("x", 3))
        assert "no output that depends on a differentiable input; found a constant" in messages(made)

    def test_sparse_outputs_are_refused_in_words(self) -> None:
        assert "layout torch.sparse_coo" in messages(audit(torch_op, lambda x: x.to_sparse(), array("x", 3)))

    def test_what_the_function_raises_is_told_with_its_own_line(self) -> None:
        def function(x: Any) -> Any:
            return x @ x

        said = messages(audit(torch_op, function, array("x", 2, 3)))
        assert said.startswith("forward raised RuntimeError")
        assert "return x @ x" in said
        assert "framework_op.py" not in said


class TestMemory:
    @pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "complex64"])
    def test_tensors_share_memory_with_arrays(self, dtype: str) -> None:
        seen = []

        def function(x: Any) -> Any:
            seen.append(x.data_ptr())
            return x.view_as(x)

        x = np.ones((4, 4), dtype_of(dtype))
        (output,) = torch_op(function).forward({"x": x})
        assert seen == [x.ctypes.data]
        assert np.shares_memory(output.view(np.uint8), x.view(np.uint8))

    def test_arrays_that_torch_cannot_use_are_copied(self) -> None:
        backwards = np.arange(3.0)[::-1]
        locked = np.arange(3.0)
        locked.flags.writeable = False
        for x in (backwards, locked):
            (output,) = torch_op(lambda x: 2 * x).forward({"x": x})
            assert np.array_equal(output, 2 * x)


class TestRandomness:
    def test_dropout_draws_the_same_mask_at_every_call(self) -> None:
        made = audit(torch_op, lambda x: nn.functional.dropout(x, 0.5), array("x", 4, 5))
        assert (verdict(made), codes(made)) == (Verdict.PASS, set())

    def test_the_generator_is_left_as_it_was(self) -> None:
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        torch_op(lambda x: x * torch.rand(3)).forward({"x": np.ones(3)})
        assert torch.equal(torch.rand(3), expected)


class WrongNorm(nn.Module):
    """A normalisation whose forward is right, and whose scale's gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        halved = self.scale.detach() / 2 + self.scale / 2
        return nn.functional.layer_norm(x, (4,)) * halved


class TestModules:
    def test_parameters_are_audited_by_name_without_being_listed(self) -> None:
        made = audit(torch_op, lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), array("x", 5, 3))
        names = ["x", "0.weight", "0.bias", "2.weight", "2.bias"]
        assert [result.input for result in made.results] == names
        assert (verdict(made), codes(made)) == (Verdict.PASS, set())

    def test_a_fault_in_the_gradient_of_a_parameter_is_found_and_named(self) -> None:
        made = audit(torch_op, WrongNorm, array("x", 5, 4))
        by_name = {result.input: result for result in made.results}
        assert (by_name["x"].verdict, by_name["scale"].verdict) == (Verdict.PASS, Verdict.FAIL)
        assert "constant-factor" in {finding.code for finding in by_name["scale"].findings}

    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm_in_training_and_evaluation(self, training: bool) -> None:
        def norm() -> Any:
            return nn.BatchNorm2d(3).train(training)

        for dtype in ("float32", "float64"):
            made = audit(torch_op, norm, array("x", 4, 3, 2, 2, dtype=dtype), dtype=dtype)
            assert (verdict(made), codes(made), messages(made)) == (Verdict.PASS, set(), "\n\n")

    def test_buffers_are_put_back_between_calls(self) -> None:
        module = WrongNorm()
        op = torch_op(module)
        for _ in range(3):
            op.forward({"x": np.ones((2, 4)), **op.parameters})
        assert module.calls == 0

    def test_parameters_that_are_not_given_or_frozen_are_constants(self) -> None:
        layer = nn.Linear(3, 2)
        layer.bias.requires_grad_(False)
        made = audit(torch_op, layer, array("x", 4, 3))
        assert [result.input for result in made.results] == ["x", "weight"]
        assert verdict(made) is Verdict.PASS
        (output,) = torch_op(layer).forward({"x": np.zeros((1, 3))})
        assert output[0] == pytest.approx(layer.bias.numpy())

    def test_tied_parameters_move_together(self) -> None:
        class Tied(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first = nn.Linear(3, 3, bias=False)
                self.second = nn.Linear(3, 3, bias=False)
                self.second.weight = self.first.weight

            def forward(self, x: Any) -> Any:
                return self.second(torch.tanh(self.first(x)))

        made = audit(torch_op, Tied, array("x", 2, 3))
        assert [result.input for result in made.results] == ["x", "first.weight"]
        assert verdict(made) is Verdict.PASS

    def test_indices_beside_a_weight_that_the_spec_names(self) -> None:
        indices = array("indices", 6, lo=0, hi=4, dtype="int64", distribution="integers", differentiable=False)
        made = audit(torch_op, lambda: nn.Embedding(5, 3), indices, array("weight", 5, 3))
        assert [(result.input, result.verdict) for result in made.results] == [("weight", Verdict.PASS)]

    @pytest.mark.parametrize(
        "make",
        [
            lambda: nn.LSTM(3, 4, batch_first=True),
            lambda: nn.MultiheadAttention(4, 2, batch_first=True).eval(),
            lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.2, batch_first=True),
        ],
        ids=["lstm", "attention", "transformer layer"],
    )
    def test_modules_of_torch(self, make: Any) -> None:
        width = 3 if isinstance(make(), nn.LSTM) else 4
        names = ("query", "key", "value") if isinstance(make(), nn.MultiheadAttention) else ("x",)
        inputs = [array(name, 2, 3, width, dtype="float32") for name in names]
        made = audit(torch_op, make, *inputs, dtype="float32")
        assert [(r.input, r.message) for r in made.results if r.verdict is not Verdict.PASS] == []

    def test_what_needs_no_inputs_and_makes_no_module_is_refused(self) -> None:
        with pytest.raises(Exception, match=r"needs no inputs and returned int; expected"):
            torch_op(lambda: 3)


def attracted(x: Any, v: Any, m: Any) -> tuple[Any, Any]:
    """Return where softened masses move to in a kernel of float32: each attracts itself, which comes to nothing."""
    x, v, m = x.float(), v.float(), m.float()
    for _ in range(4):
        apart = x[None] - x[:, None]
        pull = ((apart * apart).sum(-1) + 1e-4) ** -1.5
        v = v + 0.005 * (apart * pull[..., None] * m[None, :, None]).sum(1)
        x = x + 0.005 * v
    return x, v


def test_another_order_of_sums_that_cancel_is_no_ignored_stride() -> None:
    """The gradient of what cancels is left with the rounding of 1e6, which depends on the order of its terms."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        drawn = {"x": rng.normal(size=(20, 3)), "v": 0.1 * rng.normal(size=(20, 3)), "m": rng.uniform(0.5, 2, 20)}
        inputs = {name: torch.tensor(values, dtype=torch.float32) for name, values in drawn.items()}
        made = gradaudit.check(gradaudit.torch_op(attracted), inputs, seed=seed)
        assert "layout-dependent" not in {finding.code for result in made.results for finding in result.findings}


@pytest.mark.parametrize("factor", [1.0, 1.02])
def test_a_backward_under_autocast_that_takes_no_float64_is_judged_by_the_dtype_that_it_computes_in(
    factor: float,
) -> None:
    """Its forward is exact in float64, but the upstream is made float32, and products of that are in bfloat16."""

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return x @ w

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            x, w = ctx.saved_tensors
            wide = upstream[0].float()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                of_x, of_w = wide @ w.t(), x.t() @ wide
            return of_x.to(x.dtype), factor * of_w.to(w.dtype)

    inputs = array("x", 48, 40, dtype="float32"), array("w", 40, 24, dtype="float32")
    results = audit(torch_op, Product.apply, *inputs, dtype="float32").results
    found = {result.input: result.verdict for result in results}
    assert found == {"x": Verdict.PASS, "w": Verdict.PASS if factor == 1.0 else Verdict.FAIL}, results[1].message
