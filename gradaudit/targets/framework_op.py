"""Ops that are functions of a framework, whose own reverse mode is the analytical gradient.

What an op is called with it answers in kind. Of NumPy's arrays the framework makes its own inside a call, in the same
memory where it can. Arrays of the framework, which ``native`` makes, stay what and where they are: large ones are not
copied at every call. Backward calls forward anew, so that no state of an earlier call can be the answer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from gradaudit.numerics.arrays import LARGE, Array, dtype_name
from gradaudit.spec.dtypes import is_floating
from gradaudit.targets.op import OpError, raised

MOST_COLUMNS = 2048
"""Elements that forward mode is asked about, each with a tangent of its own."""


def upstream_name(k: int) -> str:
    """Return the name of the upstream of an output where it is an input itself: of the second order."""
    return f"upstream[{k}]"


def split_upstream(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[int, Any]]:
    """Return the inputs of a backward that are its op's own, and those that are upstreams, by the output's position."""
    found = {name: re.fullmatch(r"upstream\[(\d+)\]", name) for name in given}
    upstream = {int(match[1]): given[name] for name, match in found.items() if match}
    return {name: array for name, array in given.items() if not found[name]}, upstream


class UnusableError(Exception):
    """What a function of a framework takes or gives cannot be audited; the message says what was found."""


def needs_nothing(function: Any) -> bool:
    """Whether a function needs no arguments, and takes none in any number: it makes what is meant."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function in C
        return False
    taken = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return not any(
        one.kind is inspect.Parameter.VAR_POSITIONAL or (one.kind in taken and one.default is one.empty)
        for one in parameters
    )


class Differentiable(Protocol):
    """What a framework does for an op: its function called, and its reverse mode."""

    def outputs(self, inputs: Mapping[str, Array], wanted: frozenset[str]) -> tuple[Array | None, ...]:
        """Call the function and return its outputs in a fixed order, as arrays of the inputs' kind.

        An output that the framework holds for a constant, or that is no array, is None.

        Args:
            inputs: what the function takes, by position; a module's parameters by their names.
            wanted: the inputs whose gradients are asked for.

        """
        ...

    def gradients(
        self, upstream: Mapping[int, Array], inputs: Mapping[str, Array], wanted: frozenset[str]
    ) -> dict[str, Array]:
        """Call the function and then its reverse mode.

        Args:
            upstream: one gradient for each output that counts, by its position.
            inputs: as for ``outputs``.
            wanted: the inputs whose gradients are asked for.

        Returns:
            The gradients of the real number ``sum(Re(conj(u) f(x)))``, ``d/d(real) + i d/d(imaginary)`` for a complex
            input; zero where the outputs do not depend on an input.

        """
        ...


@dataclass(frozen=True)
class FrameworkOp:
    """An op in a framework.

    Attributes:
        function: what the framework does for it.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count; None for all that are floating and no constants.
        parameters: inputs that the function brings along, by name: a module's parameters.
        native: makes of NumPy's arrays such as the function works on, where it works; they are taken for inputs. None
            where it takes NumPy's only.
        large: bytes of an input from which on that is worth it.
        within: a context that such arrays are worked with in.
        written: what was given to make the op of.
        takes_outputs: whether backward is given what forward returned: the framework calls it again.

    """

    function: Differentiable
    constants: frozenset[str] = frozenset()
    counted: tuple[int, ...] | None = None
    parameters: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    native: Callable[[NDArray[Any]], Array] | None = None
    large: int = LARGE
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    written: Any = None
    takes_outputs: ClassVar[bool] = False

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return the outputs as arrays of the inputs' kind, None for those that are constants though floating.

        Raises:
            OpError: where the function raises, or returns nothing that can be differentiated.

        """
        try:
            outputs = self.function.outputs(inputs, self._wanted(inputs))
        except UnusableError as error:
            raise OpError(f"forward {error}") from None
        except (Exception, SystemExit) as error:
            raise raised("forward", error) from None
        for k in self.counted or ():
            if k >= len(outputs):
                raise OpError(f"forward returned {len(outputs)} outputs; the spec counts on output {k}")
            output = outputs[k]
            if output is None or not _is_floating(output):
                found = "constant to the framework" if output is None else f"an array of {dtype_name(output.dtype)}"
                raise OpError(f"the spec counts on output {k}, but it is {found}")
        if not self.differentiable_outputs(outputs):
            kinds = ("a constant" if out is None else f"an array of {dtype_name(out.dtype)}" for out in outputs)
            found = ", ".join(kinds)
            raise OpError(
                f"forward returned no output that depends on a differentiable input; found {found or 'nothing'}"
            )
        return outputs

    @property
    def stackable(self) -> bool:
        """Whether forward may be tried at several points in one call."""
        return hasattr(self.function, "stacked")

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return the outputs at points along a first axis, as the framework maps functions; none where it cannot."""
        stacked: Callable[..., tuple[Array | None, ...]] = getattr(self.function, "stacked")  # noqa: B009
        try:
            return stacked(inputs, varied, points, self._wanted(inputs))
        except (Exception, SystemExit):
            return ()

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the positions named by the spec, else those of all floating outputs that are no constants."""
        if self.counted is not None:
            return self.counted
        return tuple([k for k, out in enumerate(outputs) if out is not None and _is_floating(out)])

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients of reverse mode by input's name.

        Raises:
            OpError: where forward or the framework's reverse mode raises.

        """
        positions = self.differentiable_outputs(outputs)
        try:
            given = dict(zip(positions, upstream, strict=True))
            return dict(self.function.gradients(given, inputs, self._wanted(inputs)))
        except UnusableError as error:
            raise OpError(f"backward {error}") from None
        except (Exception, SystemExit) as error:
            raise raised("backward", error) from None

    def anew(self) -> FrameworkOp | None:
        """Return the op without what its framework keeps of earlier calls; None where it keeps nothing."""
        made: Callable[[], Differentiable] | None = getattr(self.function, "anew", None)
        return replace(self, function=made()) if made else None

    def in_training(self, inputs: Mapping[str, Array]) -> AskedInTraining | None:
        """Return the op as training asks it; None where no backward of its own is called, or where that cannot be."""
        again: Callable[[], Differentiable | None] | None = getattr(self.function, "again", None)
        own: Callable[..., Sequence[Callable[..., Any]]] | None = getattr(self.function, "written_backwards", None)
        second, wanted = again() if again else None, self._wanted(inputs)
        if second is None or own is None or not own(inputs, wanted):
            return None
        return AskedInTraining(self, replace(self, function=second), wanted)

    def uncompiled(self) -> FrameworkOp:
        """Return the op with nothing compiled, so that the functions that it calls may change between calls."""
        made: Callable[[], Differentiable] | None = getattr(self.function, "uncompiled", None)
        return replace(self, function=made()) if made else self

    def written_backwards(self, inputs: Mapping[str, Array] | None) -> tuple[Callable[..., Any], ...]:
        """Return the backwards that the function brings along; itself where all of its derivative is the framework's.

        Args:
            inputs: what it is called with, to see what it calls; None where it is not to be called.

        """
        own: Callable[..., Sequence[Callable[..., Any]]] | None = getattr(self.function, "written_backwards", None)
        found = own(inputs, self._wanted(inputs)) if own and inputs is not None else ()
        owner = getattr(self.written, "__self__", None)  # of Function.apply
        return tuple(found) or tuple(filter(callable, (getattr(owner, "backward", None) or self.written,)))

    def _wanted(self, inputs: Mapping[str, Array]) -> frozenset[str]:
        return frozenset([name for name, x in inputs.items() if _is_floating(x) and name not in self.constants])


@dataclass(frozen=True)
class AskedInTraining:
    """An op, asked as a framework asks it in training.

    Attributes:
        op: the op.
        again: the op whose gradients are those of a second backward over one graph.
        wanted: the inputs whose gradients are asked for.

    """

    op: FrameworkOp
    again: FrameworkOp
    wanted: frozenset[str]

    def for_input(self, name: str) -> FrameworkOp:
        """Return the op where no other input needs a gradient."""
        return replace(self.op, constants=self.op.constants | (self.wanted - {name}))

    def of_output(self, k: int) -> FrameworkOp:
        """Return the op where no other output has an upstream."""
        return replace(self.op, counted=(k,))


def _is_floating(array: Array) -> bool:
    return _has_derivatives(array.dtype)


@cache
def _has_derivatives(dtype: Any) -> bool:
    return is_floating(dtype_name(dtype))
