"""What every check of a model looks at: the model run once on its tape, and the gradients that reverse mode left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.cut import Way, find_way
from gradaudit.models.graph import Walk, walk
from gradaudit.models.op import ModelOp, Run
from gradaudit.models.recording import Recorded, recorded
from gradaudit.models.tapes.tape import TapeError, Tensor
from gradaudit.models.words import in_words
from gradaudit.results import Finding
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, is_floating, spacing
from gradaudit.targets.op import OpError
from gradaudit.targets.structure import leaves

Array = NDArray[Any]


MOST_WAYS = 64
"""Parameters that are followed to the loss one by one."""


@dataclass(frozen=True)
class FlowSubject:
    """A model of a case, run once.

    Attributes:
        case: the case, its parameters among its inputs.
        op: the model.
        arrays: the batch and the parameters' initial values, by name.
        base: the run.
        from_loss: the tape, walked from the loss.
        makers: the names of the steps that made the model's outputs, as far as these are attached to the tape.
        upstreams: what reverse mode left with the tensors that the model returned, in order; None where it keeps none.
        gradients: the same by parameter and differentiable input; all None where it could not be run.
        native: the same of the model as it is, where it is audited without its casts or in a wider dtype; else empty.
        narrow: in words, how it is audited then, and how it is; else empty.

    """

    case: Case
    op: ModelOp
    arrays: Mapping[str, Array]
    base: Run
    from_loss: Walk
    makers: tuple[str, ...]
    upstreams: tuple[Array | None, ...]
    gradients: Mapping[str, Array | None]
    native: Mapping[str, Array | None] = field(default_factory=dict)
    narrow: str = ""

    @property
    def names(self) -> list[str]:
        """The differentiable inputs and the parameters."""
        return [made.name for made in self.case.inputs if made.differentiable]

    @property
    def outputs(self) -> list[Any]:
        """Everything that the model returned, tensors or not."""
        return list(leaves(self.base.output))

    @property
    def detached(self) -> bool:
        """Whether nothing that the model returned, or nothing that the loss made of it, is attached to the tape."""
        return not self.makers or not self.from_loss.nodes

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of a parameter or input."""
        return self.op.trained[name] if name in self.op.trained else self.base.inputs[name]

    def is_reached(self, name: str) -> bool:
        """Whether the tape leads from the loss to a parameter or input, or a gradient arrived there all the same."""
        gradient = self.gradients[name]
        return self.from_loss.reaches(self.tensor(name)) or (gradient is not None and bool(np.any(gradient)))

    def now(self, name: str) -> Tensor | None:
        """Return the tensor that the model has now where a parameter was; None for none."""
        now = self.op.tape.parameters(self.op.model)
        return now.get(name if name in now else name.removeprefix("model."))

    def replaces(self, name: str) -> bool:
        """Whether the model has another tensor now where this parameter was."""
        now = self.now(name)
        return name in self.op.trained and now is not None and now is not self.op.trained[name]

    def used_at(self, leaf: Tensor) -> str:
        """Return in words the first line that computes from a leaf; nothing where that could not be seen."""
        return _used_at(self.recorded, leaf)

    def replacement_used_at(self, name: str) -> str:
        """Return the same of the tensor that the model has put in a parameter's place; it takes a run."""
        base = recorded(self.op, self.arrays)
        return _used_at(base, self.now(name))

    @cached_property
    def recorded(self) -> Recorded:
        """Another run with the same values, and what came to be in it.

        Raises:
            OpError: where the model cannot be run again.

        """
        return recorded(self.op, self.arrays)

    @property
    def wide(self) -> dict[str, Array]:
        """The arrays in double precision."""
        return self.in_double(self.arrays)

    def in_double(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays in double precision; those that are so already as they are."""
        wide = {"f": np.float64, "c": np.complex128, "V": np.float64}
        return {name: each.astype(wide.get(each.dtype.kind, each.dtype), copy=False) for name, each in arrays.items()}

    def way(self, *names: str, along: Mapping[str, Array] | None = None) -> Way:
        """Return what becomes of some of them on the way to the loss; it takes a run for each place of a cut.

        Of one parameter after so many others it is what became of the last that was looked at: they come in the order
        of the model's layers.

        Args:
            names: parameters and inputs.
            along: the true gradients of some, where they are known.

        """
        if names not in self._ways and len(names) == 1 and len(self._ways) >= MOST_WAYS:
            self._ways[names] = list(self._ways.values())[-1]
        if names not in self._ways:
            self._ways[names] = find_way(names, self.recorded, along or {})
        return self._ways[names]

    @cached_property
    def _ways(self) -> dict[tuple[str, ...], Way]:
        return {}


def _used_at(base: Recorded, leaf: Tensor) -> str:
    steps = [made for key, made in base.places.items() if id(leaf) in base.named_by(key)]
    place = next((made.place for made in reversed(steps) if made.place), "")
    return f" (it is used at {place})" if place else ""


def examine_flow(case: Case, op: ModelOp) -> FlowSubject:
    """Run a model once, walk its tape, and run reverse mode where the loss is attached.

    Raises:
        OpError: where the model cannot be audited: it raises, has nothing to be differentiated, its loss is no finite
            scalar, or its tape has a cycle.

    """
    if not any(made.differentiable for made in case.inputs):
        raise OpError(_nothing_to_audit(op))
    arrays = draw_inputs(case)
    names = [made.name for made in case.inputs if made.differentiable]
    found = differentiated(op, arrays, names)
    if spacing(case.dtype) > spacing("float32") and (wide := _wider(case, op, arrays, names)) is not None:
        said = f"in {wide.case.dtype}; in {case.dtype}, as the model is,"
        return replace(wide, native=_copies(arrays, found.gradients), narrow=said)
    narrow, native = found.narrowest(case.dtype), {}
    if narrow and (exact := _uncast(op, arrays, names, case.dtype)) is not None:
        found, native = exact, _copies(arrays, found.gradients)
    dtypes = [made.dtype.name for made in found.gradients.values() if made is not None]
    case = _tolerating(case, dtypes if native or not narrow else [*dtypes, narrow])
    gradients = _copies(arrays, found.gradients)
    kept = found.base, found.from_loss, found.makers, found.upstreams
    said = f"without casts; with the model's casts to {narrow}" if native else ""
    return FlowSubject(case, op, arrays, *kept, gradients, native, said)


@dataclass(frozen=True)
class Reversed:
    """A run of a model, and the gradients that reverse mode left: of its outputs, and by name."""

    base: Run
    upstreams: tuple[Array | None, ...]
    gradients: Mapping[str, Array | None]


@dataclass(frozen=True)
class Differentiated(Reversed):
    """The same with its tape as it was before reverse mode."""

    from_loss: Walk
    makers: tuple[str, ...]

    def narrowest(self, dtype: str) -> str:
        """Return the coarsest dtype that a step computed in, where it is coarser than the case's; else nothing."""
        found = {node.dtype for node in self.from_loss.nodes.values() if is_floating(node.dtype)}
        coarsest = max(found, key=spacing, default=dtype)
        return coarsest if spacing(coarsest) > spacing(dtype) else ""


def differentiated(op: ModelOp, arrays: Mapping[str, Array], names: Sequence[str]) -> Differentiated:
    """Run a model once, and reverse mode where its loss is attached to the tape; what it holds constant is so here.

    Raises:
        OpError: where one of them raises, or the loss is not finite.

    """
    base = _finite_run(op, arrays)
    with in_words("reading the tape"):
        from_loss = walk(op.tape, base.loss)
        nodes = [op.tape.node(each) for each in _outputs(op, base)]
        makers = tuple(node.name for node in nodes if node is not None)
    return Differentiated(base, *_reversed(op, base, names), from_loss, makers)


def reversed_at(op: ModelOp, arrays: Mapping[str, Array], names: Sequence[str], *, lent: bool = False) -> Reversed:
    """Do the same without reading the tape, where it is known from another run of the model.

    Nobody else knows the gradients, which parameters do not hold any more; these may lie in the arrays where they are
    ``lent``.

    Raises:
        OpError: as ``differentiated`` does.

    """
    base = _finite_run(op, arrays, lent=lent)
    return Reversed(base, *_reversed(op, base, names, taken=True))


def _finite_run(op: ModelOp, arrays: Mapping[str, Array], *, lent: bool = False) -> Run:
    base = op.run_with({}, arrays, lent=lent)
    _refuse_nonfinite(op, base.loss, arrays)
    return base


def _outputs(op: ModelOp, base: Run) -> list[Tensor]:
    return [each for each in leaves(base.output) if op.tape.is_tensor(each)]


def _reversed(
    op: ModelOp, base: Run, names: Sequence[str], *, taken: bool = False
) -> tuple[tuple[Array | None, ...], Mapping[str, Array | None]]:
    """Run reverse mode from a loss that is attached to the tape; return what it leaves with outputs and parameters."""
    outputs, nothing = _outputs(op, base), dict.fromkeys(names)
    with in_words("reading the tape"):
        if op.tape.node(base.loss) is None:
            return (None,) * len(outputs), nothing
    op.clear(base)
    op.tape.retain(outputs)
    op.reverse(base)
    return tuple(_held(op, each) for each in outputs), {**nothing, **op.gradients(base, taken=taken)}


def _held(op: ModelOp, tensor: Tensor) -> Array | None:
    """Return the gradient that a tensor on the way holds, None where its tape keeps none there."""
    try:
        return op.tape.gradient(tensor)
    except TapeError:
        return None


def _wider(case: Case, op: ModelOp, arrays: Mapping[str, Array], names: Sequence[str]) -> FlowSubject | None:
    """Return the same of a model in a wider dtype, at the same values; None where it computes in half precision there.

    Many a model in half precision has a loss that it computes in float32.
    """
    second = op.second
    for dtype, op.uncast in (("float64", True), ("float64", False), ("float32", False)):
        wide, op.second = _in_dtype(arrays, dtype), _in_dtype(second, dtype)
        with suppress(OpError):
            found = differentiated(op, wide, names)
            if not found.narrowest(dtype):
                inputs = tuple(_input_in(made, dtype) for made in case.inputs)
                kept = found.base, found.from_loss, found.makers, found.upstreams
                case = replace(case, dtype=dtype, inputs=inputs)
                return FlowSubject(case, op, wide, *kept, _copies(wide, found.gradients))
    op.second, op.uncast = second, False
    return None


def _in_dtype(arrays: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    return {name: each.astype(dtype) if is_floating(each.dtype.name) else each for name, each in arrays.items()}


def _input_in(made: Input, dtype: str) -> Input:
    if not is_floating(made.dtype):
        return made
    values = made.values.astype(dtype) if isinstance(made.values, np.ndarray) else made.values
    return replace(made, dtype=dtype, values=values)


def _uncast(op: ModelOp, arrays: Mapping[str, Array], names: Sequence[str], dtype: str) -> Differentiated | None:
    """Return the same of a model without the casts that its framework makes by itself; None where others are left."""
    op.uncast = True
    with suppress(OpError):
        found = differentiated(op, arrays, names)
        if not found.narrowest(dtype):
            return found
    op.uncast = False
    return None


def _copies(arrays: Mapping[str, Array], gradients: Mapping[str, Array | None]) -> dict[str, Array | None]:
    """Return gradients in the dtypes of what they belong to."""
    return {name: None if made is None else made.astype(arrays[name].dtype) for name, made in gradients.items()}


def _tolerating(case: Case, dtypes: list[str]) -> Case:
    """Return the case with the tolerance of the coarsest dtype that gradients come in: more they cannot promise."""
    coarsest = max((name for name in dtypes if is_floating(name)), key=spacing, default=case.dtype)
    if case.tolerance is not None or spacing(coarsest) <= spacing(case.dtype):
        return case
    return replace(case, tolerance=DEFAULT_TOLERANCES[coarsest])


def _nothing_to_audit(op: ModelOp) -> str:
    said = "the model has no parameters, and none of the inputs is differentiable: there is no gradient to audit"
    found = [*op.tape.tensors(op.model)]
    return said + (f"; tensors found in it: {', '.join(found[:8])}" if found else "; no tensors were found in it")


def _refuse_nonfinite(op: ModelOp, loss: Tensor, arrays: Mapping[str, Array]) -> None:
    found = op.tape.array(loss)
    if np.isfinite(found).all():
        return
    message = f"the loss is {float(np.ravel(found)[0])} before any training"
    base = recorded(op, arrays)
    for k, (made, value) in enumerate(zip(base.creations, base.values, strict=True)):
        if value is not None and value.dtype.kind in "fc" and not np.isfinite(value).all():
            node = base.nodes[k]
            what = node.name if node else "a tensor"
            where = f" at {made.place} in {made.within}" if made.place else ""
            message += f"; the first value that is not finite is the output of {what}{where}"
            break
    raise OpError(message, Finding("nonfinite", message))
