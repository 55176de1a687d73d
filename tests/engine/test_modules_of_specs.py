"""Where the modules that specs name are found, and what is said of those that cannot be imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradaudit.engine.events import Event, RunStarted
from gradaudit.engine.run import run_specs
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs

JOBS = (0, 1, 2)

POWER = """
def forward(x):
    return x**{n}

def backward(u, x):
    return {n} * x**{m} * u
"""


def power_module(path: Path, n: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(POWER.format(n=n, m=n - 1))


@pytest.mark.parametrize("jobs", JOBS)
def test_from_the_current_folder(jobs: int, tmp_path, document, write, run, monkeypatch) -> None:
    power_module(tmp_path / "here" / "only_here.py", 3)
    specs = write(tmp_path / "specs", document("op", "only_here:forward", "only_here:backward"))
    monkeypatch.chdir(tmp_path / "here")
    assert run(specs, jobs=jobs).results["op"].verdict == "pass"


@pytest.mark.parametrize("jobs", JOBS)
def test_from_the_spec_s_own_folder(jobs: int, tmp_path, document, write, run, monkeypatch) -> None:
    specs = write(tmp_path / "specs" / "deep", document("op", "beside.inner:forward", "beside.inner:backward"))
    power_module(specs / "beside" / "inner.py", 4)
    (specs / "beside" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    assert run(Path("specs"), jobs=jobs).results["op"].verdict == "pass"


@pytest.mark.parametrize("jobs", JOBS)
def test_two_folders_may_hold_modules_of_one_name(jobs: int, tmp_path, document, write, run) -> None:
    folders = []
    for n in (2, 3, 4):
        folder = tmp_path / f"power_{n}"
        power_module(folder / "details.py", n)  # the modules that modules import share names, too
        (folder / "kernels.py").write_text("from details import backward, forward\n")
        folders.append(write(folder, *(document(f"power_{n}_{k}", "kernels:forward", "square_backward") for k in "ab")))
    verdicts = {op: str(result.verdict) for op, result in run(*folders, jobs=jobs).results.items()}
    right = {"power_2_a": "pass", "power_2_b": "pass"}
    assert verdicts == right | dict.fromkeys(("power_3_a", "power_3_b", "power_4_a", "power_4_b"), "fail")


BROKEN_MODULES = {
    "raises": "import numpy\nraise ValueError('no licence')\n",
    "exits": "import sys\nsys.exit('good bye')\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "needs_more": "import a_module_that_nobody_has\n",
    "half_written": "def forward(x:\n",
    "ends_the_process": "import os\nprint('bye')\nos._exit(0)\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "never_ends": "import time\nwhile True:\n    time.sleep(1)\n",
    "floods": "while True:\n    print('x' * 100_000)\n",
    "good": "def forward(x):\n    return x\n\n\ndef backward(u, x):\n    return u\n\n\nconstant = 3.0\n",
}

BROKEN = {
    "raises": r"importing 'raises' raised ValueError: no licence\n.*raises\.py:2, in <module>: raise ValueError",
    "exits": r"importing 'exits' called sys\.exit\('good bye'\)\n.*exits\.py:2",
    "interrupts": r"importing 'interrupts' raised KeyboardInterrupt\n.*interrupts\.py:1",
    "needs_more": r"importing 'needs_more' raised ModuleNotFoundError: No module named 'a_module_that_nobody_has'\n"
    r".*needs_more\.py:1",
    "half_written": r"importing 'half_written' raised SyntaxError: ",
    "ends_the_process": r"importing 'ends_the_process' ended its process with exit status 0\n.*printed last:\n *bye$",
    "crashes": r"importing 'crashes' crashed its process with SIGSEGV\n.*string_at\n.*crashes\.py",
    "never_ends": r"importing 'never_ends' exceeded its time limit of 1 s$",
    "floods": r"importing 'floods' printed more than 64 MiB",
}
"""What is said of each module that cannot be imported, of which there is a function ``forward`` to be had."""

UNKNOWN = {
    "god": r"there is no module 'god'; did you mean 'good'\?$",
    "good:foward": r"module 'good' has no 'foward'; did you mean 'forward'\?$",
    "good:constant": r"'good:constant' is not a function: found float$",
}
"""What is said of each name that is nowhere; a module alone stands for its function ``forward``."""


def specs_of(folder: Path, names: list[str]) -> Path:
    """Write an op for each name, named on the third line of its document, with the modules beside them."""
    for name, text in BROKEN_MODULES.items():
        (folder / f"{name}.py").write_text(text)
    documents = []
    for k, name in enumerate(names):
        function = name if ":" in name else f"{name}:forward"
        target = f"target:\n  forward: {function}\n  backward: good:backward\n"
        documents.append(f"op: op_{k}\n{target}inputs: {{x: {{shape: [2]}}}}\n")
    (folder / "specs.yaml").write_text("---\n".join(documents))
    return folder


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """All complaints of one run about names that are nowhere, and its events."""
    folder = specs_of(tmp_path_factory.mktemp("unknown"), list(UNKNOWN))
    events: list[Event] = []
    with pytest.raises(SpecError) as raised:
        run_specs(load_specs([folder]), events.append, jobs=2, timeout=1)
    return folder / "specs.yaml", raised.value.problems, events


@pytest.fixture(scope="module")
def broken(tmp_path_factory, run):
    """The results of a run of modules that cannot be imported, and of one that can."""
    folder = specs_of(tmp_path_factory.mktemp("broken"), [*BROKEN, "good"])
    return run(folder, jobs=2, timeout=1).results


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_nowhere_is_named_where_the_spec_names_it(refused, name: str) -> None:
    file, problems, _ = refused
    line = 6 * list(UNKNOWN).index(name) + 3
    (problem,) = [problem for problem in problems if problem.location.line == line]
    assert str(problem.location) == f"{file}:{line}:12"
    assert re.match(r"target\.forward: " + UNKNOWN[name], problem.message), problem.message


def test_all_of_it_is_reported_and_nothing_is_audited(refused) -> None:
    _, problems, events = refused
    assert len(problems) == len(UNKNOWN)
    assert not [event for event in events if isinstance(event, RunStarted)]


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_cannot_be_imported_costs_its_own_cases(broken, name: str) -> None:
    result = broken[f"op_{list(BROKEN).index(name)}"]
    assert result.verdict == "error"
    assert re.match(BROKEN[name], result.message), result.message


def test_the_others_are_audited(broken) -> None:
    assert broken[f"op_{len(BROKEN)}"].verdict == "pass"


def test_a_case_s_own_target_is_blamed_where_the_case_names_it(tmp_path, document, write, run) -> None:
    backward = {"name": "other", "target": {"backward": "broken_ops:square_backwards"}}
    specs = write(tmp_path, document("op", "square", cases=[{"name": "default"}, backward]))
    with pytest.raises(SpecError) as raised:
        run(specs, jobs=0)
    (problem,) = raised.value.problems
    written = (specs / "specs.yaml").read_text().splitlines()
    assert "square_backwards" in written[problem.location.line - 1]
    assert problem.message.endswith("did you mean 'square_backward'?")


def test_cases_that_are_not_selected_need_not_be_importable(tmp_path, document, write, run) -> None:
    from gradaudit.spec.load import selected
    from gradaudit.spec.select import parse_selection

    folder = write(tmp_path, document("square"), document("absent", "nowhere:f"))
    events = []
    run_specs(selected(load_specs([folder]), parse_selection("square")), events.append, jobs=0)
    assert isinstance(events[0], RunStarted)
