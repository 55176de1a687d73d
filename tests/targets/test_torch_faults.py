"""Mistakes that people make in PyTorch, in a ``Function`` and in an ``nn.Module``: each is found and named."""

from __future__ import annotations

from typing import Any

import pytest
from framework_audits import array, audit, codes, messages, verdict

from gradaudit.results import Verdict

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradaudit.targets.torch import torch_op  # noqa: E402


class Softmax(torch.autograd.Function):
    """Right; the faults below change its backward."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = torch.softmax(x, -1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (y,) = ctx.saved_tensors
        return y * (upstream - (upstream * y).sum(-1, keepdim=True))


class SoftmaxWithoutTheSum(Softmax):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * ctx.saved_tensors[0]


class SoftmaxOfFloatUpstream(Softmax):
    """Half precision on the way: right but for the digits."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return Softmax.backward(ctx, upstream.half().to(upstream.dtype))


class SoftmaxIntoEmpty(Softmax):
    """Right: every element is written."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        gradient = torch.empty_like(upstream)
        gradient.copy_(Softmax.backward(ctx, upstream))
        return gradient


class SoftmaxWithoutTheLastRow(Softmax):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        gradient = upstream.new_empty(upstream.shape)
        gradient[:-1] = Softmax.backward(ctx, upstream)[:-1]
        return gradient


class BorderForgotten(torch.autograd.Function):
    """Differences along the last axis, whose backward leaves the last element out."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x[..., 1:] * 2 - x[..., :-1]

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        made = upstream.new_zeros(*upstream.shape[:-1], upstream.shape[-1] + 1)
        made[..., :-1] -= upstream
        made[..., 1:-1] += 2 * upstream[..., :-1]
        return made


class BatchNorm(torch.autograd.Function):
    """The batch norm of issue 2067: the term of the mean is multiplied by zero, and one of the variance is lost."""

    @staticmethod
    def forward(ctx: Any, x: Any, gamma: Any) -> Any:
        inverse = torch.rsqrt(x.var((0, 2), unbiased=False, keepdim=True) + 1e-5)
        normalised = (x - x.mean((0, 2), keepdim=True)) * inverse
        ctx.save_for_backward(normalised, gamma, inverse)
        return gamma[:, None] * normalised

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        normalised, gamma, inverse = ctx.saved_tensors
        scaled = upstream * gamma[:, None]
        along = (scaled * normalised).mean((0, 2), keepdim=True)
        mean = 0.0 * scaled.mean((0, 2), keepdim=True)
        return inverse * (scaled - mean - normalised * along), (upstream * normalised).sum((0, 2))


class Dropout(torch.autograd.Function):
    """The dropout of issue 2068, with its mask drawn in forward and once more in backward."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * (torch.rand_like(x) < 0.5) * 2

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * (torch.rand_like(upstream) < 0.5) * 2


class Embedding(torch.autograd.Function):
    """Rows of a table, whose backward writes where it has to add."""

    @staticmethod
    def forward(ctx: Any, table: Any, rows: Any) -> Any:
        ctx.save_for_backward(rows)
        ctx.shape = table.shape
        return table[rows]

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        made = upstream.new_zeros(ctx.shape)
        made[ctx.saved_tensors[0]] = upstream
        return made, None


class ChangedAfterSaving(torch.autograd.Function):
    """It keeps a tensor past autograd's eyes and then changes it."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        made = torch.exp(x)
        ctx.made = made
        return made.mul_(3.0)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * 3.0 * ctx.made


class ChangedAsItWasSaved(torch.autograd.Function):
    """Autograd notes what it saved when forward ends, and does not see what was done to it before."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        made = torch.exp(x)
        ctx.save_for_backward(made)
        made += 1.0
        return made

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * (ctx.saved_tensors[0] + 1.0)


class WrongNeed(torch.autograd.Function):
    """A product that asks of the wrong input whether its gradient is needed."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        x, w = ctx.saved_tensors
        return (
            upstream * w if ctx.needs_input_grad[1] else None,
            upstream * x if ctx.needs_input_grad[0] else None,
        )


class OverwritesWhatItSaved(Softmax):
    """Right the first time; the second backward over one graph finds something else saved."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = torch.softmax(x, -1)
        ctx.made = y.clone()
        return y

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        y = ctx.made
        inner = (upstream * y).sum(-1, keepdim=True)
        return y.mul_(upstream - inner)


class ProductAndSum(torch.autograd.Function):
    """Right: it answers for each input that needs a gradient, and for each output that has an upstream."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w, x + w

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        x, w = ctx.saved_tensors
        product, total = upstream
        return (
            product * w + total if ctx.needs_input_grad[0] else None,
            product * x + total if ctx.needs_input_grad[1] else None,
        )


class UnusedOutputTakenForOnes(ProductAndSum):
    """The sum counts for half where the product is not used."""

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        product, total = upstream
        return ProductAndSum.backward(ctx, product, total if product.any() else total / 2)


class Viewed(torch.autograd.Function):
    """It takes its upstream for contiguous, and is told that it is not."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * x * upstream.view(-1).view(x.shape)


class Pointed(Viewed):
    """It takes its upstream for contiguous, as a kernel that is given a pointer does, and is told nothing."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 2 * x * torch.as_strided(upstream, x.shape, x.stride())


class LossWithoutUpstream(torch.autograd.Function):
    """A single number without axes comes out, and its backward takes the upstream for 1."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return (x**2).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return 2 * ctx.saved_tensors[0]


class SavedOutsideTheGraph(torch.autograd.Function):
    """Right, but what its backward computes with is a constant to autograd."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.made = torch.tanh(x)
        return ctx.made.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * (1 - ctx.made**2)


X = array("x", 3, 4)
FAULTS = [
    (SoftmaxWithoutTheSum, (X,), "missing-term"),
    (BorderForgotten, (X,), "wrong-subset"),
    (SoftmaxWithoutTheLastRow, (X,), "unwritten-memory"),
    (BatchNorm, (array("x", 4, 3, 2), array("gamma", 3, lo=0.5)), "missing-term"),
    (Dropout, (X,), "stochastic-backward"),
    (Viewed, (X,), "layout-dependent"),
    (Pointed, (X,), "layout-dependent"),
    (LossWithoutUpstream, (X,), "upstream-ignored"),
    (WrongNeed, (X, array("w", 3, 4, lo=0.5, differentiable=False)), "missing-gradient"),
    (WrongNeed, (X, array("w", 3, 4, lo=0.5)), "missing-gradient"),
    (OverwritesWhatItSaved, (X,), "stochastic-backward"),
    (UnusedOutputTakenForOnes, (X, array("w", 3, 4, lo=0.5)), "nonlinear-upstream"),
]


class TestFunctions:
    def test_right_ones_are_left_in_peace(self) -> None:
        for function in (Softmax, SavedOutsideTheGraph, SoftmaxIntoEmpty):
            made = audit(torch_op, function.apply, X)
            assert (verdict(made), codes(made)) == (Verdict.PASS, set())

    def test_each_input_and_each_output_may_be_asked_about_alone(self) -> None:
        made = audit(torch_op, ProductAndSum.apply, X, array("w", 3, 4, lo=0.5))
        assert (verdict(made), codes(made)) == (Verdict.PASS, set())

    @pytest.mark.parametrize(("function", "inputs", "code"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
    def test_faults_are_found_and_named(self, function: Any, inputs: Any, code: str) -> None:
        made = audit(torch_op, function.apply, *inputs)
        # What lies in memory that nobody wrote may be as small as rounding.
        assert (verdict(made), codes(made) - {"below-noise"}) == (Verdict.FAIL, {code})

    def test_indices_that_occur_twice(self) -> None:
        rows = array("rows", 5, dtype="int64", values=[0, 2, 2, 4, 0], differentiable=False)
        made = audit(torch_op, Embedding.apply, array("table", 5, 3), rows)
        assert (verdict(made), codes(made)) == (Verdict.FAIL, {"upstream-part"})

    def test_digits_lost_on_the_way_are_found(self) -> None:
        made = audit(torch_op, SoftmaxOfFloatUpstream.apply, X)
        assert verdict(made) is Verdict.FAIL

    def test_a_tensor_changed_after_it_was_saved(self) -> None:
        made = audit(torch_op, ChangedAfterSaving.apply, X)
        assert (verdict(made), codes(made)) == (Verdict.FAIL, {"constant-factor"})
        assert "numerical = 0.3333 x analytical" in made.results[0].findings[0].message

        made = audit(torch_op, ChangedAsItWasSaved.apply, X)
        assert (verdict(made), codes(made)) == (Verdict.FAIL, {"missing-term"})

    def test_one_that_autograd_notices_is_an_error_in_its_words(self) -> None:
        made = audit(torch_op, lambda x: x.exp().mul_(2.0), X)
        assert verdict(made) is Verdict.ERROR
        assert "modified by an inplace operation" in messages(made)

    def test_a_nan_out_of_the_branch_that_was_not_taken(self) -> None:
        made = audit(torch_op, lambda x: torch.where(x > 0, x.sqrt(), torch.zeros_like(x)), X)
        assert (verdict(made), codes(made)) == (Verdict.FAIL, {"nonfinite"})

    def test_a_graph_that_ends_in_the_backward_is_found_in_the_second_order(self) -> None:
        made = audit(torch_op, SavedOutsideTheGraph.apply, X, mode="second")
        of_x, of_upstream = made.results
        assert (of_x.verdict, {finding.code for finding in of_x.findings}) == (Verdict.FAIL, {"missing-gradient"})
        assert of_upstream.verdict is Verdict.PASS


class Standardised(nn.Module):
    """Less the mean of each row, times a weight; ``detached`` says what autograd does not see."""

    def __init__(self, detached: str = "") -> None:
        super().__init__()
        self.detached = detached
        self.weight = nn.Parameter(torch.ones(4))

    def seen(self, name: str, tensor: Any) -> Any:
        return tensor.detach() if name == self.detached else tensor

    def forward(self, x: Any) -> Any:
        mean = self.seen("mean", x.mean(-1, keepdim=True))
        return (x - mean) * self.seen("weight", self.weight) + 0 * self.weight


class Reversed(torch.autograd.Function):
    """The gradient reversal of adversarial training, which is no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return -upstream


class WithReversal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return Reversed.apply(self.layer(x))


class TestModules:
    @pytest.mark.parametrize(
        ("detached", "name", "code"),
        [("mean", "x", "missing-term"), ("weight", "weight", "missing-gradient")],
    )
    def test_what_is_detached_is_named(self, detached: str, name: str, code: str) -> None:
        assert verdict(audit(torch_op, Standardised, X)) is Verdict.PASS
        made = audit(torch_op, lambda: Standardised(detached), X)
        assert {result.input for result in made.results if result.verdict is not Verdict.PASS} == {name}
        assert codes(made) == {code}

    def test_a_reversed_gradient_is_wrong_in_every_parameter_before_it(self) -> None:
        made = audit(torch_op, WithReversal, X)
        assert {result.input: str(result.verdict) for result in made.results} == {
            "x": "fail",
            "layer.weight": "fail",
            "layer.bias": "fail",
        }
        assert codes(made) == {"sign-flipped"}
