"""What a run of many small specs costs for each: reading it, auditing it, and what the master does besides."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from cpu_time import Row, cpu_of
from startup import SPEC, SQUARES

TITLE = "Many cases"

SAID = (
    "{specs:,} specs, each a file of its own, of an op of three elements that is right. CPU time: of all processes "
    "of the run over two, as two cores share them; of the master alone, with its workers' left out; of loading alone. "
    "Beside it: the same specs audited in one process with `-j 0`."
)

SPECS = 10_000

LOADING = """\
import resource, sys, time
from pathlib import Path
from gradaudit.spec.load import load_specs
import gradaudit.spec.kinds
began = time.process_time()
load_specs([Path("specs")])
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

MASTER = """\
import sys, time
from gradaudit.cli import main
sys.argv = ["gradaudit", "run", "specs", "-j", "2", "--quiet"]
try:
    main()
finally:
    open("master", "w").write(str(time.process_time()))
"""


def said() -> str:
    """Return what the rows are about."""
    return SAID.format(specs=SPECS)


def written(folder: Path, specs: int) -> None:
    """Write specs, and the op of all of them."""
    (folder / "specs").mkdir()
    (folder / "squares.py").write_text(SQUARES)
    for number in range(specs):
        (folder / "specs" / f"op_{number:05}.yaml").write_text(SPEC.format(name=f"op_{number:05}"))


def rows(specs: int = SPECS) -> list[Row]:
    """Measure a run of so many specs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, specs)
        loading = cpu_of(
            [sys.executable, "-c", LOADING + "\nopen('loading', 'w').write(str(time.process_time() - began))"], folder
        )
        seconds = float((folder / "loading").read_text())
        alone = cpu_of([sys.executable, "-m", "gradaudit", "run", "specs", "-j", "0", "--quiet", "--no-store"], folder)
        began = time.monotonic()
        whole = cpu_of([sys.executable, "-c", MASTER], folder)
        wall = time.monotonic() - began
        master = float((folder / "master").read_text())
    share = (master - loading) / specs * 1e3
    beside = f"`-j 0`: {alone:.1f} s"
    return [
        Row("loading, milliseconds a case", "0.1", beside, seconds / specs * 1e3, seconds / alone),
        Row("the master's share besides, milliseconds a case", "0.1", beside, share, share * specs / 1e3 / alone),
        Row(f"{specs:,} specs on 2 cores, CPU seconds of each", "12", beside, whole / 2, whole / 2 / alone),
        Row("the same, seconds on the clock of this machine", "-", beside, wall, wall / alone),
    ]
