"""Commands as people give them: in this process where that tells enough, else in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

KERNELS = """
import os
import time
from pathlib import Path

Path("imported").touch()


def square(x):
    return x * x


def right(u, x):
    return 2 * x * u


def wrong(u, x):
    return -2 * x * u


def wrong_in_places(u, x):
    gradient = 2 * x * u
    gradient.flat[[1, 3, 4]] *= [1.5, 3.0, 1.1]
    return gradient


def divides_by_its_upstream(u, x):
    return 2 * x * u * u / u


def raises(u, x):
    raise ValueError("no gradient today")


def changes_its_input(x):
    y = x * x
    x *= 1.5
    return y


def talks(x):
    print("CHATTER")
    os.write(2, b"CHATTER")
    return x * x


def hangs(x):
    Path(f"hanging-{os.getpid()}").touch()
    while True:
        time.sleep(1)
"""


def spec(op: str, forward: str = "square", backward: str = "right", **keys: Any) -> dict[str, Any]:
    """Return the spec of an op of one input of five elements, its functions in ``kernels``."""
    return {
        "op": op,
        "target": {"forward": f"kernels:{forward}", "backward": f"kernels:{backward}"},
        "inputs": {"x": {"shape": [5], "range": [0.5, 1.5]}},
        **keys,
    }


UNDECIDED: dict[str, Any] = {"tolerance": {"rtol": 0.5, "reason": "to be too loose for any verdict"}}
"""What makes a right gradient inconclusive."""


def write_project(folder: Path, *specs: Mapping[str, Any], name: str = "specs") -> Path:
    """Write specs into a subfolder and ``kernels`` into the folder itself; return the file of the specs."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "kernels.py").write_text(textwrap.dedent(KERNELS))
    file = folder / name / "ops.yaml"
    file.write_text(yaml.safe_dump_all(specs, sort_keys=False))
    return file


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment less what decides on colour and width, with these variables."""
    kept = {name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | variables


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gradaudit", *arguments]


def members_of_session(leader: int) -> list[str]:
    """Return the command lines of the living processes of a session, by /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[:4]
            if int(session) == leader and state != "Z":
                found.append(folder.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:  # gone in between
            continue
    return found


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a process wrote, once it has ended; kill it where it does not."""
    try:
        return process.communicate(timeout=30)
    finally:
        process.kill()


def of_every_verdict() -> list[dict[str, Any]]:
    """Return specs that end in every verdict, in several dtypes: nine cases."""
    return [
        spec("right", dtype=["bfloat16", "float32", "float64"]),
        spec("wrong", backward="wrong_in_places", dtype=["float32", "complex128"]),
        spec("raises", backward="raises"),
        spec("undecided", **UNDECIDED),
        spec("known", backward="wrong", expect="fail"),
        spec("changes_its_input", forward="changes_its_input"),
    ]


def timeless(path: str = "out.json") -> dict[str, Any]:
    """Return a JSON report without times, and without what says that it is a shard's."""
    document: dict[str, Any] = json.loads(Path(path).read_text())
    del document["summary"]["seconds"]
    document.pop("shard", None)
    for result in document["results"]:
        del result["seconds"]
    return document
