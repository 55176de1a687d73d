"""PyTorch's ``gradcheck`` and ``gradgradcheck``: their signatures and their behaviour, our verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch.autograd.gradcheck import GradcheckError

from gradaudit.api import Audit, GradientMismatch, check
from gradaudit.drop_in.arguments import argument_names, bound, signature_names
from gradaudit.drop_in.forward_batched import pushing_two
from gradaudit.drop_in.recognise import positional
from gradaudit.drop_in.settings import function_of, tolerance_number
from gradaudit.framework_ops import name_of, torch_op
from gradaudit.results import Verdict
from gradaudit.spec.op_targets import Mode
from gradaudit.targets.structure import leaves

Tensor = Any


class GradcheckMismatch(GradientMismatch, GradcheckError):  # type: ignore[misc] # noqa: N818
    """An audit did not pass, told as torch's ``gradcheck`` tells it: a ``GradcheckError``, a ``RuntimeError``."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Audit a function of tensors, called as ``torch.autograd.gradcheck`` is.

    Args:
        func: takes tensors and whatever else by position, and returns a tensor or several.
        inputs: what it takes; gradients are audited of the tensors that require one, in any floating dtype.
        eps: of no effect: the step is chosen for every index.
        atol: absolute tolerance; default: the dtype's.
        rtol: relative tolerance; default: the dtype's.
        raise_exception: whether to raise where a gradient does not pass, or return False.
        nondet_tol: by how much two answers of backward to the same question may differ.
        check_undefined_grad: whether a function of several outputs is also audited with each output alone.
        check_grad_dtypes: of no effect: a gradient of another dtype than its input's always fails.
        check_batched_grad: whether gradients of several upstreams at once, by ``vmap``, are audited too.
        check_batched_forward_grad: whether forward mode of several tangents at once, by ``vmap``, is audited too.
        check_forward_ad: whether forward mode is audited too.
        check_backward_ad: whether reverse mode is audited.
        fast_mode: whether to search for wrong indices from the start; else that is done where an input is large.
        masked: of no effect: sparse tensors are refused.

    Returns:
        True where every gradient passes. False where one does not, or cannot be decided, and nothing is to be raised.
        A function whose outputs have no graph is audited as one whose gradients are zero.

    Raises:
        GradcheckMismatch: where one does not; a ``torch.autograd.gradcheck.GradcheckError`` and a
            ``gradaudit.GradientMismatch``, whose text is the report. Always where ``func`` raises.
        TypeError: where ``func`` cannot be called, a tensor is sparse, or a tolerance is no number.
        ValueError: where no tensor requires a gradient, or an argument is none of those that there are.

    """
    modes: dict[Mode, bool] = {
        "reverse": check_backward_ad,
        "forward": check_forward_ad,
        "batched": check_batched_grad,
    }
    called = _called(func, inputs, atol, rtol, fast_mode=fast_mode)
    tolerance_number("nondet_tol", nondet_tol)
    passes = _passes(called, modes, nondet_tol, alone=check_undefined_grad, raises=raise_exception)
    if not (passes and check_batched_forward_grad) or called.has_no_graph:
        return passes
    batched = replace(called, function=pushing_two(called.function), name=f"{called.name}, two tangents at once")
    return _passes(batched, {"forward": True, "reverse": False}, nondet_tol, alone=False, raises=raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Any] | None = None,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Audit the gradient of a function's gradient, called as ``torch.autograd.gradgradcheck`` is.

    Args:
        func: as for ``gradcheck``.
        inputs: as for ``gradcheck``.
        grad_outputs: upstream of each output that requires a gradient; default: drawn.
        eps: as for ``gradcheck``, as are those that are not named here.
        atol: absolute tolerance; default: the dtype's.
        rtol: relative tolerance; default: the dtype's.
        gen_non_contig_grad_outputs: whether the upstreams that are drawn lie in memory with gaps.
        raise_exception: whether to raise where a gradient does not pass, or return False.
        nondet_tol: by how much two answers may differ.
        check_undefined_grad: whether each gradient is also audited alone.
        check_grad_dtypes: of no effect.
        check_batched_grad: whether several upstreams at once are audited too.
        check_fwd_over_rev: whether forward mode over reverse mode is audited.
        check_rev_over_rev: whether reverse mode over reverse mode is audited.
        fast_mode: whether to search for wrong indices from the start.
        masked: of no effect.

    Returns:
        True where every gradient passes, as ``gradcheck`` does.

    Raises:
        GradcheckMismatch: where one does not. Always where ``func`` raises.
        TypeError: as ``gradcheck``.
        ValueError: where no tensor requires a gradient, or no output depends on one.

    """
    called = _called(func, inputs, atol, rtol, fast_mode=fast_mode)
    modes: dict[Mode, bool] = {
        "reverse": check_rev_over_rev,
        "forward": check_fwd_over_rev,
        "batched": check_batched_grad,
    }
    tolerance_number("nondet_tol", nondet_tol)
    upstreams = _upstreams(called, grad_outputs, apart=gen_non_contig_grad_outputs)
    derived = _derived(called, upstreams)
    return _passes(derived, modes, nondet_tol, alone=check_undefined_grad, raises=raise_exception)


@dataclass(frozen=True)
class _Called:
    """A function with its arguments, and how it is to be audited.

    Attributes:
        function: takes the arguments by position.
        name: what reports call it.
        arguments: tensors and whatever else.
        names: of the arguments.
        asked: positions of the arguments whose gradients are audited.
        settings: what ``check`` is called with.

    """

    function: Callable[..., Any]
    name: str
    arguments: tuple[Any, ...]
    names: tuple[str, ...]
    asked: tuple[int, ...]
    settings: Mapping[str, Any]

    @cached_property
    def outputs(self) -> list[Any] | None:
        """What the function returns, with a graph to its arguments; None where it raises, as an audit will tell."""
        arguments = [each.detach().clone() if isinstance(each, torch.Tensor) else each for each in self.arguments]
        try:
            with torch.enable_grad():
                for k in self.asked:
                    arguments[k].requires_grad_()
                return list(leaves(self.function(*arguments)))
        except Exception:  # whatever it is, the audit meets it again and says it in words
            return None

    @property
    def differentiable_outputs(self) -> tuple[int, ...]:
        """Positions of the outputs that depend on what is differentiated."""
        made = enumerate(self.outputs or ())
        return tuple([k for k, output in made if isinstance(output, torch.Tensor) and output.requires_grad])

    @property
    def has_no_graph(self) -> bool:
        """Whether all it returns is tensors that depend on nothing, as autograd sees it."""
        tensors = bool(self.outputs) and all(isinstance(output, torch.Tensor) for output in self.outputs or ())
        return tensors and not self.differentiable_outputs

    def audit(self, mode: Mode, outputs: tuple[int, ...] | None) -> Audit:
        """Audit the function by a mode of differentiation; outputs are those that count, None for all.

        A pass that means nothing at so loose a tolerance as was asked for is one where our own tolerance is passed too.
        """
        call = bound(self.function, self.arguments, self.names)
        alone = f", output {outputs[0]} alone" if outputs else ""
        op = torch_op(call.function, outputs=outputs, mode=mode, name=self.name + alone)
        how = {**self.settings, "differentiable": [self.names[k] for k in self.asked]}
        audit = check(op, call.arrays, **how)
        if audit.verdict is Verdict.INCONCLUSIVE and (how["rtol"], how["atol"]) != (None, None):
            return check(op, call.arrays, **{**how, "rtol": None, "atol": None}) or audit
        return audit


def _called(
    function: Callable[..., Any], inputs: Any, atol: float | None, rtol: float | None, *, fast_mode: bool
) -> _Called:
    function_of("func", function)
    arguments = tuple(positional(inputs))
    asked = _requiring_grad(arguments)
    if not asked:
        found = ", ".join(type(each).__name__ for each in arguments)
        raise ValueError(f"inputs: expected at least one tensor with requires_grad=True, found none among {found}")
    names = argument_names(signature_names(function), len(arguments))
    for name, each in zip(names, arguments, strict=True):
        if isinstance(each, torch.Tensor) and each.layout is not torch.strided:
            raise TypeError(f"{name}: expected a dense tensor, found one of layout {each.layout}")
    settings = {"atol": atol, "rtol": rtol, "method": "search" if fast_mode else "auto"}
    return _Called(function, name_of(function), arguments, names, asked, settings)


def _requiring_grad(arguments: Sequence[Any]) -> tuple[int, ...]:
    return tuple([k for k, each in enumerate(arguments) if isinstance(each, torch.Tensor) and each.requires_grad])


def _passes(called: _Called, modes: Mapping[Mode, bool], nondet_tol: float, *, alone: bool, raises: bool) -> bool:
    """Audit by every mode that is wanted and, where outputs are to be looked at alone, by reverse mode for each."""
    if called.has_no_graph:
        if not any(map(_is_floating, called.outputs or ())):
            return True
        called, modes = _with_zero_gradients(called), {"reverse": True}
    asked: list[tuple[Mode, tuple[int, ...] | None]] = [(mode, None) for mode, wanted in modes.items() if wanted]
    outputs = called.differentiable_outputs if alone and modes["reverse"] else ()
    asked += [("reverse", (k,)) for k in outputs if len(outputs) > 1]
    for mode, counted in asked:
        audit = called.audit(mode, counted)
        if not (audit or _differs_by_less(audit, nondet_tol)):
            if raises or called.outputs is None:
                raise GradcheckMismatch(audit)
            return False
    return True


def _is_floating(output: Tensor) -> bool:
    return bool(output.is_floating_point() or output.is_complex())


class _WithZeroGradients(torch.autograd.Function):  # type: ignore[misc]
    """Hands a tensor on as an output of others, whose gradients are zero: what a graph that is not there says."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, *tensors: Tensor) -> Tensor:
        ctx.count = len(tensors)
        return output.clone()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, ...]:
        return (None, *[None] * ctx.count)


def _with_zero_gradients(called: _Called) -> _Called:
    def function(*arguments: Any) -> list[Tensor]:
        tensors = [arguments[k] for k in called.asked]
        floating = filter(_is_floating, leaves(called.function(*arguments)))
        return [_WithZeroGradients.apply(output, *tensors) for output in floating]

    return replace(called, function=function)


def _differs_by_less(audit: Audit, allowed: float) -> bool:
    """Whether nothing is wrong but that backward, asked twice, gives answers that differ by no more than is allowed."""
    failing = [finding for result in audit.results for finding in result.findings if finding.fails]
    mismatches = any(result.mismatches for result in audit.results)
    alike = all(finding.code == "stochastic-backward" and finding.evidence["largest"] <= allowed for finding in failing)
    return audit.verdict is Verdict.FAIL and bool(failing) and alike and not mismatches


def _upstreams(called: _Called, given: Any, *, apart: bool) -> tuple[Tensor, ...]:
    """Return the upstreams of a function, each requiring a gradient where it was drawn here."""
    if given is not None:
        return tuple(positional(given))
    if called.outputs is None:
        raise GradcheckMismatch(called.audit("reverse", None))
    outputs = [called.outputs[k] for k in called.differentiable_outputs]
    if not outputs:
        raise ValueError(f"func: {name_of(called.function)} returned no output that depends on the inputs")
    generator = torch.Generator().manual_seed(0)
    return tuple([_drawn(output, generator, apart=apart) for output in outputs])


def _drawn(output: Tensor, generator: Any, *, apart: bool) -> Tensor:
    """Return an upstream for an output, with gaps between its elements in memory where it is to lie apart."""
    shape = (*output.shape, 2) if apart else output.shape
    made = torch.randn(shape, dtype=output.dtype, generator=generator).to(output.device)
    return (made[..., 0] if apart else made).requires_grad_()


def _derived(called: _Called, upstreams: tuple[Tensor, ...]) -> _Called:
    """Return the backward of a function as a function itself: of its arguments and its upstreams."""
    counted = called.differentiable_outputs

    def backward(*given: Any) -> tuple[Tensor, ...]:
        arguments = list(given[: len(called.arguments)])
        for k in called.asked:  # forward mode gives tensors without a graph, for which this one has need
            if not arguments[k].requires_grad:
                arguments[k] = arguments[k].view_as(arguments[k]).requires_grad_()
        outputs = list(leaves(called.function(*arguments)))
        made = torch.autograd.grad(
            [outputs[k] for k in counted],
            [arguments[k] for k in called.asked],
            given[len(arguments) :],
            create_graph=True,
            materialize_grads=True,
        )
        return tuple(made)

    arguments = (*called.arguments, *upstreams)
    names = (*called.names, *(f"grad_outputs[{k}]" for k in range(len(upstreams))))
    return replace(
        called,
        function=backward,
        name=f"gradient of {called.name}",
        arguments=arguments,
        names=names,
        asked=_requiring_grad(arguments),
    )
