"""What the options of ``gradaudit run`` do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import spec, write_project


def results(gradaudit, *arguments: str) -> list[dict]:
    """Return the results of a run, from its JSON."""
    gradaudit("run", *arguments, "--json", "out.json")
    return json.loads(Path("out.json").read_text())["results"]


def ids(found: list[dict]) -> list[str]:
    return [f"{result['op']}::{result['case']}[{result['dtype']}]" for result in found]


@pytest.fixture
def ops(project):
    """Three ops of two modules, with cases and dtypes."""
    cases = [{"name": "default"}, {"name": "wide", "inputs": {"x": {"shape": [3, 4]}}}]
    return write_project(
        project,
        spec("exp", module="elementwise", cases=cases),
        spec("expm1", module="elementwise", dtype=["float32", "float64"]),
        spec("mean", module="reduction"),
    )


ALL = ["exp::default[float64]", "exp::wide[float64]", "expm1::default[float32]", "expm1::default[float64]"]
ALL += ["mean::default[float64]"]


def test_cases_run_in_the_order_of_the_specs(gradaudit, ops) -> None:
    assert ids(results(gradaudit)) == ALL


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("wide", [1]),
        ("EXP", [0, 1, 2, 3]),
        ("exp::", [0, 1]),
        ("elementwise and not wide", [0, 2, 3]),
        ("float32 or reduction", [2, 4]),
        ("(wide or float32) and not expm1", [1]),
        ("[float64]", [0, 1, 3, 4]),
    ],
)
def test_k_selects_cases(gradaudit, ops, expression: str, selected: list[int]) -> None:
    assert ids(results(gradaudit, "-k", expression)) == [ALL[k] for k in selected]


def test_dtype_replaces_the_specs_own(gradaudit, ops) -> None:
    found = results(gradaudit, "--dtype", "float16", "--dtype", "bfloat16", "-k", "expm1 or mean")
    assert [result["dtype"] for result in found] == ["float16", "bfloat16"] * 2


def test_seed_replaces_the_specs_own(gradaudit, project) -> None:
    write_project(project, spec("wrong", backward="wrong"), spec("seeded", backward="wrong", seed=7))

    def drawn(*options: str) -> list[float]:
        return [result["mismatches"][0]["numerical"] for result in results(gradaudit, *options)]

    assert drawn() == drawn() == [drawn("--seed", "0")[0], drawn("--seed", "7")[1]]
    assert drawn("--seed", "1") == drawn("--seed", "1")
    assert len({*drawn("--seed", "0"), *drawn("--seed", "1"), *drawn("--seed", "7")}) == 6


def test_relations_are_tried_where_they_are_asked_for(gradaudit, project) -> None:
    write_project(project, spec("plain", backward="divides_by_its_upstream"), spec("square"))
    assert {result["verdict"] for result in results(gradaudit)} == {"pass"}
    assert [result["verdict"] for result in results(gradaudit, "--relations")] == ["fail", "pass"]
    write_project(project, spec("plain", backward="divides_by_its_upstream", relations=True))
    assert [result["verdict"] for result in results(gradaudit)] == ["fail"]


def test_the_method_asked_for_is_used_for_every_gradient(gradaudit, ops) -> None:
    assert {result["method"] for result in results(gradaudit, "--method", "exhaustive")} == {"exhaustive"}


@pytest.mark.parametrize("options", [[], ["--method", "exhaustive"]])
def test_a_table_is_of_every_index_of_every_gradient(gradaudit, project, options: list[str]) -> None:
    large = {"x": {"shape": [700]}}
    write_project(project, spec("right", inputs=large, method="search"), spec("wrong", backward="wrong", inputs=large))
    right, wrong = results(gradaudit, "--table", *options)
    assert (right["verdict"], right["method"], right["checked"]) == ("pass", "exhaustive", 700)
    assert right["evaluations"] >= 2 * 700
    assert sorted(row["index"] for row in wrong["mismatches"]) == [[k] for k in range(700)]
    assert wrong["wrong"] == 700


def test_a_table_is_of_the_functions_in_a_source_file_too(gradaudit, project) -> None:
    Path("layers.py").write_text(
        "def cube(x):\n    return x**3\n\n\ndef cube_backward(dout, x):\n    return 3 * x**2 * dout\n"
    )
    assert {result["method"] for result in results(gradaudit, "layers.py")} == {"search"}
    assert {result["method"] for result in results(gradaudit, "layers.py", "--table")} == {"exhaustive"}


def test_a_table_is_no_search(gradaudit, ops) -> None:
    found = gradaudit("run", "--table", "--method", "search")
    assert found.exit_code == 2
    assert found.stderr == "--table is --method exhaustive; found --method search\n"


def test_specs_may_be_given_both_ways_and_are_audited_once(gradaudit, ops, project) -> None:
    other = write_project(project, spec("other"), name="elsewhere")
    assert ids(results(gradaudit, str(other), "--specs", "specs", "--specs", "elsewhere")) == [
        "other::default[float64]",
        *ALL,
    ]


def test_a_single_file(gradaudit, ops) -> None:
    assert ids(results(gradaudit, str(ops))) == ALL


def test_a_case_may_not_take_longer_than_timeout(gradaudit, project) -> None:
    write_project(project, spec("right"), spec("hangs", "hangs"))
    first, second = results(gradaudit, "-j", "1", "--timeout", "0.5")
    assert (first["verdict"], second["verdict"]) == ("pass", "error")
    assert second["message"] == "exceeded its time limit of 0.5 s"


def test_worst_rows_first(gradaudit, project) -> None:
    write_project(project, spec("places", backward="wrong_in_places"))
    (result,) = results(gradaudit)
    rows = result["mismatches"]
    assert sorted(row["index"] for row in rows) == [[1], [3], [4]]
    excess = [row["difference"] / row["tolerance"] for row in rows]
    assert excess == sorted(excess, reverse=True)
    text = gradaudit("run").stdout
    assert re.findall(r"^  \((\d),\)", text, re.MULTILINE) == [str(row["index"][0]) for row in rows]
    assert f"at index ({rows[0]['index'][0]},), 3 of 5 indices wrong" in text


@pytest.mark.parametrize(("rows", "more"), [(0, 3), (1, 2), (2, 1), (3, None), (10, None)])
def test_max_rows_limits_the_table_and_counts_the_rest(gradaudit, project, rows: int, more: int | None) -> None:
    write_project(project, spec("places", backward="wrong_in_places"))
    text = gradaudit("run", "--max-rows", str(rows)).stdout
    assert len(re.findall(r"^  \(", text, re.MULTILINE)) == min(rows, 3)
    assert re.findall(r"^  and (\d+) more$", text, re.MULTILINE) == ([str(more)] if more else [])


def test_quiet_prints_one_line_for_each_wrong_gradient_and_one_at_the_end(gradaudit, project) -> None:
    write_project(project, spec("right"), spec("wrong", backward="wrong"))
    headline, last = gradaudit("run", "--quiet").stdout.splitlines()
    assert headline.startswith("wrong (float64, case default): gradient mismatch w.r.t. x at index (")
    assert last.startswith("2 gradients, 2 ops, 2 cases: 1 pass, 1 fail (")


def test_reports_do_not_depend_on_the_terminal_s(gradaudit, project) -> None:
    write_project(project, spec("right"), spec("wrong", backward="wrong"))
    found = gradaudit("run", "-q", "--json", "a/out.json", "--junit", "b/out.xml")
    assert found.exit_code == 1
    summary = json.loads(Path("a/out.json").read_text())["summary"]
    assert (summary["pass"], summary["fail"], summary["error"]) == (1, 1, 0)
    assert summary["evaluations"] > 20
    assert ElementTree.parse("b/out.xml").getroot().get("failures") == "1"
    assert sorted(path.name for path in Path().glob("[ab]/*")) == ["out.json", "out.xml"]


def test_json_on_standard_output_stands_there_alone(gradaudit, project) -> None:
    write_project(project, spec("wrong", backward="wrong"))
    found = gradaudit("run", "--json", "-")
    assert json.loads(found.stdout)["summary"]["fail"] == 1
    assert "gradient mismatch" in found.stderr


def test_junit_on_standard_output_stands_there_alone(gradaudit, project) -> None:
    write_project(project, spec("wrong", backward="wrong"))
    found = gradaudit("run", "--junit", "-")
    assert ElementTree.fromstring(found.stdout.encode()).get("failures") == "1"
    assert "gradient mismatch" in found.stderr


def test_sarif_badge_and_the_summary_of_a_step(gradaudit, project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(project, spec("right"), spec("wrong", backward="wrong"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    log = json.loads(gradaudit("run", "--sarif", "-", "--badge", "b.svg").stdout)
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["sign-flipped"]
    assert "gradients: 1 fail" in Path("b.svg").read_text()
    assert not Path("summary.md").exists()
    gradaudit("run", "--format", "github")
    assert "| ❌ | `wrong` | `x` | `sign-flipped`" in Path("summary.md").read_text()
    told = gradaudit("run", "--sarif", "a.out", "--junit", "a.out")
    assert (told.exit_code, told.stderr) == (2, "cannot write both JUnit XML and SARIF to a.out\n")
    assert "expected a name in .svg or .json" in gradaudit("run", "--badge", "b.png").stderr


def test_a_page_for_a_browser_says_how_to_see_a_failure_again(gradaudit, project) -> None:
    write_project(project, spec("right"), spec("wrong", backward="wrong"))
    assert gradaudit("run", "--html", "pages/out.html").exit_code == 1
    page = Path("pages/out.html").read_text(encoding="utf-8")
    assert "gradaudit run specs/ops.yaml -k &#39;/wrong::default[float64]&#39;" in page
    assert 'id="g-wrong-default-float64-x"' in page
    assert "a gradient of shape 5," in page
    found = gradaudit("run", "--html", "-")
    assert found.stdout.startswith("<!doctype html>")
    assert "gradient mismatch" in found.stderr
    told = gradaudit("run", "--html", "a.out", "--json", "a.out")
    assert (told.exit_code, told.stderr) == (2, "cannot write both JSON and a page to a.out\n")


def test_what_cannot_be_written_is_refused_before_the_work(gradaudit, project) -> None:
    write_project(project, spec("right"))
    assert gradaudit("run", "--json", "specs").exit_code == 2
    assert not Path("imported").exists()  # kernels leaves this file when it is imported
    assert gradaudit("run").exit_code == 0
    assert Path("imported").exists()


def test_a_disk_that_fills_up_meanwhile_is_an_error_in_words(gradaudit, project) -> None:
    write_project(project, spec("right"))
    found = gradaudit("run", "--json", "/dev/full")
    assert found.exit_code == 2
    assert found.stderr == "cannot write /dev/full: No space left on device\n"


def test_a_wrong_spec_leaves_earlier_reports_alone(gradaudit, project) -> None:
    write_project(project, spec("right", seeds=3))
    Path("out.json").write_text("old")
    assert gradaudit("run", "--json", "out.json").exit_code == 2
    write_project(project, spec("absent", "sqare"))
    assert gradaudit("run", "--json", "out.json").exit_code == 2
    assert Path("out.json").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir() if "json" in path.name) == ["out.json"]


def test_annotations_for_github(gradaudit, project) -> None:
    write_project(project, spec("good"), spec("bad", backward="wrong"))
    line = Path("kernels.py").read_text().splitlines().index("def wrong(u, x):")
    told = gradaudit("run", "specs", "--format", "github", "--quiet").stdout.splitlines()
    (annotated,) = [each for each in told if each.startswith("::")]
    assert annotated.startswith(f"::error file=kernels.py,line={line + 1},title=bad (float64")
    assert not any(line.startswith("::") for line in gradaudit("run", "specs").stdout.splitlines())
    (project / "specs" / "ops.yaml").write_text("op: a\nsteps: 3\n")
    refused = gradaudit("run", "specs", "--format", "github")
    assert refused.exit_code == 2
    assert "::error file=specs/ops.yaml,line=2,col=1,title=gradaudit::steps: unknown key 'steps'" in refused.stderr


def test_only_allowed_modules_are_imported(gradaudit, project: Path) -> None:
    write_project(project, spec("right"))
    (project / "pyproject.toml").write_text('[tool.gradaudit]\nallow = ["other"]\n')
    found = gradaudit("run")
    assert found.exit_code == 2
    assert "'kernels:square' is not allowed: expected a function of other" in found.stderr
    assert not Path("imported").exists()
    assert gradaudit("run", "--allow", "kernels").exit_code == 0
    assert gradaudit("run", "kernels.py", "--allow", "kernels").exit_code == 2


class TestBudget:
    def test_is_calls_of_forward_and_backward_a_gradient(self, gradaudit, project) -> None:
        write_project(project, spec("right"), spec("wrong", backward="wrong"))
        right, _ = results(gradaudit, "--budget", "7")
        _, wrong = results(gradaudit, "--budget", "15")
        assert (right["verdict"], wrong["verdict"]) == ("inconclusive", "fail")
        assert "not located in the budget given (15 calls a gradient)" in wrong["message"]
        for result, budget in ((right, 7), (wrong, 15)):
            assert result["forwards"] + result["backwards"] <= budget
            assert result["findings"][0]["code"] == "limit-reached"
            assert result["findings"][0]["evidence"]["budget"] == budget

    def test_the_option_comes_before_the_spec_and_the_spec_before_the_project(self, gradaudit, project) -> None:
        def given(*arguments: str) -> list[int]:
            found = results(gradaudit, *arguments)
            return [result["findings"][0]["evidence"]["budget"] for result in found]

        write_project(project, spec("own", budget=9, cases=[{"name": "a"}, {"name": "b", "budget": 8}]), spec("other"))
        (project / "pyproject.toml").write_text("[tool.gradaudit]\nbudget = 7\n")
        assert given() == [9, 8, 7]
        assert given("--budget", "6") == [6, 6, 6]

    def test_is_kept_for_source_files_too(self, gradaudit, project) -> None:
        Path("layers.py").write_text(
            "def cube(x):\n    return x**3\n\n\ndef cube_backward(dout, x):\n    return 3 * x**2 * dout\n"
        )
        found = results(gradaudit, "layers.py", "--budget", "10")
        assert {result["verdict"] for result in found} == {"inconclusive"}
        assert all(result["forwards"] + result["backwards"] <= 10 for result in found)

    def test_a_budget_of_no_call_is_refused(self, gradaudit, project) -> None:
        write_project(project, spec("right"))
        found = gradaudit("run", "--budget", "0")
        assert found.exit_code == 2
        assert "--budget" in found.stderr

    def test_what_it_cut_off_is_audited_again_on_resuming_and_nothing_else(self, gradaudit, project) -> None:
        write_project(project, spec("right"), spec("wrong", backward="wrong", budget=15))
        assert [result["verdict"] for result in results(gradaudit)] == ["pass", "fail"]
        resumed = gradaudit("run", "--resume", "--budget", "500")
        assert "1 case recorded before has not changed" in resumed.stdout
        assert "5 of 5 indices wrong" in resumed.stdout
