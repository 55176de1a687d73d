"""``gradaudit schema``, ``--help`` and ``--version``."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml
from commands import environment, spec

SHIPPED = Path(__file__).parents[2] / "specs"

HEAVY = ("numpy", "scipy", "pydantic", "yaml", "pebble", "ml_dtypes")

REPORT_IMPORTS = f"""
import json
import sys
from gradaudit.cli import main
try:
    main()
except SystemExit as leave:
    status = leave.code
print(json.dumps([[name for name in {HEAVY!r} if name in sys.modules], status]), file=sys.stderr)
"""


def test_the_schema_is_a_json_schema(gradaudit) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(gradaudit("schema").stdout))


def test_the_schema_takes_the_specs_that_are_shipped(gradaudit) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(gradaudit("schema").stdout))
    documents = [
        (file, document) for file in SHIPPED.rglob("*.yaml") for document in yaml.safe_load_all(file.read_text())
    ]
    assert len(documents) >= 60
    for file, document in documents:
        # PyYAML reads 1e-4 as a word, YAML 1.2 and gradaudit as a number.
        validator.validate(json.loads(json.dumps(document), object_hook=with_numbers)), file


def with_numbers(mapping: dict) -> dict:
    def number(value):
        if isinstance(value, list):
            return [number(item) for item in value]
        try:
            return float(value) if isinstance(value, str) and value[:1] in "-.0123456789" else value
        except ValueError:
            return value

    return {key: number(value) for key, value in mapping.items()}


@pytest.mark.parametrize(
    "change",
    [{"sed": 3}, {"dtype": "float12"}, {"seed": -1}, {"op": 3}, {"inputs": {"x": {"shap": [3]}}}, {"cases": [{}]}],
)
def test_the_schema_refuses_what_loading_refuses(gradaudit, change: dict) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(gradaudit("schema").stdout))
    assert validator.is_valid(spec("right"))
    assert not validator.is_valid({**spec("right"), **change})


def test_version(gradaudit) -> None:
    found = gradaudit("--version")
    assert (found.exit_code, found.stdout) == (0, f"gradaudit {version('gradaudit')}\n")


def test_help_names_the_commands_and_their_options(gradaudit) -> None:
    text = gradaudit("--help").stdout
    assert "run" in text
    assert "schema" in text
    text = gradaudit("run", "--help").stdout
    for option in (
        "-k",
        "-j",
        "--dtype",
        "--seed",
        "--method",
        "--table",
        "--budget",
        "--json",
        "--junit",
        "--quiet",
        "--max-rows",
    ):
        assert option in text, option
    assert "module/op::case[dtype]" in "".join(text.split()).replace("│", "")


def test_help_is_prose_in_whole_lines(gradaudit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = " ".join(gradaudit("coverage", "--help").stdout.split())
    assert "whose pyproject.toml has a table [tool.gradaudit], or where its folder exists already." in told
    assert "what A did not audit included, 2 where there are no such runs" in " ".join(
        line.strip() for line in gradaudit("diff", "--help").stdout.splitlines()
    )
    assert "\n such runs." not in gradaudit("diff", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "typer_s_own"),
    [
        (["--help"], 0, []),
        (["--version"], 0, []),
        (["run", "--help"], 0, ["pydantic"]),  # Typer itself checks the bounds of options with it
        (["run", "--seed", "x"], 2, ["pydantic"]),
    ],
)
def test_answers_come_without_heavy_imports(arguments: list[str], status: int, typer_s_own: list[str]) -> None:
    program = [sys.executable, "-c", REPORT_IMPORTS, *arguments]
    found = subprocess.run(program, capture_output=True, text=True, env=environment(), check=True)
    imported, left = json.loads(found.stderr.splitlines()[-1])
    assert left == status
    assert set(imported) <= set(typer_s_own)
