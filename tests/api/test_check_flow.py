"""``gradaudit.check_flow``: a model at hand, whether a gradient arrives at every parameter, and is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradaudit
from gradaudit.milestones import xor

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=(6, 2)).astype(np.float32)


def verdicts(audit: gradaudit.Audit) -> dict[str, str]:
    return {result.input: str(result.verdict) for result in audit.results}


class TestTorch:
    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.x, self.y = self.torch.tensor(X), self.torch.tensor(Y)
        self.loss = self.torch.nn.functional.mse_loss

    def net(self, *, cut: bool = False) -> Any:
        torch = self.torch

        class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.a, self.b = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

            def forward(self, x: Any) -> Any:
                inner = torch.tanh(self.a(x))
                return self.b(inner.detach() if cut else inner)

        torch.manual_seed(0)
        return Net()

    def test_the_dtype_is_that_of_the_inputs_whatever_the_targets_are_in(self) -> None:
        half = self.torch.bfloat16
        for net, x, y in ((self.net(), self.x, self.y.to(half)), (self.net().to(half), self.x.to(half), self.y)):
            audit = gradaudit.check_flow(net, lambda made, wanted: self.loss(made.float(), wanted.float()), x, y)
            assert set(verdicts(audit).values()) == {"pass"}, audit
            assert {result.dtype for result in audit.results} == {str(x.dtype).removeprefix("torch.")}

    def test_every_parameter_of_a_sound_model_passes_and_keeps_its_value(self) -> None:
        net = self.net()
        before = [parameter.detach().clone() for parameter in net.parameters()]
        audit = gradaudit.check_flow(net, self.loss, self.x, self.y)
        assert verdicts(audit) == dict.fromkeys(["x", "a.weight", "a.bias", "b.weight", "b.bias"], "pass")
        assert audit.results[0].op == "Net"
        assert all((one == two).all() for one, two in zip(before, net.parameters(), strict=True))
        assert net.a.weight.grad is None

    def test_where_a_gradient_is_lost_the_line_is_named(self) -> None:
        audit = gradaudit.check_flow(self.net(cut=True), self.loss, self.x, self.y)
        assert not audit
        assert verdicts(audit)["b.weight"] == "pass"
        assert verdicts(audit)["a.weight"] == "fail"
        with pytest.raises(
            gradaudit.GradientMismatch, match=r"the loss depends on a\.weight and no .*test_check_flow\.py:\d+"
        ):
            audit.assert_ok()

    def test_what_is_stopped_on_purpose_is_said(self) -> None:
        assert gradaudit.check_flow(self.net(cut=True), self.loss, self.x, self.y, stopped=["a.*", "x"])

    def test_targets_may_be_labels(self) -> None:
        labels = self.torch.tensor([0, 1, 1, 0, 1, 0])
        assert gradaudit.check_flow(self.net(), self.torch.nn.functional.cross_entropy, {"x": self.x}, labels)


def test_a_model_on_the_projects_own_tape() -> None:
    x, y = (np.asarray(part[0]) for part in xor.data(0))
    assert gradaudit.check_flow(xor.build(), xor.loss, x, y)


def test_a_tape_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"nothing says what tape \w+ is on; expected tape='gradaudit' or 'torch' or"):
        gradaudit.check_flow(lambda x: x, lambda out: out, X)
    with pytest.raises(
        ValueError, match="tape: found 'tourch', expected one of gradaudit, torch, tinygrad; did you mean"
    ):
        gradaudit.check_flow(lambda x: x, lambda out: out, X, tape="tourch")  # type: ignore[arg-type]


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match=r"target\[0\]: expected an array of numbers, found <U3 from str"):
        gradaudit.check_flow(xor.build(), xor.loss, X, "one")


def test_a_loss_that_raises_is_a_verdict() -> None:
    def loss(output: Any, wanted: Any) -> Any:
        raise RuntimeError("no loss today")

    audit = gradaudit.check_flow(xor.build(), loss, X[:, :2], Y)
    assert audit.verdict == "error"
    assert "no loss today" in str(audit)
