"""0 where all ended as the specs expect, 1 where anything did not, 2 where a spec or an option is wrong."""

from __future__ import annotations

import pytest
from commands import UNDECIDED, spec, write_project

RIGHT = spec("right")
WRONG = spec("wrong", backward="wrong")
RAISING = spec("raising", backward="raises")
UNDECIDABLE = spec("undecidable", **UNDECIDED)
KNOWN = spec("known", backward="wrong", expect="fail")
KNOWN_BY_FINDING = spec("known", "changes_its_input", expect="fail", findings=["input-mutated"])
KNOWN_BY_ANOTHER = spec("known", backward="wrong", expect="fail", findings=["input-mutated"])
REPAIRED = spec("repaired", expect="fail")


@pytest.mark.parametrize(
    ("specs", "options", "status"),
    [
        ([RIGHT], [], 0),
        ([RIGHT, WRONG], [], 1),
        ([RIGHT, RAISING], [], 1),
        ([RIGHT, UNDECIDABLE], [], 1),
        ([RIGHT, UNDECIDABLE], ["--allow-inconclusive"], 0),
        ([WRONG, UNDECIDABLE], ["--allow-inconclusive"], 1),
        ([RAISING, UNDECIDABLE], ["--allow-inconclusive"], 1),
        ([RIGHT, KNOWN], [], 0),
        ([KNOWN_BY_FINDING], [], 0),
        ([KNOWN_BY_ANOTHER], [], 1),
        ([REPAIRED], [], 1),
        ([REPAIRED], ["--allow-inconclusive"], 1),
    ],
)
def test_a_run_exits_with_1_unless_every_case_ends_as_expected(gradaudit, project, specs, options, status: int) -> None:
    write_project(project, *specs)
    found = gradaudit("run", "specs", *options)
    assert found.exit_code == status, found.output


def test_a_finding_that_was_expected_and_not_made_is_named(gradaudit, project) -> None:
    write_project(project, KNOWN_BY_ANOTHER)
    assert "the spec expects the finding input-mutated, but the audit did not make it" in gradaudit("run").stdout


def test_a_failure_that_was_expected_and_is_gone_is_named(gradaudit, project) -> None:
    write_project(project, REPAIRED)
    assert "the spec expects this case to fail, but it ended with pass" in gradaudit("run").stdout


def test_failures_that_are_expected_are_counted_and_not_shown(gradaudit, project) -> None:
    write_project(project, KNOWN, RIGHT)
    text = gradaudit("run").stdout
    assert "w.r.t." not in text
    assert text.splitlines()[-1].startswith("2 gradients, 2 ops, 2 cases: 1 pass, 1 fail (1 as expected) (")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nowhere"], "nowhere:1:1: does not exist"),
        (["run", "spec"], "spec:1:1: does not exist; did you mean 'specs'?"),
        (["run", "empty"], "empty:1:1: holds no specs"),
        (["run", "-k", "absent"], "-k selects none of the 1 cases"),
        (["run", "-k", "a or"], "-k: the expression ends early"),
        (["run", "--json", "."], "cannot write .: it is a folder"),
        (["run", "--json", "x", "--junit", "x"], "cannot write both JSON and JUnit XML to x"),
        (["run", "--json", ""], "expected the name of a file, found an empty one"),
        (["run", "--store", "s.db", "--junit", "./s.db"], "cannot write JUnit XML to ./s.db: it is the store"),
        (["run", "--html", "specs/../specs/ops.yaml"], "specs/../specs/ops.yaml: it is what is audited"),
        (["run", "-j", "-1"], "'-j'"),
        (["run", "-j", "many"], "'-j'"),
        (["run", "--seed", "-1"], "'--seed'"),
        (["run", "--timeout", "0"], "'--timeout'"),
        (["run", "--timeout", "inf"], "'--timeout'"),
        (["explain", "a", "--timeout", "1e300"], "'--timeout'"),
        (["run", "--max-rows", "-1"], "'--max-rows'"),
        (["run", "--dtype", "float12"], "'--dtype'"),
        (["run", "--method", "guess"], "'--method'"),
        (["run", "--colour"], "--colour"),
        (["audit"], "No such command 'audit'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_exit_with_2_and_say_what_is_wrong(gradaudit, project, arguments: list[str], said: str) -> None:
    write_project(project, RIGHT)
    (project / "empty").mkdir()
    found = gradaudit(*arguments)
    assert found.exit_code == 2
    assert said in found.stderr
    assert found.stdout == ""


def test_every_mistake_of_every_spec_is_reported_with_its_place(gradaudit, project) -> None:
    write_project(project, {**RIGHT, "sed": 3}, {**WRONG, "dtype": "float46"}, name="specs/a")
    write_project(project, {**RAISING, "seed": -1}, name="specs/b")
    found = gradaudit("run")
    assert found.exit_code == 2
    first, second, third, total = found.stderr.splitlines()
    assert first.startswith("specs/a/ops.yaml:12:1: sed: unknown key 'sed'; did you mean 'seed'?")
    assert second.startswith("specs/a/ops.yaml:25:8: dtype")
    assert third.startswith("specs/b/ops.yaml:12:7: seed")
    assert total == "3 problems in the specs; nothing was audited"


@pytest.mark.parametrize("jobs", ["0", "1"])
def test_what_cannot_be_imported_is_an_error_of_the_spec(gradaudit, project, jobs: str) -> None:
    write_project(project, RIGHT, spec("absent", "sqare"))
    found = gradaudit("run", "-j", jobs)
    assert found.exit_code == 2
    problem, total = found.stderr.splitlines()
    assert problem == ("specs/ops.yaml:15:12: target.forward: module 'kernels' has no 'sqare'; did you mean 'square'?")
    assert total == "1 problem in the specs; nothing was audited"
    assert found.stdout == ""
