"""The pages that come with the tool: a guide for each task, and a page for each finding's code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_FOLDER = files(__name__)


@dataclass(frozen=True)
class Page:
    """A page of Markdown.

    Attributes:
        name: what it is asked for by.
        title: its first line.
        text: all of it.

    """

    name: str
    title: str
    text: str

    def section(self, heading: str) -> str:
        """Return what stands below a heading of the second level, empty where the page has no such heading."""
        _, found, rest = self.text.partition(f"\n## {heading}\n")
        return rest.partition("\n## ")[0].strip() if found else ""


def guide_names() -> list[str]:
    """Return the names of all guides, in alphabetical order."""
    return _names(_FOLDER)


def finding_names() -> list[str]:
    """Return the codes that have a page, in alphabetical order."""
    return _names(_FOLDER / "findings")


def guide(name: str) -> Page:
    """Return the guide of this name.

    Raises:
        KeyError: where there is none.

    """
    return _page(_FOLDER, name)


def finding_page(code: str) -> Page:
    """Return the page of a finding's code: what it means, an example, the remedy.

    Raises:
        KeyError: where there is none.

    """
    return _page(_FOLDER / "findings", code)


def _names(folder: Traversable) -> list[str]:
    return sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))


def _page(folder: Traversable, name: str) -> Page:
    if name not in _names(folder):
        raise KeyError(name)
    text = (folder / f"{name}.md").read_text(encoding="utf-8")
    return Page(name, text.partition("\n")[0].removeprefix("# "), text)
