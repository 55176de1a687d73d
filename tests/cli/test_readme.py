"""What README and the guides show of the tool is what it does today."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import gradaudit as tool
from gradaudit.guides import guide, guide_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_THE_MACHINE = re.compile(r"^Recorded in .*\n|^Slowest: .*\n(?:  .*\n)*|\d+\.\d\d s", re.MULTILINE)


def timeless(text: str) -> str:
    """Return a report without what depends on the machine: its cache folder, times, and which case was slower."""
    return OF_THE_MACHINE.sub("", text)


def block(text: str, heading: str, language: str) -> str:
    """Return the first block of a language below a heading."""
    section = text.partition(f"\n{heading}\n")[2]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found, f"no {language} below {heading}"
    return found.group(1)


def shown(text: str, command: str) -> str:
    """Return what a text shows below a command."""
    _, found, rest = text.partition(f"\n$ {command}\n")
    assert found, f"{command} is not shown"
    return rest.partition("```")[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "demo"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def write_swish(folder: Path) -> None:
    (folder / "my_ops.py").write_text(block(README, "## A session", "python"))
    (folder / "swish.yaml").write_text(block(README, "## A session", "yaml"))


def test_it_can_be_read_at_once() -> None:
    assert len(README.splitlines()) < 250


def test_the_failing_run_and_its_repair_are_todays(gradaudit, folder: Path) -> None:
    write_swish(folder)
    ended = gradaudit("run", "swish.yaml", "--repair", "--max-rows", "2")
    assert ended.exit_code == 1
    said = shown(README, "gradaudit run swish.yaml --repair --max-rows 2")
    assert timeless(ended.stdout) == timeless(said)


def test_the_run_of_the_repaired_op_passes_as_promised(gradaudit, folder: Path) -> None:
    write_swish(folder)
    (edit,) = re.findall(
        r"^  \+(    return .*)$", shown(README, "gradaudit run swish.yaml --repair --max-rows 2"), re.M
    )
    wrong = (folder / "my_ops.py").read_text()
    (folder / "my_ops.py").write_text(re.sub(r"^    return upstream \* s .*$", edit, wrong, flags=re.MULTILINE))
    ended = gradaudit("run", "swish.yaml")
    (promised,) = re.findall(r"the last line reads `([^`]+)`", " ".join(README.split()))
    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[-1].startswith(promised)


def test_the_bfloat16_kernel_is_audited_and_repaired_as_shown(gradaudit, folder: Path) -> None:
    (folder / "kernels.py").write_text(block(README, "## A bfloat16 kernel", "python"))
    (folder / "rms_norm.yaml").write_text(block(README, "## A bfloat16 kernel", "yaml"))
    ended = gradaudit("run", "rms_norm.yaml", "--repair", "--quiet")
    assert ended.exit_code == 1
    said = shown(README, "gradaudit run rms_norm.yaml --repair --quiet")
    assert timeless(ended.stdout) == timeless(said)


def test_the_lines_in_numpy_hold_and_can_fail() -> None:
    def swish_backward(upstream, x):
        s = 1 / (1 + np.exp(-x))
        return upstream * (s + x * s * (1 - s))

    names = {"gradaudit": tool, "swish": lambda x: x / (1 + np.exp(-x)), "x": np.linspace(-1, 1, 5)}
    lines = block(README, "## Three lines from NumPy, PyTorch and C", "python")
    exec(lines, names | {"swish_backward": swish_backward})
    with pytest.raises(tool.GradientMismatch):
        exec(lines, names | {"swish_backward": lambda upstream, x: upstream})


def test_the_lines_in_torch_hold() -> None:
    torch = pytest.importorskip("torch")
    section = README.partition("\nPyTorch (")[2]
    lines = block(f"\n## PyTorch\n{section}", "## PyTorch", "python")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, upstream):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * upstream

    x = torch.linspace(0.5, 1.5, 6).reshape(2, 3)
    names = {"x": x, "y": torch.zeros(2, 2), "model": torch.nn.Linear(3, 2), "loss": torch.nn.functional.mse_loss}
    exec(lines, names | {"gradaudit": tool, "Swish": Cube})


def test_the_two_commands_are_those_that_ci_runs() -> None:
    _, tests = re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)
    run_in_ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("--quiet ", "")
    assert tests in run_in_ci


@pytest.mark.parametrize("report", ["benchmarks.md", "torch_ops.md"])
def test_numbers_beside_peers_are_those_of_the_reports(report: str) -> None:
    section = README.partition("## Beside other checkers")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    reported = (ROOT / "reports" / report).read_text(encoding="utf-8")
    assert [table in reported for table in tables].count(True) == 1


def test_every_guide_is_listed_and_every_page_linked_is_there() -> None:
    listed = re.findall(r"`([a-z-]+)`", "\n".join(re.findall(r"^- \*\*.*$", README.partition("## Guides")[2], re.M)))
    assert sorted(listed) == guide_names()
    for page in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / page).is_file()


def test_no_text_installs_from_an_index_that_does_not_have_it() -> None:
    pages = [README, *(guide(name).text for name in guide_names())]
    assert not [
        line for page in pages for line in page.splitlines() if re.search(r"pip install (-\w+ )*'?gradaudit", line)
    ]


def test_the_explanation_of_the_guide_is_todays(gradaudit, folder: Path) -> None:
    write_swish(folder)
    command = "gradaudit explain swish --specs swish.yaml --dtype float32 --all"
    ended = gradaudit(*command.split()[1:], "-j", "0")
    map_and_error, _, curve = shown(guide("reading-results").text, command).partition("error of a central difference")
    assert " ".join(map_and_error.removeprefix("...\n").split()) in " ".join(ended.stdout.split())
    assert " ".join(curve.split()) in " ".join(ended.stdout.split())


def test_what_lint_says_in_its_guide_is_todays(gradaudit, folder: Path) -> None:
    text = guide("lint").text
    (folder / "model.py").write_text(block(text, "of this `model.py`:", "python"))
    assert gradaudit("lint", "model.py").stdout.split() == shown(text, "gradaudit lint model.py").split()


def test_the_spec_that_the_guide_shows_audits_a_right_op(gradaudit, folder: Path) -> None:
    (folder / "linear.yaml").write_text(block(guide("new-op").text, "The same with more of the keys:", "yaml"))
    (folder / "my_package").mkdir()
    code = """
def linear(x, weight, bias):
    return x @ weight.T + bias


def linear_backward(upstream, x, weight):
    return upstream @ weight, upstream.T @ x, upstream.sum(axis=0)
"""
    (folder / "my_package" / "linear.py").write_text(code)
    ended = gradaudit("run", "linear.yaml")
    assert "12 gradients, 1 op, 4 cases: 12 pass" in ended.stdout


def test_the_loss_curve_of_the_guide_is_todays(gradaudit, folder: Path) -> None:
    text = guide("learning").text
    (folder / "xor.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0])
    (curve,) = re.findall(r"^```text\n(Learning\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert " ".join(curve.split()) in " ".join(gradaudit("run", "xor.yaml").stdout.split())
