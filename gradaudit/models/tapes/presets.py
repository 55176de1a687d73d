"""Tapes by name: those that are descriptions, and those whose frameworks keep what no description can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from gradaudit.models.tapes.described import described
from gradaudit.models.tapes.tape import Tape
from gradaudit.spec.tape import TapeDescription, TapePreset

ADAPTERS: Mapping[str, str] = {
    "torch": "gradaudit.models.tapes.torch:TorchTape",
    "tinygrad": "gradaudit.models.tapes.tinygrad:TinygradTape",
}
"""By preset, the class of a tape that is code; its module imports the framework."""


def tape_of(tape: TapePreset | TapeDescription, find: Callable[[str], Any]) -> Tape:
    """Return the tape that a spec means.

    Args:
        tape: a preset that is code, or a description.
        find: returns what ``module:name`` names.

    Raises:
        TapeError: where a description does not fit what it describes.

    """
    if isinstance(tape, TapeDescription):
        return described(tape, find)
    module, _, name = ADAPTERS[tape].partition(":")
    made: Tape = getattr(import_module(module), name)()
    return made
