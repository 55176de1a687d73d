"""Pages to look at: results of every kind, with names and words that would like to be markup, and what parses them."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

from made_results import events_of, made_mismatch, made_result

from gradaudit.engine.events import RepairsFound
from gradaudit.repair.repairs import Applicability, Confirmed, Repair, Repairs
from gradaudit.report.page.run_page import PageReport
from gradaudit.results import Finding, Result, SourceLine

WICKED = "<script>alert(1)</script>"
SAID = (
    "backward raised ValueError: </script><img src=x onerror=alert(1)> {{ 7 * 7 }} {% raw %} &amp; \x1b[31m\ud800\u202e"
)

DIFF = "--- ops.py\n+++ ops.py\n@@ -7,2 +7,2 @@\n def f(x):\n-    return -x < 1\n+    return x < 1"


def results_of_every_kind() -> list[Result]:
    """Return results: passes, failures with maps of one to three axes, a complex one, an error, an undecided one."""
    rows = [made_mismatch((k, 2 * k), -1.0 * k, 1.0 * k) for k in range(1, 5)]
    line = [made_mismatch((k,), 1e30 * k, 0.5) for k in range(1, 6)]
    deep = [made_mismatch((0, k, 3), complex(1, k), complex(0.5, 2.0)) for k in range(30)]
    odd = [made_mismatch((0, 0), float("nan"), 1.0), made_mismatch((0, 1), float("inf"), 1.0)]
    cause = Finding("sign-flipped", f"numerical = -analytical; {WICKED}", {"explained": 1.0})
    source = SourceLine("src/my <ops>.py", 12, "norm_backward")
    made = [made_result(op="plain", module="linear", case=f"case{k}", shape=(3, 4)) for k in range(3)]
    for dtype in ("float32", "float64"):
        keys = {"dtype": dtype, "findings": (cause,), "source": source, "shape": (5, 9), "size": 45}
        made.append(made_result("fail", rows, op=WICKED, module="a & \"b\" 'c'", **keys))
    return [
        *made,
        made_result("fail", line, op="vector", module="linear", shape=(8,), size=8),
        made_result("fail", deep, op="deep", module="linear", shape=(2, 40, 70), size=5600, dtype="complex128"),
        made_result("fail", odd, op="not-finite", module="linear", shape=(2, 2), size=4),
        made_result("fail", rows, op="known", module="linear", expected=True, shape=(5, 9), size=45),
        made_result("inconclusive", rows[:1], op="log", message="2 of 12 indices cannot be decided", shape=(5, 9)),
        made_result("error", op="sqrt", message=SAID, location="/gone/a.yaml:0"),
        made_result(op="kinked", module="linear", findings=(Finding("kink", "a kink lies near"),)),
    ]


def repairs_of_them() -> Repairs:
    repair = Repair(DIFF, Applicability.VERIFIED, "src/my <ops>.py", 9, ("x",), Confirmed(2, 5, 3))
    return Repairs(WICKED, (repair,))


def written_page(results: Sequence[Result], path: Path, repairs: Sequence[Repairs] = ()) -> str:
    """Return the page that a run with these results writes."""
    report = PageReport(str(path))
    *begun, last = events_of(results)
    for event in (*begun, *map(RepairsFound, repairs), last):
        report(event)
    return path.read_text(encoding="utf-8")


VOID = {"meta", "link", "input", "br", "hr", "img"}
CLOSED_BY_OTHERS = {"td", "th", "tr", "option"}
"""Elements whose end may be left out."""


class Parsed(HTMLParser):
    """A page taken apart: elements that are not balanced, every element with its attributes, all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.unbalanced: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        self.unbalanced += [name for name in self._open if name not in CLOSED_BY_OTHERS]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open[-1] != tag and self._open[-1] in CLOSED_BY_OTHERS:
            self._open.pop()
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [str(attributes[attribute]) for _, attributes in self.elements if attribute in attributes]
