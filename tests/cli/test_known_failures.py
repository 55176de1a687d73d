"""``run --baseline``: failures that are known fail nothing, new ones do, mended ones are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import UNDECIDED, spec, write_project
from typer.testing import Result

from gradaudit.guides import guide

Command = Callable[..., Result]

PRODUCT = """
def product(x, w):
    return x * w


def product_wrong_in_x(u, x, w):
    return 2 * u * w, u * x


def product_wrong_in_both(u, x, w):
    return 2 * u * w, 3 * u * x
"""


def product(backward: str) -> dict:
    drawn = {"shape": [5], "range": [0.5, 1.5]}
    return spec("product", "product", backward, inputs={"x": drawn, "w": drawn})


def write(project: Path, *specs: dict) -> None:
    """Write a project of these specs with a table of settings that names its baseline."""
    write_project(project, *specs)
    with (project / "kernels.py").open("a") as file:
        file.write(PRODUCT)
    (project / "pyproject.toml").write_text("[tool.gradaudit]\nbaseline = 'known.json'\n")


@pytest.fixture
def old(project: Path) -> Path:
    """A project with nine known failures, all but one in four ops of two dtypes, and one op that is right."""
    write(project, *OLD)
    return project


OLD = [spec(f"op{k}", backward="wrong", dtype=["float32", "float64"]) for k in range(4)]
OLD += [spec("fine"), product("product_wrong_in_x")]


@pytest.fixture
def adopted(gradaudit: Command, old: Path) -> Path:
    ended = gradaudit("run", "--update-baseline")
    assert ended.exit_code == 0
    assert ended.stderr == "known.json holds 9 known failures now: 9 added, 0 removed\n"
    assert re.search(
        r"op3 w.r.t. x at \S+\.py:\d+: numerical = -analytical", ended.stdout
    )  # what was written down is seen
    return old


def test_a_code_base_is_adopted_by_one_command(gradaudit: Command, adopted: Path) -> None:
    ended = gradaudit("run")
    assert ended.exit_code == 0
    assert "\n9 known failures of known.json\n" in ended.stdout
    assert "mismatch" not in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("11 gradients, 6 ops, 10 cases: 2 pass, 9 fail (9 as expected)")


def test_the_commands_of_the_guide_adopt_a_code_base(gradaudit: Command, project: Path) -> None:
    (project / "my_package").mkdir()
    source = "def product_forward(x, w):\n    return x * w\n\n\n"
    source += "def product_backward(grad_output, x, w):\n    return 2 * grad_output * w, grad_output * x\n"
    (project / "my_package" / "ops.py").write_text(source)
    shell = re.findall(r"^```sh\n(.*?)^```", guide("adopting").text, re.MULTILINE | re.DOTALL)
    adopt, audit = ([line.partition("#")[0].split() for line in text.splitlines()] for text in shell[:2])
    for _, *arguments in adopt:
        assert gradaudit(*arguments).exit_code == 0
    assert "1 known failure of known.json" in gradaudit(*audit[0][1:]).stdout
    assert [entry["input"] for entry in json.loads(Path("known.json").read_text())["known"]] == ["x"]


def test_a_new_failure_fails_and_is_listed_alone(gradaudit: Command, adopted: Path) -> None:
    write(adopted, *OLD, spec("young", backward="wrong"))
    ended = gradaudit("run")
    assert ended.exit_code == 1
    assert re.search(r"Not as expected: 1 op\n  sign-flipped  young w\.r\.t\. x", ended.stdout)
    assert ended.stdout.count("gradient mismatch") == 1


def test_a_failure_of_another_input_is_new(gradaudit: Command, adopted: Path) -> None:
    write(adopted, *OLD[:-1], product("product_wrong_in_both"))
    ended = gradaudit("run")
    assert ended.exit_code == 1
    assert re.search(r"Not as expected: 1 op\n  \S+  product w\.r\.t\. w", ended.stdout)


def test_a_failure_that_grew_worse_is_new(gradaudit: Command, adopted: Path) -> None:
    write(adopted, spec("op0", backward="raises", dtype=["float32", "float64"]), *OLD[1:])
    ended = gradaudit("run")
    assert ended.exit_code == 1
    assert re.search(r"Not as expected: 1 op\n  error  op0 w\.r\.t\. x", ended.stdout)


def test_mended_ones_are_named_until_they_are_taken_out(gradaudit: Command, adopted: Path) -> None:
    write(adopted, spec("op0", dtype=["float32", "float64"]), *OLD[1:])
    ended = gradaudit("run")
    assert ended.exit_code == 0
    assert (
        "\n7 known failures of known.json, 2 fixed: --update-baseline removes them\n"
        "  fixed  op0 (float32, case default) w.r.t. x\n  fixed  op0 (float64, case default) w.r.t. x\n"
    ) in ended.stdout
    assert "fixed  op0" in gradaudit("run", "--quiet").stdout
    assert "7 known failures now: 0 added, 2 removed" in gradaudit("run", "--update-baseline").stderr
    assert "fixed" not in gradaudit("run").stdout
    write(adopted, *OLD)
    assert gradaudit("run").exit_code == 1


def test_a_selection_updates_what_it_audits(gradaudit: Command, adopted: Path) -> None:
    write(adopted, *[spec(f"op{k}", dtype=["float32", "float64"]) for k in range(2)], *OLD[2:])
    assert "7 known failures now: 0 added, 2 removed" in gradaudit("run", "--update-baseline", "-k", "op1").stderr
    left = {entry["op"] for entry in json.loads(Path("known.json").read_text())["known"]}
    assert left == {f"op{k}" for k in range(4) if k != 1} | {"product"}
    write(adopted, *OLD[2:])  # ops that are gone are taken out by a run of everything
    assert "5 known failures now: 0 added, 2 removed" in gradaudit("run", "--update-baseline").stderr


def test_reports_for_machines_take_known_failures_for_expected(gradaudit: Command, adopted: Path) -> None:
    gradaudit("run", "--json", "out.json", "--junit", "out.xml")
    results = json.loads(Path("out.json").read_text())["results"]
    assert [result["verdict"] for result in results].count("fail") == 9
    assert all(result["expected"] for result in results)
    assert 'failures="0"' in Path("out.xml").read_text()


def test_shards_carry_what_is_known_into_their_merge(gradaudit: Command, adopted: Path) -> None:
    for part in ("1", "2"):
        gradaudit("run", "--shard", f"{part}/2", "--json", f"{part}.json", "--no-store")
    ended = gradaudit("merge", "1.json", "2.json")
    assert ended.exit_code == 0
    assert "2 pass, 9 fail (9 as expected)" in ended.stdout


def test_the_store_keeps_what_was_found(gradaudit: Command, adopted: Path) -> None:
    shown = gradaudit("history", "op0").stdout
    assert "2 fail" in shown
    assert "as expected" not in shown


def test_what_cannot_be_decided_may_be_known_too(gradaudit: Command, project: Path) -> None:
    write(project, spec("vague", **UNDECIDED))
    assert gradaudit("run", "--update-baseline", "-q").exit_code == 0
    assert gradaudit("run", "-q").exit_code == 0
    write(project, spec("vague", backward="wrong"))
    assert gradaudit("run", "-q").exit_code == 1


def test_a_file_that_is_none_is_refused(gradaudit: Command, old: Path) -> None:
    told = gradaudit("run", "--baseline", "other.json")
    assert (told.exit_code, told.stdout) == (2, "")
    assert "there is no other.json" in told.stderr
    (old / "pyproject.toml").write_text("[tool.gradaudit]\n")
    told = gradaudit("run", "--update-baseline")
    assert told.exit_code == 2
    assert "expected --baseline FILE, or baseline = 'FILE' in [tool.gradaudit], found none" in told.stderr
    (old / "pyproject.toml").write_text("[tool.gradaudit]\nbaseline = 3\n")
    assert "tool.gradaudit.baseline: expected a path, found 3" in gradaudit("run").stderr
