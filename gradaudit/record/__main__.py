"""Runs somebody's script, and keeps what is worth recording: ``python -m gradaudit.record FILE [-m] SCRIPT ...``."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from types import ModuleType

from gradaudit.record.calls import Recording
from gradaudit.record.instrument import Instruments
from gradaudit.record.traced import wait_for_values


def main() -> None:
    """Run a script as Python would, and write a recording however it ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started this passes Ctrl-C over, and we inherit that
    output, *words = sys.argv[1:]
    instruments = Instruments()
    try:
        path, package = _located(words)
        sys.argv = [path, *words[1 + (words[0] == "-m") :]]
        sys.path[0] = str(Path.cwd()) if words[0] == "-m" else str(Path(path).resolve().parent)
        module = ModuleType("__main__")
        module.__file__, module.__package__ = path, package
        module.__builtins__ = __builtins__  # type: ignore[attr-defined]
        instruments.install()
        code = instruments.compiled(Path(path).read_bytes(), path)
        sys.modules["__main__"] = module
        instruments.clock.begun = perf_counter()
        exec(code, module.__dict__)
    finally:
        wait_for_values()
        _recording(instruments).save(Path(output))


def _located(words: list[str]) -> tuple[str, str | None]:
    """Return the file of a script, and the package that a module belongs to; exits where there is none."""
    if words[0] != "-m":
        path = Path(words[0])
        path = path / "__main__.py" if path.is_dir() else path
        return str(path) if path.is_file() else sys.exit(f"can't open file '{path}'"), None
    sys.path[0] = str(Path.cwd())
    found = find_spec(words[1])
    if found is not None and found.submodule_search_locations is not None:
        found = find_spec(f"{words[1]}.__main__")
    if found is None or not found.origin or not found.origin.endswith(".py"):
        sys.exit(f"No module named {words[1]} that is written in Python")
    return found.origin, found.parent


def _recording(instruments: Instruments) -> Recording:
    clock = instruments.clock
    troubles = [*instruments.troubles, *(trouble for watch in instruments.watches for trouble in watch.troubles[:1])]
    watched = tuple(watch.watched for watch in instruments.watches)
    return Recording(
        watched, instruments.libraries.functions, tuple(troubles), perf_counter() - clock.begun, clock.spent
    )


if __name__ == "__main__":
    main()
