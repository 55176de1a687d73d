"""Every figure of speed beside its limit: writes ``reports/speed.md``.

    python tests/benchmarks/speed.py                # all sections
    python tests/benchmarks/speed.py startup        # one; the others stay as they are

A section is a module of this folder with a ``TITLE``, ``said()`` and ``rows()``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from cpu_time import table

SECTIONS = ("startup", "many_cases", "audits", "tables", "model_audits")

REPORT = Path(__file__).parents[2] / "reports" / "speed.md"


def section(name: str) -> str:
    """Measure a section and return its text."""
    module = import_module(name)
    rows = table(module.rows())
    load = f"Load average of the machine when it was measured: {os.getloadavg()[1]:.0f}."
    said = f"{module.said()} {load}"
    return "\n".join([f"## {module.TITLE}", "", f"`python tests/benchmarks/speed.py {name}`", "", said, "", *rows])


def written_before(text: str) -> dict[str, str]:
    """Return the sections of a report by the name that stands in their command."""
    parts = [part.strip() for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]]
    named = ((re.search(r"speed\.py (\w+)", part), part) for part in parts)
    return {found.group(1): part for found, part in named if found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="those that are measured; default: all")
    asked = parser.parse_args().sections or SECTIONS
    known = written_before(REPORT.read_text()) if REPORT.exists() else {}
    known |= {name: section(name) for name in asked}
    made = ", ".join(f"{name} {version(name)}" for name in ("gradaudit", "numpy", "rich"))
    head = (
        "# Speed\n\nWritten by `python tests/benchmarks/speed.py`; do not edit.\n\n"
        f"{made}, Python {platform.python_version()}, {os.cpu_count()} cores."
    )
    REPORT.write_text("\n\n".join([head, *(known[name] for name in SECTIONS if name in known)]) + "\n")


if __name__ == "__main__":
    main()
