"""The protocol that every op speaks, whatever its framework, and the error of those that do not work."""

from __future__ import annotations

import importlib
import linecache
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gradaudit.results import Finding

Array = Any
"""An array of the op's own framework; NumPy's for Python targets."""


class OpError(Exception):
    """The op gave nothing that can be audited: it raised, or returned something else than arrays.

    Carries the finding that names it, where there is one.
    """

    def __init__(self, message: str, finding: Finding | None = None) -> None:
        super().__init__(message)
        self.finding = finding


class LostOpError(Exception):
    """The op cannot be called any more, at whatever inputs: the process that it lives in has ended, hangs or errs."""


class Op(Protocol):
    """A differentiable operation with its params bound."""

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return all outputs for these inputs.

        Raises:
            OpError: where the implementation raises or returns no arrays.
            LostOpError: where it cannot be called any more.

        """
        ...

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        """Return the positions of the outputs that upstream gradients belong to."""
        ...

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return the vector-Jacobian product for each input that backward answers for.

        ``upstream`` holds one gradient for each differentiable output; ``outputs`` is what forward returned for these
        inputs.

        Raises:
            OpError: where the implementation raises or returns another number of gradients.
            LostOpError: where it cannot be called any more.

        """
        ...


@runtime_checkable
class OpOfMany(Op, Protocol):
    """An op that evaluates forward at several points faster than one after the other.

    What it is given then, it leaves as it is: nobody watches.
    """

    def forward_many(
        self, inputs: Mapping[str, Array], varied: str, points: Array
    ) -> Sequence[tuple[Array, ...] | None]:
        """Return all outputs at each of several points, as ``forward`` does bit by bit, None where that would raise.

        Args:
            inputs: those of one point.
            varied: the input that differs from point to point.
            points: its contents at each, along a first axis and in C order, whatever the input's own layout.

        Raises:
            OpError: where the implementation returns something else than the outputs of so many points.
            LostOpError: where it cannot be called any more.

        """
        ...


class StackableOp(Op, Protocol):
    """An op whose forward may take several points in one call, stacked along a first axis: it is tried, never assumed.

    Attributes:
        stackable: whether it is worth a try: whether calls share nothing that such a one could spoil.

    """

    stackable: bool

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return the outputs at several points as NumPy's arrays; none where they cannot be had like this.

        Args:
            inputs: those of one point.
            varied: the input that differs from point to point.
            points: its contents at each, along a first axis and in C order, whatever the input's own layout.

        """
        ...


def raised(what: str, error: BaseException) -> OpError:
    """Return the error to report for an exception out of an op's own code, with the last frame of its traceback."""
    said = f"{what} raised {shortened(type(error).__name__)}"
    if isinstance(error, SystemExit):
        said = f"{what} called sys.exit({_text(lambda: repr(error.code))})"
    elif isinstance(error, MemoryError):
        said = f"{what} ran out of memory"
    if text := _text(lambda: str(error).strip()):
        said += f": {text}" if not isinstance(error, SystemExit) else ""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the call in our own code
    frames = [frame for frame in frames if not frame.filename.startswith((*_IMPORT_MACHINERY, *_OURS))]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    for frame in own[-1:] + [frame for frame in frames[-1:] if frame not in own]:
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        place = f"{shortened(frame.filename)}:{frame.lineno}, in {shortened(frame.name)}"
        said += f"\n  {place}" + (f": {shortened(line)}" if line else "")
    return OpError(said)


MOST_TEXT = 4_000
"""Characters of what an op says that are kept: it may put a whole array, or gigabytes, into an exception."""


def _text(say: Callable[[], str]) -> str:
    """Return what an exception says, shortened."""
    try:
        return shortened(say())
    except (Exception, SystemExit) as trouble:
        return f"(its text is not available: {shortened(type(trouble).__name__)})"


def shortened(text: str, most: int = MOST_TEXT) -> str:
    """Return a text, without its middle where it has more than about so many characters."""
    left_out = len(text) - most
    if left_out <= 40:  # no more than what would stand in its place
        return text
    return f"{text[: most // 2]} ({left_out:,} characters) {text[-most // 2 :]}"


_IMPORT_MACHINERY = ("<frozen importlib", str(importlib.__file__))
"""Frames of the import system say nothing about the module that it imports."""

_OURS = tuple(str(Path(__file__).parent.parent / name) for name in ("targets", "models"))
"""Nor do those of a target, or of a tape, about the function that it calls."""

_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
"""Where frames lie that say less about an error than the op's own, which called them."""
