"""``pytest --gradaudit``: gradients that specs name are tests like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

# What runs in this process would import anew each time, NumPy and libyaml included, which can be imported only once.
import gradaudit.api
import gradaudit.spec.load
import gradaudit.spec.project
import gradaudit.store.baseline  # noqa: F401
from gradaudit.targets import frameworks

with suppress(ModuleNotFoundError):
    import torch  # noqa: F401 (likewise)

pytest_plugins = ["pytester"]

INSTALLED = any(entry.value == "gradaudit.pytest_plugin" for entry in entry_points(group="pytest11"))

PLUGINS = ("-p", "no:hypothesispytest", *(() if INSTALLED else ("-p", "gradaudit.pytest_plugin")))
"""That of Hypothesis imports it anew for every run."""

OPS = """
import warnings

def square(x, w):
    warnings.warn("old", DeprecationWarning)
    return x * x * w

def right(u, x, w):
    return 2 * x * w * u, x * x * u

def wrong(u, x, w):
    return 2 * x * w * u, -x * x * u
"""

SPEC = """
op: {op}
target: {{forward: plugin_ops:square, backward: plugin_ops:{backward}}}
inputs:
  x: {{shape: [3]}}
  w: {{shape: [3], range: [1.0, 2.0]}}
dtype: [float32, float64]
{more}
"""

Run = Callable[..., pytest.RunResult]


def spec(op: str, backward: str = "right", more: str = "") -> str:
    return SPEC.format(op=op, backward=backward, more=more)


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    specs = pytester.mkdir("specs")
    (specs / "plugin_ops.py").write_text(OPS)
    (specs / "good.yaml").write_text(spec("good"))
    (specs / "bad.yaml").write_text(spec("bad", "wrong"))
    return specs


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    return lambda *arguments: pytester.runpytest_inprocess(*PLUGINS, *arguments)


def test_every_gradient_is_a_test(project: Path, run: Run) -> None:
    collected = run("--gradaudit", "specs", "--collect-only", "-q").outlines
    for file in ("good", "bad"):
        for name in ("default[float32-x]", "default[float32-w]", "default[float64-x]", "default[float64-w]"):
            assert f"specs/{file}.yaml::{name}" in collected


def test_failures_show_the_report_and_nothing_else(project: Path, run: Run) -> None:
    result = run("--gradaudit", "specs")
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(
        [
            "_* bad::default[[]float32-w[]] _*",
            "bad (float32, case default): gradient mismatch w.r.t. w at index (*,), 3 of 3 indices wrong",
            "  Spec:       specs/bad.yaml:2",
            "  likely cause: sign-flipped.*",
            "FAILED specs/bad.yaml::default[[]float32-w[]] - bad (float32*",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_test_is_about_all_the_seeds_that_are_asked_for(project: Path, run: Run) -> None:
    result = run("--gradaudit", "specs", "-k", "float64", "--gradaudit-seeds", "2,5-7")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["  Seeds: * 4 of 4 fail by sign-flipped (2, 5-7); shown is 2"])
    assert run("--gradaudit", "specs", "--gradaudit-seeds", "7-5").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("ends", ["raise KeyboardInterrupt", "raise SystemExit", "raise GeneratorExit"])
def test_what_an_op_raises_costs_its_case_alone(project: Path, run: Run, ends: str) -> None:
    (project / "plugin_ops.py").write_text(f"{OPS}\ndef interrupting(u, x, w):\n    {ends}\n")
    (project / "bad.yaml").write_text(spec("bad", "interrupting"))
    run("--gradaudit", "specs").assert_outcomes(passed=4, failed=4)


def test_failures_show_the_edit_that_repairs_them_where_that_is_asked_for(project: Path, run: Run) -> None:
    result = run("--gradaudit", "specs/bad.yaml", "-k", "float64", "--gradaudit-repair", "20")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["likely repair: *plugin_ops.py:12", "+    return 2 [*] x [*] w [*] u, x [*] x [*] u"])


def test_one_is_chosen_by_its_id_or_by_words(project: Path, run: Run) -> None:
    run("--gradaudit", "specs/bad.yaml::default[float32-w]").assert_outcomes(failed=1)
    run("--gradaudit", "specs", "-k", "good and not float32").assert_outcomes(passed=2, deselected=6)
    run("--gradaudit", "specs", "-x").assert_outcomes(passed=1, failed=1)


def test_several_ops_in_a_file_are_told_apart(project: Path, run: Run) -> None:
    (project / "good.yaml").write_text(spec("first") + "---" + spec("second", "wrong"))
    result = run("--gradaudit", "specs/good.yaml::second::default[float64-w]", "specs/good.yaml::first")
    result.assert_outcomes(passed=4, failed=1)


def test_a_model_is_one_test_with_all_its_parameters(project: Path, run: Run) -> None:
    parts = {part: f"gradaudit.milestones.perceptron:{part}" for part in ("loss", "data")}
    model = {"op": "model", "kind": "learning", "model": "gradaudit.milestones.perceptron:build", **parts}
    optimiser = {"call": "plugin_ops:Idle"}
    (project / "good.yaml").write_text(yaml.safe_dump(model))
    (project / "bad.yaml").write_text(yaml.safe_dump({**model, "op": "idle", "optimiser": optimiser}))
    (project / "plugin_ops.py").write_text(
        "class Idle:\n    def __init__(self, parameters): ...\n    def step(self): ..."
    )
    result = run("--gradaudit", "specs")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["_* idle::default[[]float64[]] _*", "*parameter-stuck: no parameter changed in 10 steps*"]
    )


def test_a_known_failure_passes_as_long_as_it_is_caught(project: Path, run: Run) -> None:
    (project / "good.yaml").write_text(spec("good", more="expect: fail"))
    (project / "bad.yaml").write_text(spec("bad", "wrong", more="expect: fail"))
    result = run("--gradaudit", "specs")
    result.assert_outcomes(passed=4, failed=4)
    result.stdout.fnmatch_lines(["*the spec expects this case to fail, but it ended with pass*"])


def test_a_wrong_spec_is_told_in_place(project: Path, run: Run) -> None:
    (project / "bad.yaml").write_text("op: bad\ntarget: {forwrd: a:b}\n")
    result = run("--gradaudit", "specs")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["specs/bad.yaml:2:10: target.forwrd: unknown key 'forwrd'; did you mean 'forward'?"])


def test_other_yaml_is_no_spec_unless_it_is_named(project: Path, run: Run) -> None:
    (project / "bad.yaml").write_text("services:\n  op: {image: db}\n")
    run("--gradaudit", "specs").assert_outcomes(passed=4)
    run("--gradaudit", "specs/bad.yaml").assert_outcomes(errors=1)


def test_the_projects_tolerances_hold(project: Path, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.gradaudit.tolerance]\nfloat32 = {rtol = 0.5}\nfloat64 = {rtol = 0.5}\n")
    result = run("--gradaudit", "specs/good.yaml")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["*the tolerance is too loose for this gradient*"])


class TestFrameworks:
    LAYER = """
import torch


class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.by = torch.nn.Parameter(torch.ones(3))
        self.shift = torch.nn.Parameter(torch.zeros(3))

    def forward(self, x, w):
        return x * w * (self.by + self.by.detach()) + self.shift
"""

    def test_one_that_is_not_installed_is_a_skip_that_says_so(
        self, project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frameworks, "find_spec", lambda name: None)
        (project / "bad.yaml").write_text("op: sine\ntarget: {torch: 'torch:sin'}\ninputs: {x: {shape: [3]}}\n")
        result = run("--gradaudit", "specs", "-rs")
        result.assert_outcomes(passed=4, skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*: torch is not installed; pip install 'gradaudit[[]torch[]]'"])

    def test_a_module_s_parameters_are_told_of_by_the_first_test_of_their_case(
        self, project: Path, pytester: pytest.Pytester
    ) -> None:
        pytest.importorskip("torch")
        (project / "plugin_layers.py").write_text(self.LAYER)
        inputs = "{x: {shape: [2, 3]}, w: {shape: [3], range: [1.0, 2.0]}}"
        target = "{torch: 'plugin_layers:Scale'}"
        (project / "bad.yaml").write_text(f"op: scale\ntarget: {target}\ninputs: {inputs}\n")
        # In a process of its own: what PyTorch imports late cannot be imported twice.
        result = pytester.runpytest_subprocess(*PLUGINS, "--gradaudit", "specs/bad.yaml")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            [
                "_* scale::default[[]float64-x[]] _*",
                "scale (float64, case default): gradient mismatch w.r.t. by at index*",
                "  likely cause: constant-factor.*",
            ]
        )


def test_a_module_of_integers_is_one_test(project: Path, run: Run) -> None:
    pytest.importorskip("torch")
    (project / "embedded.py").write_text("import torch\n\n\ndef rows():\n    return torch.nn.Embedding(5, 3)\n")
    inputs = "inputs:\n  i: {shape: [4], distribution: integers, range: [0, 4]}\n"
    (project / "rows.yaml").write_text("op: rows\ntarget: {torch: embedded:rows}\n" + inputs)
    found = run("--gradaudit", "specs/rows.yaml", "-v")
    found.assert_outcomes(passed=1)
    found.stdout.fnmatch_lines(["*rows.yaml::default?float64? PASSED*"])


def test_known_failures_of_the_project_are_expected_to_fail(project: Path, run: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "pyproject.toml").write_text("[tool.gradaudit]\nbaseline = 'known.json'\n")
    run("--gradaudit", "specs/bad.yaml").stdout.fnmatch_lines(["*there is no known.json*--update-baseline*"])
    known = {"op": "bad", "case": "default", "dtype": "float32", "input": "w", "verdict": "fail"}
    (pytester.path / "known.json").write_text(json.dumps({"schema": 1, "known": [known]}))
    found = run("--gradaudit", "specs/bad.yaml", "-rx")
    found.assert_outcomes(passed=2, failed=1, xfailed=1)
    found.stdout.fnmatch_lines(
        ["XFAIL specs/bad.yaml::default?float32-w? - *a known failure of the project's baseline"]
    )


def test_junit_xml(project: Path, run: Run, pytester: pytest.Pytester) -> None:
    run("--gradaudit", "specs", "--junitxml", "out.xml")
    tests = ElementTree.parse(pytester.path / "out.xml").findall(".//testcase")
    assert len(tests) == 8
    failed = [test for test in tests if test.find("failure") is not None]
    assert [test.get("name") for test in failed] == ["default[float32-w]", "default[float64-w]"]
    assert "likely cause: sign-flipped" in "".join(failed[0].find("failure").itertext())  # type: ignore[union-attr]


def test_without_the_flag_specs_are_left_alone(project: Path, run: Run, pytester: pytest.Pytester) -> None:
    run("specs").assert_outcomes()
    pytester.makepyfile(test_own="def test_own():\n    pass\n")
    run().assert_outcomes(passed=1)


def test_tests_beside_specs_find_what_they_import(project: Path, run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_own="import sys\nPATH = list(sys.path)\ndef test_own():\n    assert sys.path == PATH\n")
    run("--gradaudit", "specs/good.yaml", "test_own.py").assert_outcomes(passed=5)


def test_nothing_is_imported_without_the_flag(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_light():\n"
        "    assert 'gradaudit.pytest_plugin' in sys.modules\n"
        "    assert not {'numpy', 'gradaudit.api', 'gradaudit.spec'} & set(sys.modules)\n"
    )
    pytester.runpytest_subprocess(*PLUGINS, "-p", "no:xdist").assert_outcomes(passed=1)


def test_on_several_workers(project: Path, pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = pytester.runpytest_subprocess(*PLUGINS, "-n", "2", "--gradaudit", "specs", "-W", "default")
    result.assert_outcomes(passed=6, failed=2)
    result.stdout.fnmatch_lines(["  likely cause: sign-flipped.*"])


MODEL = """
import numpy as np

from gradaudit.tape import Module, Tensor

class Model(Module):
    def __init__(self):
        self.weight = Tensor(np.ones((3, 2)), requires_grad=True)

    def __call__(self, x):
        return Tensor((x @ self.weight).data)

def loss(output):
    return (output * output).mean()
"""


def test_a_model_is_one_test(project: Path, run: Run) -> None:
    (project / "plugin_model.py").write_text(MODEL)
    document = "op: model\nkind: flow\nmodel: plugin_model:Model\nloss: plugin_model:loss\n"
    (project / "model.yaml").write_text(document + "inputs: {x: {shape: [4, 3], differentiable: false}}\n")
    result = run("--gradaudit", "specs/model.yaml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["_* model::default[[]float64[]] _*", "*detached-output: the output is on no tape: *"])
