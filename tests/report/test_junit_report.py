"""JUnit XML for CI systems: well-formed whatever ops say, with counts that add up."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import events_of, made_mismatch, made_result

from gradaudit.report.files import AtomicFile
from gradaudit.report.junit import JunitReport, junit_xml


def tree(results) -> ElementTree.Element:
    return ElementTree.fromstring(junit_xml(results).encode())


@pytest.fixture
def results():
    return [
        made_result(input="x"),
        made_result("fail", [made_mismatch((k,)) for k in range(30)], input="w"),
        made_result("error", op="exp", module="elementwise", message="forward raised ValueError: no\n  ops.py:3"),
        made_result("fail", [made_mismatch()], op="known", module="elementwise", expected=True),
        made_result("pass", op="odd", module="elementwise", expected=False, message="expected to fail"),
        made_result("inconclusive", op="log", module="elementwise", message="cannot be decided"),
    ]


def test_a_suite_for_each_module_and_a_test_for_each_result(results) -> None:
    root = tree(results)
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == ["normalization", "elementwise"]
    assert [(test.get("classname"), test.get("name")) for test in root.iter("testcase")] == [
        ("normalization.norm", "default[float32-x]"),
        ("normalization.norm", "default[float32-w]"),
        ("elementwise.exp", "default[float32-x]"),
        ("elementwise.known", "default[float32-x]"),
        ("elementwise.odd", "default[float32-x]"),
        ("elementwise.log", "default[float32-x]"),
    ]


def test_errors_are_errors_and_what_else_was_not_expected_fails(results) -> None:
    kinds = [[(child.tag, child.get("type")) for child in test] for test in tree(results).iter("testcase")]
    assert kinds == [
        [],
        [("failure", "fail")],
        [("error", "error")],
        [],
        [("failure", "pass")],
        [("failure", "inconclusive")],
    ]


def test_counts_add_up(results) -> None:
    root = tree(results)
    for element in (root, *root):
        tests = list(element.iter("testcase"))
        assert element.get("tests") == str(len(tests))
        assert element.get("failures") == str(sum(test.find("failure") is not None for test in tests))
        assert element.get("errors") == str(sum(test.find("error") is not None for test in tests))
        assert float(element.get("time")) == pytest.approx(sum(float(test.get("time")) for test in tests))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "3", "1")


def test_texts_are_the_terminal_s(results) -> None:
    failure = tree(results).find(".//testcase[@name='default[float32-w]']/failure")
    assert failure.get("message") == "30 of 30 indices wrong"
    lines = failure.text.splitlines()
    assert lines[0].startswith("norm (float32, case default): gradient mismatch w.r.t. w at index (0,), 30 of 30")
    assert sum(line.startswith("  (") for line in lines) == 20
    assert lines[-2:] == ["  and 10 more", "  no simple cause found"]
    error = tree(results).find(".//testcase[@classname='elementwise.exp']/error")
    assert error.get("message") == "forward raised ValueError: no"
    assert "    ops.py:3" in error.text.splitlines()


@given(text=st.text(st.characters(codec=None)))
def test_any_text_anywhere_is_valid_xml(text: str) -> None:
    result = made_result("error", message=f"said {text}", module=f"m{text}", op=f"o{text}", input=f"x{text}")
    root = tree([result])
    assert root.find(".//error").get("message").startswith("said")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x0b", "\ud800", "\ufffe", "\uffff"])
def test_what_xml_cannot_hold_is_marked(character: str) -> None:
    result = made_result("error", message=f"a{character}b", input=f"x{character}")
    root = tree([result])
    assert "\ufffd" in root.find(".//testcase").get("name")
    assert "\ufffd" in root.find(".//error").text or character in "\x0b"  # a line break to Python


def test_no_results_no_suites() -> None:
    root = tree([])
    assert len(root) == 0
    assert root.get("tests") == "0"


def test_the_report_writes_it_at_the_end(results, tmp_path) -> None:
    report = JunitReport(AtomicFile(str(tmp_path / "junit.xml")))
    *before, finished = events_of(results)
    for event in before:
        report(event)
    assert not (tmp_path / "junit.xml").exists()
    report(finished)
    assert (tmp_path / "junit.xml").read_text() == junit_xml(results)
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().get("tests") == "6"
