"""What the guide to flow specs shows is what happens."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_audits import codes, said

from gradaudit.engine.audit import audit_case
from gradaudit.guides import guide
from gradaudit.results import Verdict
from gradaudit.spec.load import load_specs
from gradaudit.spec.tape import TapeDescription


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", guide("flow").text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("broken", [True, False])
def test_the_example_is_cut_where_it_says(folder: Path, broken: bool) -> None:
    (folder / "my_model.py").write_text(blocks("python")[0])
    spec = folder / "spec.yaml"
    spec.write_text(blocks("yaml")[0].replace("broken: true", f"broken: {str(broken).lower()}"))
    (case,) = load_specs([spec]).cases
    made = audit_case(case)
    assert codes(made) == ({name: {"unreached-parameter"} for name in ("x", "first")} if broken else {})
    if broken:
        assert "my_model.py:20 in Model.__call__ is computed from it but is on no tape" in said(made)
        assert "is ReluBackward" in said(made)
    else:
        assert {result.verdict for result in made.results} == {Verdict.PASS}


def test_the_description_of_a_tape_is_complete_and_tells_the_defaults() -> None:
    shown: dict[str, Any] = yaml.safe_load(blocks("yaml")[1])["tape"]
    assert shown == asdict(TapeDescription(tensor="my_framework:Tensor"))
