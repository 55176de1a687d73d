"""``run --depth``: what the cases of an op execute of it, and what they never do."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from gradaudit.cli.app import app
from gradaudit.depth.implementation import implementations
from gradaudit.spec.load import load_specs

pytest.importorskip("coverage")

OPS = """
import functools


def kept(function):
    @functools.wraps(function)
    def called(*args, **kwargs):
        return function(*args, **kwargs)
    return called


def forward(x, *, power=2):
    return x**power


@kept
def backward(u, x, *, power=2):
    \"\"\"Says nothing.\"\"\"
    if power < 0:
        raise ValueError("a negative power")
    if power == 1:
        gradient = u
    else:
        gradient = _general(u, x, power)
    return gradient


def _general(u, x, power):
    if power > 2:
        return power * u * x ** (power - 1)
    return u * power * x


def unrelated(x):
    return x
"""

GENERAL, LINEAR = "return power * u * x ** (power - 1)", "gradient = u"


@pytest.fixture
def powers(folder: Path) -> Path:
    (folder / "powers_by_depth.py").write_text(textwrap.dedent(OPS))
    (folder / "pyproject.toml").write_text('[tool.gradaudit]\nsources = ["powers_by_depth.py"]\n')
    return folder


def write_spec(folder: Path, *powers: int) -> None:
    (folder / "specs").mkdir(exist_ok=True)
    spec = {
        "op": "power",
        "target": {"forward": "powers_by_depth:forward", "backward": "powers_by_depth:backward"},
        "inputs": {"x": {"shape": [3], "range": [0.5, 1.5]}},
        "dtype": "float64",
        "cases": [{"name": f"power_{power}", "params": {"power": power}} for power in powers],
    }
    (folder / "specs" / "power.yaml").write_text(yaml.safe_dump(spec))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments], catch_exceptions=False, env={"COLUMNS": "200"})


def recorded_depth() -> dict[str, Any]:
    (op,) = json.loads(call("coverage", "--no-output", "--format", "json").stdout)["ops"]
    return op["depth"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_lines_that_no_case_reaches_are_named(powers: Path, jobs: str) -> None:
    write_spec(powers, 2)
    told = call("run", "--depth", "-j", jobs)
    assert told.exit_code == 0, told.output
    lines = OPS.splitlines()
    for text in (GENERAL, LINEAR):
        number = next(k for k, line in enumerate(lines, 1) if line.strip() == text)
        assert f"powers_by_depth.py:{number}: {text}" in told.stdout
    assert "raise" not in told.stdout
    assert "unrelated" not in told.stdout
    assert "Depth: 7 of 9 lines, 2 of 4 branches of 1 implementation reached" in told.stdout
    page = call("coverage", "--no-output", "--format", "markdown").stdout
    assert "## Never reached" in page
    assert "7/9 | 2/4" in page


def test_a_spec_that_goes_everywhere_leaves_nothing_out(powers: Path) -> None:
    write_spec(powers, 1, 2, 3)
    told = call("run", "--depth", "-j", "0")
    assert "Depth: 9 of 9 lines, 4 of 4 branches" in told.stdout
    assert "never" not in told.stdout
    assert [function["missed_lines"] for function in recorded_depth()["functions"]] == [[], [], []]


def test_depth_is_stale_once_op_or_spec_change(powers: Path) -> None:
    write_spec(powers, 1, 2)
    call("run", "--depth", "-j", "0")
    assert recorded_depth()["stale"] is False
    write_spec(powers, 1, 2, 3)
    assert recorded_depth()["stale"] is True
    write_spec(powers, 1, 2)
    file = powers / "powers_by_depth.py"
    file.write_text(file.read_text().replace("u * power * x\n", "x * power * u\n"))
    assert recorded_depth()["stale"] is True


def test_nothing_is_noted_unless_it_is_asked_for(powers: Path) -> None:
    write_spec(powers, 2)
    assert "Depth" not in call("run", "-j", "0").stdout
    assert recorded_depth() is None


def test_without_the_tracer_it_is_said_how_to_get_it(powers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_spec(powers, 2)
    find = importlib.util.find_spec
    missing = lambda name, *rest: None if name == "coverage" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr("gradaudit.depth.trace.find_spec", missing)
    told = call("run", "--depth", "-j", "0")
    assert told.exit_code == 2
    assert "pip install 'gradaudit[depth]'" in told.stderr


def test_an_implementation_is_what_its_functions_call(powers: Path) -> None:
    write_spec(powers, 2)
    found = implementations(load_specs([powers / "specs"]).cases, [powers])
    assert [function.name for function in found["power"]] == ["backward", "_general", "forward"]


def test_a_model_has_no_depth_of_its_own() -> None:
    """What it calls are ops with cases of their own; the rest of what it reaches is a framework."""
    file = Path(__file__).parents[2] / "specs" / "milestones" / "flow" / "xor.yaml"
    assert implementations(load_specs([file]).cases, (Path(__file__).parents[2],)) == {"xor_flow": ()}
