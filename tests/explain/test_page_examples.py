"""The example on each finding's page shows that finding, and mended as little as can be it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_examples import write_example

from gradaudit.engine.audit import audit_case
from gradaudit.guides import finding_page
from gradaudit.results import ADVISORY_CODES, FINDING_CODES, Finding, Result, Verdict
from gradaudit.spec.load import load_specs

MENDED: dict[str, tuple[str, ...]] = {
    "accumulated": ("total += 2.0", "total = 2.0"),
    "broadcast-not-reduced": ("return upstream, upstream", "return upstream, upstream.sum(axis=0)"),
    "captured-state": ('2.0 * saved["x"] * upstream', "2.0 * x * upstream"),
    "constant-factor": ("+ 0.0 * x", "/ 4.0 + 0.0 * x"),
    "degenerate-upstream": ("upstream: ones", "upstream: random"),
    "diverged": ("lr: 1.0e+200", "lr: 0.1"),
    "discontinuity": ("[-1.5, 0.0, 0.5]", "[-1.5, 1.0e-6, 0.5]"),
    "conjugate-missing": ("upstream * w, upstream * z", "upstream * w.conj(), upstream * z.conj()"),
    "constant-along-axis": (
        "np.broadcast_to(through_sum, x.shape)",
        "through_sum + 2 * upstream * x * x.sum(axis=1, keepdims=True)",
    ),
    "diagonal-only": ("upstream * p * (1 - p)", "p * (upstream - (upstream * p).sum(-1, keepdims=True))"),
    "upstream-part": ("range(x.shape[-1] - 2)", "range(x.shape[-1])"),
    "dtype-mismatch": ("dtype=np.float64", "dtype=x.dtype"),
    "factor-per-axis": ("return upstream, (", "return upstream * gamma, ("),
    "input-mutated": ("x *= 2.0", "x = 2.0 * x"),
    "kink": ("[-1.5, 0.0, 0.5]", "[-1.5, 1.0e-6, 0.5]"),
    "layout-dependent": ("np.frombuffer(upstream.base, x.dtype, x.size)", "np.ascontiguousarray(upstream)"),
    "missing-gradient": ("upstream * w, None", "upstream * w, upstream * x"),
    "missing-term": ("upstream.copy()", "upstream - upstream.mean(axis=-1, keepdims=True)"),
    "limit-reached": ("budget: 12", "budget: 100"),
    "noise-dominated": ("rtol: 1.0e-6", "rtol: 1.0e-4"),
    "nonfinite": ("[800.0, 900.0]", "[80.0, 90.0]"),
    "not-learning": ("lr: 1.0e-4", "lr: 0.5"),
    "nonlinear-upstream": ("np.clip(upstream, -1.0, 1.0)", "upstream"),
    "parameter-count": ("parameters: 3", "parameters: 2"),
    "parameter-stuck": ("parameters[:1]", "parameters"),
    "precision-loss": ("4096.0", "1.0"),
    "shape-mismatch": (".reshape(-1)", ".reshape(x.shape)"),
    "shifted": ("np.roll(upstream, 1", "np.roll(upstream, -1"),
    "sign-flipped": ("return upstream, upstream", "return upstream, -upstream"),
    "stochastic-backward": ("rng.random(x.shape) < 0.5", "mask"),
    "ties-miscounted": ("[1.0, 1.0, -0.5]", "[1.0, 0.75, -0.5]"),
    "constrained-input": ("gradient - x * (x @ gradient)", "gradient"),
    "symmetric-input": ("    lower = np.tril(a)\n    return (lower + np.tril(a, -1).T) ** 2", "    return a**2"),
    "tolerance-too-loose": ("rtol: 1.0e-2", "rtol: 2.0e-7"),
    "tolerance-too-tight": ("rtol: 1.0e-9", "rtol: 1.0e-6"),
    "too-slow": ("seconds: 1.0e-6", "seconds: 60"),
    "transposed": ("upstream.T @ x", "x.T @ upstream"),
    "uniform-input": ("[1.0, 1.0]]", "[1.0, 0.5]]"),
    "upstream-ignored": ("return 2.0 * x", "return 2.0 * x * upstream"),
    "approximate-forward": ("np.interp(x, KNOTS, np.exp(KNOTS))", "np.exp(x)"),
    "forward-dtype": ("1e-2 if x.dtype == np.float32 else 1e-8", "1e-2"),
    "straight-through": ("np.round(x * 40.0) / 40.0", "x.copy()"),
    "below-noise": ("-22.0", "-2.0"),
    "row-dependent": ("gradient + np.float32(1e-7) * gradient.mean(axis=0)", "gradient"),
    "race": (" if next(call) % 100 == 0 else None", " if next(call) < 0 else None"),
    "unwritten-memory": ("x.shape[0] // 2", "(x.shape[0] + 1) // 2"),
    "upstream-clipped": ("np.clip(upstream, -100.0, 100.0)", "upstream"),
    "wrong-subset": ("upstream * (x > 0.0)", "upstream * np.where(x > 0.0, 1.0, 0.1)"),
    "accumulation": ("self.grad = self.grad", "self.grad = None"),
    "detached-output": ("return Tensor(product.data)", "return product"),
    "exploding": ("SCALE = 1.0e6", "SCALE = 1.0"),
    "unreached-parameter": ("Tensor(x.data + (x @ self.mix).data)", "x + x @ self.mix"),
    "unregistered-parameter": ('{"weight": self.weight}', '{"weight": self.weight, "bias": self.bias}'),
    "unused-parameter": ("x @ self.weight", "x @ self.weight + self.bias"),
    "vanishing": ("SCALE = 1.0e-6", "SCALE = 1.0"),
    "wrong-backward": ("SoftmaxBackward", "TanhBackward"),
    "zero-gradient": ("0.0 * (upstream * x)", "upstream * x"),
    "zero-input": ("[0.0, 0.0]]", "[0.0, 0.5]]"),
    "out-of-domain": (", 0.0 * label", "", "0.0, 1.0]", "0.0, 1.0], differentiable: false"),
    "stochastic-forward": (
        *("default_rng(0)", "default_rng(0).random((3, 4)) < 0.5"),
        *("(rng.random(x.shape) < 0.5)", "rng", "upstream * 0.5", "upstream * rng"),
    ),
}
"""What is replaced in an example so that its finding goes, each followed by what takes its place."""


def test_each_code_is_mended() -> None:
    assert set(MENDED) == FINDING_CODES


def pairs(replaced: tuple[str, ...]) -> zip[tuple[str, str]]:
    return zip(replaced[::2], replaced[1::2], strict=True)


def audited(spec: Path) -> list[Result]:
    return [result for case in load_specs([spec]).cases for result in audit_case(case).results]


def findings(results: list[Result]) -> list[Finding]:
    return [finding for result in results for finding in result.findings]


@pytest.mark.parametrize("code", sorted(FINDING_CODES))
class TestExample:
    def test_shows_its_finding(self, code: str, folder: Path) -> None:
        results = audited(write_example(finding_page(code), folder))
        assert code in {finding.code for finding in findings(results)}
        verdict = max((result.verdict for result in results), key=lambda verdict: verdict.severity)
        assert code in ADVISORY_CODES or verdict in (Verdict.FAIL, Verdict.ERROR)

    def test_mended_is_left_in_peace(self, code: str, folder: Path) -> None:
        spec = write_example(finding_page(code), folder)
        for old, new in pairs(MENDED[code]):
            (file,) = [file for file in folder.iterdir() if file.is_file() and old in file.read_text()]
            file.write_text(file.read_text().replace(old, new, 1))
        results = audited(spec)
        assert {result.verdict for result in results} == {Verdict.PASS}
        assert findings(results) == []
