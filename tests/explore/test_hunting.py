"""Ops that are wrong in one corner only: exploring finds each, and shrinks it to what a person would call minimal."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from gradaudit.audit.conclusion import Audit
from gradaudit.cli.app import app
from gradaudit.engine.audit import audit_case
from gradaudit.engine.executor import Lost
from gradaudit.explore import hunt as hunting
from gradaudit.explore.allowed import Allowed
from gradaudit.explore.constants import Constants
from gradaudit.explore.kept import case_of
from gradaudit.explore.trial import Trial
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs

OPS = """
import ctypes

import numpy as np


def prod(x):
    return np.prod(x)


def prod_backward(u, x):
    return u * np.prod(x) / x


def square(x):
    return x * x


def square_backward(u, x):
    return 2 * u * x


def strides_forgotten(u, x):
    return 2 * u * (x[..., ::-1] if x.strides and x.strides[-1] < 0 else x)


def pick(table, index):
    return table[index]


def pick_backward(u, table, index):
    gradient = np.zeros_like(table)
    gradient[index] += u
    return gradient


def window(x, k):
    if k > len(x):
        raise ValueError("the window is longer than the input")
    return x[:k].sum()


def window_backward(u, x, k):
    return u * (np.arange(len(x)) < k) * (2 if k == len(x) else 1)


def last(x, axis=-1):
    return np.take(x, -1, axis=axis)


def last_backward(u, x, axis=-1):
    gradient = np.zeros_like(x)
    gradient[..., -1] = u if axis in (-1, x.ndim - 1) else 0
    if x.ndim == 5:
        gradient = gradient + 1
    return gradient


def with_something_of_others(u, x):
    return 2 * u * x + np.float32(1e-7) * (u * x).mean(axis=0)


def overruns(u, x):
    if len(x) > 6:
        ctypes.string_at(0)
    return 2 * u * x
"""


def spec(op: str, forward: str, inputs: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    target = {"forward": f"ops:{forward}", "backward": f"ops:{op}"}
    return {"op": op, "target": target, "inputs": inputs, **keys}


X = {"x": {"shape": [3, 4]}}
INDEX = {"values": [4, 1, 7], "dtype": "int64"}
WINDOW = spec("window_backward", "window", {"x": {"shape": [5]}}, params={"k": 3}, requires="k < x.shape[0]")

WRONG = {
    "a zero": spec("prod_backward", "prod", {"x": {"shape": [4]}}),
    "a layout": spec("strides_forgotten", "square", X),
    "a repeated index": spec("pick_backward", "pick", {"table": {"shape": [10, 3]}, "index": INDEX}),
    "a leak": spec("with_something_of_others", "square", X, dtype="float32"),
    "a case's own target": spec(
        "square_backward",
        "square",
        {"x": {"shape": [2]}},
        cases=[{"name": "default"}, {"name": "own", "target": {"backward": "ops:prod_backward"}}],
    ),
    "a crash": spec("overruns", "square", {"x": {"shape": [3]}}),
}

RIGHT = {
    "right": spec("square_backward", "square", X),
    "wrong only where the spec forbids it": WINDOW,
}


def explored(folder: Path, specs: Mapping[str, Any], *options: str, source: str = OPS) -> tuple[int, str]:
    (folder / "ops.py").write_text(source)
    (folder / "ops.yaml").write_text(yaml.safe_dump_all(specs.values(), sort_keys=False))
    arguments = ["explore", "--specs", "ops.yaml", "--for", "60s", *options]
    told = CliRunner().invoke(app, arguments, prog_name="gradaudit", catch_exceptions=False)
    return told.exit_code, told.output


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """The spec that exploring prints for each wrong op, by op and kind."""
    folder = tmp_path_factory.mktemp("explored")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(hunting, "BEGINNINGS", 0)  # which has a test of its own
        code, output = explored(folder, WRONG, "--cases", "100", "--write", "found")
        assert code == 1, output
        again = [load_specs([file]).cases[0] for file in sorted((folder / "found").glob("*.yaml"))]
    assert all(
        any(not result.expected for result in audit_case(case).results) for case in again if "crash" not in case.op
    )
    printed = re.findall(r"^  (op: .*\n(?:  (?!written).+\n)+)", output, re.MULTILINE)
    read = [yaml.safe_load(textwrap.dedent("  " + text)) for text in printed]
    return {document["op"]: document for document in read}


def test_a_product_by_division_is_wrong_at_a_single_zero(found: Mapping[str, dict[str, Any]]) -> None:
    assert found["prod_backward.nonfinite"]["inputs"] == {"x": {"values": [0.0]}}


def test_a_reversed_input_needs_two_elements(found: Mapping[str, dict[str, Any]]) -> None:
    made = found["strides_forgotten.mismatch"]["inputs"]["x"]
    assert made["layout"] == "reversed"
    assert np.shape(made["values"]) == (1, 2)


def test_an_index_has_to_be_given_twice(found: Mapping[str, dict[str, Any]]) -> None:
    inputs = found["pick_backward.mismatch"]["inputs"]
    first, second = inputs["index"]["values"]
    assert first == second
    assert np.shape(inputs["table"]["values"])[1:] == (1,)


def test_what_a_relation_shows_needs_two_rows_and_the_relation(found: Mapping[str, dict[str, Any]]) -> None:
    made = found["with_something_of_others.row-dependent"]
    assert made["relations"] is True
    assert np.shape(made["inputs"]["x"]["values"]) == (2, 1)


def test_the_target_is_that_of_the_case(found: Mapping[str, dict[str, Any]]) -> None:
    (made,) = (document for op, document in found.items() if op.startswith("square_backward."))
    assert made["target"]["backward"] == "ops:prod_backward"


def test_a_crash_is_an_answer_and_is_shrunk_too(found: Mapping[str, dict[str, Any]]) -> None:
    assert np.shape(found["overruns.crash"]["inputs"]["x"]["values"]) == (7,)


def test_nothing_is_found_where_nothing_that_the_spec_allows_is_wrong(folder: Path) -> None:
    code, output = explored(folder, RIGHT, "--cases", "40")
    assert code == 0, output
    assert "2 ops explored" in output
    assert "none fails" in output


def test_a_failure_is_tried_first_the_next_time_and_forgotten_once_it_is_mended(folder: Path) -> None:
    wrong = {"a zero": WRONG["a zero"]}
    assert explored(folder, wrong, "--cases", "60")[0] == 1
    assert "fails as it did before" in explored(folder, wrong, "--cases", "1")[1]
    mended = OPS.replace("u * np.prod(x) / x", "u * np.array([np.prod(np.delete(x, k)) for k in range(len(x))])")
    assert explored(folder, wrong, "--cases", "20", source=mended)[0] == 0
    assert "as it did before" not in explored(folder, wrong, "--cases", "1")[1]


def test_a_source_without_a_spec_is_explored_with_the_params_that_it_has_defaults_for(folder: Path) -> None:
    (folder / "last.py").write_text(
        "import numpy as np\n\n\n" + OPS[OPS.index("def last(") : OPS.index("def overruns")]
    )
    arguments = ["explore", "last.py", "--for", "60s", "--cases", "100", "--write", "found"]
    told = CliRunner().invoke(app, arguments, prog_name="gradaudit", catch_exceptions=False)
    assert told.exit_code == 1, told.output
    (file,) = (folder / "found").glob("last.*.yaml")
    assert yaml.safe_load(file.read_text())["params"] in ({"axis": 0}, {"axis": 1})
    assert not all(result.expected for result in audit_case(load_specs([file]).cases[0]).results)


def test_lines_that_no_case_reaches_are_listed(folder: Path) -> None:
    right = OPS.replace("u if axis in (-1, x.ndim - 1) else 0", "u")
    specs = {"last": spec("last_backward", "last", X, params={"axis": -1}, requires="axis == -1")}
    code, output = explored(folder, specs, "--cases", "20", source=right)
    assert code == 0, output
    assert re.search(r"never reached: ops.py:\d+: gradient = gradient \+ 1", output)


def test_time_may_end_while_one_of_several_kinds_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Worker:
        def ask(self, function: Any, case: Case, *arguments: Any) -> Lost:
            return Lost("it is lost", seconds=float(case.seed % 2))

    monkeypatch.setattr(hunting, "SECONDS_TO_SHRINK", 0.0)
    case = replace(case_of(yaml.safe_dump(WRONG["a zero"])), seed=1)
    everything = [Allowed(case, (), (), {}, frozenset(), Constants(), {})]
    progress = hunting.hunt("prod", everything, Worker(), hunting.Budget(0.5))  # type: ignore[arg-type]
    assert set(progress.found) == {"crash", "hang"}


@pytest.mark.parametrize("seed", range(3))
def test_another_way_down_is_looked_for(seed: int) -> None:
    """Of what fails at 17 rows or more, and at two by two, no single step leads from the one to the other."""

    class Worker:
        def ask(self, function: Any, case: Case, *arguments: Any) -> Lost | Trial:
            rows, columns = case.inputs[0].shape
            return Lost("it is lost") if rows > 16 or (rows == 2 and columns > 1) else Trial(Audit(()))

    case = case_of(yaml.safe_dump(spec("square_backward", "square", X)))
    axes = ((("x", 0),), (("x", 1),))
    everything = [Allowed(case, axes, ((), ()), {}, frozenset(), Constants(), {})]
    progress = hunting.hunt("square", everything, Worker(), hunting.Budget(60.0), seed=seed)  # type: ignore[arg-type]
    assert progress.found["crash"].case.inputs[0].shape == (2, 2)


def test_a_time_that_is_none_is_refused(folder: Path) -> None:
    code, output = explored(folder, RIGHT, "--for", "soon")
    assert code == 2
    assert "--for takes seconds" in output


def test_without_hypothesis_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    code, output = explored(folder, RIGHT)
    assert code == 2
    assert "pip install 'gradaudit[explore]'" in output
