"""From a spec's ``target`` to an op that works: the keys of the document, their defaults, and params."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import numpy as np
import pytest

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict
from gradaudit.spec.load import load_specs
from gradaudit.targets import names_to_import, open_op
from gradaudit.targets.op import OpError

_numbers = count()


class Workbench:
    """A folder with a spec and the module that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def case(self, source: str, target: str, inputs: str = "x: {shape: [3]}", params: str = "{}") -> Any:
        module = f"specified_kernels_{next(_numbers)}"
        (self.folder / f"{module}.py").write_text("import numpy as np\n" + dedent(source))
        target = indent(dedent(target).strip().replace("MODULE", module), "  ")
        inputs = indent(dedent(inputs).strip(), "  ")
        file = self.folder / "op.yaml"
        file.write_text(f"op: {module}\ntarget:\n{target}\ninputs:\n{inputs}\nparams: {params}\n")
        (case,) = load_specs([file]).cases
        return case

    def verdicts(self, *args: str, **kwargs: str) -> dict[str, str]:
        results = audit_case(self.case(*args, **kwargs)).results
        return {result.input: str(result.verdict) for result in results}


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


PRODUCT = """
def forward(x, y): return x * y
def backward(u, x, y): return u * y, u * x
def swapped(x, u, y): return u * x, u * y
def of_y(u, x): return u * x
"""
TWO = "x: {shape: [3]}\ny: {shape: [3]}"


class TestDefaults:
    def test_upstream_then_all_inputs_and_all_gradients(self, bench: Workbench) -> None:
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(PRODUCT, target, TWO) == {"x": "pass", "y": "pass"}

    def test_inputs_that_are_not_differentiable_are_passed_but_not_returned(self, bench: Workbench) -> None:
        source = """
        def forward(x, rows): return x[rows]
        def backward(u, x, rows): return np.bincount(rows, u, minlength=len(x))
        """
        inputs = "x: {shape: [3]}\nrows: {shape: [5], distribution: integers, range: [0, 2]}"
        assert bench.verdicts(source, "forward: MODULE:forward\nbackward: MODULE:backward", inputs) == {"x": "pass"}


class TestArgsAndReturns:
    def test_in_the_order_of_the_spec(self, bench: Workbench) -> None:
        target = """
        forward: MODULE:forward
        backward: {call: "MODULE:swapped", args: [x, upstream, y], returns: [y, x]}
        """
        assert bench.verdicts(PRODUCT, target, TWO) == {"x": "pass", "y": "pass"}

    def test_an_input_that_returns_leave_out_has_no_gradient(self, bench: Workbench) -> None:
        target = """
        forward: MODULE:forward
        backward: {call: "MODULE:of_y", args: [upstream, x], returns: [y]}
        """
        assert bench.verdicts(PRODUCT, target, TWO) == {"x": "error", "y": "pass"}

    def test_outputs_and_upstreams_by_position(self, bench: Workbench) -> None:
        source = """
        def forward(x): return x > 0, np.exp(x), np.sin(x)
        def backward(second, mask, y, x, first): return first * y + second * np.cos(x)
        """
        target = """
        forward: MODULE:forward
        backward: {call: "MODULE:backward", args: ["upstream[1]", "output[0]", "output[1]", x, "upstream[0]"]}
        outputs: {differentiable: [1, 2]}
        """
        assert bench.verdicts(source, target) == {"x": "pass"}

    def test_a_saved_output_belongs_to_the_inputs_of_the_case(self, bench: Workbench) -> None:
        source = """
        def forward(x): return np.exp(x)
        def backward(u, y): return u * y
        """
        target = 'forward: MODULE:forward\nbackward: {call: "MODULE:backward", args: [upstream, output]}'
        assert bench.verdicts(source, target) == {"x": "pass"}


class TestParams:
    SCALED = """
    def forward(x, *, scale, power=1): return scale * x**power
    """

    @pytest.mark.parametrize(
        "signature",
        [
            "u, x, *, scale, power",
            "u, x, scale, power",
            "u, x, power=7, scale=7",
            "u, x, *, scale, power, unused=0",
        ],
    )
    def test_backward_gets_those_that_it_names(self, bench: Workbench, signature: str) -> None:
        source = f"{self.SCALED}\n    def backward({signature}): return u * scale * power * x ** (power - 1)\n"
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, params="{scale: 3.0, power: 2}") == {"x": "pass"}

    def test_and_is_spared_those_that_it_does_not(self, bench: Workbench) -> None:
        source = self.SCALED + "\n    def backward(u, x, *, scale): return u * scale\n"
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, params="{scale: 3.0, power: 1}") == {"x": "pass"}

    def test_a_backward_with_double_stars_gets_all(self, bench: Workbench) -> None:
        source = (
            self.SCALED
            + """
    def backward(u, x, **params):
        assert params == {"scale": 3.0, "power": 2}
        return 2 * u * params["scale"] * x
    """
        )
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, params="{scale: 3.0, power: 2}") == {"x": "pass"}

    def test_a_positional_only_name_is_not_a_param(self, bench: Workbench) -> None:
        source = self.SCALED + "\n    def backward(scale, x, /): return scale * 3.0\n"
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, params="{scale: 3.0}") == {"x": "pass"}

    def test_a_function_without_a_signature_gets_all(self, bench: Workbench) -> None:
        source = """
        def forward(x): return np.square(x)
        class Opaque:
            __signature__ = "unreadable"
            def __call__(self, u, x, **params): return 2 * u * x * len(params)
        backward = Opaque()
        def scaled(x, *, one): return x * x
        """
        target = "forward: MODULE:scaled\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, params="{one: 1}") == {"x": "pass"}

    def test_they_are_plain_data_as_written(self, bench: Workbench) -> None:
        source = """
        def forward(x, *, axes, mode, flag, nothing):
            assert (axes, mode, flag, nothing) == ([0, -1], "same", True, None), (axes, mode, flag, nothing)
            return np.sin(x)
        def backward(u, x): return u * np.cos(x)
        """
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        params = "{axes: [0, -1], mode: same, flag: true, nothing: null}"
        assert bench.verdicts(source, target, params=params) == {"x": "pass"}


class TestCallables:
    @pytest.mark.parametrize(
        "backward",
        [
            "backward = lambda u, x: u * np.cos(x)",
            "import functools\ndef cosine(u, x, *, sign): return sign * u * np.cos(x)\n"
            "backward = functools.partial(cosine, sign=1)",
            "class Backward:\n    def __call__(self, u, x): return u * np.cos(x)\nbackward = Backward()",
            "class Sine:\n    @staticmethod\n    def vjp(u, x): return u * np.cos(x)\nbackward = Sine.vjp",
        ],
        ids=["lambda", "partial", "object", "method"],
    )
    def test_anything_that_can_be_called_will_do(self, bench: Workbench, backward: str) -> None:
        source = f"forward = np.sin\n{backward}\n"
        assert bench.verdicts(source, "forward: MODULE:forward\nbackward: MODULE:backward") == {"x": "pass"}

    def test_the_names_to_import_are_those_of_the_spec(self, bench: Workbench) -> None:
        case = bench.case(PRODUCT, "forward: MODULE:forward\nbackward: MODULE:backward", TWO)
        names = names_to_import(case.target)
        assert names == {
            ("target", "forward"): f"{case.op}:forward",
            ("target", "backward", "call"): f"{case.op}:backward",
        }

    def test_opening_an_op_calls_nothing(self, bench: Workbench) -> None:
        source = """
        def forward(x): raise AssertionError("called")
        def backward(u, x): raise AssertionError("called")
        """
        op = open_op(bench.case(source, "forward: MODULE:forward\nbackward: MODULE:backward"))
        with pytest.raises(OpError, match="called"):
            op.forward({"x": np.ones(3)})


SCALARS = {
    "numbers": "return float(np.sin(x))|return float(u * np.cos(x))",
    "NumPy scalars": "return np.sin(x)[()]|return (u * np.cos(x))[()]",
    "arrays": "return np.array(np.sin(x))|return np.array(u * np.cos(x))",
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("form", SCALARS)
def test_an_op_on_scalars_may_speak_in_numbers(bench: Workbench, form: str, dtype: str) -> None:
    forward, backward = SCALARS[form].split("|")
    source = f"def forward(x): {forward}\ndef backward(u, x): {backward}\n"
    target = "forward: MODULE:forward\nbackward: MODULE:backward"
    case = bench.case(source, target, f"x: {{shape: [], dtype: {dtype}}}")
    (result,) = audit_case(case).results
    assert (result.verdict, result.message) == (Verdict.PASS, "")


class TestContainers:
    @pytest.mark.parametrize(
        "returned",
        ["(gx, gy)", "[gx, gy]", "{'y': gy, 'x': gx}", "Gradients(gx, gy)", "Record(y=gy, x=gx)", "{'a': gx, 'b': gy}"],
    )
    def test_gradients_come_in_any(self, bench: Workbench, returned: str) -> None:
        source = f"""
        import dataclasses, typing
        class Gradients(typing.NamedTuple):
            x: object
            y: object
        @dataclasses.dataclass
        class Record:
            y: object
            x: object
        def forward(x, y): return x * y
        def backward(u, x, y):
            gx, gy = u * y, u * x
            return {returned}
        """
        target = "forward: MODULE:forward\nbackward: MODULE:backward"
        assert bench.verdicts(source, target, TWO) == {"x": "pass", "y": "pass"}
