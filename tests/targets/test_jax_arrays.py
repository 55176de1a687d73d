"""Large arrays are not copied between NumPy and JAX: on the processor they share memory, elsewhere they stay in JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from framework_audits import array, audit, codes

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradaudit.targets.jax import jax_op  # noqa: E402

SIZE = 2 * 10**5
X = array("x", SIZE, lo=0.5)


def distant_op(*given: Any, **more: Any) -> Any:
    """Return an op as it is where JAX works on an accelerator: its arrays are JAX's own."""
    return replace(jax_op(*given, **more), native=jnp.array, large=0)


@dataclass
class Crossings:
    """Dtypes of the large arrays that went from NumPy to JAX and back.

    copies: how many lay in other memory then.
    needless: how many of these lay where JAX could have worked: on a multiple of 64 bytes, in C order.
    """

    to_jax: list[str] = field(default_factory=list)
    to_numpy: list[str] = field(default_factory=list)
    copies: int = 0
    needless: int = 0


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crossings]:
    """Note each crossing of as many elements as an input has."""
    seen = Crossings()

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def crossing(given: Any, *more: Any, **how: Any) -> Any:
            made = function(given, *more, **how)
            pair = {isinstance(each, jax.Array): each for each in (given, made)}
            concrete = not any(isinstance(each, jax.core.Tracer) for each in pair.values())
            if len(pair) == 2 and concrete and np.size(pair[False]) >= SIZE // 2:
                (seen.to_numpy if given is pair[True] else seen.to_jax).append(str(given.dtype))
                place = pair[False].ctypes.data
                copied = pair[True].unsafe_buffer_pointer() != place
                seen.copies += copied
                seen.needless += copied and place % 64 == 0 and pair[False].flags.c_contiguous
            return made

        return crossing

    with monkeypatch.context() as patch:
        for module, name in ((jnp, "asarray"), (jnp, "array"), (jax.dlpack, "from_dlpack"), (jax, "device_put")):
            patch.setattr(module, name, noting(getattr(module, name)))
        for name in ("asarray", "array", "ascontiguousarray", "copy"):
            patch.setattr(np, name, noting(getattr(np, name)))
        yield seen


def cubed(backward: Callable[..., Any]) -> Any:
    """Return ``x^3`` with a hand-written backward, which gets the upstream and x."""

    @jax.custom_vjp
    def function(x: Any) -> Any:
        return x**3

    function.defvjp(lambda x: (function(x), x), lambda x, u: (backward(u, x),))
    return function


def right(u: Any, x: Any) -> Any:
    return 3 * x**2 * u


RIGHT = cubed(right)


def test_on_the_processor_jax_works_in_the_memory_of_numpys_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(monkeypatch) as seen:
        made = audit(jax_op, lambda x: x**3, replace(X, dtype="float32"), dtype="float32")
    assert {(result.verdict, result.method) for result in made.results} == {(Verdict.PASS, "search")}
    assert len(seen.to_jax) >= 10
    assert len(seen.to_numpy) >= 10
    assert seen.needless == 0
    # A backward takes x and the upstream there and one gradient back. Where NumPy put the upstream is chance.
    assert seen.copies <= len(seen.to_jax) - len(seen.to_numpy)


class TestElsewhere:
    def test_nothing_large_comes_back_and_little_goes_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with watched(monkeypatch) as seen:
            made = audit(distant_op, RIGHT, X)
        assert {(result.verdict, result.method) for result in made.results} == {(Verdict.PASS, "search")}
        assert seen.to_numpy == []
        assert seen.to_jax.count("float64") == 3  # x, the upstream, and x at a second point
        assert set(seen.to_jax) == {"float64", "int16", "int8", "bool"}  # the others are random bits
        assert seen.to_jax.count("int16") <= sum(result.evaluations for result in made.results) / 2

    @pytest.mark.parametrize(
        "backward",
        [lambda u, x: right(u, x).at[4321].mul(1.2), lambda u, x: right(u, x).at[5].set(jnp.inf)],
        ids=["one element", "not finite"],
    )
    def test_the_audit_is_that_of_numpys_arrays(self, backward: Any) -> None:
        assert told(audit(distant_op, cubed(backward), X)) == told(audit(jax_op, cubed(backward), X))
        assert jnp.ones(2).dtype == jnp.float32  # double precision ends with the audit


def told(made: Audit) -> list[Any]:
    """Return what an audit says, but for how long it took."""
    return [
        (
            result.verdict,
            result.method,
            result.checked,
            result.wrong,
            result.evaluations,
            result.message,
            [mismatch.index for mismatch in result.mismatches],
            codes(made),
        )
        for result in made.results
    ]
