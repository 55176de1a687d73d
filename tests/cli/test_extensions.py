"""What another package adds by entry points: a check, a kind of target and a format of reports, used in runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import jsonschema
import pytest
import yaml
from commands import command, environment

from gradaudit.extensions import CHECKS, ExtensionError, extensions
from gradaudit.guides import guide
from gradaudit.report.formats import report_format

INSTALLED = Path(__file__).parent / "installed"
PAGE = guide("extending").text


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


(SHOWN,) = map(yaml.safe_load, blocks("yaml"))


def spec(op: str, *coefficients: float, **keys: object) -> dict:
    return SHOWN | {"op": op, "target": {"extension": {"polynomial": {"coefficients": list(coefficients)}}}, **keys}


STEEP = (0.0, 0.0, 200.0)


@pytest.fixture
def ops(project: Path) -> Path:
    """Specs of a polynomial with small gradients, one with large ones, and one that is known to have them."""
    found = [SHOWN, spec("steep", *STEEP), spec("known", *STEEP, expect="fail", findings=["large-gradient"])]
    (project / "ops.yaml").write_text(yaml.safe_dump_all(found, sort_keys=False))
    return project / "ops.yaml"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(INSTALLED)
    for name in [name for name in sys.modules if name.startswith("example_extension")]:
        monkeypatch.delitem(sys.modules, name)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str, **modules: str) -> None:
    """Install a package ``other 0.1`` with these entry points into a folder, and make it importable."""
    about = folder / "site" / "other-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text(points)
    for name, text in modules.items():
        (folder / "site" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder / "site")


def test_the_guide_shows_the_package_that_is_tested() -> None:
    folder = INSTALLED / "example_extension"
    assert blocks("python") == [(folder / f"{name}.py").read_text() for name in ("check", "target", "report")]
    (shown,) = map(tomllib.loads, blocks("toml"))
    points = ConfigParser()
    points.read(INSTALLED / "example_extension-1.2.dist-info" / "entry_points.txt")
    assert shown["project"]["entry-points"] == {group: dict(points[group]) for group in points.sections()}


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_all_three_work_in_a_process_of_its_own_and_in_its_workers(jobs: str, ops: Path) -> None:
    path = os.pathsep.join([str(INSTALLED), *sys.path])
    arguments = ["run", str(ops), "-j", jobs, "--json", "out.json", "--report", "verdicts=verdicts.csv"]
    ended = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(PYTHONPATH=path))
    assert (ended.returncode, ended.stderr) == (1, "")
    assert Path("verdicts.csv").read_text() == "op,input,verdict\ncubic,x,pass\nsteep,x,fail\nknown,x,fail\n"
    results = {one["op"]: one for one in json.loads(Path("out.json").read_text())["results"]}
    assert {op: one["expected"] for op, one in results.items()} == {"cubic": True, "steep": False, "known": True}
    assert [made["code"] for made in results["steep"]["findings"]] == ["large-gradient"]
    assert "large-gradient: the gradient of x has an entry of" in ended.stdout


def test_every_report_and_explain_take_a_finding_of_another_package(installed, gradaudit, ops: Path) -> None:
    own = ("sarif=out.sarif", "html=out.html", "junit=out.xml", "badge=out.svg")
    assert gradaudit("run", str(ops), *(word for one in own for word in ("--report", one))).exit_code == 1
    (rule,) = json.loads(Path("out.sarif").read_text())["runs"][0]["tool"]["driver"]["rules"]
    assert rule == {"id": "large-gradient", "shortDescription": {"text": "large gradient"}}
    assert all("large-gradient" in Path(f"out.{end}").read_text() for end in ("html", "xml"))
    assert "large-gradient" in gradaudit("explain", "steep", "--specs", str(ops)).stdout


def test_a_code_of_another_package_is_explained_and_stands_in_the_schema(installed, gradaudit, ops: Path) -> None:
    said = gradaudit("explain", "large-gradient", "--format", "markdown").stdout
    assert said.startswith("# large-gradient: a finding of package example-extension 1.2\n\nYield a finding for each")
    schema = json.loads(gradaudit("schema").stdout)
    for spec in yaml.safe_load_all(ops.read_text()):
        jsonschema.validate(spec, schema)


def test_what_a_kind_of_target_refuses_is_said_with_its_place(installed, gradaudit, ops: Path) -> None:
    ops.write_text("op: a\ninputs: {x: {shape: [3]}}\ntarget:\n  extension:\n    polynomial: {coefficients: no}\n")
    ended = gradaudit("run", str(ops))
    assert ended.exit_code == 2
    assert "ops.yaml:5:32: target.extension.polynomial.coefficients: " in ended.stderr


def test_an_unknown_kind_of_target_is_refused_with_the_nearest(installed, gradaudit, ops: Path) -> None:
    ops.write_text(ops.read_text().replace("polynomial", "polynomail"))
    ended = gradaudit("run", str(ops))
    assert ended.exit_code == 2
    assert "no installed package adds the target kind 'polynomail'; did you mean 'polynomial'?" in ended.stderr


def test_nothing_is_imported_that_no_run_uses_or_that_is_not_allowed(installed, gradaudit, project: Path) -> None:
    (project / "mine.py").write_text("def f(x):\n    return x * x\n\n\ndef g(u, x):\n    return 2 * x * u\n")
    own = SHOWN | {"target": {"forward": "mine:f", "backward": "mine:g"}}
    Path("own.yaml").write_text(yaml.safe_dump(own))
    assert gradaudit("run", "own.yaml", "--allow", "mine").exit_code == 0
    refused = gradaudit("run", "own.yaml", "--allow", "mine", "--report", "verdicts=out.csv")
    Path("added.yaml").write_text(yaml.safe_dump(SHOWN))
    unlisted = gradaudit("run", "added.yaml", "--allow", "mine")
    assert not [name for name in sys.modules if name.startswith("example_extension")]
    assert (refused.exit_code, unlisted.exit_code) == (2, 2)
    assert "report format 'verdicts' of package example-extension 1.2 is not allowed" in refused.stderr
    assert "target kind 'polynomial' of package example-extension 1.2 is not allowed" in unlisted.stderr
    assert gradaudit("run", "own.yaml").exit_code == 0
    loaded = {name for name in sys.modules if name.startswith("example_extension.")}
    assert loaded == {"example_extension.check"}


@pytest.mark.parametrize(
    ("points", "arguments", "said"),
    [
        (
            "[gradaudit.checks]\nodd = not_there:odd\n",
            (),
            "the check 'odd' of package other 0.1 cannot be imported from not_there:odd: ModuleNotFoundError: ",
        ),
        (
            "[gradaudit.checks]\nodd = leaving:odd\n",
            (),
            "the check 'odd' of package other 0.1 cannot be imported from leaving:odd: SystemExit: bye",
        ),
        (
            "[gradaudit.reports]\nodd = faulty:check\n",
            ("--report", "odd=out.txt"),
            "the report format 'odd' of package other 0.1 is of the wrong type: faulty:check: found function, expected",
        ),
        (
            "[gradaudit.reports]\njson = faulty:check\n",
            ("--report", "json=out.json"),
            "several packages add the report format 'json': gradaudit, other 0.1",
        ),
    ],
)
def test_what_cannot_be_used_ends_the_run_and_is_named_with_its_package(
    points: str, arguments: tuple[str, ...], said: str, installed, gradaudit, ops: Path, monkeypatch
) -> None:
    package(ops.parent, monkeypatch, points, faulty=FAULTY, leaving="raise SystemExit('bye')\n")
    ended = gradaudit("run", str(ops), *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(said)


@pytest.mark.parametrize("command", [("run", "ops.yaml"), ("explain", "cubic", "--specs", "ops.yaml"), ("mutate",)])
def test_a_kind_of_target_that_cannot_be_imported_ends_every_command_that_needs_it(
    command: tuple[str, ...], gradaudit, project: Path, monkeypatch
) -> None:
    package(project, monkeypatch, "[gradaudit.targets]\npolynomial = not_there:KIND\n")
    (project / "pyproject.toml").write_text("[tool.gradaudit]\nspecs = ['ops.yaml']\n")
    (project / "ops.yaml").write_text(yaml.safe_dump(SHOWN))
    ended = gradaudit(*command)
    assert ended.exit_code == 2
    assert ended.stderr.startswith("the target kind 'polynomial' of package other 0.1 cannot be imported from not_th")


FAULTY = """
from gradaudit.results import Finding

def check(probe):
    raise ZeroDivisionError("one over nothing")

def misnamed(probe):
    yield Finding("kink", "another code than its own")
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("check", "the check 'odd' of package other 0.1 raised ZeroDivisionError: one over nothing"),
        ("misnamed", "the check 'odd' of package other 0.1 made the finding 'kink', expected findings 'odd'"),
    ],
)
def test_a_check_that_misbehaves_makes_an_error_of_its_case(
    function: str, said: str, installed, gradaudit, project: Path, monkeypatch
) -> None:
    package(project, monkeypatch, f"[gradaudit.checks]\nodd = faulty:{function}\n", faulty=FAULTY)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)
    Path("ops.yaml").write_text(yaml.safe_dump(SHOWN))
    ended = gradaudit("run", "ops.yaml", "--json", "out.json")
    assert ended.exit_code == 1
    (result,) = json.loads(Path("out.json").read_text())["results"]
    assert result["verdict"] == "error"
    assert result["message"].startswith(said)


def test_recorded_results_are_stale_once_a_check_is_added(gradaudit, project: Path, monkeypatch) -> None:
    (project / "mine.py").write_text("def f(x):\n    return x * x\n\n\ndef g(u, x):\n    return 2 * x * u\n")
    Path("own.yaml").write_text(yaml.safe_dump(SHOWN | {"target": {"forward": "mine:f", "backward": "mine:g"}}))
    again = ("run", "own.yaml", "--stale", "--store", "runs.db", "--json", "out.json")
    counts = []
    for _ in range(2):
        gradaudit(*again)
        counts.append(json.loads(Path("out.json").read_text())["summary"]["pass"])
    monkeypatch.syspath_prepend(INSTALLED)
    gradaudit(*again)
    counts.append(json.loads(Path("out.json").read_text())["summary"]["pass"])
    assert counts == [1, 0, 1]


def test_a_format_that_nobody_adds_is_refused() -> None:
    assert extensions(CHECKS, allow=()) == ()
    with pytest.raises(ExtensionError, match="there is no report format 'xml'; expected one of json, junit, sarif"):
        report_format("xml")
