"""Known failures in a file: one line for each gradient, to be committed beside the code that is adopted as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gradaudit.results import Result, Verdict
from gradaudit.store.records import Subject, subject_of

SCHEMA = 1


class BaselineError(Exception):
    """A file of known failures cannot be used; says which and why."""


@dataclass(frozen=True)
class Known:
    """A failure that is known: how the gradient ended, and why, when it was written down."""

    op: str
    case: str
    dtype: str
    input: str
    verdict: Verdict
    cause: str = ""

    @property
    def subject(self) -> Subject:
        """What it is about."""
        return self.op, self.case, self.dtype, self.input


@dataclass(frozen=True)
class Baseline:
    """Known failures, by what they are about."""

    known: Mapping[Subject, Known] = field(default_factory=dict)

    def forgives(self, result: Result) -> bool:
        """Whether a result that did not end as its spec expects is known: it ended no worse than it did before."""
        before = self.known.get(subject_of(result))
        return before is not None and result.verdict.severity <= before.verdict.severity

    def mended(self, result: Result) -> bool:
        """Whether a result ended as its spec expects that is among the known failures."""
        return result.expected and subject_of(result) in self.known

    def updated(self, found: Iterable[Known], audited: Iterable[Subject], *, whole: bool) -> Baseline:
        """Return the baseline after a run.

        Args:
            found: what failed in it.
            audited: what was audited in it.
            whole: whether that is all there is: what was not audited then is no more. Else it stays, unless its op was
                audited, whose cases have other names now.

        """
        ops = {op for op, *_ in audited}
        kept = {} if whole else {key: known for key, known in self.known.items() if known.op not in ops}
        return Baseline(kept | {known.subject: known for known in found})


def read_baseline(path: Path) -> Baseline:
    """Return the known failures of a file.

    Raises:
        BaselineError: where there is none, or it is not one that ``baseline_text`` wrote.

    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise BaselineError(f"{path} has schema {data['schema']!r}; this gradaudit knows {SCHEMA}")
        known = [_known(entry) for entry in data["known"]]
    except FileNotFoundError:
        raise BaselineError(
            f"there is no {path}: 'gradaudit run --baseline {path} --update-baseline' writes it"
        ) from None
    except OSError as error:
        raise BaselineError(f"{path} cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise BaselineError(f"{path}:{error.lineno}:{error.colno}: is not valid JSON: {error.msg}") from None
    except (KeyError, TypeError, ValueError) as error:
        said = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise BaselineError(f"{path} holds no known failures: {said}; --update-baseline rewrites it") from None
    return Baseline({entry.subject: entry for entry in known})


def _known(entry: Mapping[str, Any]) -> Known:
    names = {name: str(entry[name]) for name in ("op", "case", "dtype", "input")}
    return Known(**names, verdict=Verdict(entry["verdict"]), cause=str(entry.get("cause", "")))


def baseline_text(baseline: Baseline) -> str:
    """Return the file's text: sorted, a line for each gradient, so that a change shows as one."""
    lines = [json.dumps(asdict(known), ensure_ascii=False) for _, known in sorted(baseline.known.items())]
    body = ",\n".join(f"  {line}" for line in lines)
    return f'{{"schema": {SCHEMA}, "known": [\n{body}\n]}}\n' if lines else f'{{"schema": {SCHEMA}, "known": []}}\n'
