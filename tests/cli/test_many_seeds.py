"""``run --seeds``: many draws of every case, one row for each, and what differs by seed said."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import spec, timeless, write_project

from gradaudit.spec.seeds import NoSeedsError, parse_seeds

SEEDY = """
import os

def square(x):
    return x * x

def wrong_where_the_first_is_large(u, x):
    return 2 * x * u * (1.5 if x[0] > 0.5 else 1.0)

def crashes_where_the_first_is_large(u, x):
    if x[0] > 0.5:
        os.abort()
    return 2 * x * u
"""


def seedy(backward: str, **keys: object) -> dict[str, object]:
    target = {"forward": "seedy:square", "backward": f"seedy:{backward}"}
    return spec(backward, target=target, inputs={"x": {"shape": [3]}}, **keys)


@pytest.fixture
def seedy_project(project: Path) -> Path:
    (project / "seedy.py").write_text(SEEDY)
    write_project(project, seedy("wrong_where_the_first_is_large"))
    return project


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("4", [4]), ("0-3", [0, 1, 2, 3]), ("8-10,3, 5,9", [3, 5, 8, 9, 10]), (f"{2**63 - 1}", [2**63 - 1])],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize("text", ["", "3,,5", "a", "9-3", "-1", "1-2-3", "0-10000", "0-9000,10000-19000", f"{2**63}"])
def test_what_names_no_seeds_is_refused(text: str, gradaudit, seedy_project) -> None:
    with pytest.raises(NoSeedsError):
        parse_seeds(text)
    found = gradaudit("run", f"--seeds={text}")
    assert (found.exit_code, found.stderr[:15]) == (2, "--seeds: found ")


def test_a_case_has_one_row_that_says_how_each_seed_ended(gradaudit, seedy_project) -> None:
    alone = {}
    for seed in range(6):
        gradaudit("run", "--seed", str(seed), "--json", "out.json", "--no-store")
        (alone[seed],) = timeless()["results"]
    found = gradaudit("run", "--seeds", "0-5", "--json", "out.json", "--no-store")
    (row,) = timeless()["results"]
    assert {draw["seed"]: draw["verdict"] for draw in row["draws"]} == {k: alone[k]["verdict"] for k in alone}
    wrong = [k for k in alone if alone[k]["verdict"] == "fail"]
    assert 0 < len(wrong) < 6
    assert row["seed"] == wrong[0]
    assert row["mismatches"] == alone[wrong[0]]["mismatches"]
    assert row["forwards"] == sum(each["forwards"] for each in alone.values())
    assert found.exit_code == 1
    said = " ".join(found.stdout.split())
    assert f", {6 - len(wrong)} pass" in said
    assert f"; shown is {wrong[0]} " in said
    assert "1 gradient, 1 op, 1 case with 6 seeds each: 1 fail" in found.stdout


def test_any_number_of_workers_makes_the_same_rows(gradaudit, seedy_project) -> None:
    rows = []
    for jobs in ("0", "2"):
        gradaudit("run", "-j", jobs, "--seeds", "0-5", "--json", "out.json", "--no-store")
        rows.append(timeless()["results"])
    assert rows[0] == rows[1]


def test_a_seed_that_takes_the_process_along_costs_the_others_nothing(gradaudit, seedy_project) -> None:
    write_project(seedy_project, seedy("crashes_where_the_first_is_large"))
    gradaudit("run", "-j", "1", "--seeds", "0-5", "--json", "out.json", "--no-store")
    (row,) = timeless()["results"]
    assert {draw["verdict"] for draw in row["draws"]} == {"pass", "error"}
    assert "SIGABRT" in row["message"]


def test_only_the_same_seeds_are_recalled(gradaudit, seedy_project) -> None:
    gradaudit("run", "-j", "0", "--seeds", "1-3")
    for options, recalled in ((["--seeds", "1,2,3"], 1), (["--seeds", "1-4"], 0), ([], 0)):
        found = gradaudit("run", "-j", "0", "--resume", *options).stdout
        assert f"{recalled} case{'' if recalled == 1 else 's'} recorded before" in found


def test_one_seed_is_asked_for_one_way(gradaudit, seedy_project) -> None:
    found = gradaudit("run", "--seed", "1", "--seeds", "1-3")
    assert found.exit_code == 2
    assert found.stderr.endswith("found --seed 1 and --seeds 1-3\n")
