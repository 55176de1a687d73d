"""``lint``: what it finds, ignores, prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from gradaudit.guides import guide
from gradaudit.lint.rules import RULES
from gradaudit.source.modules import MAX_SOURCE

Command = Callable[..., Result]

FLAT = """def flat(x):
    return Tensor(x.data.reshape(-1)){comment}
"""


def test_a_violation_is_told_with_place_rule_reason_and_fix(gradaudit: Command, project: Path) -> None:
    (project / "flat.py").write_text(FLAT.format(comment=""))
    ended = gradaudit("lint", "flat.py")
    assert ended.exit_code == 1
    first, fix, last = ended.stdout.splitlines()
    assert (
        first == "flat.py:2:12: detached-reshape: the values of x are rearranged off the tape: no gradient flows back"
    )
    assert fix.startswith("  fix: ")
    assert last == "1 violation in 1 file: 1 detached-reshape"


def test_clean_files_and_empty_folders_are_fine(gradaudit: Command, project: Path) -> None:
    (project / "empty").mkdir()
    (project / "right.py").write_text("def flat(x):\n    return x.reshape(-1)\n")
    for path, files in (("empty", "0 files"), ("right.py", "1 file"), (".", "1 file")):
        ended = gradaudit("lint", path)
        assert (ended.exit_code, ended.stdout) == (0, f"no violations in {files}\n")


def test_a_path_that_does_not_exist_is_a_mistake(gradaudit: Command) -> None:
    ended = gradaudit("lint", "nowhere")
    assert (ended.exit_code, ended.stderr) == (2, "the source nowhere does not exist\n")


@pytest.mark.parametrize(
    ("comment", "status"),
    [
        ("  # gradaudit: ignore", 0),
        ("  # gradaudit: ignore[detached-reshape]", 0),
        ("  # gradaudit:ignore[ detached-output, detached-reshape ]  deliberate", 0),
        ("  # noqa  # gradaudit: ignore[detached-reshape]", 0),
        ("  # gradaudit: ignore[detached-output]", 1),
        ("  # gradaudit: ignored", 1),
        ("  # gradaudit ignore", 1),
        ("; '# gradaudit: ignore'", 1),
        ("\n    # gradaudit: ignore", 1),
    ],
)
def test_comments_that_ignore(gradaudit: Command, project: Path, comment: str, status: int) -> None:
    (project / "flat.py").write_text(FLAT.format(comment=comment))
    assert gradaudit("lint", "flat.py").exit_code == status


def test_an_ignore_counts_on_any_line_of_the_expression(gradaudit: Command, project: Path) -> None:
    lines = ["def flat(x):", "    return Tensor(", "        x.data.reshape(-1)", "    )  # gradaudit: ignore", ""]
    (project / "flat.py").write_text("\n".join(lines))
    assert gradaudit("lint", "flat.py").exit_code == 0


def test_an_ignore_of_an_unknown_rule_is_told(gradaudit: Command, project: Path) -> None:
    (project / "flat.py").write_text("x = 1  # gradaudit: ignore[detached-reshap]\n")
    ended = gradaudit("lint", "flat.py")
    assert ended.exit_code == 1
    assert "flat.py:1:8: unknown-rule: " in ended.stdout
    assert "did you mean 'detached-reshape'?" in ended.stdout


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"x = 1\ndef f(:\n    pass\n", "bad.py:2:7", "is not Python: invalid syntax"),
        (b"x = '\xff\xfe'\n", "bad.py:1:", "is not Python: "),
        (b"x = 1\0\n", "bad.py:1:1", "is not Python: "),
        (b"x = " + b"(" * 5000 + b"\n", "bad.py:1:", "is not Python: "),
        (b"# " + b"x" * MAX_SOURCE, "bad.py:1:1", "is larger than"),
    ],
)
def test_what_cannot_be_read_is_told_and_ends_nothing(
    gradaudit: Command, project: Path, content: bytes, place: str, words: str
) -> None:
    (project / "bad.py").write_bytes(content)
    (project / "flat.py").write_text(FLAT.format(comment=""))
    ended = gradaudit("lint", ".")
    assert ended.exit_code == 1
    assert f"{place}" in ended.stdout
    assert f"unreadable: {words}" in ended.stdout
    assert "flat.py:2:12: detached-reshape" in ended.stdout


def test_other_encodings_that_say_so_are_read(gradaudit: Command, project: Path) -> None:
    (project / "flat.py").write_bytes(("# coding: latin-1\n# é\n" + FLAT.format(comment="")).encode("latin-1"))
    assert "flat.py:4:12: detached-reshape" in gradaudit("lint", "flat.py").stdout


def test_sums_nested_deeply_do_not_stop_it(gradaudit: Command, project: Path) -> None:
    (project / "deep.py").write_text("def f(x):\n    return Tensor(" + " + ".join(["x.data"] * 3000) + ")\n")
    ended = gradaudit("lint", "deep.py")
    assert ended.exit_code == 1
    assert "deep.py:" in ended.stdout


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), ["detached-residual", "detached-reshape"]),
        (("--select", "detached-reshape"), ["detached-reshape"]),
        (("--ignore", "detached-reshape"), ["detached-residual"]),
        (("--select", "detached-reshape,gradient-count", "--ignore", "detached-reshape"), []),
        (("--tensor", "Variable"), []),
        (("--attribute", "array"), []),
        (("--tensor", "Variable", "--tensor", "Tensor"), ["detached-residual", "detached-reshape"]),
    ],
)
def test_rules_and_names_are_chosen(gradaudit: Command, project: Path, options: tuple[str, ...], found: list) -> None:
    (project / "layer.py").write_text(
        "def sum_of(x, y):\n    return Tensor(x.data + y.data)\n\n\n" + FLAT.format(comment="")
    )
    ended = gradaudit("lint", "layer.py", "--format", "json", *options)
    assert [violation["rule"] for violation in json.loads(ended.stdout)["violations"]] == found
    assert ended.exit_code == (1 if found else 0)


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_a_rule_that_there_is_not_is_a_mistake(gradaudit: Command, option: str) -> None:
    ended = gradaudit("lint", ".", option, "detached-ouput")
    assert (ended.exit_code, ended.stderr) == (
        2,
        "there is no rule 'detached-ouput'; did you mean 'detached-output'?\n",
    )


def test_json_has_the_fields_of_a_violation(gradaudit: Command, project: Path) -> None:
    (project / "flat.py").write_text(FLAT.format(comment=""))
    document = json.loads(gradaudit("lint", "flat.py", "--format", "json").stdout)
    assert document["summary"] == {"files": 1, "violations": 1}
    (violation,) = document["violations"]
    assert (violation["file"], violation["line"], violation["column"]) == ("flat.py", 2, 12)
    assert violation["rule"] == "detached-reshape"
    assert violation["why"]
    assert violation["fix"]


def test_github_gets_an_annotation(gradaudit: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    (project / "flat.py").write_text(FLAT.format(comment=""))
    annotation, summary = gradaudit("lint", "flat.py", "--format", "github").stdout.splitlines()
    assert annotation.startswith("::error file=flat.py,line=2,col=12,title=detached-reshape::the values of x ")
    assert "%0Afix: " in annotation
    assert summary.startswith("1 violation in 1 file")


def test_settings_of_the_project(gradaudit: Command, project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.gradaudit]\nsources = ["mine"]\nignore = ["mine/vendored"]\n'
        '[tool.gradaudit.lint]\ntensors = ["Variable"]\nattributes = ["array"]\nignore = ["detached-residual"]\n'
    )
    code = "def f(x, y):\n    return Variable(x.array + y.array)\n\n\ndef g(x):\n    return Variable(x.array.T)\n"
    for folder in ("mine", "mine/vendored", "mine/tests", "other"):
        (project / folder).mkdir()
        (project / folder / "layer.py").write_text(code)
    found = json.loads(gradaudit("lint", "--format", "json").stdout)["violations"]
    assert [(one["file"], one["line"], one["rule"]) for one in found] == [("mine/layer.py", 6, "detached-reshape")]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('tensor = ["Variable"]', "tool.gradaudit.lint: unknown key 'tensor'; did you mean 'tensors'?"),
        ('tensors = "Variable"', "tool.gradaudit.lint.tensors: expected a list of names, found 'Variable'"),
        ('select = ["nothing-such"]', "there is no rule 'nothing-such'"),
    ],
)
def test_wrong_settings_are_told(gradaudit: Command, project: Path, setting: str, words: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.gradaudit.lint]\n{setting}\n")
    ended = gradaudit("lint", ".")
    assert ended.exit_code == 2
    assert words in ended.stderr


def examples_of_guide() -> list[tuple[str, str, list[str]]]:
    """Return the examples of the guide's page: the rule, wrong or right, and the rules that are to be found."""
    text = guide("lint").text
    examples = []
    for name in RULES:
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        blocks = [block.partition("```")[0] for block in section.split("```python\n")[1:]]
        assert len(blocks) == 2, f"{name} has an example that is wrong and one that is right"
        examples += [(name, blocks[0], [name]), (name, blocks[1], [])]
    return examples


def test_the_examples_of_the_guide_are_what_it_says(gradaudit: Command, project: Path) -> None:
    for rule, code, found in examples_of_guide():
        (project / "example.py").write_text(code)
        document = json.loads(gradaudit("lint", "example.py", "--format", "json").stdout)
        assert [violation["rule"] for violation in document["violations"]] == found, (rule, code)
