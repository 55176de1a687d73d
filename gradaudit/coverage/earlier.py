"""A project's sources and specs as they were at a commit, in a folder of their own."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".py", ".yaml", ".yml")
"""Of the files that are looked at."""


class NoCommitError(Exception):
    """There is no such commit, or no repository; says what git says."""


@dataclass(frozen=True)
class Earlier:
    """The files of a commit.

    Attributes:
        commit: its hash; empty where there is no commit yet, which has no files.
        top: the repository's folder.
        copy: the folder in which they lie as they lay in the repository's.

    """

    commit: str
    top: Path
    copy: Path

    def seen(self, path: Path) -> Path:
        """Return where the copy has what a path leads to today; itself where that is outside the repository."""
        path = path.resolve()
        return self.copy / path.relative_to(self.top) if path.is_relative_to(self.top) else path


@contextmanager
def earlier(folder: Path, since: str | None) -> Iterator[Earlier]:
    """Write the sources and specs of a commit into a folder, for as long as the context lasts.

    Args:
        folder: a folder of the repository.
        since: the commit is where today's left this one, as for a branch; None for today's, without what is not
            committed.

    Raises:
        NoCommitError: where there is no such commit, or no repository.

    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    commit = _commit(top, since)
    with tempfile.TemporaryDirectory(prefix="gradaudit-") as made:
        copy = Path(made).resolve() / top.name  # the name of which is a module's where a spec names none
        for name, content in _files(top, commit) if commit else ():
            file = copy / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        yield Earlier(commit, top, copy)


def _commit(top: Path, since: str | None) -> str:
    """Return the hash of the commit that is meant, an empty text where there is none yet."""
    if since is None and not _git(top, "rev-list", "--all", "--max-count=1"):
        return ""
    name = "HEAD" if since is None else _git(top, "merge-base", since, "HEAD").decode().strip()
    return _git(top, "rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()


def _files(top: Path, commit: str) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of a commit's files that are looked at."""
    listed = _git(top, "ls-tree", "-r", "-z", "--name-only", commit).decode(errors="surrogateescape").split("\0")
    names = [name for name in listed if name.endswith(SUFFIXES) and "\n" not in name]
    asked = "".join(f"{commit}:{name}\n" for name in names).encode(errors="surrogateescape")
    yield from zip(names, _contents(_git(top, "cat-file", "--batch", given=asked)), strict=True)


def _contents(answer: bytes) -> Iterator[bytes]:
    """Yield the contents of the objects in an answer of ``git cat-file --batch``: a line with its size before each."""
    start = 0
    while start < len(answer):
        end = answer.index(b"\n", start)
        _, kind, size = answer[start:end].rsplit(b" ", 2)
        yield answer[end + 1 : end + 1 + int(size)] if kind == b"blob" else b""
        start = end + int(size) + 2


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], input=given, capture_output=True, check=False)
    except OSError as error:
        raise NoCommitError(f"git cannot be called: {error.strerror or error}") from None
    if answer.returncode != 0:
        said = answer.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise NoCommitError(said or f"git {arguments[0]} found no common commit")
    return answer.stdout
