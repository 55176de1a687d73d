"""``gradaudit.check`` of a framework's function, ``Function.apply`` or module, called as these are."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import gradaudit

X = np.linspace(-1.5, 1.4, 12).reshape(3, 4)


def verdicts(audit: gradaudit.Audit) -> dict[str, str]:
    return {result.input: str(result.verdict) for result in audit.results}


class TestTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.x = self.torch.tensor(X)

    def scaled(self, factor: float, *, split: bool = False) -> Any:
        """Return a function of x and a number whose gradient is off by a factor."""
        torch = self.torch

        class Scaled(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                (x,) = ctx.saved_tensors
                return factor * upstream * 2 * x * ctx.by, None

        def save(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0])
            ctx.by = inputs[1]

        def forward(ctx: Any, x: Any, by: float) -> Any:
            save(ctx, (x, by), None)
            return by * x * x

        if split:
            Scaled.forward = staticmethod(lambda x, by: by * x * x)
            Scaled.setup_context = staticmethod(save)
        else:
            Scaled.forward = staticmethod(forward)
        return Scaled

    @pytest.mark.parametrize("split", [False, True])
    def test_apply_takes_tensors_and_what_else_it_takes_by_position(self, split: bool) -> None:
        assert verdicts(gradaudit.check(self.scaled(1.0, split=split).apply, (self.x, 2.5))) == {"x": "pass"}
        audit = gradaudit.check(self.scaled(1.5, split=split).apply, (self.x, 2.5))
        assert (verdicts(audit), audit.results[0].op) == ({"x": "fail"}, "Scaled")

    def test_a_function_class_means_its_apply(self) -> None:
        assert gradaudit.check(self.scaled(1.0), (self.x, 2.5))
        assert not gradaudit.check(self.scaled(1.5), (self.x, 2.5))

    def test_a_module_takes_a_batch(self) -> None:
        layer = self.torch.nn.Linear(4, 2, dtype=self.torch.float64)
        wanted = {"input": "pass", "weight": "pass", "bias": "pass"}
        for batch in (self.x, (self.x,), {"input": self.x}):
            assert verdicts(gradaudit.check(layer, batch)) == wanted

    def test_what_is_no_tensor_follows_a_modules_tensors(self) -> None:
        torch = self.torch

        class Masked(torch.nn.Linear):  # type: ignore[misc, name-defined]
            def forward(self, x: Any, mask: Any = None, power: int = 1) -> Any:
                assert isinstance(power, int)
                return super().forward(x if mask is None else x * mask) ** power

        layer = Masked(4, 2, dtype=torch.float64)
        wanted = {"x": "pass", "weight": "pass", "bias": "pass"}
        assert verdicts(gradaudit.check(layer, (self.x, None, 2))) == wanted
        assert verdicts(gradaudit.check(layer, (self.x, self.x > 0, 2))) == wanted
        with pytest.raises(TypeError, match="expected a module's tensors first, found int before one"):
            gradaudit.check(layer, (3, self.x))

    @pytest.mark.parametrize(("given", "found"), [(("a",), "str"), ((3, None), "int, NoneType"), ((), "nothing")])
    def test_there_is_an_array_among_them(self, given: Any, found: str) -> None:
        with pytest.raises(TypeError, match=f"inputs: expected at least one array, found {found}"):
            gradaudit.check(self.torch.tanh, given)

    def test_functions_in_c_and_partial_ones(self) -> None:
        torch = self.torch
        assert gradaudit.check(torch.sigmoid, self.x)
        (result,) = gradaudit.check(partial(torch.softmax, dim=-1), self.x).results
        assert (str(result.verdict), result.op) == ("pass", "softmax")

    def test_numbers_between_tensors_stay_where_they_are(self) -> None:
        def blend(x: Any, share: float, y: Any, *, sharp: bool = False) -> Any:
            assert isinstance(share, float)
            return self.torch.lerp(x, y * y if sharp else y, share)

        audit = gradaudit.check(blend, (self.x, 0.25, self.x + 1), params={"sharp": True})
        assert verdicts(audit) == {"x": "pass", "y": "pass"}

    def test_numpy_arrays_into_a_function_that_names_torch(self) -> None:
        assert gradaudit.check(_tanh_of_torch, X)


def _tanh_of_torch(x: Any) -> Any:
    return torch.tanh(x)


try:
    import torch
except ModuleNotFoundError:
    torch = None  # type: ignore[assignment]


class TestJax:
    @pytest.fixture(autouse=True)
    def _jax(self) -> None:
        self.jax = pytest.importorskip("jax")

    def test_a_rule_of_ones_own(self) -> None:
        for sign, wanted in ((1.0, "pass"), (-1.0, "fail")):
            square = self.jax.custom_vjp(lambda x: x * x)
            square.defvjp(lambda x: (x * x, x), lambda x, u, sign=sign: (sign * 2 * x * u,))
            assert verdicts(gradaudit.check(square, (X,))) == {"x": wanted}

    def test_trees_are_taken_apart(self) -> None:
        jnp = self.jax.numpy

        def layer(params: Any, x: Any, power: int) -> Any:
            return jnp.tanh(x @ params["w"] + params["b"][0]) ** power

        params = {"w": jnp.ones((4, 2)) * 0.3, "b": [jnp.array([0.1, 0.2])]}
        audit = gradaudit.check(layer, (params, X, 2))
        assert verdicts(audit) == {"params['b'][0]": "pass", "params['w']": "pass", "x": "pass"}

    def test_keys_of_random_numbers_stay_as_they_are(self) -> None:
        random = self.jax.random
        noisy = lambda key, x: x * random.normal(key, x.shape)  # noqa: E731
        for key in (random.key(0), random.PRNGKey(0)):
            assert verdicts(gradaudit.check(noisy, (key, X))) == {"x": "pass"}


def test_a_primitive_of_autograd_with_a_wrong_rule_fails() -> None:
    autograd = pytest.importorskip("autograd")
    square = autograd.extend.primitive(lambda x: x * x)
    autograd.extend.defvjp(square, lambda answer, x: lambda u: 3 * x * u)
    assert verdicts(gradaudit.check(square, (X,))) == {"input[0]": "fail"}


def test_a_function_of_tinygrads_tensors_passes() -> None:
    tinygrad = pytest.importorskip("tinygrad")
    with pytest.importorskip("tinygrad.helpers").Context(DEV="PYTHON"):
        assert gradaudit.check(lambda x: x * x, (tinygrad.Tensor(X[:1, :2].astype(np.float32)),))
