"""Models on a tape as ops: their parameters and differentiable inputs in, the scalar loss out, reverse mode back.

Every call begins with the same state of all global generators, so that dropout is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.batch import batch_of, second_batch, targets_in
from gradaudit.models.tapes.presets import tape_of
from gradaudit.models.tapes.tape import Tape, Tensor
from gradaudit.models.words import in_words, tape_in_words
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import dtype_of, has_derivatives
from gradaudit.spec.model_targets import ModelTarget
from gradaudit.targets.calls import Calls
from gradaudit.targets.generators import seeded
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError
from gradaudit.targets.structure import leaves

Array = NDArray[Any]


BATCH = 16
"""Samples of the data in a batch where the spec does not say: with each, more kinks lie within a step of the point."""


AROUND = 0.1
"""How far parameters are drawn from the one value that all elements begin with."""


@dataclass(frozen=True)
class Run:
    """One pass of a model over a batch, on the tape.

    Attributes:
        inputs: the tensors that the model was given, by name.
        output: what it returned.
        loss: what the loss made of that.

    """

    inputs: Mapping[str, Tensor]
    output: Any
    loss: Tensor


@dataclass
class ModelOp:
    """A model with its loss as an op of its parameters and inputs.

    Attributes:
        tape: reads and writes its tensors.
        model: made by the factory.
        loss: makes a scalar tensor of the model's output and the targets' arrays.
        batch: the inputs of the case, the targets among them.
        targets: names of those that are targets.
        trained: the model's parameters, by the path that leads to each, or by another name where an input has that.
        second: arrays of another batch, by name; empty where there is none.
        unregistered: tracked tensors of the model that are not among its parameters, by their paths.
        calls: how often the model was run, and reverse mode from its loss.
        held: what is held constant in ``forward``, by its position in a recording of the tape.
        uncast: whether it is run without the casts to narrower dtypes that a framework makes by itself.

    """

    tape: Tape
    model: Any
    loss: Any
    batch: tuple[Input, ...]
    targets: tuple[str, ...]
    trained: Mapping[str, Tensor]
    second: Mapping[str, Array] = field(default_factory=dict)
    unregistered: Mapping[str, Tensor] = field(default_factory=dict)
    calls: Calls = field(default_factory=Calls)
    held: Mapping[int, Array] = field(default_factory=dict)
    uncast: bool = False

    @cached_property
    def initial(self) -> dict[str, Array]:
        """The parameters' values as the model was made with."""
        return {name: self.tape.array(tensor).copy() for name, tensor in self.trained.items()}

    def run(self, arrays: Mapping[str, Array], *, lent: bool = False) -> Run:
        """Run the model and its loss, recorded by the tape.

        Args:
            arrays: the inputs and targets of the batch; and parameters, which keep what they have where they are left
                out.
            lent: whether parameters may lie in these arrays themselves, where the framework can have them there.

        Raises:
            OpError: where the model or the loss raises, the loss is no scalar tensor, or the tape is not as described.

        """
        try:
            return self._run(arrays, self.tape.lend if lent else self.tape.assign)
        except OpError as error:
            made, now = self._dtypes(arrays)
            if "dtype" not in str(error) or made == now:
                raise
            said, *places = str(error).splitlines()
            hint = f" (the model was made in {made} and is audited in {now}: 'dtype: {made}' audits it unchanged)"
            raise OpError("\n".join([said + hint, *places])) from None

    def _run(self, arrays: Mapping[str, Array], assign: Callable[[Tensor, Array], None]) -> Run:
        self.calls.count(forwards=1)
        with seeded(0), in_words("forward"), self.tape.exact(), self._casting():
            for name, tensor in self.trained.items():
                if name in arrays:
                    assign(tensor, arrays[name])
            differentiable = {made.name for made in self.batch if made.differentiable}
            inputs = {
                made.name: self.tape.tensor(arrays[made.name].copy(), tracked=made.name in differentiable)
                for made in self.batch
                if made.name not in self.targets
            }
            output = self.tape.call(self.model, inputs.values())
            with in_words(self._loss_of(output)):
                loss = self.loss(output, *(arrays[name] for name in self.targets))
            self._refuse_no_scalar(loss)
        return Run(inputs, output, loss)

    def _casting(self) -> AbstractContextManager[None]:
        return self.tape.uncast() if self.uncast else nullcontext()

    def _loss_of(self, output: Any) -> str:
        """Return what to call the loss where it raises, with what it was given where that is no tensor."""
        tensors = any(self.tape.is_tensor(each) for each in leaves(output))
        return "the loss" if tensors else f"the model returned {type(output).__name__}, no tensor of the tape; the loss"

    def _dtypes(self, arrays: Mapping[str, Array]) -> tuple[str, str]:
        """Return in which floating dtypes the parameters were made and are now, each once."""
        pairs = [(self.initial[name].dtype, arrays[name].dtype) for name in self.trained if name in arrays]
        made, now = ({dtype.name for dtype in dtypes if dtype.kind == "f"} for dtypes in zip(*pairs, strict=True))
        return " and ".join(sorted(made)), " and ".join(sorted(now))

    def _refuse_no_scalar(self, loss: Any) -> None:
        if not self.tape.is_tensor(loss):
            raise OpError(f"the loss is {type(loss).__name__}; expected a scalar tensor of the tape")
        if (shape := self.tape.array(loss).shape) and int(np.prod(shape)) != 1:
            raise OpError(f"the loss has shape {shape}; expected a scalar")

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return the loss, as the one output."""
        return (np.array(self.loss_with({}, inputs)).reshape(()),)

    def loss_with(self, values: Mapping[int, Array], inputs: Mapping[str, Array]) -> Array:
        """Return the loss with other values in what comes to be at some positions of a recording of the tape."""
        return self.tape.array(self.run_with(values, inputs).loss)

    def run_with(self, values: Mapping[int, Array], inputs: Mapping[str, Array], *, lent: bool = False) -> Run:
        """Run the model likewise; parameters may lie in the arrays given where these are ``lent``."""
        instead = {**self.held, **values}
        with self.tape.replaced(instead) if instead else nullcontext():
            return self.run(inputs, lent=lent)

    def loss_of(self, output: Any, arrays: Mapping[str, Array]) -> float:
        """Return what the loss makes of an output, a tensor or a tuple, list or dict of tensors, without the model.

        Raises:
            OpError: where the loss raises.

        """
        with seeded(0), in_words("the loss"), self.tape.exact(), self._casting():
            loss = self.loss(output, *(arrays[name] for name in self.targets))
        return float(self.tape.array(loss).reshape(()))

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        """Return the position of the loss."""
        return (0,)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Run forward and the tape's reverse mode; return what gradients they leave, in the inputs' dtypes."""
        run = self.run(inputs)
        self.clear(run)
        self.reverse(run)
        gradients = {}
        for name, gradient in self.gradients(run).items():
            scaled = None if gradient is None else np.asarray(gradient * upstream[0])
            gradients[name] = None if scaled is None else scaled.astype(inputs[name].dtype)
        return gradients

    def clear(self, run: Run) -> None:
        """Forget all gradients, as the framework's users do."""
        with in_words("clearing gradients"):
            self.tape.clear([*self.trained.values(), *self._differentiated(run).values()])

    def reverse(self, run: Run) -> None:
        """Run reverse mode from a loss."""
        self.calls.count(backwards=1)
        with in_words("backward"), self.tape.exact(), self._casting():
            self.tape.backward(run.loss)

    def gradients(self, run: Run, *, taken: bool = False) -> dict[str, Array | None]:
        """Return the gradients that parameters and differentiable inputs hold, or are not to hold any more if taken."""
        with in_words("reading gradients"):
            held, read = {**self._differentiated(run), **self.trained}, self.tape.taken if taken else self.tape.gradient
            return {name: read(tensor) for name, tensor in held.items()}

    def _differentiated(self, run: Run) -> dict[str, Tensor]:
        return {
            made.name: run.inputs[made.name] for made in self.batch if made.name in run.inputs and made.differentiable
        }

    def complete(self, case: Case) -> Case:
        """Return the case with the batch and the parameters as its inputs."""
        return with_parameters(case, self)

    def restore(self) -> None:
        """Put the initial values back into the model."""
        for name, tensor in self.trained.items():
            self.tape.assign(tensor, self.initial[name])


@tape_in_words()
def open_model(target: ModelTarget, case: Case) -> ModelOp:
    """Make the model, and read the data where the case has none of its own.

    Raises:
        OpError: where a function cannot be imported or raises, or the tape is not as it is described.

    """
    find = partial(import_function, folder=target.folder)
    with in_words("the tape"):
        tape = tape_of(target.tape, find)
    factory = find(target.model)
    with seeded(case.seed), in_words(f"the factory {target.model}"):
        model = factory(**_with_seed(factory, case))
    target = replace(target, batch_size=target.batch_size or BATCH)
    data = None if target.data is None else find(target.data)
    batch = _own_inputs(case) if data is None else batch_of(target, case, data)
    targets, second = target.targets or targets_in(batch), second_batch(target, case, data, batch)
    return model_op(tape, model, find(target.loss), batch, targets, second)


def model_op(
    tape: Tape,
    model: Any,
    loss: Callable[..., Any],
    batch: tuple[Input, ...],
    targets: tuple[str, ...],
    second: Mapping[str, Array] | None = None,
) -> ModelOp:
    """Return the op of a model at hand, whose parameters are written to while it is audited.

    Args:
        tape: reads and writes its tensors.
        model: as its tape has it.
        loss: called with the model's output and the targets' tensors.
        batch: what the model is called with, the targets among them.
        targets: names of those that are targets.
        second: arrays of another batch, by name.

    Raises:
        OpError: where the tape is not as it is described.

    """
    with in_words("the model"):
        tape.training(model, on=True)
        trained = dict(tape.parameters(model))
        unregistered = _unregistered(tape, model, trained)
    taken = {made.name for made in batch}
    op = ModelOp(
        tape=tape,
        model=model,
        loss=_on_tape(loss, tape),
        batch=batch,
        targets=targets,
        trained={f"model.{name}" if name in taken else name: tensor for name, tensor in trained.items()},
        second=second or {},
        unregistered=unregistered,
    )
    with in_words("reading the model's parameters"):
        op.initial  # noqa: B018 (before anything is assigned)
    return op


def _with_seed(factory: Callable[..., Any], case: Case) -> Mapping[str, Any]:
    """Return the params of a case, with its seed where the factory takes one and they do not name it."""
    try:
        takes_seed = "seed" in signature(factory).parameters
    except (TypeError, ValueError):  # a class or built-in that does not say what it takes
        takes_seed = False
    return {"seed": case.seed, **case.params} if takes_seed else case.params


def _own_inputs(case: Case) -> tuple[Input, ...]:
    """Return the inputs of a case's spec, without the parameters that it was completed by before."""
    return tuple(made for made in case.inputs if not isinstance(made.values, np.ndarray))


def _on_tape(loss: Callable[..., Any], tape: Tape) -> Callable[..., Any]:
    """Return a loss that takes its targets as arrays."""
    return lambda output, *targets: loss(output, *(tape.target(np.array(array)) for array in targets))


def _unregistered(tape: Tape, model: Any, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    known = {id(tensor) for tensor in trained.values()}
    found = tape.tensors(model).items()
    return {
        path: tensor
        for path, tensor in found
        if id(tensor) not in known and tape.node(tensor) is None and tape.tracked(tensor)
    }


def with_parameters(case: Case, op: ModelOp) -> Case:
    """Return the case with the batch, and an input for each parameter that holds its initial values.

    Where these are all equal, as in a bias that begins at zero, they are drawn closely around: at a scale of one and an
    offset of zero a backward that forgets them is right by accident. A tape that keeps its own dtype, whatever it is
    given, has its parameters in that.
    """
    inputs = [*op.batch, *(_parameter(name, tensor, case, op) for name, tensor in op.trained.items())]
    return replace(case, inputs=tuple(inputs))


def _parameter(name: str, tensor: Tensor, case: Case, op: ModelOp) -> Input:
    initial = op.initial[name]
    if initial.size and (initial == initial.flat[0]).all():
        initial = initial + AROUND * (2 * generator(case, name).random(initial.shape) - 1)
    with in_words("the tape"):
        dtype = (
            np.result_type(dtype_of(case.dtype), np.complex64) if initial.dtype.kind == "c" else dtype_of(case.dtype)
        )
        op.tape.assign(tensor, initial.astype(dtype))
        kept = op.tape.array(tensor).dtype
        op.tape.assign(tensor, op.initial[name])
    dtype = kept if has_derivatives(kept) and not _is_read_wider(dtype, kept) else dtype
    return Input(name, initial.shape, dtype.name, values=initial.astype(dtype))


def _is_read_wider(dtype: np.dtype[Any], kept: np.dtype[Any]) -> bool:
    """Whether a tape reads what it holds in a wider dtype: NumPy itself has no bfloat16."""
    return dtype.name == "bfloat16" and kept == np.float32


def model_names(target: Any) -> dict[tuple[str, ...], str]:
    """Return the functions that the target of a model names, by their path in the spec."""
    named: dict[tuple[str, ...], str | None] = {
        ("model",): target.model,
        ("loss",): target.loss,
        ("data",): target.data,
    }
    if not isinstance(target.tape, str):
        named |= {("tape", "tensor"): target.tape.tensor, ("tape", "setup"): target.tape.setup}
    return {path: name for path, name in named.items() if name is not None}


def learning_names(target: Any) -> dict[tuple[str, ...], str]:
    """Return those of ``model_names``, and what training and measuring it need besides."""
    more = {("accuracy",): target.accuracy, ("optimiser", "call"): target.optimiser.call}
    return {**model_names(target), **{path: name for path, name in more.items() if name}}
