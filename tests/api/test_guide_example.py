"""What the guides show of Python and of configuration works as it stands."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import gradaudit
from gradaudit.guides import guide
from gradaudit.spec.load import load_specs

ROOT = Path(__file__).parents[2]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", guide(name).text, re.MULTILINE | re.DOTALL)


def test_the_test_of_the_python_guide_passes_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    ops = ModuleType("my_ops")
    exec(blocks("new-op", "python")[0], vars(ops))
    monkeypatch.setitem(sys.modules, "my_ops", ops)
    names: dict[str, object] = {}
    exec(blocks("python", "python")[0], names)
    names["test_swish"]()  # type: ignore[operator]
    names["swish_backward"] = lambda upstream, x: upstream
    with pytest.raises(gradaudit.GradientMismatch):
        names["test_swish"]()  # type: ignore[operator]


def test_the_tests_of_the_python_guide_for_torch_pass_and_can_fail() -> None:
    torch = pytest.importorskip("torch")
    (source,) = (text for text in blocks("python", "python") if "import torch" in text)
    names: dict[str, object] = {}
    exec(source, names)
    names["test_swish"]()  # type: ignore[operator]
    names["test_perceptron"]()  # type: ignore[operator]
    names["Swish"].backward = staticmethod(lambda ctx, u: u * torch.sigmoid(ctx.saved_tensors[0]))  # type: ignore[attr-defined]
    with pytest.raises(gradaudit.GradientMismatch):
        names["test_swish"]()  # type: ignore[operator]


def test_the_tests_of_the_guide_from_gradcheck_pass_and_can_fail() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("jax")
    names: dict[str, object] = {}
    ours, theirs, new = blocks("from-gradcheck", "python")
    exec(ours, names)
    names["test_cube"]()  # type: ignore[operator]
    names |= {"gradaudit": gradaudit, "x": torch.linspace(-1, 1, 5)}
    exec(new, names)
    names["Cube"].backward = staticmethod(lambda ctx, u: 2 * ctx.saved_tensors[0] * u)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        names["test_cube"]()  # type: ignore[operator]
    with pytest.raises(AssertionError):
        exec(new, names)
    exec(theirs, names)
    names["test_layer"]()  # type: ignore[operator]


def test_the_job_for_github_and_the_hook_can_be_read() -> None:
    job, *_ = (yaml.safe_load(text) for text in blocks("ci", "yaml") if "jobs" in text or "repos" in text)
    steps = [step["run"] for step in job["jobs"]["audit"]["steps"] if "run" in step]
    assert any("--format github" in step for step in steps)


def test_the_spec_of_the_guide_to_editors_is_one(tmp_path: Path) -> None:
    (text,) = blocks("editors", "yaml")
    (tmp_path / "swish.yaml").write_text(text)
    assert [case.op for case in load_specs([tmp_path]).cases] == ["swish"]


def test_the_hook_of_the_guide_is_the_one_that_is_shipped() -> None:
    (local,) = (yaml.safe_load(text) for text in blocks("ci", "yaml") if "repos" in text)
    (shown,) = local["repos"][0]["hooks"]
    (shipped,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for key in ("id", "name", "entry", "files", "pass_filenames"):
        assert shown[key] == shipped[key]
    assert re.search(shipped["files"], "specs/gelu.yaml")
    assert re.search(shipped["files"], "ops/gelu.py")
