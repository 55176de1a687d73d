"""``gradaudit.torch_op`` and its kin: what is at hand in a framework, audited with its arrays or NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradaudit
from gradaudit.targets import frameworks

X = np.linspace(-1.5, 1.5, 12).reshape(3, 4)
MAKERS = {
    "torch": gradaudit.torch_op,
    "jax": gradaudit.jax_op,
    "autograd": gradaudit.autograd_op,
    "tinygrad": gradaudit.tinygrad_op,
}


def verdicts(audit: gradaudit.Audit) -> dict[str, str]:
    return {result.input: str(result.verdict) for result in audit.results}


def codes(audit: gradaudit.Audit) -> set[str]:
    return {finding.code for result in audit.results for finding in result.findings}


class TestEveryFramework:
    @pytest.mark.parametrize("framework", MAKERS)
    def test_one_that_is_missing_is_named_with_the_command_that_installs_it(
        self, framework: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frameworks, "find_spec", lambda name: None)
        with pytest.raises(ModuleNotFoundError) as caught:
            MAKERS[framework](lambda x: x)
        assert str(caught.value) == f"{framework} is not installed: pip install 'gradaudit[{framework}]'"
        assert caught.value.name == framework

    @pytest.mark.parametrize("framework", MAKERS)
    def test_what_cannot_be_called_is_no_op(self, framework: str) -> None:
        pytest.importorskip(framework)
        with pytest.raises(TypeError, match="function: expected something to call, found float"):
            MAKERS[framework](3.0)  # type: ignore[operator]

    @pytest.mark.parametrize("framework", MAKERS)
    def test_numpy_arrays_params_names_and_outputs_that_count(self, framework: str) -> None:
        pytest.importorskip(framework)

        def function(x: Any, by: float) -> Any:
            return by * x, x * x

        for outputs in (None, [1]):
            op = MAKERS[framework](function, outputs=outputs, name="scaled")  # type: ignore[operator]
            audit = gradaudit.check(op, {"x": X[:1, :2]}, params={"by": 2.5})
            assert (str(audit.verdict), audit.results[0].op) == ("pass", "scaled")

    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_a_mode_that_there_is_not_is_refused_with_the_nearest(self, framework: str) -> None:
        pytest.importorskip(framework)
        with pytest.raises(ValueError, match=r"mode: found 'secnd', expected one of .*did you mean 'second'"):
            MAKERS[framework](lambda x: x, mode="secnd")  # type: ignore[operator]


class TestTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")

    def doubled_tanh(self) -> Any:
        torch = self.torch

        class Tanh(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                made = torch.tanh(x)
                ctx.save_for_backward(made)
                return made

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                (made,) = ctx.saved_tensors
                return 2 * upstream * (1 - made * made)

        return Tanh

    def test_an_apply_is_called_by_its_class_and_its_fault_is_named(self) -> None:
        audit = gradaudit.check(gradaudit.torch_op(self.doubled_tanh().apply), {"x": X})
        assert (verdicts(audit), codes(audit)) == ({"x": "fail"}, {"constant-factor"})
        with pytest.raises(gradaudit.GradientMismatch, match=r"^Tanh \(float64, case default\): gradient mismatch"):
            audit.assert_ok()

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "complex64"])
    def test_tensors_of_every_dtype_are_taken_as_they_are(self, dtype: str) -> None:
        seen = set()

        def function(x: Any) -> Any:
            seen.add(str(x.dtype).removeprefix("torch."))
            return x * x

        x = self.torch.from_numpy(X).to(getattr(self.torch, dtype))
        audit = gradaudit.check(gradaudit.torch_op(function), {"x": x})
        assert (str(audit.verdict), audit.results[0].dtype) == ("pass", dtype)
        assert dtype in seen

    def test_tensors_that_require_a_gradient_and_parameters_are_looked_at_without_it(self) -> None:
        layer = self.torch.nn.Linear(4, 2).double()
        before = layer.weight.detach().clone()
        x = self.torch.from_numpy(X).requires_grad_()
        audit = gradaudit.check(gradaudit.torch_op(layer), {"x": x, "weight": layer.weight})
        assert verdicts(audit) == {"x": "pass", "weight": "pass", "bias": "pass"}
        assert self.torch.equal(layer.weight, before)
        assert (x.grad, layer.weight.grad) == (None, None)

    def test_parameters_are_constants_where_others_are_named_as_differentiable(self) -> None:
        layer = self.torch.nn.Linear(4, 2)
        for mode, names in (("reverse", {"x"}), ("second", {"x", "upstream[0]"})):
            op = gradaudit.torch_op(layer, mode=mode)  # type: ignore[arg-type]
            assert set(verdicts(gradaudit.check(op, {"x": X}, differentiable={"x"}))) == names
        given = {"x": X, "bias": layer.bias.double()}
        assert set(verdicts(gradaudit.check(gradaudit.torch_op(layer), given, differentiable={"bias"}))) == {"bias"}

    def test_a_layout_that_is_not_contiguous_is_kept(self) -> None:
        seen = []

        def function(x: Any) -> Any:
            seen.append(x.is_contiguous())
            return x * x

        gradaudit.check(gradaudit.torch_op(function), {"x": self.torch.from_numpy(X).T}).assert_ok()
        assert not any(seen)

    def scale(self, *shape: int, twice: bool = False) -> Any:
        torch = self.torch

        class Scale(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.by = torch.nn.Parameter(torch.ones(shape))

            def forward(self, x: Any) -> Any:
                return x * (self.by + self.by.detach() if twice else self.by)

        return Scale

    def test_a_module_its_class_and_what_makes_it(self) -> None:
        made = self.scale(4)
        for module in (made(), made, lambda: made()):
            audit = gradaudit.check(gradaudit.torch_op(module, name="scale"), {"x": X})
            assert verdicts(audit) == {"x": "pass", "by": "pass"}
            assert audit.shapes == {"x": (3, 4), "by": (4,)}

    def test_a_wrong_parameter_has_its_map_in_a_notebook(self) -> None:
        audit = gradaudit.check(gradaudit.torch_op(self.scale(3, 4, twice=True)), {"x": X})
        assert verdicts(audit) == {"x": "pass", "by": "fail"}
        assert "x tolerance</title>" in audit._repr_html_()

    def test_modes_find_what_reverse_mode_does_not_see(self) -> None:
        torch = self.torch

        class Detached(torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return torch.sin(x)

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                return upstream * torch.cos(ctx.saved_tensors[0].detach())

        gradaudit.check(gradaudit.torch_op(Detached.apply), {"x": X}).assert_ok()
        audit = gradaudit.check(gradaudit.torch_op(Detached.apply, mode="second"), {"x": X})
        assert verdicts(audit) == {"x": "fail", "upstream[0]": "pass"}

    def test_a_tensor_as_upstream(self) -> None:
        upstream = self.torch.arange(12.0, dtype=self.torch.float64).reshape(3, 4)
        gradaudit.check(gradaudit.torch_op(self.torch.sin), {"x": X}, upstream=upstream).assert_ok()

    def test_what_numpy_has_not_is_refused_by_the_inputs_name(self) -> None:
        with pytest.raises(TypeError, match="x: expected an array, found Tensor"):
            gradaudit.check(gradaudit.torch_op(self.torch.sin), {"x": self.torch.eye(3).to_sparse()})

    def test_a_module_of_integers_or_of_nothing_has_its_parameters_audited(self) -> None:
        embedding = gradaudit.check(gradaudit.torch_op(self.torch.nn.Embedding(5, 3)), {"i": np.array([1, 1, 4])})
        assert verdicts(embedding) == {"weight": "pass"}

        class Alone(self.torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self, torch: Any) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.linspace(-1.0, 1.0, 4))

            def forward(self) -> Any:
                return self.weight.sin() + 0 * self.weight.detach()

        assert verdicts(gradaudit.check(gradaudit.torch_op(Alone(self.torch)), {})) == {"weight": "pass"}

    def test_a_padding_row_of_an_embedding_has_no_gradient_of_its_own_and_is_named(self) -> None:
        layer = self.torch.nn.Embedding(5, 3, padding_idx=1)
        (result,) = gradaudit.check(gradaudit.torch_op(layer), {"i": np.array([1, 1, 4])}).results
        assert {mismatch.index[0] for mismatch in result.mismatches} == {1}

    def test_a_function_of_integers_has_nothing_to_audit(self) -> None:
        audit = gradaudit.check(gradaudit.torch_op(lambda i: 2 * i), {"i": np.array([1, 2])})
        assert (str(audit.verdict), "none of its inputs is differentiable" in audit.report) == ("error", True)

    def test_a_lazy_module_is_refused_in_words(self) -> None:
        nn = self.torch.nn
        for made in (nn.LazyLinear(2), lambda: nn.Sequential(nn.LazyLinear(2))):
            audit = gradaudit.check(gradaudit.torch_op(made), {"x": X})
            assert str(audit.verdict) == "error"
            assert "weight, " in audit.report
            assert "expected a module that was called once" in " ".join(audit.report.split())

    def test_what_makes_no_module_is_an_error_by_name(self) -> None:
        audit = gradaudit.check(gradaudit.torch_op(lambda: 3, name="three"), {"x": X})
        assert audit.results[0].message.startswith("three needs no inputs and returned int; expected")


class TestJax:
    @pytest.fixture(autouse=True)
    def _jax(self) -> None:
        self.jax = pytest.importorskip("jax")

    def test_arrays_of_jax_keep_their_dtype(self) -> None:
        for dtype in ("float32", "bfloat16"):
            audit = gradaudit.check(gradaudit.jax_op(self.jax.numpy.tanh), {"x": self.jax.numpy.asarray(X, dtype)})
            assert (str(audit.verdict), audit.results[0].dtype) == ("pass", dtype)

    def test_a_custom_vjp_with_the_wrong_sign_is_named(self) -> None:
        sine = self.jax.custom_vjp(self.jax.numpy.sin)
        sine.defvjp(lambda x: (sine(x), x), lambda x, upstream: (-upstream * self.jax.numpy.cos(x),))
        audit = gradaudit.check(gradaudit.jax_op(sine), {"x": X})
        assert (verdicts(audit), codes(audit), audit.results[0].op) == ({"x": "fail"}, {"sign-flipped"}, "sin")

    def test_a_wrong_rule_of_forward_mode_fails_in_that_mode(self) -> None:
        @self.jax.custom_jvp
        def sine(x: Any) -> Any:
            return self.jax.numpy.sin(x)

        sine.defjvp(lambda primals, tangents: (sine(*primals), 2 * self.jax.numpy.cos(*primals) * tangents[0]))
        assert verdicts(gradaudit.check(gradaudit.jax_op(sine, mode="forward"), {"x": X})) == {"x": "fail"}


class TestAutograd:
    def test_a_primitive_with_a_wrong_rule_is_named(self) -> None:
        extend = pytest.importorskip("autograd.extend")
        cube = extend.primitive(lambda x: x**3)
        extend.defvjp(cube, lambda made, x: lambda upstream: upstream * x**2)
        audit = gradaudit.check(gradaudit.autograd_op(cube, name="cube"), {"x": X})
        assert (verdicts(audit), codes(audit)) == ({"x": "fail"}, {"constant-factor"})


class TestTinygrad:
    def test_its_tensors_are_taken(self) -> None:
        tinygrad = pytest.importorskip("tinygrad")
        with pytest.importorskip("tinygrad.helpers").Context(DEV="PYTHON"):
            for dtype in ("float32", "bfloat16"):
                x = tinygrad.Tensor(X[:1, :2].astype(np.float32)).cast(getattr(tinygrad.dtypes, dtype))
                audit = gradaudit.check(gradaudit.tinygrad_op(lambda x: x * x, name="square"), {"x": x})
                assert (verdicts(audit), audit.results[0].dtype) == ({"x": "pass"}, dtype)
