"""What commands cost before they audit anything, beside the imports that no audit can do without."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cpu_time import Row, in_turns

TITLE = "Start"

SAID = (
    "CPU seconds of a whole process, the least of {rounds} runs in turns with the floor, "
    "`python -c 'import numpy, yaml, ml_dtypes'`; modules are compiled before, as by an installer. The spec is of one "
    "op of three elements, which is right. Help is read by a pipe. The rows that begin with `of these` are imports of "
    "a run, each in a process of its own, so that what they share is counted in each."
)

ROUNDS = 20

FLOOR = ["-c", "import numpy, yaml, ml_dtypes"]

COMMANDS = {
    "`import gradaudit`": (["-c", "import gradaudit"], "0.02"),
    "`gradaudit --help`": (["-m", "gradaudit", "--help"], "0.12"),
    "`gradaudit run tiny.yaml -j 0`": (["-m", "gradaudit", "run", "tiny.yaml", "-j", "0", "--no-store"], "0.25"),
    "the same, recorded": (["-m", "gradaudit", "run", "tiny.yaml", "-j", "0"], "0.25"),
    "of these: `import gradaudit.spec.load`": (["-c", "import gradaudit.spec.load"], "-"),
    "of these: `import gradaudit.engine.audit`": (["-c", "import gradaudit.engine.audit"], "-"),
    "of these: `import rich.console, rich.table`": (["-c", "import rich.console, rich.table"], "-"),
}

SPEC = """\
op: {name}
target:
  forward: squares:forward
  backward: squares:backward
inputs:
  x: {{shape: [3]}}
"""

SQUARES = """\
def forward(x):
    return x * x


def backward(upstream, x):
    return upstream * 2 * x
"""


def said() -> str:
    """Return what the rows are about."""
    return SAID.format(rounds=ROUNDS)


def rows() -> list[Row]:
    """Measure every command."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tiny.yaml").write_text(SPEC.format(name="square"))
        (folder / "squares.py").write_text(SQUARES)
        commands = {"floor": [sys.executable, *FLOOR]}
        commands |= {what: [sys.executable, *arguments] for what, (arguments, _) in COMMANDS.items()}
        taken = in_turns(commands, folder, ROUNDS)
    floor = taken["floor"]
    return [
        Row(f"{what}, CPU seconds", limit, f"floor {floor:.3f}", taken[what], taken[what] / floor)
        for what, (_, limit) in COMMANDS.items()
    ]
