"""``coverage``: the table, the page, what is missing, what is stale, and the bar."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from commands import spec, write_project
from typer.testing import Result

from gradaudit.coverage.discover import discover
from gradaudit.coverage.draft import draft_spec
from gradaudit.coverage.model import ModuleRow
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import FrameworkTarget, PythonTarget

Command = Callable[..., Result]
REPOSITORY = Path(__file__).parents[2]

OPS = """
def square(x):
    return x * x


def square_backward(u, x):
    return 2 * x * u


def cube(x, *, scale=1.0):
    return scale * x**3


def cube_backward(grad, x, *, scale=1.0):
    return 3 * scale * x**2 * grad
"""


def square_spec(**keys: object) -> dict[str, object]:
    target = {"forward": "powers:square", "backward": "powers:square_backward"}
    return {"op": "square", "module": "power", "target": target, "inputs": {"x": {"shape": [3]}}, **keys}


@pytest.fixture
def powers(project: Path) -> Path:
    """A project with two backward passes, one of which has a spec."""
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nsources = ["powers.py"]\n')
    (project / "powers.py").write_text(OPS)
    (project / "specs").mkdir()
    (project / "specs" / "square.yaml").write_text(yaml.safe_dump(square_spec()))
    return project


def document(gradaudit: Command) -> dict[str, object]:
    answer: dict[str, object] = json.loads(gradaudit("coverage", "--format", "json").stdout)
    return answer


def staleness(gradaudit: Command) -> list[str]:
    (op,) = document(gradaudit)["ops"]  # type: ignore[misc]
    return list(op["stale"])


def test_the_table_of_the_shipped_ops(gradaudit: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = gradaudit("coverage", "--fail-under", "100", "--output", str(tmp_path / "page.md"))
    assert found.exit_code == 0
    modules = {folder.name for folder in (REPOSITORY / "specs").iterdir()} - {"milestones"}
    rows = [line.split()[:4] for line in found.stdout.splitlines()[1 : len(modules) + 2]]
    cases = load_specs([REPOSITORY / "specs"]).cases
    pairs = len({case.op for case in cases if isinstance(case.target, PythonTarget)})
    assert {row[0] for row in rows} == modules | {"TOTAL"}
    assert all(row[1] == row[2] and row[3] == "100%" for row in rows)
    in_frameworks = next(int(row[1]) for row in rows if row[0] == "frameworks")  # some have no backward of their own
    assert rows[-1] == ["TOTAL", str(pairs + in_frameworks), str(pairs + in_frameworks), "100%"]


def test_the_page_is_the_seeds_table_first(gradaudit: Command, powers: Path) -> None:
    assert gradaudit("run", "-q").exit_code == 0
    assert gradaudit("coverage").exit_code == 0
    page = (powers / "reports" / "coverage.md").read_text()
    assert page.splitlines()[2:6] == [
        "| Module | Backward Passes | With Gradient Check | Coverage |",
        "| --- | ---: | ---: | ---: |",
        "| power | 2 | 1 | 50% |",
        "| **TOTAL** | **2** | **1** | **50%** |",
    ]
    assert "| `cube_backward` | `powers.py:14` | function | power |" in page
    assert "| `square` | `x` | pass | 1 |" in page
    for name in ("coverage-modules.svg", "coverage-errors.svg"):
        assert f"({name})" in page
        ElementTree.fromstring((powers / "reports" / name).read_text())


def test_the_page_is_the_same_after_another_run(gradaudit: Command, powers: Path) -> None:
    texts = []
    for _ in range(2):
        gradaudit("run", "-q")
        gradaudit("coverage")
        texts.append({file.name: file.read_text() for file in (powers / "reports").glob("coverage*")})
    assert len(texts[0]) == 3
    assert texts[0] == texts[1]


def test_the_page_is_the_same_from_any_folder_of_the_project(
    gradaudit: Command, powers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradaudit("run", "-q")
    (powers / "powers.py").write_text(OPS.replace("2 * x * u", "u * 2 * x"))
    (powers / "deep").mkdir()
    pages = []
    for folder in (powers, powers / "deep"):
        monkeypatch.chdir(folder)
        assert gradaudit("coverage").exit_code == 0
        pages.append((powers / "reports" / "coverage.md").read_text())
    assert "| `square` | `specs/square.yaml:1` | implementation changed |" in pages[0]
    assert pages[0] == pages[1]


def test_every_format_says_the_same(gradaudit: Command, powers: Path) -> None:
    gradaudit("run", "-q")
    found = document(gradaudit)
    assert found["total"] == {
        "module": "TOTAL",
        "passes": 2,
        "checked": 1,
        "percent": 50,
        "in_models": {"flow": 0, "learning": 0},
    }
    (op,) = found["ops"]  # type: ignore[misc]
    assert op["inputs"][0]["verdicts"] == {"float64": "pass"}
    assert op["audited"]
    assert [missing["name"] for missing in found["missing"]] == ["cube_backward"]  # type: ignore[union-attr]
    assert "powers.py:14: cube_backward" in gradaudit("coverage").stdout
    assert gradaudit("coverage", "--format", "markdown").stdout.startswith("# Gradient coverage\n")


def test_a_bar_between_two_percentages() -> None:
    assert not ModuleRow("m", 35, 34).is_under(97.1)
    assert ModuleRow("m", 35, 34).is_under(97.2)
    assert ModuleRow("m", 35, 34).percent == 97
    assert ModuleRow("m", 0, 0).is_under(1)


@pytest.mark.parametrize(("bar", "status"), [("0", 0), ("50", 0), ("50.5", 1), ("100", 1), ("101", 2)])
def test_the_bar(gradaudit: Command, powers: Path, bar: str, status: int) -> None:
    assert gradaudit("coverage", "--fail-under", bar).exit_code == status


class TestStaleness:
    def test_never_audited(self, gradaudit: Command, powers: Path) -> None:
        assert staleness(gradaudit) == ["never audited"]
        assert "**never**" in gradaudit("coverage", "--format", "markdown").stdout

    def test_fresh_until_something_changes(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q")
        assert staleness(gradaudit) == []
        (powers / "powers.py").write_text(OPS.replace("3 * scale", "4 * scale") + "# more\n")
        assert staleness(gradaudit) == []

    def test_the_implementation_changed(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q")
        (powers / "powers.py").write_text(OPS.replace("2 * x * u", "u * 2 * x"))
        assert staleness(gradaudit) == ["implementation changed"]
        assert "**stale**" in gradaudit("coverage", "--format", "markdown").stdout
        gradaudit("run", "-q", "-j", "1")
        assert staleness(gradaudit) == []

    def test_the_spec_changed_and_changed_back(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q")
        file = powers / "specs" / "square.yaml"
        file.write_text(yaml.safe_dump(square_spec(inputs={"x": {"shape": [4]}})))
        assert staleness(gradaudit) == ["spec changed"]
        file.write_text(yaml.safe_dump(square_spec()))
        assert staleness(gradaudit) == []

    def test_a_new_case(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q")
        (powers / "specs" / "square.yaml").write_text(
            yaml.safe_dump(square_spec(cases=[{"name": "default"}, {"name": "more"}]))
        )
        assert staleness(gradaudit) == ["1 of 2 cases never audited"]

    def test_a_run_with_another_seed_says_nothing_of_the_spec(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q", "--seed", "9")
        assert staleness(gradaudit) == ["spec changed"]
        gradaudit("run", "-q")
        gradaudit("run", "-q", "--seed", "9")
        assert staleness(gradaudit) == []


class TestOpsOfAMissingFramework:
    @pytest.fixture(autouse=True)
    def _nothing_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gradaudit.targets.frameworks.is_installed", lambda framework: False)

    @pytest.fixture
    def jax(self, powers: Path) -> Path:
        """The page of a project whose only op is one of JAX."""
        (powers / "specs" / "square.yaml").write_text(yaml.safe_dump(square_spec(target={"jax": "powers:square"})))
        return powers / "reports" / "coverage.md"

    def test_are_skipped_in_every_format(self, gradaudit: Command, jax: Path) -> None:
        printed = gradaudit("coverage")
        assert "skipped: jax is not installed (1 op)" in printed.stdout
        assert "| `square` | `specs/square.yaml:1` | jax |" in jax.read_text()
        assert "| **skipped** |" in jax.read_text()
        assert "## Stale" not in jax.read_text()
        found = document(gradaudit)
        assert (found["skipped"], found["stale"]) == ({"square": "jax"}, [])

    def test_stay_on_the_page_that_tells_of_their_audit(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("run", "-q")
        gradaudit("coverage")
        page = powers / "reports" / "coverage.md"
        told = page.read_text()
        (powers / "reports" / "audit.db").unlink()
        (powers / "specs" / "square.yaml").write_text(yaml.safe_dump(square_spec(target={"jax": "powers:square"})))
        left = gradaudit("coverage")
        assert left.exit_code == 0
        assert "reports/coverage.md is left unchanged: it lists 1 op that cannot be audited here" in left.stderr
        assert page.read_text() == told
        assert gradaudit("coverage", "--output", "here.md").stderr == ""
        assert "| **skipped** |" in (powers / "here.md").read_text()

    def test_are_written_anew_on_a_page_that_knew_no_more(self, gradaudit: Command, jax: Path) -> None:
        gradaudit("coverage")
        (jax.parents[1] / "powers.py").write_text(OPS.replace("cube", "third"))
        assert gradaudit("coverage").stderr == ""
        assert "third_backward" in jax.read_text()


def test_a_verdict_that_is_no_pass_is_on_the_page(gradaudit: Command, powers: Path) -> None:
    (powers / "powers.py").write_text(OPS.replace("2 * x * u", "3 * x * u"))
    gradaudit("run", "-q")
    page = gradaudit("coverage", "--format", "markdown").stdout
    assert "| `square` (not as its spec expects) | `x` | **FAIL** | 1 | > 1 |" in page


def test_it_needs_no_project(gradaudit: Command, project: Path) -> None:
    (project / "powers.py").write_text(OPS)
    found = gradaudit("coverage", "--source", "powers.py", "--no-output")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[1].split() == ["powers", "2", "0", "0%"]
    assert not (project / "reports").exists()
    gradaudit("coverage", "--source", "powers.py", "--output", "page.md")
    assert {path.name for path in project.iterdir()} == {"powers.py", "page.md", "page-modules.svg", "page-errors.svg"}
    gradaudit("coverage", "--source", "powers.py")
    assert not (project / "reports").exists()
    (project / "reports").mkdir()
    gradaudit("coverage", "--source", "powers.py")
    assert (project / "reports" / "coverage.md").read_text().startswith("# Gradient coverage")


def test_names_with_markup_in_them(gradaudit: Command, project: Path) -> None:
    odd = "a|b`c<script>[x](y)_z_*w*"
    (project / "pyproject.toml").write_text(
        "[tool.gradaudit]\nsources = ['odd.txt']\n[tool.gradaudit.patterns]\n'*.txt' = 'begin(?P<op>.*)end'\n"
    )
    (project / "odd.txt").write_text(f"begin{odd}end\n")
    assert gradaudit("coverage").exit_code == 0
    page = (project / "reports" / "coverage.md").read_text()
    (row,) = [line for line in page.splitlines() if "script" in line]
    cell = row.split(" | ")[0].removeprefix("| ")
    assert cell.startswith("<code>")
    assert not set("|`[]*_<>") & set(cell.removeprefix("<code>").removesuffix("</code>"))
    assert row.count(" | ") == 3
    assert odd in gradaudit("coverage").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "nowhere"], "the source nowhere does not exist"),
        (["--specs", "nowhere"], "nowhere:1:1: does not exist"),
        (["--store", "powers.py"], "powers.py cannot be used as a store"),
        (["--output", "powers.py/page.md"], "cannot write powers.py/page.md"),
    ],
)
def test_a_wrong_option_exits_with_2_and_says_why(
    gradaudit: Command, powers: Path, arguments: list[str], said: str
) -> None:
    found = gradaudit("coverage", *arguments)
    assert found.exit_code == 2
    assert said in found.stderr


def test_a_pattern_without_its_group(gradaudit: Command, powers: Path) -> None:
    (powers / "pyproject.toml").write_text("[tool.gradaudit.patterns]\n'*.x' = 'fn'\n")
    found = gradaudit("coverage")
    assert found.exit_code == 2
    assert "needs a group (?P<op>...)" in found.stderr


def test_a_folder_that_is_read_only(gradaudit: Command, powers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keys: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    found = gradaudit("coverage")
    assert found.exit_code == 2
    assert "cannot write reports/coverage.md: Read-only file system" in found.stderr


def test_names_are_whole_in_eighty_columns(gradaudit: Command, powers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "an_op_with_a_name_of_sixty_characters_so_that_room_is_scarce"
    (powers / "specs" / "long.yaml").write_text(yaml.safe_dump(square_spec() | {"op": name, "module": "m"}))
    gradaudit("run", "-q")
    for width, whole in ((80, True), (60, False), (200, True)):
        monkeypatch.setattr("gradaudit.report.console.WIDE", width)
        monkeypatch.setenv("COLUMNS", str(width))
        text = gradaudit("coverage", "--no-output").stdout
        assert max(map(len, text.partition("backward pass without")[0].splitlines())) <= width
        assert (f"m/{name}" in text) == whole
        assert f"m/{name}"[:40] in text
        assert ("Error/tol." in text) == (width == 200)


def test_parameters_make_room_for_names(gradaudit: Command, powers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {f"blocks_0_attention_query_weight_{k}": {"shape": [3]} for k in range(2)}
    spec = {"op": "an_op_whose_name_takes_half_of_a_line_or_so", "module": "m", "inputs": inputs}
    (powers / "wide.py").write_text("def f(a, b):\n    return a * b\n\n\ndef g(u, a, b):\n    return u * b, u * a\n")
    spec["target"] = {"forward": "wide:f", "backward": "wide:g"}
    (powers / "specs" / "long.yaml").write_text(yaml.safe_dump(spec))
    gradaudit("run", "-q")
    monkeypatch.setattr("gradaudit.report.console.WIDE", 80)
    monkeypatch.setenv("COLUMNS", "80")
    lines = gradaudit("coverage", "--no-output").stdout.splitlines()
    (row,) = (line for line in lines if line.startswith(f"m/{spec['op']}"))
    assert re.fullmatch(r"\S+ +pass +1 +\d{4}-\d\d-\d\d \d\d:\d\d *", row)
    assert not any("attention_query" in line for line in lines)


class TestInit:
    def test_it_writes_what_can_be_audited(self, gradaudit: Command, powers: Path) -> None:
        found = gradaudit("init", "powers:cube")
        assert found.exit_code == 0, found.output
        assert (powers / "specs" / "powers" / "cube.yaml").exists()
        assert gradaudit("run", "-q").stdout.startswith("3 gradients, 2 ops, 3 cases: 3 pass")
        assert gradaudit("coverage", "--fail-under", "100").exit_code == 0

    def test_a_draft_names_the_schema_where_it_was_written(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("init", "powers:cube")
        assert (powers / "specs" / "powers" / "cube.yaml").read_text().startswith("# Drafted from")
        (powers / "specs" / "gradaudit.schema.json").write_text(gradaudit("schema").stdout)
        (powers / "specs" / "powers" / "cube.yaml").unlink()
        gradaudit("init", "powers:cube")
        first = (powers / "specs" / "powers" / "cube.yaml").read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=../gradaudit.schema.json"
        assert gradaudit("run", "-q").exit_code == 0

    def test_it_overwrites_nothing(self, gradaudit: Command, powers: Path) -> None:
        gradaudit("init", "powers:cube", "--output", "mine.yaml")
        before = (powers / "mine.yaml").read_text()
        assert gradaudit("init", "powers:square", "--output", "mine.yaml").exit_code == 2
        assert (powers / "mine.yaml").read_text() == before

    @pytest.mark.parametrize(
        "target", ["powers:cube_backward", "powers:cube", "powers.py:14", "powers.py:15", "powers.py:11"]
    )
    def test_by_backward_by_forward_and_by_a_line_of_either(
        self, gradaudit: Command, powers: Path, target: str
    ) -> None:
        text = gradaudit("init", target, "--output", "-").stdout
        made = yaml.safe_load(text)
        assert made["target"]["backward"] == {
            "call": "powers:cube_backward",
            "args": ["upstream", "x"],
            "returns": ["x"],
        }
        assert made["params"] == {"scale": 1.0}

    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("powers:cub", "did you mean 'cube'?"),
            ("nothing:f", "no source of a module 'nothing'"),
            ("powers.py:1", "there are square_backward in line 6, cube_backward in line 14"),
            ("gone.py:3", "there is no file 'gone.py'"),
            ("powers", "neither module:function nor file:line"),
        ],
    )
    def test_a_target_that_init_cannot_use_exits_with_2_and_says_why(
        self, gradaudit: Command, powers: Path, target: str, said: str
    ) -> None:
        found = gradaudit("init", target)
        assert found.exit_code == 2
        assert said in found.stderr

    def test_drafts_of_all_shipped_ops_can_be_loaded(self, tmp_path: Path) -> None:
        for one in discover([REPOSITORY / "gradaudit" / "ops"], (), base=REPOSITORY).passes:
            folder = tmp_path if one.kind is Kind.FUNCTION else tmp_path / "frameworks"
            folder.mkdir(exist_ok=True)
            (folder / f"{one.op}.yaml").write_text(draft_spec(one, REPOSITORY / one.file, [REPOSITORY]).text)
        # which of forward's outputs backward means by 'winner', its signature does not tell
        with pytest.raises(SpecError, match=r"args.2: found 'winner'"):
            load_specs([tmp_path / "maxpool2d_with_indices.yaml"])
        (tmp_path / "maxpool2d_with_indices.yaml").unlink()
        targets = [case.target for case in load_specs([REPOSITORY / "specs"]).cases]
        drafted = [case.target for case in load_specs([tmp_path / "frameworks"]).cases]
        in_frameworks = {(target.framework, target.function) for target in drafted}
        named = {(target.framework, target.function) for target in targets if isinstance(target, FrameworkTarget)}
        assert len(in_frameworks) == 4
        assert in_frameworks <= named
        for file in (tmp_path / "frameworks").iterdir():
            file.unlink()  # ops of the same names as those of pairs
        drafts = {case.op: case.target for case in load_specs([tmp_path]).cases}
        forwards = {target.backward.call: target.forward for target in targets if isinstance(target, PythonTarget)}
        assert len(drafts) == len(forwards) - 1
        for draft in drafts.values():
            assert draft.forward == forwards[draft.backward.call]

    @pytest.mark.parametrize(
        ("kind", "name", "source", "target"),
        [
            (Kind.TORCH_FUNCTION, "Exp", "class Exp:\n  def forward(ctx, x, w): pass\n", {"torch": "ops:Exp.apply"}),
            (Kind.JAX, "f", "def f(x, w): pass\n", {"jax": "ops:f"}),
            (Kind.AUTOGRAD, "anp.exp", "import autograd.numpy as anp\n", {"autograd": "autograd.numpy:exp"}),
            (Kind.PATTERN, "exp_backward", "", {"process": {"command": ["./serve"], "op": "exp"}}),
        ],
    )
    def test_other_kinds_of_targets(self, tmp_path: Path, kind: Kind, name: str, source: str, target: object) -> None:
        (tmp_path / "ops.py").write_text(source)
        one = BackwardPass(Path("ops.py"), 1, name, "exp", kind)
        made = yaml.safe_load(draft_spec(one, tmp_path / "ops.py", [tmp_path]).text)
        assert made["target"] == target
        assert list(made["inputs"]) == (["x", "w"] if source.startswith(("class", "def")) else ["x"])

    def test_what_is_inside_a_function_needs_a_name(self, gradaudit: Command, powers: Path) -> None:
        (powers / "inner.py").write_text("def make():\n    def f_backward(g, x):\n        return g\n")
        found = gradaudit("init", "inner.py:2")
        assert "a name to import make.<locals>.f_backward by" in found.stdout


def test_the_specs_of_a_project_with_a_failing_op(gradaudit: Command, project: Path) -> None:
    """Coverage reads results of specs and sources that have nothing to do with each other."""
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nsources = ["specs"]\n')
    write_project(project, spec("good"))
    gradaudit("run", "-q")
    found = gradaudit("coverage")
    assert found.exit_code == 0
    assert "no backward passes were found in 0 files" in found.stdout
    assert "no backward pass in the sources" in (project / "reports" / "coverage.md").read_text()
