"""``audit.explain()``: the page of ``gradaudit explain``, of an op at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradaudit
from gradaudit.report.files import UnwritableError

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 5)), RNG.normal(size=(5, 3))


def product(x, w, scale):
    return scale * (x @ w)


def product_backward(u, x, w, scale):
    return scale * (u @ w.T), scale * (x.T @ u)


def product_wrong_in_w(u, x, w, scale):
    return scale * (u @ w.T), x.T @ u


def swish(x):
    return x / (1 + np.exp(-x))


def swish_backward(u, x):
    s = 1 / (1 + np.exp(-x))
    return u * s


class TestAWrongGradient:
    @pytest.fixture
    def explained(self):
        wrong = gradaudit.op(product, product_wrong_in_w)
        return gradaudit.check(wrong, {"x": X, "w": W}, params={"scale": 2.5}).explain()

    def test_is_explained_with_its_cause_where_it_lies_and_what_to_do(self, explained) -> None:
        text = str(explained)
        assert text.startswith("product: 2 gradients in 1 case: 1 pass, 1 fail\n")
        assert "op  product(x, w, scale=2.5)" in text
        assert "constant-factor" in text
        assert "Where they lie in a gradient of shape [5, 3]" in text
        assert "The numerical gradient at the worst index" in text
        assert max(map(len, text.splitlines())) <= 80

    def test_names_no_spec_and_no_command_that_would_need_one(self, explained) -> None:
        for absent in ("spec  ", "Reproduce it", "gradaudit run"):
            assert absent not in str(explained)

    def test_is_markdown_too(self, explained) -> None:
        assert explained.markdown.startswith("# product: 2 gradients in 1 case")
        assert explained._repr_markdown_() == explained.markdown

    def test_is_drawn(self, explained, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        explained.plot(str(tmp_path / "a.svg"))
        assert "<svg" in (tmp_path / "a.svg").read_text()
        with pytest.raises(UnwritableError, match=r"found '\.pdf', expected a name in \.png or \.svg"):
            explained.plot(str(tmp_path / "a.pdf"))


def test_a_right_one_is_explained_too() -> None:
    right = gradaudit.op(product, product_backward)
    text = str(gradaudit.check(right, {"x": X, "w": W}, params={"scale": 2.5}).explain(repair_seconds=5))
    assert "Nothing: every gradient is right within its tolerance" in text
    assert "Repair" not in text


def test_the_edit_that_mends_it_is_shown_where_it_is_looked_for() -> None:
    audit = gradaudit.check(gradaudit.op(swish, swish_backward), np.linspace(-3, 3, 12))
    text = str(audit.explain(repair_seconds=30))
    assert "-    return u * s\n" in text
    assert "Repair" in text


def test_the_edit_that_mends_it_ends_a_failing_test_that_asks_for_it() -> None:
    audit = gradaudit.check(gradaudit.op(swish, swish_backward), np.linspace(-3, 3, 12))
    with pytest.raises(gradaudit.GradientMismatch, match=r"-    return u [*] s\n[+]    return "):
        audit.assert_ok(repair_seconds=30)


def test_a_backward_without_source_gets_a_formula() -> None:
    made = {}
    exec("def backward(u, x):\n    return 2 * u", made)
    audit = gradaudit.check(gradaudit.op(lambda x: x * np.exp(x), made["backward"]), np.linspace(-3, 3, 12))
    (found,) = audit.explain(repair_seconds=5).explanation.repairs.repairs
    assert (found.applicability, found.file) == ("hint", "")
    x, upstream = RNG.normal(size=(2, 7))
    names = {"np": np, "x": x, "upstream": upstream, "gradient": 2 * upstream, "output": x * np.exp(x)}
    np.testing.assert_allclose(eval(found.diff, names), upstream * (1 + x) * np.exp(x))


def test_an_audit_that_check_did_not_make_has_none() -> None:
    with pytest.raises(ValueError, match=r"not made by gradaudit\.check"):
        gradaudit.Audit(()).explain()
