"""Child processes that misbehave in each way that the tests know, each beside an honest op."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "targets"))

from misbehaving_child import ANSWERS, DEEDS, DESCRIPTIONS, SEVERAL  # noqa: E402 (the same that the tests know)

from gradaudit.engine.events import CaseFinished, Event  # noqa: E402
from gradaudit.engine.run import run_specs  # noqa: E402
from gradaudit.results import Result, Verdict  # noqa: E402
from gradaudit.spec.load import load_specs  # noqa: E402

OF_SEVERAL = ("nothing", "the first only", "the first axis last", "one too few", "float32", "half", "an error", "zeros")

BEHAVIOURS = (
    *DEEDS,
    *(f"{deed} later" for deed in DEEDS),
    *ANSWERS,
    *DESCRIPTIONS,
    "unread",
    "misnamed gradient",
    "narrow gradient",
    *(f"{SEVERAL}{how}" for how in (*DEEDS, *OF_SEVERAL)),
)

HONEST = "def forward(x):\n    return x * x\n\ndef backward(u, x):\n    return 2 * x * u\n"


def misbehaving_children() -> tuple[int, Counter[str]]:
    """Return how many behaviours there are, and how their audits ended; what should not be stands under its name."""
    ends: Counter[str] = Counter()
    results: dict[str, Result] = {}

    def emit(event: Event) -> None:
        if isinstance(event, CaseFinished):
            results[event.results[0].op] = event.results[0]

    with tempfile.TemporaryDirectory() as name:
        for k, behaviour in enumerate(BEHAVIOURS):
            _write(Path(name, str(k)), k, behaviour)
        run_specs(load_specs([Path(name)]), emit, jobs=2, timeout=20)
        for k in range(len(BEHAVIOURS)):
            result = results[f"child_{k}"]
            ends[str(result.verdict)] += 1
            ends["without a word"] += result.verdict is not Verdict.PASS and not result.message
            ends["tracebacks"] += "Traceback" in result.message
            ends["honest verdicts changed"] += results[f"honest_{k}"].verdict is not Verdict.PASS
            ends["children left"] += any(_lives(file) for file in Path(name, str(k)).glob("*child"))
    return len(BEHAVIOURS), ends


def _write(folder: Path, k: int, behaviour: str) -> None:
    folder.mkdir()
    (folder / "honest.py").write_text(HONEST)
    child = [sys.executable, "-S", str(ROOT / "tests" / "targets" / "misbehaving_child.py")]
    targets = {
        f"child_{k}": {"process": {"command": child, "op": behaviour, "timeout": 2.0}},
        f"honest_{k}": {"forward": "honest:forward", "backward": "honest:backward"},
    }
    inputs = {"x": {"shape": [3], "range": [0.5, 1.5]}}
    documents = [{"op": op, "target": target, "inputs": inputs} for op, target in targets.items()]
    (folder / "specs.yaml").write_text(yaml.safe_dump_all(documents))


def _lives(file: Path) -> bool:
    """Whether the process whose number stands in a file is still there."""
    try:
        os.kill(int(file.read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    print(misbehaving_children())
