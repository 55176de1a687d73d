"""Searching source trees for backward passes: a file at a time, so that a tree of any size fits in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gradaudit.coverage.passes import BackwardPass, Discovery, Progress, Trouble
from gradaudit.coverage.pattern_passes import OutOfTime, Pattern, PatternError, pattern_passes, patterns_for
from gradaudit.coverage.python_passes import python_passes
from gradaudit.source.modules import MAX_SOURCE

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv", "env", "test", "tests"}
)
"""Folders below a source that are passed over, with all whose names begin with a dot: what is built, and tests."""

SKIPPED_FILES = ("test_*.py", "*_test.py", "conftest.py")
"""Files that are passed over: the functions that test a backward pass are often called like it."""

MAX_SLOW = 3
"""Files that patterns may run out of time in: one may be odd, with several it is the pattern."""


def discover(
    sources: Sequence[Path],
    patterns: Sequence[Pattern],
    ignore: Sequence[str] = (),
    base: Path | None = None,
    progress: Progress = lambda files: None,
) -> Discovery:
    """Find the backward passes in source files and folders.

    Links to folders are not followed, and a file that several links lead to is searched once. What cannot be read is
    told and does not end the search.

    Args:
        sources: files and folders.
        patterns: what to search files with that are not Python.
        ignore: patterns of file paths, and of names of backward passes, that are passed over.
        base: the folder that paths are told from; the current one by default.
        progress: called with the number of files searched so far.

    Raises:
        FileNotFoundError: where a source does not exist.
        PatternError: where patterns run out of time again and again.

    """
    base = (base or Path.cwd()).resolve()
    passes: list[BackwardPass] = []
    troubles: list[Trouble] = []
    count = 0
    for file in source_files(sources, base, ignore):
        fitting = patterns_for(file.name, patterns)
        if not fitting and file.suffix != ".py":
            continue
        count += 1
        progress(count)
        shown = _shown(file, base)
        found = _search(file, shown, fitting)
        if isinstance(found, str):
            troubles.append(Trouble(shown, found))
            _refuse_slow_patterns(troubles)
        else:
            passes += [one for one in found if not _ignored(one.name, ignore) and not _ignored(one.op, ignore)]
    passes.sort(key=lambda one: (one.file.as_posix(), one.line, one.name))
    return Discovery(tuple(passes), tuple(troubles), count)


def _refuse_slow_patterns(troubles: Sequence[Trouble]) -> None:
    slow = [trouble for trouble in troubles if isinstance(trouble.reason, OutOfTime)]
    if len(slow) >= MAX_SLOW:
        raise PatternError(f"{len(slow)} files ran out of time; change the pattern or ignore them: {slow[-1]}")


def _search(file: Path, shown: Path, patterns: Sequence[Pattern]) -> list[BackwardPass] | str:
    try:
        if file.stat().st_size > MAX_SOURCE:
            return f"is larger than {MAX_SOURCE // 2**20} MiB and was not searched"
        source = file.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return pattern_passes(source, shown, patterns) if patterns else python_passes(source, shown)


def source_files(sources: Sequence[Path], base: Path, ignore: Sequence[str]) -> Iterator[Path]:
    """Yield each file below the sources once, in a stable order."""
    seen: set[tuple[int, int]] = set()
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"the source {source} does not exist")
        root = source.resolve()
        for file in [root] if root.is_file() else _walk(root, base, ignore):
            try:
                status = file.stat()
            except OSError:  # a link that leads nowhere
                continue
            if (key := (status.st_dev, status.st_ino)) not in seen:
                seen.add(key)
                yield file


def _walk(folder: Path, base: Path, ignore: Sequence[str]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in SKIPPED_FOLDERS
            and not _ignored(_shown(here / name, base).as_posix(), ignore)
        )
        for name in sorted(names):
            path = here / name
            skipped = any(fnmatchcase(name, pattern) for pattern in SKIPPED_FILES)
            if not skipped and path.is_file() and not _ignored(_shown(path, base).as_posix(), ignore):
                yield path


def _ignored(word: str, ignore: Sequence[str]) -> bool:
    return any(fnmatchcase(word, pattern.rstrip("/")) for pattern in ignore)


def _shown(path: Path, base: Path) -> Path:
    return path.relative_to(base) if path.is_relative_to(base) else path
