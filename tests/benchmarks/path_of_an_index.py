"""Counts the files and functions of the package that the audit of one right index passes.

    python tests/benchmarks/path_of_an_index.py [--list]

The op is the square of a single number, by ``gradaudit.check``: its second audit, so that nothing is imported or
compiled any more. Told are what the comparison of its gradient with forward passes, which is the way of the index
itself, and the whole audit: the call, the op, every other check, the result. A function counts once, however often it
is called; methods, properties and inner functions do, comprehensions and lambdas do not. Exit status: 0 where the
index passes at most 25 files and 150 functions, 1 beyond.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import gradaudit
from gradaudit.checks.gradient import check_gradient

ROOT = Path(gradaudit.__file__).parent
MOST_FILES, MOST_FUNCTIONS = 25, 150
NO_FUNCTIONS = ("<lambda>", "<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<module>")


def audit() -> None:
    """Audit a right gradient of one number, and see that it passes."""
    op = gradaudit.op(lambda x: x * x, lambda upstream, x: 2.0 * x * upstream)
    gradaudit.check(op, {"x": np.array([0.7])}).assert_ok()


def passed(run: Callable[[], None], within: CodeType | None = None) -> set[CodeType]:
    """Return the functions of the package that are called as something runs, or only those within one of them."""
    seen: set[CodeType] = set()
    inside = int(within is None)

    def notice(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal inside
        inside += (event == "call") - (event == "return") if frame.f_code is within else 0
        if event == "call" and inside:
            seen.add(frame.f_code)

    sys.setprofile(notice)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {code for code in seen if Path(code.co_filename).is_relative_to(ROOT) and code.co_name not in NO_FUNCTIONS}


def by_file(functions: Set[CodeType]) -> Counter[str]:
    """Return how many of some functions each file holds."""
    return Counter(str(Path(code.co_filename).relative_to(ROOT)) for code in functions)


def main() -> int:
    """Print how many files and functions there are, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print each file with its functions")
    chosen = parser.parse_args()
    audit()
    index, whole = passed(audit, check_gradient.__code__), passed(audit)
    for functions, what in ((index, "the index"), (whole, "the whole audit")):
        files = by_file(functions)
        for file in sorted(files) if chosen.list else ():
            names = sorted(code.co_qualname for code in functions if code.co_filename == str(ROOT / file))
            print(f"  {file}: {', '.join(names)}")
        print(f"{what}: {len(files)} files, {len(functions)} functions")
    return int(len(by_file(index)) > MOST_FILES or len(index) > MOST_FUNCTIONS)


if __name__ == "__main__":
    sys.exit(main())
