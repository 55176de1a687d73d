"""The examples on the pages of findings, as specs that can be audited."""

from __future__ import annotations

import re
from pathlib import Path

from gradaudit.guides import Page


def write_example(page: Page, folder: Path) -> Path:
    """Write the functions and the spec of a page's example into a folder and return the spec."""
    example = page.section("Example")
    for name in re.findall(r"^`([\w.]+)`:$", example, re.MULTILINE):
        (text,) = re.findall(rf"^`{re.escape(name)}`:\n\n```\w+\n(.*?)^```", example, re.MULTILINE | re.DOTALL)
        (folder / name).write_text(text)
    return folder / "spec.yaml"
