"""What is looked for: backward passes, each where it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    """How a backward pass is written."""

    FUNCTION = "function"
    CLASS = "class"
    TORCH_FUNCTION = "torch.autograd.Function"
    TORCH_LIBRARY = "torch.library"
    JAX = "jax.custom_vjp"
    AUTOGRAD = "defvjp"
    GRADIENT = "custom_gradient"
    CLOSURE = "closure"
    VALUE_AND_GRAD = "loss and gradient"
    PATTERN = "pattern"


@dataclass(frozen=True)
class BackwardPass:
    """A hand-written backward pass.

    Attributes:
        file: the file, as seen from the project.
        line: the line of its definition, from 1.
        name: what it is called in its file, dotted below classes; functions inside functions are below ``<locals>``.
        op: the name of the op, as far as its own name tells.
        kind: how it is written.

    """

    file: Path
    line: int
    name: str
    op: str
    kind: Kind

    @property
    def place(self) -> str:
        """Where it is: ``file:line``."""
        return f"{self.file.as_posix()}:{self.line}"


@dataclass(frozen=True)
class Trouble:
    """A file that could not be searched, and why."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file.as_posix()}: {self.reason}"


@dataclass(frozen=True)
class Discovery:
    """The backward passes of some sources, by file and line, and the files that could not be searched."""

    passes: tuple[BackwardPass, ...]
    troubles: tuple[Trouble, ...] = ()
    files: int = 0


Progress = Callable[[int], None]
"""Called with the number of files searched so far."""
