"""Forward mode, batches of upstreams and the second order in PyTorch: each finds what reverse mode does not see."""

from __future__ import annotations

from typing import Any

import pytest
from framework_audits import array, audit, codes, messages, verdict

from gradaudit.results import Verdict

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gradaudit.targets.torch import torch_op  # noqa: E402

MODES = ["forward", "second", "batched"]


class Sine(torch.autograd.Function):
    """Right in every mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return torch.sin(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * torch.cos(ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        return tangent * torch.cos(ctx.saved_tensors[0])


class ForwardHalved(Sine):
    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        return Sine.jvp(ctx, tangent) / 2


class BackwardDetached(Sine):
    """Its backward is right and has no gradient with respect to x, as one that leaves the graph has."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * torch.cos(ctx.saved_tensors[0].detach())


class CosineOnceOnly(torch.autograd.Function):
    """``upstream * cos(x)`` with a rule for batches that forgets the second upstream's own values."""

    @staticmethod
    def forward(upstream: Any, x: Any) -> Any:
        return upstream * torch.cos(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, upstream: Any, x: Any) -> Any:
        return upstream[:1].expand_as(upstream) * torch.cos(x), 0


class BatchesConfused(Sine):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return CosineOnceOnly.apply(upstream, ctx.saved_tensors[0])


def audited(function: Any, mode: Any, *inputs: Any, **settings: Any) -> Any:
    return audit(torch_op, function, *(inputs or (array("x", 3, 4),)), mode=mode, **settings)


@pytest.mark.parametrize("mode", ["reverse", *MODES])
def test_a_right_function_passes_in_every_mode(mode: Any) -> None:
    made = audited(Sine.apply, mode)
    assert (verdict(made), codes(made)) == (Verdict.PASS, set())


@pytest.mark.parametrize(
    ("function", "mode"), [(ForwardHalved, "forward"), (BackwardDetached, "second"), (BatchesConfused, "batched")]
)
def test_what_reverse_mode_does_not_see_is_found_in_its_own(function: Any, mode: Any) -> None:
    assert verdict(audited(function.apply, "reverse")) is Verdict.PASS
    assert verdict(audited(function.apply, mode)) is Verdict.FAIL


def test_a_wrong_forward_mode_is_diagnosed() -> None:
    assert "constant-factor" in codes(audited(ForwardHalved.apply, "forward"))


def test_the_second_order_is_audited_with_respect_to_upstreams_too() -> None:
    made = audited(lambda x, w: (x * w, torch.sin(x)), "second", array("x", 3), array("w", 3))
    assert [result.input for result in made.results] == ["x", "w", "upstream[0]", "upstream[1]"]
    assert (verdict(made), messages(made)) == (Verdict.PASS, "\n\n\n")


@pytest.mark.parametrize("mode", MODES)
def test_modules_with_dropout(mode: Any) -> None:
    made = audited(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.4)), mode, array("x", 4, 3))
    assert [result.input for result in made.results][:3] == ["x", "0.weight", "0.bias"]
    assert (verdict(made), codes(made)) == (Verdict.PASS, set())


@pytest.mark.parametrize("mode", MODES)
def test_complex_inputs_beside_real_ones(mode: Any) -> None:
    z, a = array("z", 3, dtype="complex128"), array("a", 3)
    made = audited(lambda z, a: z * z.conj() * z + a * z, mode, z, a, dtype="complex128")
    assert verdict(made) is Verdict.PASS


def test_a_function_without_a_forward_mode_is_an_error_that_says_so() -> None:
    class ReverseOnly(Sine):
        @staticmethod
        def jvp(ctx: Any, tangent: Any) -> Any:
            raise NotImplementedError("this Function has no forward mode")

    made = audited(ReverseOnly.apply, "forward")
    assert (verdict(made), "this Function has no forward mode" in messages(made)) == (Verdict.ERROR, True)


def test_forward_mode_of_too_many_elements_is_refused_in_words() -> None:
    assert "a call for each of 10,000 elements" in messages(audited(torch.sin, "forward", array("x", 100, 100)))
