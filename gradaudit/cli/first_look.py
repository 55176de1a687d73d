"""A first look at the arguments: the runs that are asked for most need no parser, whose import takes as long as they.

What is not plain here is left to the parser, which knows every option and says what is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradaudit.cli.running import RunOptions

FLAGS = {
    "--no-store": "no_store",
    "--allow-inconclusive": "allow_inconclusive",
    "--quiet": "quiet",
    "-q": "quiet",
    "--table": "table",
    "--verbose": "verbose",
    "-v": "verbose",
}
"""The parameters of ``run`` that these words set."""

COMPLETION = "_GRADAUDIT_COMPLETE"
"""The variable by which a shell asks for the words that may follow."""


def plain_run(arguments: Sequence[str]) -> RunOptions | None:
    """Return the options of a run of which all are plain; None where it is for the parser to say."""
    if arguments[:1] != ["run"] or COMPLETION in os.environ:
        return None
    found: dict[str, Any] = {}
    paths: list[Path] = []
    words = iter(arguments[1:])
    for word in words:
        if word in FLAGS:
            found[FLAGS[word]] = True
        elif word in ("-j", "--jobs") and (number := next(words, "")).isascii() and number.isdigit():
            found["jobs"] = int(number)
        elif word and not word.startswith("-"):
            paths.append(Path(word))
        else:
            return None
    return RunOptions(paths=tuple(paths), **found)
