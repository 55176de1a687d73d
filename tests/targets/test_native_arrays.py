"""Large arrays stay where the op works: on a device none is copied to NumPy or back, in memory none is copied at all.

What a device would do is done by tensors in the processor's memory, which the audit is not told are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, codes, verdict

from gradaudit.results import Verdict

torch = pytest.importorskip("torch")

from gradaudit.targets.torch import torch_op  # noqa: E402

SIZE = 2 * 10**5


def on_a_device(function: Callable[..., Any], **options: Any) -> Any:
    """Return the op of a function as if it worked on a device: large arrays are tensors."""
    made = torch_op(function, **options)
    return replace(made, native=made.function.native)


@dataclass
class Crossings:
    """Elements of the large arrays that crossed from NumPy to torch and back, one entry a crossing."""

    to_torch: list[tuple[str, int]] = field(default_factory=list)
    to_numpy: list[tuple[str, int]] = field(default_factory=list)
    forwards: int = 0


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crossings]:
    """Note each crossing of as many elements as an input has."""
    seen = Crossings()

    def noting(into: list[tuple[str, int]], function: Callable[..., Any]) -> Callable[..., Any]:
        def crossing(given: Any, *args: Any, **kwargs: Any) -> Any:
            crosses = into is seen.to_numpy or isinstance(given, np.ndarray)
            size = given.numel() if isinstance(given, torch.Tensor) else np.size(given)
            if crosses and size >= SIZE // 2:
                into.append((str(given.dtype), size))
            return function(given, *args, **kwargs)

        return crossing

    with monkeypatch.context() as patch:
        for name in ("from_numpy", "as_tensor", "asarray", "tensor"):
            patch.setattr(torch, name, noting(seen.to_torch, getattr(torch, name)))
        for name in ("numpy", "__array__", "tolist", "cpu"):
            patch.setattr(torch.Tensor, name, noting(seen.to_numpy, getattr(torch.Tensor, name)))
        yield seen


def smooth(seen: Crossings) -> Callable[..., Any]:
    def function(x: Any, scale: Any) -> Any:
        seen.forwards += 1
        return torch.sin(x) * scale

    return function


INPUTS = array("x", 100, SIZE // 100), array("scale", SIZE // 100, lo=0.5, hi=1.5)


class TestARightOp:
    def test_nothing_large_comes_back_and_little_goes_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with watched(monkeypatch) as seen:
            made = audit(on_a_device, smooth(seen), *INPUTS)
        assert {(result.verdict, result.method) for result in made.results} == {(Verdict.PASS, "search")}
        assert seen.forwards > 10
        assert seen.to_numpy == []
        drawn = [dtype for dtype, _ in seen.to_torch if dtype == "float64"]
        assert len(drawn) == 3  # x, the upstream, and x at a second point: each once, whatever the evaluations

    def test_what_else_goes_there_is_random_bits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with watched(monkeypatch) as seen:
            made = audit(on_a_device, smooth(seen), *INPUTS)
        bits = [dtype for dtype, _ in seen.to_torch if dtype != "float64"]
        assert set(bits) == {"int16", "int8"}
        rounds = sum(result.evaluations for result in made.results) / 2
        assert bits.count("int16") <= rounds

    def test_lifting_to_float64_is_done_there_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        narrow = [array(made.name, *made.shape, dtype="float32") for made in INPUTS]
        with watched(monkeypatch) as seen:
            made = audit(on_a_device, smooth(seen), *narrow, dtype="float32")
        assert verdict(made) is Verdict.PASS
        assert not any("differenced in" in result.message for result in made.results)
        assert seen.to_numpy == []


def test_in_memory_forward_is_given_the_arrays_themselves() -> None:
    """It is differenced in two places: each has one memory, whatever the evaluations, and no tensor is made anew."""
    given: list[int] = []

    def function(x: Any) -> Any:
        given.append(x.data_ptr())
        return torch.sin(x)

    made = audit(torch_op, function, array("x", SIZE))
    assert verdict(made) is Verdict.PASS
    assert len(given) > 10
    assert len(set(given)) == 2


def test_small_arrays_are_numpys_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as seen:
        made = audit(torch_op, smooth(seen), array("x", 4, 5), array("scale", 5))
    assert verdict(made) is Verdict.PASS
    assert (seen.to_torch, seen.to_numpy) == ([], [])


class Planted(torch.autograd.Function):
    """``x^3``, off by a fifth at one element."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        (x,) = ctx.saved_tensors
        gradient = ((3 * x**2).conj() * upstream).contiguous()
        gradient.view(-1)[4_321] *= 1.2
        return gradient


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [
        ("float64", "transposed"),
        ("float64", "strided"),
        ("float32", "contiguous"),
        ("bfloat16", "transposed"),
        ("complex128", "strided"),
    ],
)
@pytest.mark.parametrize("make", [torch_op, on_a_device])
def test_one_wrong_element_is_found_in_every_dtype_and_layout(make: Any, dtype: str, layout: str) -> None:
    x = array("x", 100, 200, lo=0.5, dtype=dtype, layout=layout)
    (result,) = audit(make, Planted.apply, x, dtype=dtype).results
    assert result.verdict is Verdict.FAIL
    assert [mismatch.index for mismatch in result.mismatches] == [(21, 121)]


def test_the_verdict_is_that_of_the_same_formula_in_numpy() -> None:
    """The directions are the same, so the same errors are seen in them."""
    from gradaudit import check, op

    x = np.random.default_rng(0).uniform(-1, 1, SIZE)
    (ours,) = check(op(lambda x: np.tanh(x), lambda u, x: u * (1 - np.tanh(x) ** 2)), {"x": x}).results
    for op_of_tensors in (torch_op(torch.tanh), on_a_device(torch.tanh)):
        (theirs,) = check(op_of_tensors, {"x": x}).results
        assert (ours.verdict, ours.method, ours.checked) == (theirs.verdict, theirs.method, theirs.checked)
        assert ours.miss_probability == theirs.miss_probability


def test_an_output_without_elements_leaves_nothing_to_be_wrong_about() -> None:
    (result,) = audit(torch_op, lambda x: x[:0], array("x", SIZE)).results
    assert (result.verdict, result.method, result.resolution) == (Verdict.PASS, "search", 0.0)


class Disturbed(torch.autograd.Function):
    """It changes what it is given."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x.clone())
        made = torch.sin(x)
        x.detach().view(-1)[7] += 1.0
        return made

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return upstream * torch.cos(ctx.saved_tensors[0])


class UpstreamIgnored(Planted):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return 3 * ctx.saved_tensors[0] ** 2


class Stochastic(Planted):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        noise = torch.from_numpy(np.random.default_rng().uniform(0.5, 1.5, tuple(upstream.shape)))
        return 3 * ctx.saved_tensors[0] ** 2 * upstream * noise


class NotFinite(Planted):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        gradient = 3 * ctx.saved_tensors[0] ** 2 * upstream
        gradient.view(-1)[5] = torch.inf
        return gradient


class Everywhere(Planted):
    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return 6 * ctx.saved_tensors[0] ** 2 * upstream


@pytest.mark.parametrize(
    ("function", "code"),
    [
        (Disturbed, "input-mutated"),
        (UpstreamIgnored, "upstream-ignored"),
        (Stochastic, "stochastic-backward"),
        (NotFinite, "nonfinite"),
        (Everywhere, "constant-factor"),
    ],
)
def test_faults_are_named_as_they_are_where_arrays_are_small(function: Any, code: str) -> None:
    large = audit(on_a_device, function.apply, array("x", 20_000, lo=0.5))
    small = audit(torch_op, function.apply, array("x", 20, lo=0.5))
    assert verdict(large) is verdict(small) is not Verdict.PASS
    assert code in codes(large)
    assert code in codes(small)


@pytest.mark.parametrize("mode", ["second", "batched"])
def test_other_modes_take_large_arrays_too(mode: Any) -> None:
    made = audit(on_a_device, lambda x, w: torch.tanh(x) * w, array("x", 100, 100), array("w", 100), mode=mode)
    assert {(result.verdict, result.method) for result in made.results} == {(Verdict.PASS, "search")}


def test_a_large_module_is_audited_where_its_parameters_are() -> None:
    made = audit(on_a_device, torch.nn.Linear(120, 100), array("input", 90, 120))
    assert [result.input for result in made.results] == ["input", "weight", "bias"]
    assert verdict(made) is Verdict.PASS
