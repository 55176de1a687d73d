"""Failing cases of earlier explorations, kept as the texts of their specs: they are tried first."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, InMemoryExampleDatabase

from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs


class Kept:
    """What is kept of failing cases, in a database of Hypothesis.

    Args:
        folder: where it is; None for this process only.

    """

    def __init__(self, folder: Path | None) -> None:
        self._database: ExampleDatabase = (
            InMemoryExampleDatabase() if folder is None else DirectoryBasedExampleDatabase(folder)
        )

    def add(self, op: str, text: str) -> None:
        """Keep the spec of a failing case of an op."""
        self._database.save(op.encode(), text.encode())

    def drop(self, op: str, text: str) -> None:
        """Forget the spec of a case that does not fail any more."""
        self._database.delete(op.encode(), text.encode())

    def of(self, op: str) -> list[tuple[str, Case]]:
        """Return the specs of an op that are kept, the shortest first, and the case of each; unreadable ones go."""
        found = []
        for text in sorted((made.decode() for made in self._database.fetch(op.encode())), key=lambda t: (len(t), t)):
            try:
                found.append((text, case_of(text)))
            except SpecError:
                self.drop(op, text)
        return found


def case_of(text: str) -> Case:
    """Return the only case of a spec whose text names its folders in full.

    Raises:
        SpecError: where it is no spec.

    """
    with TemporaryDirectory(prefix="gradaudit-") as aside:
        file = Path(aside, "found.yaml")
        file.write_text(text, encoding="utf-8")
        return load_specs([file]).cases[0]
