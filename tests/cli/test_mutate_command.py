"""``mutate``: the table, survivors as diffs, the bar, and the score in the coverage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

Command = Callable[..., Result]

POWERS = """
import time


def square(x):
    return x * x


def square_backward(u, x):
    return u * (x + x)


def waits(x):
    return 1.0 * x


def waits_backward(u, x):
    rest = 3.0
    while rest >= 3.0:
        rest = rest - 3.0
    return 1.0 * u
"""


def spec_of(op: str, **keys: object) -> dict[str, object]:
    target = {"forward": f"powers:{op}", "backward": f"powers:{op}_backward"}
    return {"op": op, "module": "power", "target": target, "inputs": {"x": {"shape": [3]}}, "dtype": "float64", **keys}


@pytest.fixture
def powers(project: Path) -> Path:
    """A project with two ops."""
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nsources = ["powers.py"]\n')
    (project / "powers.py").write_text(POWERS)
    (project / "specs").mkdir()
    (project / "specs" / "power.yaml").write_text(yaml.safe_dump_all([spec_of("square"), spec_of("waits")]))
    return project


def test_the_score_of_a_good_spec_is_full_and_stands_in_the_coverage(powers: Path, gradaudit: Command) -> None:
    before = (powers / "powers.py").read_bytes()
    told = gradaudit("mutate", "square", "--fail-under", "100")
    assert told.exit_code == 0, told.output
    row = next(line for line in told.stdout.splitlines() if line.startswith("power/square"))
    mutants, killed, survived, equivalent, score = row.split()[1:]
    assert int(mutants) == int(killed) == 6
    assert (survived, equivalent, score) == ("0", "0", "100.0%")
    assert (powers / "powers.py").read_bytes() == before

    def recorded() -> dict[str, object]:
        document = json.loads(gradaudit("coverage", "--no-output", "--format", "json").stdout)
        return {op["op"]: op["mutants"] for op in document["ops"]}

    assert recorded() == {
        "square": {"killed": int(killed), "survived": 0, "equivalent": 0, "stale": False},
        "waits": None,
    }
    assert f"{killed}/{killed}" in gradaudit("coverage", "--no-output").stdout
    (powers / "powers.py").write_text(POWERS.replace("(x + x)", "(2 * x)"))
    assert recorded()["square"]["stale"] is True  # type: ignore[index]


def test_a_weakened_spec_shows_in_the_score(powers: Path, gradaudit: Command) -> None:
    weak = spec_of("square", inputs={"x": {"values": [1.0, 1.0]}}, tolerance={"rtol": 0.5, "reason": "to be weak"})
    (powers / "specs" / "power.yaml").write_text(yaml.safe_dump(weak))
    told = gradaudit("mutate", "--fail-under", "90", "--no-store")
    assert told.exit_code == 1
    assert "square: dropped term in square_backward survived (powers.py:10)" in told.stdout
    assert "-    return u * (x + x)\n" in told.stdout
    assert "+    return u * (x)\n" in told.stdout
    assert "nearest: power/square::default[float64], where the largest error is 1 of the tolerance" in told.stdout
    assert "not as the spec expects, even without a fault" in told.stdout
    assert "is below 90%" in told.stderr


def test_an_op_that_fails_by_itself_is_not_mutated_and_said_to_fail(powers: Path, gradaudit: Command) -> None:
    (powers / "powers.py").write_text(POWERS.replace("u * (x + x)", "u * x"))
    told = gradaudit("mutate", "--timeout", "2", "--no-store", "-j", "2")
    assert told.exit_code == 1
    assert (
        "square was not mutated: it fails by itself. power/square::default[float64] ends with fail w.r.t. x: 3 of 3"
        in (told.stdout)
    )
    assert "survived" not in told.stdout
    assert "power/waits" in told.stdout
    (document,) = [json.loads(gradaudit("mutate", "square", "--format", "json", "--no-store", "-j", "1").stdout)]
    assert (document["ops"], [made["op"] for made in document["failing"]]) == ([], ["square"])


def test_a_mutant_that_never_ends_is_killed(powers: Path, gradaudit: Command) -> None:
    told = gradaudit("mutate", "waits", "--format", "json", "--timeout", "1", "--no-store", "-j", "2")
    document = json.loads(told.stdout)
    endless = [made for made in document["ops"][0]["mutants"] if "time limit" in made["cause"]]
    assert {made["fate"] for made in endless} == {"killed"}
    assert "rest = rest + 3.0" in "".join(made["diff"] for made in endless)
    assert document["summary"]["mutants"] == len(document["ops"][0]["mutants"])


def test_what_is_asked_for_wrongly_is_said(powers: Path, gradaudit: Command) -> None:
    told = gradaudit("mutate", "squar")
    assert told.exit_code == 2
    assert "there is no op 'squar'; did you mean 'square'?" in told.stderr
