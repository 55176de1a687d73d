"""``run`` records what it audits; ``history`` and ``diff`` show it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import command, environment, spec, wait_until, write_project
from typer.testing import Result

from gradaudit.store.read import records_of_run, runs
from gradaudit.store.schema import StoreError, open_to_read

Command = Callable[..., Result]


@pytest.fixture
def settled(project: Path) -> Path:
    """A project with settings, two ops and no results."""
    (project / "pyproject.toml").write_text("[tool.gradaudit]\n")
    write_project(project, spec("good"), spec("bad", backward="wrong"))
    return project


def verdicts(folder: Path) -> list[dict[str, str]]:
    """Return the verdict of each op, run by run."""
    with open_to_read(folder / "reports" / "audit.db") as connection:
        return [
            {record.result.op: str(record.result.verdict) for record in records_of_run(connection, run.id)}
            for run in runs(connection)
        ]


def test_a_run_is_recorded_where_there_is_a_project(gradaudit: Command, settled: Path) -> None:
    assert gradaudit("run", "-q").exit_code == 1
    assert verdicts(settled) == [{"good": "pass", "bad": "fail"}]


def test_nothing_is_littered_elsewhere(gradaudit: Command, project: Path) -> None:
    write_project(project, spec("good"))
    (project / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert gradaudit("run", "-q").exit_code == 0
    assert not (project / "reports").exists()


def test_specs_outside_the_project_are_not_recorded(
    gradaudit: Command, settled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settled / "inner").mkdir()
    (settled / "inner" / "pyproject.toml").write_text("[tool.gradaudit]\n")
    (settled / "inner" / "kernels.py").write_text((settled / "kernels.py").read_text())
    monkeypatch.chdir(settled / "inner")
    gradaudit("run", "-q", "../specs")
    assert not list(settled.rglob("audit.db"))


def test_where_it_is_recorded(gradaudit: Command, settled: Path) -> None:
    assert "Not recorded" not in gradaudit("run", "-q", "--store", "else/where.db").output
    gradaudit("run", "-q", "--no-store")
    assert [path.name for path in settled.rglob("*.db")] == ["where.db"]


def test_a_file_that_is_no_store_does_not_stop_the_run(gradaudit: Command, settled: Path) -> None:
    (settled / "reports").mkdir()
    (settled / "reports" / "audit.db").write_text("my diary\n" * 200)
    found = gradaudit("run", "-q", "-k", "good")
    assert found.exit_code == 0
    assert "1 pass" in found.stdout
    assert "Not recorded: reports/audit.db" in found.stderr
    assert (settled / "reports" / "audit.db").read_text() == "my diary\n" * 200


def test_a_broken_project_file_does_not_stop_a_run_of_given_specs(gradaudit: Command, settled: Path) -> None:
    (settled / "pyproject.toml").write_text("[tool.gradaudit]\nspec = 3\n")
    found = gradaudit("run", "-q", "specs", "-k", "good")
    assert found.exit_code == 0
    assert "Not recorded: " in found.stderr
    assert "unknown key 'spec'" in found.stderr


def test_hashes_tell_what_changed(gradaudit: Command, settled: Path) -> None:
    gradaudit("run", "-q")
    kernels = settled / "kernels.py"
    kernels.write_text(kernels.read_text().replace("def right(u, x):", "def right(u, x):\n    # as it should be"))
    gradaudit("run", "-q")
    kernels.write_text(kernels.read_text().replace("return 2 * x * u", "return x * u * 2"))
    gradaudit("run", "-q")
    gradaudit("run", "-q", "--seed", "3")
    with open_to_read(settled / "reports" / "audit.db") as connection:
        made = [records_of_run(connection, run.id) for run in runs(connection)]
    first, commented, changed, reseeded = (
        {record.result.op: record.provenance for record in records} for records in made
    )
    assert commented == first
    assert changed["good"].source != first["good"].source
    assert changed["bad"].source == first["bad"].source
    assert changed["good"].spec == first["good"].spec
    assert reseeded["good"].spec != first["good"].spec
    assert reseeded["good"].seed == 3
    shown = gradaudit("history", "good").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["Run", "4", "3", "2", "1"]
    assert shown[1].rstrip().endswith("spec")
    assert shown[2].rstrip().endswith("implementation")
    assert "1 pass" in shown[4]


def test_history_of_an_op_that_is_unknown(gradaudit: Command, settled: Path) -> None:
    assert "nothing was recorded yet" in gradaudit("history", "good").stderr
    gradaudit("run", "-q")
    found = gradaudit("history", "godo")
    assert found.exit_code == 2
    assert "did you mean 'good'?" in found.stderr


def test_diff_tells_what_broke(gradaudit: Command, settled: Path) -> None:
    gradaudit("run", "-q", "-j", "1")
    assert gradaudit("diff").exit_code == 2
    kernels = settled / "kernels.py"
    swapped = (
        kernels.read_text().replace("return 2 * x * u", "return 3.0 * x * u").replace("return -2 *", "return 2.0 *")
    )
    kernels.write_text(swapped)
    gradaudit("run", "-q", "-j", "1")
    found = gradaudit("diff")
    assert found.exit_code == 1
    assert re.search(r"Newly failing: 1\n  good .* pass -> fail. 5 of 5 indices wrong", found.stdout)
    assert re.search(r"Newly passing: 1\n  bad .* fail -> pass", found.stdout)
    assert gradaudit("diff", "2", "1").exit_code == 1
    assert gradaudit("diff", "1", "1").exit_code == 0
    assert "nothing changed" in gradaudit("diff", "1", "1").stdout
    assert gradaudit("diff", "9").exit_code == 2


def test_diff_tells_of_an_op_that_is_new_and_wrong(gradaudit: Command, settled: Path) -> None:
    gradaudit("run", "-q")
    assert gradaudit("diff").exit_code == 2
    write_project(settled, spec("good"), spec("bad", backward="wrong"), spec("fine"), spec("young", backward="wrong"))
    gradaudit("run", "-q")
    found = gradaudit("diff")
    assert found.exit_code == 1
    assert re.search(r"Newly failing: 1\n  young .* w\.r\.t\. x: fail. 5 of 5 indices wrong", found.stdout)
    assert re.search(r"New: 1\n  fine ", found.stdout)
    assert gradaudit("diff", "2", "2").exit_code == 0


def test_where_nothing_was_recorded_it_is_said_how_to_record(gradaudit: Command, project: Path) -> None:
    write_project(project, spec("good"))
    for asked in (("diff",), ("history", "good")):
        told = gradaudit(*asked)
        assert told.exit_code == 2
        assert "nothing was recorded yet; 'gradaudit run', in this folder, records what it audits" in told.stderr
    gradaudit("run", "-q")  # of no project
    assert "1 pass" in gradaudit("history", "good").stdout
    gradaudit("run", "-q")
    assert gradaudit("diff").exit_code == 0
    gradaudit("run", "-q", "--store", "a.db")
    assert gradaudit("history", "good", "--store", "a.db").exit_code == 0
    assert gradaudit("diff", "--store", "a.db").exit_code == 2


def test_a_project_may_set_tolerances(gradaudit: Command, settled: Path) -> None:
    (settled / "pyproject.toml").write_text("[tool.gradaudit.tolerance]\nfloat64 = {rtol = 1e-5}\n")
    gradaudit("run", "-q", "-k", "good")
    with open_to_read(settled / "reports" / "audit.db") as connection:
        (record,) = records_of_run(connection, 1)
    assert record.result.rtol == 1e-5
    assert record.result.atol == 1e-9


@pytest.mark.parametrize("given", ["float63 = {rtol = 1}", "float64 = {rtol = -1.0}", "float64 = 3", "float64 = {}"])
def test_tolerances_that_are_none(gradaudit: Command, settled: Path, given: str) -> None:
    (settled / "pyproject.toml").write_text(f"[tool.gradaudit.tolerance]\n{given}\n")
    found = gradaudit("run")
    assert found.exit_code == 2
    assert "tool.gradaudit.tolerance" in found.stderr


def test_two_runs_at_once(settled: Path) -> None:
    both = [
        subprocess.Popen(command("run", "-q", "-j", "1"), cwd=settled, env=environment(), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(60) for process in both] == [1, 1]
    assert verdicts(settled) == [{"good": "pass", "bad": "fail"}] * 2


def test_a_run_that_is_killed_keeps_what_it_finished(settled: Path) -> None:
    """The store what was audited, and an earlier report stays whole; ``test_ctrl_c`` has the other signals."""
    Path("out.json").write_text("old")
    write_project(settled, spec("endless", forward="hangs"), spec("good"), spec("bad", backward="wrong"))

    def kept() -> set[str]:
        try:
            return {op for found in verdicts(settled) for op in found}
        except StoreError:
            return set()

    process = subprocess.Popen(
        command("run", "-q", "-j", "2", "--json", "out.json"),
        cwd=settled,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: kept() == {"good", "bad"})
        process.kill()
        process.wait(30)
    finally:
        process.kill()
    assert verdicts(settled) == [{"good": "pass", "bad": "fail"}]
    with open_to_read(settled / "reports" / "audit.db") as connection:
        (run,) = runs(connection)
    assert not run.complete
    assert not run.interrupted
    assert Path("out.json").read_text() == "old"


def test_calls_are_told_of_each_case_and_of_the_run_whatever_happens_between(gradaudit, project) -> None:
    code = """
def square(x):
    open("forwards", "a").write("f")
    return x * x


def right(u, x):
    open("backwards", "a").write("b")
    return 2 * x * u
"""
    Path("counted.py").write_text(code)
    target = {"forward": "counted:square", "backward": "counted:right"}
    write_project(project, *[spec(name, target=target) for name in ("one", "two")])

    def summary(*arguments: str) -> tuple[int, int]:
        told = gradaudit("run", "-j", "2", "--json", "out.json", *arguments).stdout.splitlines()[-1]
        document = json.loads(Path("out.json").read_text())
        total = document["summary"]
        assert f"({total['forwards']} forwards and {total['backwards']} backwards, " in told
        for what in ("forwards", "backwards"):
            assert sum(result[what] for result in document["results"]) == total[what]
        assert total["forwards"] == total["evaluations"] + total["check_evaluations"]
        return total["forwards"], total["backwards"]

    called = summary()
    assert called == (Path("forwards").stat().st_size, Path("backwards").stat().st_size)
    assert summary("--resume") == called
    assert Path("forwards").stat().st_size == called[0]  # nothing was audited again
