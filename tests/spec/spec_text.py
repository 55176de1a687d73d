"""Specs as text. In a text that does not load, ``▸`` stands before everything that the loader has to point at."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs

MARK = "▸"
HEAD = "op: gelu\ntarget: {forward: m:f, backward: m:g}\n"


def spec(inputs: str = "x: {shape: [3]}", rest: str = "", head: str = HEAD) -> str:
    """Return a spec that is right wherever the arguments are."""
    return f"{head}inputs: {{{inputs}}}\n{rest}"


def load(folder: Path, text: str, overrides: Overrides | None = None) -> tuple[Case, ...]:
    """Return the cases of a text."""
    file = folder / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    return load_specs([file], overrides).cases


def refusals(folder: Path, text: str, overrides: Overrides | None = None) -> list[str]:
    """Return what is wrong with a marked text, after checking that the places are the marked ones and no others."""
    *parts, last = text.split(MARK)
    places = []
    before = ""
    for part in parts:
        before += part
        line = before.rsplit("\n", 1)[-1]
        places.append((before.count("\n") + 1, len(line) + 1))
    with pytest.raises(SpecError) as caught:
        load(folder, before + last, overrides)
    problems = caught.value.problems
    found = [(problem.location.line, problem.location.column) for problem in problems]
    assert found == places, str(caught.value)
    assert {problem.location.file for problem in problems} == {folder / "spec.yaml"}
    return [problem.message for problem in problems]


def refusal(folder: Path, text: str, overrides: Overrides | None = None) -> str:
    """Return the only thing that is wrong with a marked text."""
    (message,) = refusals(folder, text, overrides)
    return message
