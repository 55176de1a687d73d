"""What a user's code raises, and what is found instead of what a description says, in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gradaudit.models.tapes.tape import TapeError
from gradaudit.targets.op import OpError, raised


@contextmanager
def tape_in_words() -> Iterator[None]:
    """Turn what is found on a tape instead of what its description says into an ``OpError``."""
    try:
        yield
    except TapeError as error:
        raise OpError(str(error)) from None


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Turn what a user's code raises, or what is found instead of what a description says, into an ``OpError``."""
    try:
        with tape_in_words():
            yield
    except OpError:
        raise
    except (Exception, SystemExit) as error:
        raise raised(what, error) from None
