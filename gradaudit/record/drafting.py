"""From what was seen of a backward pass to cases that run: the script's own values, and the same call redrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.passes import BackwardPass
from gradaudit.drafts.draft import NoGuessError, location_of, module_of
from gradaudit.drafts.guess import TOLERANCE as DRAFTED
from gradaudit.drafts.guess import Guess, Subject, Tried, bare_case, try_at
from gradaudit.drafts.inputs import Candidate
from gradaudit.engine.audit import audit_case
from gradaudit.record.calls import Call, Watched
from gradaudit.record.form import Form, form_of, ways_to_call
from gradaudit.record.redraw import redrawn
from gradaudit.record.values import drawn_like
from gradaudit.results import Verdict, worst
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.op_targets import LayerTarget, UncalledTarget
from gradaudit.targets import open_op
from gradaudit.targets.op import OpError

Array = NDArray[Any]
Way = Callable[[Form], Subject]

TOLERANCE = replace(DRAFTED, atol=1e-9)
"""What gradients may be off by in float64: real ones are as small as training makes them."""

RECORDED, REDRAWN = "recorded", "redrawn"
"""The names of cases: with the script's own values, and with others at other sizes."""


@dataclass(frozen=True)
class Drafted:
    """What came of something that was watched.

    Attributes:
        place: where it is written.
        name: what it is called there.
        file: its file.
        groups: the cases to be written, those of one target together.
        said: how it is called; or why there is nothing to be written.
        remarks: what is worth knowing of the cases.
        was_called: whether the script called it at all.

    """

    place: str
    name: str
    file: Path
    groups: tuple[tuple[Case, ...], ...]
    said: str
    remarks: tuple[str, ...] = ()
    was_called: bool = True


def draft_recorded(watched: Watched, file: Path, home: Path, op: str) -> Drafted:
    """Return the cases of a backward pass that was watched; never raises for what its code does.

    Args:
        watched: what was seen of it.
        file: where its file is.
        home: the folder of the project: modules may be imported from it.
        op: the name of the op in reports.

    """
    one = watched.found
    groups: list[list[Case]] = []
    remarks: list[str] = []
    reason = "" if watched.calls else "it was not called"
    for call in watched.calls:
        try:
            cases, remark = _of_call(one, call, file, home, op)
        except (NoGuessError, OpError) as error:
            why = str(error).split("\n")[0]
            reason = reason or why
            remarks.append(f"another call is not written: {why}")
            continue
        known = next((group for group in groups if group[0].target == cases[0].target), None)
        groups += [] if known is not None else [cases]
        if known is not None:
            known += cases
        remarks += remark
    said = groups[0][0].notes if groups else reason
    named = tuple(_named(group, op if k == 0 else f"{op}_{k + 1}") for k, group in enumerate(groups))
    return Drafted(one.place, one.name, file, named, said, tuple(dict.fromkeys(remarks)), bool(watched.calls))


def _named(cases: Sequence[Case], op: str) -> tuple[Case, ...]:
    """Return cases under names that no two share."""
    counts: dict[str, int] = {}
    made = []
    for case in cases:
        counts[case.name] = number = counts.get(case.name, 0) + 1
        made.append(replace(case, op=op, name=case.name if number == 1 else f"{case.name}_{number}"))
    return tuple(made)


def _of_call(one: BackwardPass, call: Call, file: Path, home: Path, op: str) -> tuple[list[Case], list[str]]:
    form = form_of(call)
    reason = ""
    for way in ways_to_call(one, file, home, call):
        drafting = _Drafting(one, call, form, way, op)
        guesses, why = drafting.guesses()
        reason = reason or why
        if guesses:
            return drafting.cases(guesses)
    raise NoGuessError(f"how is it called? {reason or 'forward does not run again as it did in the script'}")


@dataclass(frozen=True)
class _Drafting:
    """One way to call an op as it was called once."""

    one: BackwardPass
    call: Call
    form: Form
    way: Way
    op: str

    def guesses(self) -> tuple[list[Guess], str]:
        """Return the guesses that fit at the sizes of the script, and why others do not."""
        reason = ""
        for arrays in (self._drawn(self.form, (), 0, own=False), dict(self.form.arrays)):
            tried = self._at(self.form, arrays)
            found = tried.complete or tried.degenerate or ([tried.broken] if tried.broken else [])
            if found:
                return [one.guess for one in found], ""
            reason = reason or tried.reason
        return [], reason

    def cases(self, guesses: Sequence[Guess]) -> tuple[list[Case], list[str]]:
        """Return the cases of the guess that fits best, and what is worth knowing of them."""
        made = [(guess, self._redrawn(guess)) for guess in guesses]
        guess, again = next((pair for pair in made if len(made) > 1 and _passes(pair[1])), made[0])
        own, remarks = self._recorded(guess)
        found = [case for case in (own, again) if case is not None]
        if not found:
            raise NoGuessError(remarks[0] if remarks else "it does not run with the script's values, nor with others")
        if again is None:
            remarks.append("only the script's own values are written: it does not run with others")
        return found, remarks

    def _recorded(self, guess: Guess) -> tuple[Case | None, list[str]]:
        """Return the case with the script's own values; None where it does not run at them."""
        kept = {name: self._held(guess, name) for name in guess.extra}
        arrays = {**self.form.arrays, **{name: array for name, array in kept.items() if array is not None}}
        inputs = [_given(name, array, name in guess.gradients) for name, array in arrays.items()]
        inputs += [Input(name, guess.extra[name].shape, "float64") for name in guess.extra if name not in arrays]
        case = self._case(RECORDED, guess, self.form, inputs)
        try:
            output = _output(case)
            idle = [made.name for made in case.inputs if _has_no_effect(made, case, output)]
        except OpError as error:
            return None, [f"not written with the script's own values: {str(error).split(chr(10))[0]}"]
        if not np.isfinite(np.abs(output.astype(np.complex128))).all():
            return None, ["not written with the script's own values: forward is not finite there"]
        remarks = [] if self._agrees(output) else ["forward gives other outputs here than in the script"]
        remarks += [f"{name} was too small to change any output: zeros are written" for name in idle]
        return replace(case, inputs=tuple(_zero(made, idle) for made in case.inputs)), remarks

    def _agrees(self, output: Array) -> bool:
        seen = self.call.output
        if seen is None or seen.shape != output.shape:
            return seen is None or (seen.size == output.size == 1 and self._agrees(output.reshape(seen.shape)))
        here, there = (np.asarray(one, np.complex128) for one in (output, seen))
        return bool(np.allclose(here, there, rtol=1e-2 if seen.dtype.itemsize < 4 else 1e-4, atol=1e-6))

    def _redrawn(self, guess: Guess) -> Case | None:
        """Return the case with other values and sizes; None where it runs at none."""
        held = [array.shape for name in guess.extra if (array := self._held(guess, name)) is not None]
        for own in (False, True):

            def runs(form: Form, below: int = 2, own: bool = own) -> bool:
                return self._fits(guess, form, self._drawn(form, guess.gradients, below, own=own))

            form = redrawn(self.form, held, runs) or (self.form if runs(self.form, 0) else None)
            if form is not None:
                return self._other(guess, form, own=own)
        return None

    def _other(self, guess: Guess, form: Form, *, own: bool) -> Case | None:
        """Return the case of a form that runs, with labels as large as they may be."""
        for below in self._ceilings(form):
            arrays = self._drawn(form, guess.gradients, below, own=own)
            full = {
                name: np.full_like(one, below - 1) if below and one.dtype.kind in "iu" else one
                for name, one in arrays.items()
            }
            found = self._fitting(guess, form, full)
            if found is None:
                continue
            inputs = self._inputs(form, guess.gradients, below, own=own)
            for name, one in found.extra.items():
                like = self._held(guess, name)
                like = np.zeros(one.shape) if like is None else like
                inputs.append(drawn_like(name, like, one.shape, 2, differentiable=True))
            return self._case(REDRAWN, guess, form, inputs)
        return None

    def _ceilings(self, form: Form) -> Iterator[int]:
        """Yield what whole numbers may be below: new sizes of what exceeds all in the script, likeliest first."""
        labels = [array for array in self.form.arrays.values() if array.dtype.kind in "iu" and array.size]
        if labels and form is not self.form:
            most = max(int(array.max()) for array in labels)
            pairs = [
                (size, form.arrays[name].shape[axis])
                for name, array in self.form.arrays.items()
                for axis, size in enumerate(array.shape)
                if size > most
            ]
            yield from dict.fromkeys(new for _, new in sorted(pairs))
            yield 2
        yield 0

    def _held(self, guess: Guess, name: str) -> Array | None:
        target = guess.target
        return self.call.held.get(target.parameters.get(name, "")) if isinstance(target, LayerTarget) else None

    def _inputs(self, form: Form, gradients: Sequence[str], below: int, *, own: bool) -> list[Input]:
        made = []
        for name, array in form.arrays.items():
            seen = self.form.arrays[name]
            ceiling = below or int(seen.max(initial=0)) + 1
            like = drawn_like(name, seen, array.shape, ceiling, differentiable=name in gradients)
            if own and like.range and like.distribution == "uniform" and seen.size:
                like = replace(like, range=(float(seen.real.min()), float(seen.real.max())))
            made.append(like)
        return made

    def _drawn(self, form: Form, gradients: Sequence[str], below: int, *, own: bool) -> dict[str, Array]:
        case = replace(bare_case(UncalledTarget("", Path()), {}), op=self.op, name=REDRAWN)
        inputs = tuple(self._inputs(form, gradients, below, own=own))
        return draw_inputs(replace(case, inputs=inputs))

    def _at(self, form: Form, arrays: Mapping[str, Array]) -> Tried:
        plain = _computable(arrays)
        chosen = {
            name: Candidate(one.shape, "labels" if one.dtype.kind in "iu" else "floats") for name, one in plain.items()
        }
        tried = Tried()
        try_at(plain, self.way(form), chosen, (-1.0, 1.0), tried)
        return tried

    def _fits(self, guess: Guess, form: Form, arrays: Mapping[str, Array]) -> bool:
        """Whether the same guess runs in another form, and loops in it do not run once where they ran more often."""
        return self._fitting(guess, form, arrays) is not None and not self._is_degenerate(form, arrays)

    def _is_degenerate(self, form: Form, arrays: Mapping[str, Array]) -> bool:
        seen = self.call.output
        output = next(iter(self.way(form).forward(_computable(arrays))), None)
        if seen is None or output is None or seen.ndim != output.ndim:
            return False
        return any(now == 1 and before > 1 for now, before in zip(output.shape, seen.shape, strict=True))

    def _fitting(self, guess: Guess, form: Form, arrays: Mapping[str, Array]) -> Guess | None:
        """Return the same guess in another form; None where it does not run."""
        tried = self._at(form, arrays)
        found = [*tried.complete, *tried.degenerate]
        return next((one.guess for one in found if one.guess.target == guess.target), None)

    def _case(self, name: str, guess: Guess, form: Form, inputs: Sequence[Input]) -> Case:
        floating = [one.dtype for one in inputs if one.differentiable]
        dtype = floating[0] if floating else "float64"
        modes = form.modes if isinstance(guess.target, LayerTarget) and guess.target.attributes else {}
        bare = bare_case(guess.target, {**form.made, **form.params, **modes}, location_of(self.one))
        tolerance = TOLERANCE if dtype == "float64" else None
        module = module_of(self.one)
        case = replace(bare, op=self.op, module=module, name=name, dtype=dtype, inputs=tuple(inputs))
        return replace(case, tolerance=tolerance, notes=guess.said)


def _given(name: str, array: Array, differentiable: bool) -> Input:
    return Input(name, array.shape, array.dtype.name, differentiable, values=array)


def _computable(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return copies of arrays, those of bfloat16 in float32."""
    return {name: one.astype(np.float32) if one.dtype.kind == "V" else one.copy() for name, one in arrays.items()}


UNHEARD = 1e-10
"""Magnitudes from which on it is asked whether an input bears on anything: a bias that training leaves at 1e-20."""


def _output(case: Case) -> Array:
    """Return the first output that counts, after backward was called as well."""
    op, inputs = open_op(replace(case, params=deepcopy(case.params))), draw_inputs(case)
    outputs = op.forward(inputs)
    counted = op.differentiable_outputs(outputs)
    op.backward(tuple(np.ones_like(outputs[k]) for k in counted), inputs, outputs)
    return np.asarray(outputs[counted[0]])


def _has_no_effect(made: Input, case: Case, output: Array) -> bool:
    """Whether an input is so small that zeros in its place give the same output: no step of its size is heard."""
    if made.values is None or not made.differentiable or not 0 < np.abs(made.values).max(initial=0.0) < UNHEARD:
        return False
    inputs = tuple(_zero(one, [made.name]) for one in case.inputs)
    return bool(np.array_equal(_output(replace(case, inputs=inputs)), output))


def _zero(made: Input, names: Sequence[str]) -> Input:
    return replace(made, values=np.zeros_like(made.values)) if made.name in names else made


def _passes(case: Case | None) -> bool:
    return case is not None and worst([result.verdict for result in audit_case(case).results]) is Verdict.PASS
