"""The examples of ``gradaudit guide process``: right as they stand, and caught where a mistake is planted."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from gradaudit.engine.audit import audit_case
from gradaudit.guides import guide
from gradaudit.results import Result
from gradaudit.spec.load import load_specs
from gradaudit.targets import process

TEXT = guide("process").text

SPARED = {"seconds": 0.0, "evaluations": 0, "forwards": 0}
"""What several points in a message may change."""


def block(language: str) -> str:
    """Return the only block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return found


@cache
def compiled(source: str) -> bytes:
    """Return the program that a source is compiled to."""
    if (compiler := shutil.which("g++") or shutil.which("clang++")) is None:
        pytest.skip("there is no C++ compiler on this machine")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "serve")
        command = [compiler, "-std=c++17", "-Wall", "-Werror", "-x", "c++", "-", "-o", str(program)]
        subprocess.run(command, input=source.encode(), check=True, timeout=120)
        return program.read_bytes()


def in_cpp(folder: Path, source: str) -> str:
    (folder / "serve").write_bytes(compiled(source))
    (folder / "serve").chmod(0o755)
    return block("yaml")


def in_javascript(folder: Path, source: str) -> str:
    if shutil.which("node") is None:
        pytest.skip("there is no Node on this machine")
    (folder / "serve.js").write_text(source)
    return block("yaml").replace("[./serve]", "[node, serve.js]")


LANGUAGES = {"C++": ("cpp", in_cpp), "JavaScript": ("js", in_javascript)}


Results = dict[tuple[str, str], Result]


def audited(folder: Path, language: str, change: Callable[[str], str] = str, **settings: str) -> Results:
    """Return the results of an example, changed, by dtype and input."""
    name, written = LANGUAGES[language]
    spec = written(folder, change(block(name)))
    for key, value in settings.items():
        spec = re.sub(rf"^{key}: .*$", f"{key}: {value}", spec, flags=re.MULTILINE)
    (folder / "gate.yaml").write_text(f"{spec.rstrip()}\nmethod: exhaustive\n")
    results = [result for case in load_specs([folder / "gate.yaml"]).cases for result in audit_case(case).results]
    return {(result.dtype, result.input): result for result in results}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_passes_as_sharply_as_a_python_op(language: str, tmp_path: Path) -> None:
    results = audited(tmp_path, language)
    assert {key: str(result.verdict) for key, result in results.items()} == {
        (dtype, name): "pass" for dtype in ("float32", "float64") for name in "xg"
    }
    assert all(result.message == "" for result in results.values())  # not even differenced in float32
    assert all(result.rtol == (1e-4 if result.dtype == "float32" else 1e-7) for result in results.values())


@pytest.mark.parametrize(
    ("language", "mistakes"),
    [
        ("C++", {"dx[i] = u[i] * s": "dx[i] = -u[i] * s", "x[i] * beta * s": "x[i] * s"}),
        ("JavaScript", {"=> v * s[i]": "=> -v * s[i]", "values[i] * beta *": "values[i] *"}),
    ],
)
def test_planted_mistakes_are_found_and_named(language: str, mistakes: dict[str, str], tmp_path: Path) -> None:
    def planted(source: str) -> str:
        for right, wrong in mistakes.items():
            assert source.count(right) == 1
            source = source.replace(right, wrong)
        return source

    results = audited(tmp_path, language, planted)
    for dtype in ("float32", "float64"):
        x, g = results[dtype, "x"], results[dtype, "g"]
        assert (x.verdict, x.wrong, [finding.code for finding in x.findings]) == ("fail", 12, ["sign-flipped"])
        assert (g.verdict, g.wrong, [finding.code for finding in g.findings]) == ("fail", 12, ["constant-factor"])
        assert "1.500 is beta" in g.findings[0].message


def test_a_term_and_a_half_that_a_child_forgets_are_named(tmp_path: Path) -> None:
    def planted(source: str) -> str:
        return source.replace("dx[i] = u[i] * s", "dx[i] = u[i] * (s + 1)").replace(
            "dg[i] = u[i]", "dg[i] = (i < 6) * u[i]"
        )

    results = audited(tmp_path, "C++", planted, dtype="float64")
    x, g = results["float64", "x"], results["float64", "g"]
    assert (x.verdict, [finding.code for finding in x.findings]) == ("fail", ["missing-term"])
    assert (g.verdict, g.wrong, [finding.code for finding in g.findings]) == ("fail", 6, ["wrong-subset"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_answers_for_several_points_as_for_each_alone(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = audited(tmp_path, language)
    monkeypatch.setattr(process, "_most", lambda description: 1)
    for key, alone in audited(tmp_path, language).items():
        assert several[key].evaluations == alone.evaluations + 6  # two a time: survey, first rows, others
        assert replace(several[key], **SPARED) == replace(alone, **SPARED)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_says_what_it_cannot_do(language: str, tmp_path: Path) -> None:
    results = audited(tmp_path, language, dtype="float16")
    assert {result.verdict for result in results.values()} == {"error"}
    assert results["float16", "x"].message.endswith("is F16; F32 and F64 are known")
