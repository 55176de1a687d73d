"""Tapes by name: those that are descriptions, and those whose frameworks keep what no description can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from gradaudit.spec.tape import TapeDescription, TapePreset
from gradaudit.targets.tapes.described import described
from gradaudit.targets.tapes.tape import Tape

ADAPTERS: Mapping[str, str] = {
    "torch": "gradaudit.targets.tapes.torch:TorchTape",
    "tinygrad": "gradaudit.targets.tapes.tinygrad:TinygradTape",
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
