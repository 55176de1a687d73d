"""Guesses for pairs of C functions: how large their buffers are is found by calling them.

Forward is called with buffers that are too large. What it writes is an output, as far as it writes. An input ends where
changing all that lies behind changes no output.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.naming import forward_among, naming
from gradaudit.drafts.arguments import UPSTREAM
from gradaudit.drafts.c_build import HEADERS, BuildError, Built, built
from gradaudit.drafts.guess import Found, Guess, bare_case
from gradaudit.drafts.inputs import Candidate, drawn
from gradaudit.drafts.settings import setting
from gradaudit.spec.declarations import FLOATS, Declaration, Parameter, declarations
from gradaudit.spec.library_target import meanings
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.targets import open_op
from gradaudit.targets.library import call_function
from gradaudit.targets.op import OpError

Array = NDArray[Any]

ROOM = 4096
"""Elements of the buffers that a function is tried with."""

SIZES = (
    (4, 6, 5, 7, 9, 8, 11, 13),
    (4, 5, 6, 7, 9, 8, 11, 13),
    (2, 3, 9, 8, 5, 4, 6, 7),
    (2, 3, 9, 8, 5, 4, 2, 2),
    (2, 9, 8, 3, 5, 4, 2, 2),
    (9, 2, 5, 3, 7, 4, 6, 8),
)
"""Sizes for arguments that are whole numbers, in their order: no two alike, or the later ones small, as kernels are."""

LABELS = 3
"""Whole numbers in buffers are below this, so that they can be labels and indices."""

KNOWN = re.compile(r"stride|pad(ding)?|kernel_?size|groups?|dilation|n_?heads?|num_heads|nh|axis|seed|training|train")
ALONE = 12
"""The size where there is only one."""

RANGES = ((-2.0, 2.0), (0.25, 2.0), (0.05, 0.95))


class NoCallError(Exception):
    """It cannot be told how a function is called; says why."""


def c_guess(file: Path, name: str) -> Found:
    """Return how a backward in a C source is called, tried.

    Raises:
        NoCallError: where that cannot be told, or the source cannot be built.

    """
    text = file.read_text(errors="replace")
    known = declarations(text)
    for header in (one for one in sorted(file.parent.iterdir()) if one.suffix in HEADERS):
        known |= {key: one for key, one in declarations(header.read_text(errors="replace")).items() if key not in known}
    named = naming(name)
    forward = forward_among(named, [one for one in known if one != name]) if named else ""
    if name not in known or not forward:
        raise NoCallError(f"there is no forward beside {name}" if name in known else f"{name} has no plain declaration")
    for one in (*known[name].parameters, *known[forward].parameters):
        if not one.dtype:
            raise NoCallError(
                f"its argument {one.name} is of type '{one.kind}', neither a number nor a pointer to numbers"
            )
    try:
        libraries = built(file)
    except BuildError as error:
        raise NoCallError(str(error)) from None
    return Trial(file, known[forward], known[name], libraries, adds_up(text)).found()


ADDED = re.compile(r"\b(?:d\w*|grad\w*|\w+_grad)\s*\[[^;=\n]*\]\s*(\+?)=(?!=)")


def adds_up(text: str) -> bool | None:
    """Whether the backwards of a source add to their buffers, all but a few; None where some do and some do not."""
    signs = ADDED.findall(text)
    if not signs:
        return None
    share = sum(sign == "+" for sign in signs) / len(signs)
    return True if share >= 0.75 else None


@dataclass(frozen=True)
class Trial:
    """A pair of functions that is called to find out how.

    Attributes:
        file: the source, or a header beside the library.
        forward: the declaration of forward.
        backward: the declaration of backward.
        libraries: where they are.
        accumulates: whether backward adds to its buffers; None where nobody knows.
        known: numbers that are not to be chosen.

    """

    file: Path
    forward: Declaration
    backward: Declaration
    libraries: Built
    accumulates: bool | None
    known: Mapping[str, Any] = field(default_factory=dict)

    def found(self) -> Found:
        """Return the first guess whose forward writes something that is finite."""
        reason = "its forward writes into none of its buffers, and returns no number"
        for sizes, limits in itertools.product(SIZES, RANGES):
            params = {**_params(self.forward, self.backward, sizes), **self.known}
            try:
                written = self._written(params, limits)
            except OpError as error:
                reason = str(error)
                continue
            outputs = [one.name for one in self.forward.parameters if one.name in written]
            if not outputs and self.forward.returns not in FLOATS:
                continue
            first = self._leading(outputs)
            if outputs and not np.isfinite(written[first]).all():
                reason = "its forward gives numbers that are not finite, or leaves gaps in its output"
                continue
            rest = [one for one in outputs if one != first]
            return self._with_shapes(params, limits, [*([first] if first else []), *rest], written)
        raise NoCallError(reason)

    def _leading(self, outputs: Sequence[str]) -> str:
        """Return the output that backward takes an upstream for, the first where it is not told; empty for none."""
        constant = {one.name.lower() for one in self.backward.parameters if one.constant}
        for name in outputs:
            if constant & {f"d{name.lower()}", f"d_{name.lower()}", f"grad_{name.lower()}", f"{name.lower()}_grad"}:
                return name
        return next(iter(outputs), "")

    @property
    def _path(self) -> Path:
        return Path(self.libraries.float64 or self.libraries.path)

    def _call(self, function: Declaration, given: Mapping[str, Array], params: Mapping[str, Any]) -> dict[str, Array]:
        buffers, _ = call_function(self._path, function, given, params, double=bool(self.libraries.float64))
        return {name: buffer.array for name, buffer in buffers.items()}

    def _results(self, given: Mapping[str, Array], params: Mapping[str, Any], outputs: Sequence[str]) -> list[Any]:
        """Return what forward writes into its outputs, and what it returns."""
        wide = bool(self.libraries.float64)
        buffers, returned = call_function(self._path, self.forward, given, params, double=wide)
        return [*(buffers[name].array for name in outputs), 0.0 if returned is None else returned]

    def _filled(self, one: Parameter, limits: tuple[float, float]) -> Array:
        rng = np.random.default_rng(sum(map(ord, one.name)))
        return rng.uniform(*limits, ROOM) if one.floating else rng.integers(0, LABELS, ROOM)

    def _written(self, params: Mapping[str, Any], limits: tuple[float, float]) -> dict[str, Array]:
        """Return what forward writes into each of its buffers that it writes into, as far as it writes."""
        before = {one.name: self._filled(one, limits) for one in self.forward.parameters if one.pointer}
        after = self._call(self.forward, before, params)
        for one in self.forward.parameters:  # what is not written at all shows as no number
            if one.name in before and one.floating and not one.constant and self._is_written(after, before, one.name):
                before[one.name] = np.full(ROOM, np.nan)
        after = self._call(self.forward, before, params)
        changed = {
            name: (after[name] != _as(before[name], after[name])) & ~(np.isnan(after[name]) & np.isnan(before[name]))
            if after[name].dtype.kind == "f"
            else after[name] != _as(before[name], after[name])
            for name in before
        }
        return {
            name: after[name][: int(np.flatnonzero(where)[-1]) + 1] for name, where in changed.items() if where.any()
        }

    def _is_written(self, after: Mapping[str, Array], before: Mapping[str, Array], name: str) -> bool:
        return bool((after[name] != _as(before[name], after[name])).any())

    def _with_shapes(
        self, params: Mapping[str, Any], limits: tuple[float, float], outputs: list[str], written: Mapping[str, Array]
    ) -> Found:
        pointers = [one for one in self.forward.parameters if one.pointer and one.name not in outputs]
        sizes = {one.name: self._extent(one, pointers, outputs, params, limits) for one in pointers}
        inputs = [one for one in pointers if sizes[one.name]]
        numbers = {key: value for key, value in params.items() if isinstance(value, int)}
        chosen = {
            one.name: Candidate(shape_of(sizes[one.name], numbers), "floats" if one.floating else "labels", LABELS)
            for one in inputs
        }
        gradients = self._gradients([one.name for one in inputs], outputs)
        answered = tuple(one.name for one in inputs if one.name in gradients.values() and one.floating)
        if not answered:
            raise NoCallError(f"none of {self.backward.name}'s buffers is named as a gradient of its inputs")
        target = LibraryTarget(
            path=self.libraries.path,
            header=str(self._header()),
            float64=self.libraries.float64,
            forward=self.forward.name,
            backward=self.backward.name,
            outputs={name: shape_of(len(written[name]), numbers) for name in outputs},
            gradients=gradients,
            accumulates=self.accumulates,
            differentiable_outputs=None,
            folder=self.file.parent,
        )
        begins = {True: ", added to its buffers", False: "", None: ""}[self.accumulates]
        takes = ", ".join(one.name for one in self.backward.parameters)
        guess = Guess(target, answered, f"{self.backward.name}({takes}) gives {', '.join(answered)}{begins}")
        found = Found(guess, chosen, limits, params)
        if self._overruns(found):  # an index that is not drawn now may be at another time
            larger = {
                name: replace(one, shape=shape_of(_rounded_up(math.prod(one.shape), numbers), numbers))
                for name, one in chosen.items()
            }
            found = replace(found, chosen=larger)
        return found

    def _overruns(self, found: Found) -> bool:
        op = open_op(bare_case(found.guess.target, found.params))
        inputs = {name: np.full(one.shape, LABELS - 1) for name, one in found.chosen.items() if one.values == "labels"}
        inputs |= {name: drawn(name, one, found.limits) for name, one in found.chosen.items() if name not in inputs}
        inputs = {name: inputs[name] for name in found.chosen}
        try:
            outputs = op.forward(inputs)
            op.backward((np.ones_like(outputs[0]),), inputs, outputs)
        except OpError as error:
            return "writes behind the end" in str(error)
        return False

    def _header(self) -> Path:
        text = declarations(self.file.read_text(errors="replace"))
        if self.forward.name in text and self.backward.name in text:
            return self.file
        holders = [one for one in self.file.parent.iterdir() if one.suffix in HEADERS]
        return next(one for one in holders if self.backward.name in declarations(one.read_text(errors="replace")))

    def _extent(
        self,
        one: Parameter,
        pointers: Sequence[Parameter],
        outputs: Sequence[str],
        params: Mapping[str, Any],
        limits: tuple[float, float],
    ) -> int:
        """Return how many elements of an input bear on the outputs."""
        given = {other.name: self._filled(other, limits) for other in pointers}
        given |= {name: np.zeros(ROOM) for name in outputs}
        if one.floating:  # the last row of a table counts
            given |= {other.name: np.full(ROOM, LABELS - 1) for other in pointers if not other.floating}
        plain = self._results(given, params, outputs)

        def matters(begin: int) -> bool:
            for change in (10.0, -10.0, 0.25) if one.floating else (1, 2):
                tail = given[one.name].copy()
                tail[begin:] = tail[begin:] + change if one.floating else (tail[begin:] + change) % LABELS
                now = self._results(given | {one.name: tail}, params, outputs)
                if any(not np.array_equal(*pair, equal_nan=True) for pair in zip(now, plain, strict=True)):
                    return True
            return False

        low, high = 0, ROOM
        while low < high:  # the first place behind which nothing matters
            middle = (low + high) // 2
            if matters(middle):
                low = middle + 1
            else:
                high = middle
        return low

    def _gradients(self, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
        """Return what each pointer of backward is the gradient of."""
        found = meanings(self.backward, inputs, outputs)
        left = [
            one
            for one in self.backward.parameters
            if one.pointer and one.name not in found and one.name not in (*inputs, *outputs)
        ]
        for one in left:
            if outputs and outputs[0] not in found.values() and (one.constant or UPSTREAM.fullmatch(one.name.lower())):
                found[one.name] = outputs[0]
            else:
                raise NoCallError(f"what its argument {one.name} is")
        if outputs and outputs[0] not in found.values():
            raise NoCallError("it takes no gradient of its output")
        return found


def _as(array: Array, like: Array) -> Array:
    return array.astype(like.dtype)


def _params(forward: Declaration, backward: Declaration, several: Sequence[int]) -> dict[str, Any]:
    """Return values for all arguments that are numbers: sizes that differ, and settings by name."""
    scalars = {one.name: one for one in (*forward.parameters, *backward.parameters) if not one.pointer}
    sizes = [name for name, one in scalars.items() if not one.floating and not KNOWN.fullmatch(name.lower())]
    free = itertools.cycle(several)
    params: dict[str, Any] = {}
    for name, one in scalars.items():
        if one.floating:
            value = setting(name)
            params[name] = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.7
        elif name in sizes:
            params[name] = ALONE if len(sizes) == 1 else next(free)
        elif re.fullmatch(r"n_?heads?|num_heads|nh", name.lower()):
            params[name] = 2
        else:
            params[name] = int(setting(name) or 3)
    return params


def _rounded_up(size: int, numbers: Mapping[str, int]) -> int:
    """Return the least product of params that is at least so large; the size itself where there is none."""
    values = [value for value in numbers.values() if value > 1]
    products = {
        math.prod(some) for count in range(1, len(values) + 1) for some in itertools.combinations(values, count)
    }
    return min((one for one in products if one >= size), default=size)


def shape_of(size: int, numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Return a shape of this size: numbers in their order, the most, each once if it can be; else one axis."""
    values = [value for value in numbers.values() if value > 1]
    once = (some for count in range(len(values), 0, -1) for some in itertools.combinations(values, count))
    again = (some for count in (2, 3, 4) for some in itertools.combinations_with_replacement(values, count))
    return next((some for some in itertools.chain(once, again) if math.prod(some) == size), (size,))
