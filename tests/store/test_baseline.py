"""Known failures in a file: which ones it forgives, what an update makes of it, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradaudit.results import Result, Verdict
from gradaudit.store.baseline import Baseline, BaselineError, Known, baseline_text, read_baseline
from gradaudit.store.records import subject_of


def known(op: str, name: str = "x", verdict: str = "fail", case: str = "default") -> Known:
    return Known(op, case, "float32", name, Verdict(verdict), "sign-flipped")


def result(op: str, name: str = "x", verdict: str = "fail", **keys: str) -> Result:
    ended = Verdict(verdict)
    return Result(op, "m", keys.get("case", "default"), keys.get("dtype", "float32"), name, ended, ended == "pass")


def baseline(*entries: Known) -> Baseline:
    return Baseline({entry.subject: entry for entry in entries})


@pytest.mark.parametrize(("now", "forgiven"), [("inconclusive", True), ("fail", True), ("error", False)])
def test_what_ends_no_worse_than_before_is_forgiven(now: str, forgiven: bool) -> None:
    assert baseline(known("swish")).forgives(result("swish", verdict=now)) is forgiven


@pytest.mark.parametrize("other", [{"name": "w"}, {"case": "wide"}, {"dtype": "float64"}])
def test_it_forgives_the_gradient_that_it_names_and_no_other(other: dict[str, str]) -> None:
    assert not baseline(known("swish")).forgives(result("swish", **other))


def test_a_pass_is_mended_where_it_was_known() -> None:
    assert baseline(known("swish")).mended(result("swish", verdict="pass"))
    assert not baseline(known("swish")).mended(result("swish", verdict="inconclusive"))
    assert not baseline(known("swish")).mended(result("tanh", verdict="pass"))


class TestUpdate:
    BEFORE = baseline(known("swish"), known("swish", "w"), known("swish", case="old_name"), known("elsewhere"))
    AUDITED = (subject_of(result("swish")), subject_of(result("swish", "w")), subject_of(result("tanh")))

    def names(self, *, whole: bool) -> list[tuple[str, str, str]]:
        after = self.BEFORE.updated([known("swish"), known("tanh")], self.AUDITED, whole=whole)
        return sorted((entry.op, entry.case, entry.input) for entry in after.known.values())

    def test_takes_out_what_is_mended_or_renamed_and_keeps_ops_that_were_not_audited(self) -> None:
        found = [("swish", "default", "x"), ("tanh", "default", "x")]
        assert self.names(whole=False) == [("elsewhere", "default", "x"), *found]
        assert self.names(whole=True) == found


class TestFile:
    def test_is_sorted_a_line_each_and_read_as_it_was_written(self, tmp_path: Path) -> None:
        made = baseline(known("swish"), known("conv", verdict="error"))
        (tmp_path / "known.json").write_text(baseline_text(made))
        lines = (tmp_path / "known.json").read_text().splitlines()
        assert [json.loads(line.rstrip(","))["op"] for line in lines[1:-1]] == ["conv", "swish"]
        assert read_baseline(tmp_path / "known.json") == made
        (tmp_path / "none.json").write_text(baseline_text(Baseline()))
        assert read_baseline(tmp_path / "none.json") == Baseline()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{", ":1:2: is not valid JSON"),
            ("[]", "holds no known failures"),
            ('{"schema": 9, "known": []}', "has schema 9; this gradaudit knows 1"),
            ('{"schema": 1}', "the key 'known' is missing"),
            ('{"schema": 1, "known": [{"op": "a"}]}', "the key 'case' is missing"),
            (baseline_text(baseline(known("a"))).replace('"fail"', '"flop"'), "'flop' is not a valid Verdict"),
        ],
    )
    def test_that_is_none_is_refused_in_words(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "known.json").write_text(text)
        with pytest.raises(BaselineError) as caught:
            read_baseline(tmp_path / "known.json")
        assert said in str(caught.value)

    def test_that_is_not_there_is_told_with_how_to_write_it(self, tmp_path: Path) -> None:
        with pytest.raises(BaselineError, match=r"there is no .*--update-baseline' writes it"):
            read_baseline(tmp_path / "known.json")
