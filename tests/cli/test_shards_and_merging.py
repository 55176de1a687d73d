"""A run in shards, put together again: the same as a run at once."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import of_every_verdict, spec, timeless, write_project
from typer.testing import Result

Command = Callable[..., Result]


@pytest.fixture
def various(project: Path) -> Path:
    """Ops of every verdict, in several dtypes."""
    write_project(
        project,
        *of_every_verdict(),
    )
    return project


def shown(text: str) -> list[str]:
    """Return the lines of a report but those that say how long something took."""
    return [line for line in text.splitlines() if not re.search(r" s\)?$|\d\.\d\d s  |^Recorded in", line)]


@pytest.mark.parametrize("kind", ["json", "store"])
def test_shards_put_together_are_the_whole_run(gradaudit: Command, various: Path, kind: str) -> None:
    whole = gradaudit("run", "--json", "whole.json", "--junit", "whole.xml", "--html", "whole.html", "--no-store")
    parts = [f"{k}.{'json' if kind == 'json' else 'db'}" for k in (1, 2, 3)]
    for k, part in enumerate(parts, 1):
        kept = ["--json", part, "--no-store"] if kind == "json" else ["--store", part]
        assert f"Shard {k}/3: 3 of 9 cases" in gradaudit("run", "--shard", f"{k}/3", *kept).stdout
    found = gradaudit("merge", *reversed(parts), "--json", "merged.json", "--junit", "merged.xml", "--html", "m.html")
    assert found.exit_code == whole.exit_code == 1
    assert timeless("merged.json") == timeless("whole.json")
    names = [
        [test.get("name") for test in ElementTree.parse(file).iter("testcase")] for file in ("whole.xml", "merged.xml")
    ]
    assert names[0] == names[1]
    pages = [Path(name).read_text(encoding="utf-8") for name in ("whole.html", "m.html")]
    told = [re.findall(r'id="[^"]*"|<figcaption>.*?</figcaption>', page) for page in pages]
    assert told[0] == told[1]
    assert any("Where x is wrong" in each for each in told[1])
    assert shown(found.stdout) == shown(whole.stdout)
    assert found.stderr == ""


def test_what_is_missing_or_there_twice_is_named(gradaudit: Command, various: Path) -> None:
    gradaudit("run", "-q", "--shard", "1/2", "--json", "1.json", "--no-store", "-k", "right or raises")
    found = gradaudit("merge", "-q", "1.json", "1.json")
    assert found.exit_code == 1
    missing, twice = found.stderr.splitlines()
    assert missing == "1 case is missing: specs/raises::default[float64]"
    assert twice.startswith("3 cases are present twice; the last one counts: specs/right::default[")


def test_a_whole_run_is_merged_with_itself(gradaudit: Command, various: Path) -> None:
    gradaudit("run", "-q", "-k", "right", "--json", "a.json", "--no-store")
    found = gradaudit("merge", "a.json", "a.json")
    assert found.exit_code == 0
    assert "3 cases are present twice" in found.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file; expected a store or a JSON report"),
        (b"", "expected a store or a JSON report of a run"),
        (b"[1]", "expected a store or a JSON report of a run"),
        (b'{"results": [{"op": 1}], "summary": {}}', "expected a store or a JSON report of a run"),
        (b"[" * 100_000, "expected a store or a JSON report of a run"),
        (b"SQLite format 3\0 and no more", "cannot be used as a store"),
    ],
)
def test_what_is_no_run_is_refused(gradaudit: Command, project: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        Path("part").write_bytes(content)
    found = gradaudit("merge", "part")
    assert found.exit_code == 2
    assert said in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("op", None), ("seconds", "x"), ("message", [1]), ("checked", "a"), ("mismatches", [{"index": ["a"]}])],
)
def test_what_is_of_another_type_is_refused(gradaudit: Command, various: Path, name: str, value: object) -> None:
    gradaudit("run", "-q", "-k", "right", "--json", "a.json", "--no-store")
    document = json.loads(Path("a.json").read_text())
    document["results"][0][name] = value
    Path("a.json").write_text(json.dumps(document))
    found = gradaudit("merge", "a.json")
    assert found.exit_code == 2
    assert found.stderr.startswith("a.json: expected a store or a JSON report of a run: ")


def test_a_store_without_a_run_is_refused(gradaudit: Command, various: Path) -> None:
    gradaudit("run", "-q", "-k", "right", "--store", "a.db")
    with sqlite3.connect("a.db") as connection:
        connection.execute("DELETE FROM results")
    found = gradaudit("merge", "a.db")
    assert (found.exit_code, found.stderr) == (2, "a.db holds no run\n")


def test_a_shard_that_is_none_is_refused(gradaudit: Command, various: Path) -> None:
    found = gradaudit("run", "--shard", "4/3")
    assert (found.exit_code, found.stderr) == (2, "--shard: found '4/3', expected a number from 1 to 3\n")


def test_shards_are_balanced_by_what_was_recorded(gradaudit: Command, various: Path) -> None:
    (various / "pyproject.toml").write_text("[tool.gradaudit]\n")
    gradaudit("run", "-q")
    shares = [gradaudit("run", "--shard", f"{k}/2", "-k", "right").stdout for k in (1, 2)]
    assert all("balanced by recorded seconds" in said for said in shares)


def test_shards_that_record_in_one_store_one_after_the_other_fit(gradaudit: Command, various: Path) -> None:
    for k in (1, 2, 3):
        gradaudit("run", "--shard", f"{k}/3", "--store", "all.db", "--json", f"{k}.json")
    merged = gradaudit("merge", "1.json", "2.json", "3.json", "--json", "merged.json")
    assert ("missing" in merged.output, "twice" in merged.output) == (False, False)


def test_gradients_of_cases_that_took_long_are_audited_apart(gradaudit: Command, project: Path) -> None:
    (project / "products.py").write_text(
        "def product(x, y):\n    return x * y\n\ndef backward(u, x, y):\n    return u * y, u * x\n"
    )
    document = spec("product", inputs={name: {"shape": [3], "range": [0.5, 1.5]} for name in "xy"})
    document["target"] = {"forward": "products:product", "backward": "products:backward"}
    write_project(project, document)
    calls = {}
    for seconds in ("1000", "0"):
        assert gradaudit("run", "-q", "--split", seconds, "--json", "out.json").exit_code == 0
        results = json.loads(Path("out.json").read_text())["results"]
        calls[seconds] = [result["evaluations"] for result in results]
    assert [result["input"] for result in results] == ["x", "y"]
    assert calls["1000"][1] == 0
    assert min(calls["0"]) > 0
