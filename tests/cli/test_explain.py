"""``gradaudit explain`` and ``gradaudit guide``, as people call them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import UNDECIDED, command, environment, finished, spec, write_project

from gradaudit.guides import guide_names

SPECS = [
    spec("right"),
    spec("wrong", backward="wrong", dtype=["float32", "float64"], cases=[{"name": "default"}, {"name": "other"}]),
    spec("raising", backward="raises"),
    spec("undecidable", **UNDECIDED),
    spec("known", backward="wrong", expect="fail", notes="Wrong on purpose."),
]


@pytest.fixture(autouse=True)
def _specs(project: Path) -> None:
    write_project(project, *SPECS)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["right"], 0),
        (["wrong"], 1),
        (["raising"], 1),
        (["undecidable"], 1),
        (["known"], 0),
        (["kink"], 0),
    ],
)
def test_exit_status_is_that_of_a_run(gradaudit, arguments: list[str], status: int) -> None:
    found = gradaudit("explain", *arguments, "-j", "0")
    assert found.exit_code == status, found.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain", "wrnog"], "there is no op 'wrnog'; did you mean 'wrong'?"),
        (["explain", "rais"], "there is no op 'rais'; did you mean 'raising'?"),
        (["explain", "zzz"], "there is no op 'zzz'; the specs hold 'known'"),
        (["explain", "kinks"], "there is no op 'kinks'; did you mean 'kink'?"),
        (["explain", "broadcst"], "there is no op 'broadcst'; did you mean 'broadcast-not-reduced'?"),
        (["explain", "detached-otput"], "there is no op 'detached-otput'; did you mean 'detached-output'?"),
        (["explain", "savd"], "there is no op 'savd'; did you mean 'saved-mutated'?"),
        (["explain", "wrong", "--case", "othr"], "wrong has no case 'othr'; did you mean 'other'?"),
        (["explain", "wrong", "--case", "q"], "wrong has no case 'q'; it has 'default' and 'other'"),
        (["explain", "right", "--specs", "nowhere"], "nowhere:1:1: does not exist"),
        (
            ["explain", "right", "--plot", "a.pdf"],
            "cannot plot to a.pdf: found '.pdf', expected a name in .png or .svg",
        ),
        (["explain", "right", "--format", "html"], "--format"),
        (["explain"], "explain: expected an op, a code, or --failed"),
        (["explain", "right", "--failed"], "explain: expected an op, a code, or --failed"),
        (["explain", "--failed", "--case", "other"], "--failed explains whole ops"),
        (["guide", "tolerence"], "there is no guide 'tolerence'; did you mean 'tolerance'?"),
        (["guide", "zzz"], "there is no guide 'zzz'; there are adopting, "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_name_what_is_there(gradaudit, arguments: list[str], said: str) -> None:
    found = gradaudit(*arguments)
    assert found.exit_code == 2
    assert said in found.stderr
    assert found.stdout == ""


def test_an_op_that_raises_says_where(gradaudit) -> None:
    text = " ".join(gradaudit("explain", "raising", "-j", "0", "--all").stdout.split())
    assert "backward raised ValueError: no gradient today" in text
    assert "There is no step-size curve: nothing was compared" in text
    assert "gradaudit guide debugging" in text


def test_notes_and_expectations_are_told(gradaudit) -> None:
    text = gradaudit("explain", "known", "-j", "0", "--all").stdout
    assert "Wrong on purpose." in text
    assert text.startswith("known: 1 gradient in 1 case: 1 fail, as its spec expects\n")
    assert "fail (expected)" in text


def test_what_is_noticed_of_a_right_one_is_named_as_information(gradaudit, project: Path) -> None:
    (project / "apart.py").write_text(
        "def forward(x):\n    return 1 / x\n\n\ndef backward(u, x):\n    return -u / x**2\n"
    )
    (project / "specs" / "apart.yaml").write_text(
        "op: apart\ntarget: {forward: 'apart:forward', backward: 'apart:backward'}\n"
        "inputs: {x: {values: [1.0e-6, 1.0e-3, 1.0, 1.0e+3, 1.0e+6]}}\n"
    )
    said = " ".join(gradaudit("explain", "apart", "-j", "0").stdout.split())
    assert "what was noticed is for information (below-noise)" in said
    assert "no finding was made" not in said


def test_case_dtype_and_seed_narrow_it_down(gradaudit) -> None:
    narrowed = ("--case", "other", "--dtype", "float64", "--seed", "5")
    found = gradaudit("explain", "wrong", *narrowed, "--format", "json", "-j", "0")
    made = json.loads(found.stdout)
    assert [(result["case"], result["dtype"]) for result in made["results"]] == [("other", "float64")]
    assert made["studies"][0]["command"].endswith("-k '/wrong::other[float64]' --dtype float64 --seed 5")


def test_the_command_that_is_printed_audits_that_case_alone(gradaudit) -> None:
    text = gradaudit("explain", "wrong", "-j", "0").stdout
    (line,) = [line for line in text.splitlines() if line.startswith("gradaudit run")]
    assert line == "gradaudit run specs/ops.yaml -k '/wrong::default[float32]' --dtype float32 --seed 0"
    found = gradaudit("run", "specs/ops.yaml", "-k", "/wrong::default[float32]", "--dtype", "float32", "--seed", "0")
    assert "1 gradient, 1 op, 1 case: 1 fail" in found.stdout


def test_the_snippet_runs_as_printed(gradaudit, project: Path) -> None:
    text = gradaudit("explain", "wrong", "-j", "0", "--all").stdout
    snippet = text[text.index("import gradaudit\n") :]
    made = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, env=environment(), cwd=project, check=True
    )
    analytical, numerical = (float(number) for number in re.findall(r"(-?\d\S*)$", made.stdout, re.MULTILINE))
    assert analytical == pytest.approx(-numerical, rel=1e-6)


def test_in_a_pipe_it_is_plain_and_80_columns_wide(project: Path) -> None:
    with subprocess.Popen(
        command("explain", "wrong", "-j", "0", "--all"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        out, err = finished(process)
    assert err == ""
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if len(line) > 80 and not line.startswith("gradaudit run")] == []
    assert "Gradient w.r.t. x: fail (case default, float32)" in out


def test_ascii_is_enough(project: Path) -> None:
    with subprocess.Popen(
        command("explain", "wrong", "-j", "0", "--all"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONIOENCODING="ascii"),
    ) as process:
        out, _ = finished(process)
    assert out.isascii()
    assert "\\u" not in out


@pytest.mark.parametrize("forward", ["hangs", "os._exit"])
def test_an_op_that_ends_its_process_or_none_at_all_is_explained(gradaudit, project: Path, forward: str) -> None:
    write_project(project, spec("bad", forward if forward == "hangs" else "leaves"), name="bad")
    with (project / "kernels.py").open("a") as file:
        file.write("\n\ndef leaves(x):\n    os._exit(3)\n")
    found = gradaudit("explain", "bad", "--specs", "bad", "--timeout", "1.5", "-j", "1")
    assert found.exit_code == 1
    said = {"hangs": "exceeded its time limit of 1.5 s", "os._exit": "ended its process with exit status 3"}[forward]
    assert said in " ".join(found.stdout.split())


def test_markdown_is_markdown(gradaudit) -> None:
    text = gradaudit("explain", "wrong", "--format", "markdown", "-j", "0").stdout
    assert text.startswith("# wrong: 4 gradients in 4 cases: 4 fail\n")
    assert "\n```python\nimport gradaudit" in text


def test_a_plot_is_written_beside_the_text(gradaudit, project: Path) -> None:
    pytest.importorskip("matplotlib")
    assert gradaudit("explain", "right", "--plot", "out/right.svg", "-j", "0").exit_code == 0
    assert (project / "out" / "right.svg").read_text().lstrip().startswith("<?xml")


def test_without_matplotlib_it_says_how_to_get_it(gradaudit, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = gradaudit("explain", "right", "--plot", "right.svg")
    assert found.exit_code == 2
    assert "matplotlib is not installed; pip install 'gradaudit[plot]'" in found.stderr


def test_a_code_is_explained(gradaudit) -> None:
    text = gradaudit("explain", "input-mutated").stdout
    assert "Remedy" in text
    assert "#" not in text.splitlines()[0]
    assert gradaudit("explain", "input-mutated", "--format", "markdown").stdout.startswith("# input-mutated: ")
    assert json.loads(gradaudit("explain", "input-mutated", "--format", "json").stdout)["code"] == "input-mutated"


def test_a_lint_rule_is_explained(gradaudit) -> None:
    told = gradaudit("explain", "saved-mutated", "--format", "markdown").stdout
    assert told.startswith("# saved-mutated: a rule of gradaudit lint")
    assert "changed in place" in told
    assert "What is left alone" not in told


@pytest.mark.parametrize("name", ["raises", "kernels:raises"])
def test_an_op_by_a_function_of_its_own(gradaudit, name: str) -> None:
    assert gradaudit("explain", name, "-j", "0").stdout.startswith(
        gradaudit("explain", "raising", "-j", "0").stdout[:60]
    )


def test_a_function_of_several_ops_names_them(gradaudit) -> None:
    told = gradaudit("explain", "square")
    assert told.exit_code == 2
    assert "there is no op 'square'; it is a function of 'known', 'raising'" in told.stderr


def test_code_of_guides_can_be_pasted(gradaudit) -> None:
    lines = gradaudit("guide", "python").stdout.splitlines()
    start = lines.index("import gradaudit")
    assert lines[start + 1 : start + 3] == ["import numpy as np", "from my_ops import swish, swish_backward"]
    assert "    op = gradaudit.op(swish, swish_backward)" in lines
    assert not [line for line in lines if line.endswith(" ")]


def test_guides_are_listed_and_printed(gradaudit) -> None:
    listed = gradaudit("guide").stdout
    for line in listed.splitlines():
        name, title = line.split(maxsplit=1)
        assert title.split()[0] in gradaudit("guide", name).stdout
    assert [line.split()[0] for line in listed.splitlines()] == guide_names()


def test_a_page_for_a_browser_beside_the_terminals_or_instead_of_it(gradaudit) -> None:
    found = gradaudit("explain", "wrong", "--html", "out.html", "-j", "0")
    assert found.exit_code == 1
    assert "--all shows everything" in found.stdout
    page = Path("out.html").read_text(encoding="utf-8")
    assert "Error of a central difference against its step" in page
    assert "What to do next" in page
    assert gradaudit("explain", "right", "--html", "-", "-j", "0").stdout.startswith("<!doctype html>")
    found = gradaudit("explain", "right", "--html", "o.svg", "--plot", "o.svg", "-j", "0")
    assert (found.exit_code, found.stderr) == (2, "cannot write both a plot and a page to o.svg\n")


@pytest.mark.parametrize("op", ["wrong", "known", "raising", "right"])
def test_what_is_told_first_fits_on_a_screen(gradaudit, monkeypatch, op: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = gradaudit("explain", op, "-j", "0").stdout
    assert len(text.splitlines()) <= 24
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("gradaudit run"))
    assert "--all shows everything" in text


def test_the_cause_comes_first_and_where_its_line_is(gradaudit) -> None:
    lines = gradaudit("explain", "wrong", "-j", "0").stdout.splitlines()
    assert lines[2].startswith("  source  kernels.py:")
    assert any(line.startswith("  cause   sign-flipped: numerical = -analytical") for line in lines[3:7])


def test_all_that_failed_last_is_explained(gradaudit) -> None:
    assert gradaudit("explain", "--failed").exit_code == 2  # nothing was recorded
    gradaudit("run", "-j", "0")
    found = gradaudit("explain", "--failed", "-j", "0")
    assert found.exit_code == 1
    titles = [
        line.partition(":")[0] for line in found.stdout.splitlines() if " in 1 case" in line or " cases: " in line
    ]
    assert sorted(titles) == ["raising", "undecidable", "wrong"]
