"""The page of a run: sound HTML that says everything, whatever ops are called and say."""

from __future__ import annotations

import builtins
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from pages import SAID, WICKED, Parsed, repairs_of_them, results_of_every_kind, written_page

from gradaudit.report.files import UnwritableError
from gradaudit.report.page.anchors import Anchors
from gradaudit.report.page.run_page import MAX_PICTURED, PageReport


@pytest.fixture(scope="module", name="page")
def _page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written_page(results_of_every_kind(), tmp_path_factory.mktemp("page") / "out.html", [repairs_of_them()])


@pytest.fixture(scope="module", name="parsed")
def _parsed(page: str) -> Parsed:
    return Parsed(page)


def test_every_element_that_is_opened_is_closed(parsed: Parsed) -> None:
    assert parsed.unbalanced == []
    assert len(parsed.elements) > 200


def test_nothing_that_an_op_prints_is_markup(page: str, parsed: Parsed) -> None:
    assert len(parsed.named("script")) == 1, "the page's own"
    assert parsed.named("img") == []
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]
    assert WICKED in parsed.text
    assert "{{ 7 * 7 }} {% raw %} &amp; \\x1b[31m\\ud800\\u202e" in parsed.text
    assert SAID.partition("\x1b")[0] in parsed.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


def test_no_address_leads_out_of_the_page(page: str, parsed: Parsed) -> None:
    links = [*parsed.values("href"), *parsed.values("src")]
    assert [link for link in links if not link.startswith(("#", "data:,"))] == []
    assert "//" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL).replace("://www.w3.org/", "")
    policies = [each["content"] for each in parsed.named("meta") if each.get("http-equiv")]
    assert "default-src 'none'" in str(policies[0])


def test_every_link_leads_to_one_place(parsed: Parsed) -> None:
    places = parsed.values("id")
    assert len(places) == len(set(places))
    assert {link[1:] for link in parsed.values("href") if link.startswith("#")} <= set(places)


def test_every_gradient_that_did_not_pass_has_a_place(parsed: Parsed) -> None:
    told = [each for each in parsed.named("details") if each.get("class") == "gradient"]
    failing = [result for result in results_of_every_kind() if result.verdict != "pass"]
    assert len(told) == len(failing)
    assert all(each["id"] for each in told)
    rows = [each for each in parsed.named("tr") if "data-verdict" in each]
    assert len(rows) == len(results_of_every_kind())


def test_the_first_failure_is_told_first_with_its_cause_its_repair_and_its_line(parsed: Parsed) -> None:
    start = parsed.text.index("What failed first")
    first = " ".join(parsed.text[start : parsed.text.index("All that failed")].split())
    assert f"sign-flipped: numerical = -analytical; {WICKED}" in first
    assert "src/my <ops>.py:12, in norm_backward" in first
    assert "Likely repair: src/my <ops>.py:9" in first
    assert "- return -x < 1 + return x < 1" in first
    assert "7 of 12 gradients not as expected" in parsed.text
    assert "fail 6 1 as expected" in parsed.text


def test_the_matrix_has_words_for_each_op_and_dtype(page: str) -> None:
    tables = re.findall(r'<details class="matrix".*?</details>', page, re.DOTALL)
    (table,) = [found for found in tables if "&lt;script" in found]
    (row,) = [found for found in re.findall(r"<tr>.*?</tr>", table, re.DOTALL) if "&lt;script" in found]
    assert len(re.findall(r'class="mark fail odd".*?> fail</span>', row)) == 2


def test_pictures_are_sound_and_never_hold_what_is_not_finite(page: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for picture in pictures:
        for element in ElementTree.fromstring(picture).iter():
            assert not re.search(r"\b(nan|inf)\b", " ".join(element.attrib.values()))
    assert sum('class="equal"' in picture for picture in pictures) == 6
    assert sum('class="cell"' in picture for picture in pictures) == 7


def test_a_map_shades_what_is_wrong_and_hatches_what_is_right(page: str) -> None:
    (vector,) = [
        found for found in re.findall(r"<figure class=.heat.*?</figure>", page, re.DOTALL) if "shape 8," in found
    ]
    assert 'class="right"' in vector
    assert 'class="shade3" d="M88 22h60v12H88z"' in vector, "five cells in one piece, of the darkest shade"
    assert "index (1,): analytical 1.0000e+30" in vector


def test_what_passes_needs_no_more_than_a_line(result, tmp_path: Path) -> None:
    many = [result(op=f"op{k % 110}", module=f"module{k % 11}", case=f"case{k}") for k in range(2200)]
    page = written_page(many, tmp_path / "out.html")
    assert len(page) < 600_000
    assert "2,200 gradients, all as expected" in Parsed(page).text
    assert "What failed first" not in page


def test_a_thousand_failures_have_a_place_each_and_the_first_have_pictures(mismatch, result, tmp_path: Path) -> None:
    rows = [mismatch((k, j), -1.0, 1.0) for k in range(24) for j in range(60)]
    failing = [result("fail", rows, op=f"op{k}", shape=(24, 60), size=1440) for k in range(MAX_PICTURED + 200)]
    page = written_page(failing, tmp_path / "out.html")
    assert page.count("<figcaption>") == 2 * MAX_PICTURED
    assert "The last 200 have no pictures" in page
    assert len(page) < 6_000_000


def test_anchors_differ_and_stay() -> None:
    anchors = Anchors()
    assert anchors.of("a", "b c") == "a-b_c" == anchors.of("a", "b c")
    assert anchors.of("a", "b_c") == "a-b_c--2"
    assert anchors.of("\u03b1") == "x"


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without_jinja(name, *rest, **keys):
        if name == "jinja2":
            raise ImportError(name)
        return found(name, *rest, **keys)

    monkeypatch.setattr(builtins, "__import__", without_jinja)
    with pytest.raises(UnwritableError, match=r"out.html: Jinja2 is not installed; pip install 'gradaudit\[html\]'"):
        PageReport(str(tmp_path / "out.html"))
    assert not (tmp_path / "out.html").exists()
