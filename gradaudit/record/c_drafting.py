"""From calls of C functions to cases: pointers have the shapes of the arrays that they pointed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.naming import forward_among, naming
from gradaudit.drafts.c_build import Built
from gradaudit.drafts.c_functions import NoCallError, Trial, adds_up, shape_of
from gradaudit.drafts.draft import NoGuessError
from gradaudit.drafts.guess import Found, bare_case
from gradaudit.drafts.inputs import planned
from gradaudit.record.calls import CArgument, CCall, CFunction
from gradaudit.record.drafting import RECORDED, REDRAWN, Drafted
from gradaudit.spec.case import Case, Input, Location
from gradaudit.spec.declarations import Declaration, declarations
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.library_target import meanings
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.targets import open_op
from gradaudit.targets.op import OpError

Array = NDArray[Any]

SOURCES = (".h", ".hpp", ".c", ".cc", ".cpp", ".cxx", ".cu")


def draft_functions(functions: Sequence[CFunction], name: str, op: str) -> Drafted:
    """Return the cases of a backward among functions of one library; never raises for what it does.

    Args:
        functions: those that were called.
        name: of the backward.
        op: the name of the op in reports.

    """
    library = functions[0].library
    try:
        group, remarks = _CDrafting(tuple(functions), name, op).cases()
    except (NoGuessError, OpError) as error:
        return Drafted(library.name, name, library, (), str(error).split("\n")[0])
    return Drafted(library.name, name, library, (group,), group[0].notes, remarks)


def backwards_among(functions: Sequence[CFunction]) -> list[str]:
    """Return the names of functions that are backwards of others that were called as well."""
    names = [one.name for one in functions]
    return [name for name in names if (named := naming(name)) and forward_among(named, [n for n in names if n != name])]


@dataclass(frozen=True)
class _CDrafting:
    functions: tuple[CFunction, ...]
    name: str
    op: str

    def cases(self) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """Return the case with the script's values, and the one at other sizes."""
        known = {one.name: one for one in self.functions}
        named = naming(self.name)
        forward = known[forward_among(named, [name for name in known if name != self.name])] if named else None
        assert forward is not None
        backward = known[self.name]
        header = self._header(forward, backward)
        text = header.read_text(errors="replace")
        declared = declarations(text)
        called = _Called(declared[forward.name], forward.calls), _Called(declared[backward.name], backward.calls)
        for one in called:
            one.check()
        return _Pair(self.op, *called, forward.library, header, self._adds(forward.library, text)).cases()

    def _header(self, forward: CFunction, backward: CFunction) -> Path:
        """Return a file near the library that declares both functions."""
        places = dict.fromkeys((forward.library.parent, Path.cwd(), forward.library.parent.parent))
        files = [file for place in places for suffix in SOURCES for file in sorted(place.glob(f"*{suffix}"))]
        for file in files:
            if {forward.name, backward.name} <= declarations(file.read_text(errors="replace")).keys():
                return file
        names = f"{forward.name} and {backward.name}"
        raise NoGuessError(f"no header or source near {forward.library.name} declares {names}: put one there")

    def _adds(self, library: Path, text: str) -> bool | None:
        sources = [file for file in library.parent.iterdir() if file.suffix in SOURCES]
        return adds_up("\n".join([text, *(file.read_text(errors="replace") for file in sources)]))


@dataclass(frozen=True)
class _Called:
    """A function as it is declared, with calls of it."""

    declared: Declaration
    calls: tuple[CCall, ...]

    def check(self) -> None:
        """Raise NoGuessError where a call does not fit the declaration."""
        name, parameters = self.declared.name, self.declared.parameters
        for one in parameters:
            if not one.dtype:
                raise NoGuessError(f"{name} takes {one.name} of type '{one.kind}'; a spec knows numbers and pointers")
        if len(self.calls[-1].arguments) != len(parameters):
            raise NoGuessError(
                f"{name} was called with {len(self.calls[-1].arguments)} arguments, not {len(parameters)}"
            )

    def last(self) -> dict[str, CArgument]:
        """Return the arguments of the last call by name."""
        return dict(zip((one.name for one in self.declared.parameters), self.calls[-1].arguments, strict=True))

    def written(self) -> list[str]:
        """Return the pointers that a call changed what they point to."""
        found = []
        for k, one in enumerate(self.declared.parameters):
            pairs = [(call.arguments[k].before, call.arguments[k].after) for call in self.calls]
            changed = any(
                b is not None and a is not None and not np.array_equal(b, a, equal_nan=True) for b, a in pairs
            )
            if one.pointer and not one.constant and changed:
                found.append(one.name)
        return found


@dataclass(frozen=True)
class _Pair:
    op: str
    forward: _Called
    backward: _Called
    library: Path
    header: Path
    adds: bool | None

    def cases(self) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        given, numbers = self.forward.last(), self._numbers()
        outputs = self.forward.written()
        if not outputs and self.forward.declared.returns not in ("float", "double"):
            raise NoGuessError(f"{self.forward.declared.name} wrote into none of its buffers, and returned no number")
        inputs = {
            one.name: _shaped(given[one.name].before, numbers, one.name)
            for one in self.forward.declared.parameters
            if one.pointer and one.name not in outputs and not _is_null(given[one.name])
        }
        gradients = self._gradients(list(inputs), outputs)
        found = self._found(numbers)
        target = LibraryTarget(
            path=str(self.library),
            header=str(self.header),
            float64="",
            forward=self.forward.declared.name,
            backward=self.backward.declared.name,
            outputs=self._shapes(numbers, found),
            gradients=gradients,
            accumulates=self.adds,
            differentiable_outputs=None,
            folder=Path.cwd(),
        )
        own = self._case(RECORDED, target, numbers, [_given(name, one, gradients) for name, one in inputs.items()])
        if self.adds is None:
            target = replace(target, accumulates=_adds(own))
            own = replace(own, target=target)
        _gradients(own)
        if found is not None:
            drawn = [
                planned(name, one, found.limits, differentiable=name in gradients.values())
                for name, one in found.chosen.items()
            ]
            again = self._case(REDRAWN, target, found.params, [self._in_own_dtype(one) for one in drawn])
            with suppress(NoGuessError, OpError):
                _gradients(again)
                return (own, again), ()
        return (own,), ("only the script's own values are written: it does not run with others",)

    def _found(self, numbers: Mapping[str, Any]) -> Found | None:
        """Return the pair at sizes of which no two are equal: where buffers end then is found by calling it."""
        kept = {name: value for name, value in numbers.items() if isinstance(value, float)}
        trial = Trial(
            self.header, self.forward.declared, self.backward.declared, Built(str(self.library), ""), self.adds, kept
        )
        try:
            return trial.found()
        except (NoCallError, OpError):
            return None

    def _shapes(self, numbers: Mapping[str, Any], found: Found | None) -> dict[str, tuple[int | str, ...] | str]:
        """Return the shapes of outputs in the names of numbers: those that fit at other sizes, which differ."""
        if found is not None and isinstance(found.guess.target, LibraryTarget):
            shapes = found.guess.target.outputs
            return {
                name: _in_params(shape, found.params) for name, shape in shapes.items() if not isinstance(shape, str)
            }
        given = self.forward.last()
        written = {name: _shaped(given[name].after, numbers, name).shape for name in self.forward.written()}
        return {name: _in_params(shape, numbers) for name, shape in written.items()}

    def _in_own_dtype(self, made: Input) -> Input:
        """Return an input in the dtype that its pointer has."""
        return replace(made, dtype=next(one.dtype for one in self.forward.declared.parameters if one.name == made.name))

    def _numbers(self) -> dict[str, Any]:
        """Return the arguments that are numbers, of forward and of backward."""
        found: dict[str, Any] = {}
        for called in (self.backward, self.forward):
            for one, value in zip(called.declared.parameters, called.last().values(), strict=True):
                if not one.pointer:
                    if value.number is None:
                        raise NoGuessError(f"the value of {one.name} in a call of {called.declared.name} is not known")
                    found[one.name] = float(value.number) if one.floating else int(value.number)
        return found

    def _gradients(self, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
        """Return what each pointer of backward is the gradient of: by its name, else the upstream by its shape."""
        found = meanings(self.backward.declared, inputs, outputs)
        given = self.backward.last()
        written = self.backward.written()
        for one in self.backward.declared.parameters:
            if not one.pointer or one.name in found or one.name in (*inputs, *outputs) or _is_null(given[one.name]):
                continue
            if outputs and outputs[0] not in found.values() and one.name not in written:
                found[one.name] = outputs[0]
            else:
                raise NoGuessError(f"what is {one.name}, that {self.backward.declared.name} takes?")
        if not any(name in inputs for name in found.values()):
            raise NoGuessError(f"none of {self.backward.declared.name}'s buffers is named as a gradient of an input")
        return found

    def _case(self, name: str, target: LibraryTarget, numbers: Mapping[str, Any], inputs: Sequence[Input]) -> Case:
        takes = ", ".join(one.name for one in self.backward.declared.parameters)
        answered = [one.name for one in inputs if one.differentiable]
        adds = ", added to its buffers" if target.accumulates else ""
        said = f"{self.backward.declared.name}({takes}) gives {', '.join(answered)}{adds}"
        location = Location(self.header, self.backward.declared.line, 1)
        dtype = next((one.dtype for one in inputs if one.differentiable), "float32")
        bare = bare_case(target, numbers, location)
        tolerance = bare.tolerance if dtype == "float64" else None
        case = replace(bare, op=self.op, module=self.library.stem, name=name, dtype=dtype, inputs=tuple(inputs))
        return replace(case, notes=said, tolerance=tolerance)


def _is_null(one: CArgument) -> bool:
    return one.before is None and one.number is None


def _shaped(array: Array | None, numbers: Mapping[str, Any], name: str) -> Array:
    """Return an array in axes whose sizes are numbers of the call, where it is flat."""
    if array is None:
        raise NoGuessError(f"the size of the buffer that {name} points to is not known")
    whole = {key: value for key, value in numbers.items() if isinstance(value, int)}
    return array.reshape(shape_of(array.size, whole)) if array.ndim == 1 else array


def _in_params(shape: Sequence[int | str], numbers: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Return a shape in the names of numbers, each once as long as there are others of the same value."""
    left = [name for name, value in numbers.items() if isinstance(value, int) and value > 1]
    named: list[int | str] = []
    for size in shape:
        fitting = [name for name in left if numbers[name] == size] or [
            n for n, value in numbers.items() if value == size
        ]
        named.append(fitting[0] if fitting else size)
        left = [name for name in left if name != named[-1]]
    return tuple(named)


def _adds(case: Case) -> bool:
    """Whether backward adds to its buffers: whether it leaves in most of them what lay there before."""
    assert isinstance(case.target, LibraryTarget)
    clear, noisy = (_gradients(replace(case, target=replace(case.target, accumulates=how))) for how in (None, False))
    kept = [np.allclose(noisy[name], gradient + 1, rtol=1e-4, atol=1e-4) for name, gradient in clear.items()]
    return sum(kept) * 2 > len(kept)


def _given(name: str, array: Array, gradients: Mapping[str, str]) -> Input:
    differentiable = array.dtype.kind == "f" and name in gradients.values()
    return Input(name, array.shape, array.dtype.name, differentiable, values=array)


def _gradients(case: Case) -> dict[str, Any]:
    op, inputs = open_op(replace(case, params=deepcopy(case.params))), draw_inputs(case)
    outputs = op.forward(inputs)
    counted = op.differentiable_outputs(outputs)
    if not all(np.isfinite(outputs[k]).all() for k in counted):
        raise NoGuessError("forward gives numbers that are not finite")
    return dict(op.backward(tuple(np.ones_like(outputs[k]) for k in counted), inputs, outputs))
