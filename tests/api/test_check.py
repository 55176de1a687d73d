"""``gradaudit.check``: an op and arrays at hand, audited here and now."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import gradaudit
from gradaudit.results import Verdict

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5))
W = RNG.normal(size=(5, 3))


def product(x: Any, w: Any, scale: float = 1.0) -> Any:
    return scale * (x @ w)


def product_backward(u: Any, x: Any, w: Any, scale: float = 1.0) -> Any:
    return scale * (u @ w.T), scale * (x.T @ u)


def product_wrong_in_w(u: Any, x: Any, w: Any, scale: float = 1.0) -> Any:
    return scale * (u @ w.T), x.T @ u


PRODUCT = gradaudit.op(product, product_backward)
WRONG = gradaudit.op(product, product_wrong_in_w)
SQUARE = gradaudit.op(lambda x: x * x, lambda u, x: 2 * x * u, name="square")


class TestVerdicts:
    def test_an_audit_is_true_where_it_passed_and_false_where_not(self) -> None:
        assert gradaudit.check(PRODUCT, {"x": X, "w": W})
        assert not gradaudit.check(WRONG, {"x": X, "w": W}, params={"scale": 2.5})
        assert not gradaudit.check(SQUARE, {"x": X}, rtol=0.5)  # which is inconclusive
        assert not gradaudit.check(gradaudit.op(lambda x: x * x, lambda u, x: 1 / 0), {"x": X})

    def test_a_right_gradient_passes(self) -> None:
        audit = gradaudit.check(PRODUCT, {"x": X, "w": W}, params={"scale": 2.5})
        assert audit.verdict == "pass"
        assert [(result.input, result.checked, result.wrong) for result in audit.results] == [
            ("x", 20, 0),
            ("w", 15, 0),
        ]
        audit.assert_ok()

    def test_a_wrong_one_fails_with_the_report_as_its_text(self) -> None:
        audit = gradaudit.check(WRONG, {"x": X, "w": W}, params={"scale": 2.5})
        assert (audit.verdict, [result.verdict for result in audit.results]) == ("fail", ["pass", "fail"])
        with pytest.raises(gradaudit.GradientMismatch) as caught:
            audit.assert_ok()
        text = str(caught.value)
        assert text.startswith("product (float64, case default): gradient mismatch w.r.t. w at index")
        assert "likely cause: constant-factor. numerical = 2.500 x analytical at every index; 2.500 is scale" in text
        assert "Spec:" not in text
        assert caught.value.audit is audit

    def test_a_mismatch_is_a_failed_assertion(self) -> None:
        assert issubclass(gradaudit.GradientMismatch, AssertionError)

    def test_what_cannot_be_decided_is_forgiven_only_on_request(self) -> None:
        audit = gradaudit.check(SQUARE, {"x": X}, rtol=0.5)
        assert audit.verdict == "inconclusive"
        audit.assert_ok(allow_inconclusive=True)
        with pytest.raises(gradaudit.GradientMismatch, match="too loose"):
            audit.assert_ok()

    def test_what_an_op_raises_is_a_verdict(self) -> None:
        audit = gradaudit.check(gradaudit.op(lambda x: x * x, lambda u, x: 1 / 0), {"x": X})
        assert audit.verdict is Verdict.ERROR
        with pytest.raises(gradaudit.GradientMismatch, match="backward raised ZeroDivisionError"):
            audit.assert_ok(allow_inconclusive=True)

    def test_the_worst_verdict_is_that_of_the_audit(self) -> None:
        audit = gradaudit.check(gradaudit.op(product, lambda u, x, w: (-(u @ w.T), None)), {"x": X, "w": W})
        assert ([result.verdict for result in audit.results], audit.verdict) == (["fail", "error"], "error")


class TestInputs:
    def test_are_those_given_and_left_alone(self) -> None:
        seen: list[Any] = []
        x = X.copy()

        def forward(x: Any) -> Any:
            seen.append(x.copy())
            x += 1
            return x * x

        audit = gradaudit.check(gradaudit.op(forward, lambda u, x: 2 * x * u), {"x": x})
        assert (seen[0] == X).all()
        assert (x == X).all()
        assert "input-mutated" in {finding.code for finding in audit.results[0].findings}

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
    def test_have_their_own_dtype(self, dtype: str) -> None:
        seen = set()

        def forward(x: Any) -> Any:
            seen.add(x.dtype.name)
            return x * x

        x = (X + 1j * X[::-1]).astype(dtype) if "complex" in dtype else X.astype(dtype)
        audit = gradaudit.check(gradaudit.op(forward, lambda u, x: 2 * np.conj(x) * u), {"x": x})
        assert (str(audit.verdict), audit.results[0].dtype) == ("pass", dtype)
        assert dtype in seen

    @pytest.mark.parametrize("layout", [X.T, X[:, ::2], X[::-1], np.asfortranarray(X)], ids=["T", "::2", "::-1", "F"])
    def test_keep_a_layout_that_is_not_contiguous(self, layout: Any) -> None:
        def forward(x: Any) -> Any:
            assert not x.flags.c_contiguous
            assert x.flags.f_contiguous == layout.flags.f_contiguous
            return x * x

        gradaudit.check(gradaudit.op(forward, lambda u, x: 2 * x * u), {"x": layout}).assert_ok()

    def test_by_position_have_the_names_that_forward_gives_them(self) -> None:
        audit = gradaudit.check(WRONG, (X, W), params={"scale": 2.5})
        assert [(result.input, str(result.verdict)) for result in audit.results] == [("x", "pass"), ("w", "fail")]
        nameless = gradaudit.op(lambda *given: given[0] * given[1], lambda u, *given: (u * given[1], u * given[0]))
        assert [result.input for result in gradaudit.check(nameless, [X, X + 3]).results] == ["input[0]", "input[1]"]

    def test_may_be_one_array(self) -> None:
        for one in (X, [[1.0, 2.0]], 3.0):
            assert gradaudit.check(SQUARE, one)

    def test_may_be_lists_and_numbers(self) -> None:
        gradaudit.check(SQUARE, {"x": [[1.0, 2.0]]}).assert_ok()
        gradaudit.check(SQUARE, {"x": 3.0}).assert_ok()

    def test_without_a_gradient_are_passed_on(self) -> None:
        op = gradaudit.op(lambda x, rows, m: x[rows] * m, lambda u, x, rows, m: _scattered(u * m, rows, x))
        audit = gradaudit.check(op, {"x": X, "rows": [0, 2, 0], "m": np.array([[2.0]])}, differentiable={"x"})
        assert [(result.input, str(result.verdict)) for result in audit.results] == [("x", "pass")]

    def test_of_many_elements_are_searched(self) -> None:
        audit = gradaudit.check(SQUARE, {"x": RNG.normal(size=100_000)})
        (result,) = audit.results
        assert (str(result.verdict), result.method, result.checked) == ("pass", "search", 100_000)
        assert result.evaluations < 50


def _scattered(u: Any, rows: Any, x: Any) -> Any:
    gradient = np.zeros_like(x)
    np.add.at(gradient, rows, u)
    return gradient


class TestSettings:
    def test_args_returns_and_outputs_as_in_a_spec(self) -> None:
        op = gradaudit.op(
            lambda x, y: (np.exp(x) * y, x + y),
            lambda out, u, x: (u * np.exp(x), u * out),
            args=["output[0]", "upstream", "x"],
            returns=["y", "x"],
            outputs=[0],
        )
        gradaudit.check(op, {"x": X, "y": X + 3}).assert_ok()

    def test_an_upstream_of_ones_into_a_fixed_sum_is_told_of(self) -> None:
        def softmax(x: Any) -> Any:
            e = np.exp(x)
            return e / e.sum(-1, keepdims=True)

        op = gradaudit.op(softmax, lambda u, y: y * (u - (u * y).sum(-1, keepdims=True)), args=["upstream", "output"])
        (told,) = gradaudit.check(op, {"x": X}, upstream="ones").results
        assert "degenerate-upstream" in {finding.code for finding in told.findings}
        (fine,) = gradaudit.check(op, {"x": X}).results
        assert (str(fine.verdict), fine.findings) == ("pass", ())

    def test_an_upstream_of_ones_own(self) -> None:
        seen = []
        op = gradaudit.op(lambda x: x * x, lambda u, x: seen.append(u.copy()) or 2 * x * u)
        upstream = RNG.normal(size=X.shape)
        gradaudit.check(op, {"x": X}, upstream=upstream).assert_ok()
        assert (seen[0] == upstream).all()
        wrong = gradaudit.check(op, {"x": X}, upstream=[1.0, 2.0])
        assert "upstream has shape (2,), the output has shape (4, 5)" in wrong.results[0].message
        z = gradaudit.check(
            gradaudit.op(lambda z: z * z, lambda u, z: 2 * np.conj(z) * u), {"z": X + 1j}, upstream=X * 1j
        )
        assert z.verdict == "pass"

    def test_the_seed_changes_the_upstream(self) -> None:
        seen = []
        op = gradaudit.op(lambda x: x * x, lambda u, x: seen.append(u.copy()) or 2 * x * u)
        for seed in (0, 0, 1):
            before = len(seen)
            gradaudit.check(op, {"x": X}, seed=seed)
            seen[before + 1 :] = []
        assert (seen[0] == seen[1]).all()
        assert (seen[0] != seen[2]).any()

    def test_the_tolerance_and_method_are_in_force(self) -> None:
        (result,) = gradaudit.check(SQUARE, {"x": X}, atol=1e-3, method="search").results
        assert (result.rtol, result.atol, result.method) == (1e-7, 1e-3, "search")

    def test_an_op_whose_params_are_bound(self) -> None:
        class Cube:
            def forward(self, inputs: Any) -> Any:
                return (inputs["x"] ** 3,)

            def differentiable_outputs(self, outputs: Any) -> Any:
                return (0,)

            def backward(self, upstream: Any, inputs: Any, outputs: Any) -> Any:
                return {"x": 3 * inputs["x"] ** 2 * upstream[0]}

        gradaudit.check(Cube(), {"x": X}).assert_ok()
        with pytest.raises(ValueError, match="Cube has its params bound already"):
            gradaudit.check(Cube(), {"x": X}, params={"p": 1})


class Text(HTMLParser):
    """Reads HTML, and refuses what does not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def html_of(audit: gradaudit.Audit) -> Text:
    reader = Text()
    reader.feed(audit._repr_html_())
    assert reader.open == []
    return reader


class TestWhatIsShown:
    def test_a_pass_in_a_line_for_each_input(self) -> None:
        audit = gradaudit.check(PRODUCT, {"x": X, "w": W})
        lines = str(audit).splitlines()
        assert lines[0].startswith("product (float64): pass w.r.t. x: 20 of 20 indices, search; a relative error of ")
        assert len(lines) == 2
        assert repr(audit) == "<Audit of product: x: pass, w: pass>"

    def test_in_a_notebook_a_table_and_a_map_of_what_is_wrong(self) -> None:
        def wrong(u: Any, x: Any) -> Any:
            gradient = 2 * x * u
            gradient[1:3, 2] *= 3
            return gradient

        page = html_of(gradaudit.check(gradaudit.op(lambda x: x * x, wrong, name="a<b>&c"), {"x": X}))
        assert page.seen.count("table") == 2
        assert page.seen.count("rect") == 1 + 2
        assert {"a<b>&c", "fail", "2", "20 of 20", "wrong-subset"} <= set(page.text.splitlines())
        assert "1, 2: " in page.text
        assert "likely cause: \nwrong-subset\n" in page.text
        assert ".explain(repair_seconds=10)" in page.text
        assert re.search(r"difference over tolerance:\s+right\s+1\s+10\s+100\s+1,000\s+10,000 and more", page.text)

    def test_in_a_notebook_what_has_no_simple_cause_says_so(self) -> None:
        wrong = gradaudit.op(lambda x: x * np.tanh(x), lambda u, x: u * np.tanh(x))
        assert "no simple cause found" in html_of(gradaudit.check(wrong, {"x": X})).text

    def test_in_a_notebook_a_pass_is_one_table(self) -> None:
        page = html_of(gradaudit.check(SQUARE, {"x": X}))
        assert (page.seen.count("table"), "svg" in page.seen) == (1, False)

    def test_a_notebook_escapes_what_ops_say(self) -> None:
        def raises(u: Any, x: Any) -> Any:
            raise ValueError("<script>alert(1)</script>")

        page = html_of(gradaudit.check(gradaudit.op(lambda x: x * x, raises), {"x": X}))
        assert "script" not in page.seen
        assert "<script>alert(1)</script>" in page.text

    def test_nothing_is_printed(self, capfd: pytest.CaptureFixture[str]) -> None:
        gradaudit.check(WRONG, {"x": X, "w": W}, params={"scale": 2.5})
        gradaudit.check(gradaudit.op(np.log, lambda u, x: u / x), {"x": X})
        assert capfd.readouterr() == ("", "")


MISTAKES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no op": (
        {"op": product},
        TypeError,
        "op: product is a function of no framework, so nothing says what its backward is",
    ),
    "a pair": ({"op": (product, product_backward)}, TypeError, "op: expected a function, or what gradaudit.op"),
    "a name": ({"op": "product"}, TypeError, "op: expected a function, or what gradaudit.op(forward, backward)"),
    "text": ({"inputs": {"x": "abc"}}, TypeError, "x: expected an array of numbers, found <U3 from str"),
    "ragged": ({"inputs": {"x": [[1.0], [1.0, 2.0]]}}, TypeError, "x: expected an array, found list"),
    "text by position": ({"inputs": ("abc",)}, TypeError, "x: expected an array of numbers, found <U3 from str"),
    "no array": ({"inputs": (None,)}, TypeError, "x: expected an array of numbers, found object from NoneType"),
    "nothing": ({"inputs": {}}, ValueError, "at least one that is differentiable, found none"),
    "integers": ({"inputs": {"x": [1, 2]}}, ValueError, "at least one that is differentiable, found x: int64"),
    "a name that is taken": ({"inputs": {"output[1]": X}}, ValueError, "the name 'output[1]' is taken"),
    "no such input": ({"differentiable": ["y"]}, ValueError, "differentiable: there is no input 'y'"),
    "integers again": (
        {"inputs": {"x": X, "i": [1]}, "differentiable": ["x", "i"]},
        ValueError,
        "i is int64, which has no derivatives",
    ),
    "a method": ({"method": "exhaustiv"}, ValueError, "did you mean 'exhaustive'?"),
    "an upstream": ({"upstream": "one"}, ValueError, "upstream: found 'one', expected one of random, ones"),
    "a tolerance": ({"rtol": -1.0}, ValueError, "rtol: expected a finite number not below zero, found -1.0"),
    "a tolerance in words": ({"rtol": "small"}, TypeError, "rtol: expected a number, found 'small'"),
    "a seed": ({"seed": 1.5}, TypeError, "seed: expected a whole number, found 1.5"),
    "a seed below zero": ({"seed": -1}, ValueError, "seed: expected a number not below zero, found -1"),
    "one name": ({"differentiable": "x"}, TypeError, "differentiable: expected a list of names, found 'x'"),
    "params": ({"params": [1]}, TypeError, "params: expected a dict by name, found [1]"),
    "names": ({"inputs": {0: X}}, TypeError, "inputs: expected names as keys, found 0 among them"),
    "no number": ({"atol": math.nan}, ValueError, "atol: expected a finite number"),
}


@pytest.mark.parametrize(("given", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_told_before_anything_is_called(given: Any, error: type[Exception], message: str) -> None:
    arguments = {"op": SQUARE, "inputs": {"x": X}} | given
    with pytest.raises(error) as caught:
        gradaudit.check(**arguments)
    assert message in str(caught.value)


def square_op(**keys: Any) -> Any:
    given = {"forward": lambda x: x * x, "backward": lambda u, x: 2 * x * u}
    return gradaudit.op(**given | keys)


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"forward": "f"}, TypeError, "forward: expected something to call, found str"),
        ({"args": "upstream"}, TypeError, "args: expected a list of names, found 'upstream'"),
        ({"args": ["upstraem", "x"]}, ValueError, "args: found 'upstraem'; expected upstream"),
        ({"returns": ["y"]}, ValueError, "returns: found 'y'; expected one of the inputs x"),
        ({"outputs": 0}, TypeError, "outputs: expected a list of positions, found 0"),
        ({"outputs": ["0"]}, TypeError, "outputs: expected a list of positions, found '0' among them"),
    ],
)
def test_an_op_that_cannot_be_is_told_in_words(keys: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        gradaudit.check(square_op(**keys), X)
    assert message in str(caught.value)


def test_importing_is_light_and_names_are_known() -> None:
    program = (
        "import gradaudit, sys\n"
        "assert not {'numpy', 'scipy', 'rich', 'yaml'} & set(sys.modules)\n"
        "assert set(gradaudit.__all__) <= set(dir(gradaudit))\n"
        "assert callable(gradaudit.check)\n"
        "try: gradaudit.chek\n"
        "except AttributeError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert told == "module 'gradaudit' has no attribute 'chek'\n"
