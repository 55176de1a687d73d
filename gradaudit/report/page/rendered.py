"""From a page's data to its HTML, by Jinja2, which is an extra."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from gradaudit.report.files import AtomicFile, UnwritableError


def page_file(path: str) -> AtomicFile:
    """Return the file of a page, once it is certain that the page can be made.

    Raises:
        UnwritableError: where no file can be made there, or Jinja2 or markdown-it-py is not installed.

    """
    for module, name in (("jinja2", "Jinja2"), ("markdown_it", "markdown-it-py")):
        try:
            __import__(module)
        except ImportError:
            said = f"cannot write the page {path}: {name} is not installed; pip install 'gradaudit[html]'"
            raise UnwritableError(said) from None
    return AtomicFile(path)


def rendered(template: str, page: Any) -> str:
    """Return the HTML of a page.

    Args:
        template: name of the template.
        page: its data; every text in it is escaped.

    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def printed(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("gradaudit.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=printed,
    )
    script, style = _asset("page.js"), _asset("page.css")
    return environment.get_template(template).render(
        page=page, script=Markup(script), script_hash=_hash_of(script), style=Markup(style)
    )


def printable(text: str) -> str:
    """Return a text with escapes for what HTML or UTF-8 cannot hold, and for what would turn the reading direction."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def _asset(name: str) -> str:
    return (files("gradaudit.report.page") / "templates" / name).read_text(encoding="utf-8")


def _hash_of(script: str) -> str:
    """Return what the page's policy names its only script by, so that no other runs."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
