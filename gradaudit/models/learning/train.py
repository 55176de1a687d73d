"""The loop that trains a model on any tape, and watches every parameter of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.learning.course import Course, Moment, Passage
from gradaudit.models.tapes.tape import Model, Tape, Tensor
from gradaudit.models.words import in_words
from gradaudit.results import Measured
from gradaudit.targets.calls import Calls
from gradaudit.targets.op import OpError

Array = NDArray[Any]
Step = Callable[[Mapping[str, Tensor]], None]
"""Changes the parameters, which hold their gradients: what an optimiser does."""

MAX_MEASUREMENTS = 50
"""Most epochs after which the whole data is gone through, and norms of gradients that are kept: as many as a curve on a
screen can show apart."""


@dataclass(frozen=True)
class Lesson:
    """What is trained, on what.

    Attributes:
        tape: how the model's framework is spoken to.
        model: it.
        run: from a batch's inputs to the model's output.
        loss: from an output and a batch's targets to a scalar tensor.
        accuracy: from output and targets, as arrays, to a number between 0 and 1; None where none is asked for.
        inputs, targets: all the data, examples along the first axis.

    """

    tape: Tape
    model: Model
    run: Callable[[Sequence[Array]], Tensor]
    loss: Callable[[Tensor, Sequence[Array]], Tensor]
    accuracy: Callable[[Array, Sequence[Array]], float] | None
    inputs: tuple[Array, ...]
    targets: tuple[Array, ...]

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self.inputs[0])


def train(lesson: Lesson, step: Step, *, epochs: int, batch_size: int | None, seed: int, calls: Calls) -> Course:
    """Train a model and return what was seen.

    Training ends early where the loss is not finite any more.

    Args:
        lesson: the model and its data.
        step: changes the parameters after each batch.
        epochs: how often the data is gone through.
        batch_size: examples in a batch, drawn anew without replacement in each epoch; None for all at once, in order.
        seed: of the order of examples.
        calls: what the model's calls are added to.

    Raises:
        OpError: where model, loss, tape or optimiser raise, or the loss is no scalar.

    """
    watch = _Watch(lesson, calls)
    before = calls.forwards
    order = np.random.default_rng(seed)
    started = time.process_time()
    measured = [watch.measure(0, batch_size)]
    diverged = None if math.isfinite(measured[0].loss) else Moment(1, 1)
    lesson.tape.training(lesson.model, on=True)
    for epoch in range(1, epochs + 1):
        if diverged:
            break
        for k, chosen in enumerate(_batches(lesson.examples, batch_size, order), 1):
            if not watch.take(step, chosen, Moment(epoch, k)):
                diverged = Moment(epoch, k)
                break
        if diverged or _is_measured(epoch, epochs):
            measured.append(watch.measure(epoch, batch_size))
            diverged = diverged or (None if math.isfinite(measured[-1].loss) else Moment(epoch, k))
    seconds = time.process_time() - started
    return Course(tuple(measured), watch.passages(), watch.steps, calls.forwards - before, seconds, diverged)


def _is_measured(epoch: int, epochs: int) -> bool:
    stride = -(-epochs // MAX_MEASUREMENTS)
    return epoch == epochs or epoch % stride == 0


def _batches(examples: int, size: int | None, order: np.random.Generator | None) -> Iterator[Any]:
    """Yield what selects each batch's examples: all of them as they are, or some in a random order."""
    if size is None or size >= examples:
        yield slice(None)
        return
    places = np.arange(examples) if order is None else order.permutation(examples)
    yield from (places[start : start + size] for start in range(0, examples, size))


@dataclass
class _Seen:
    """What is noted of a parameter while training lasts."""

    first: Array
    answered: int = 0
    told: int = 0
    pull: float = 0.0
    nonfinite: Moment | None = None
    norms: list[float] = field(default_factory=list)


@dataclass
class _Watch:
    """A model in training, and what is noted of it."""

    lesson: Lesson
    calls: Calls
    steps: int = 0
    seen: dict[str, _Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parameters = self.lesson.tape.parameters(self.lesson.model)
        self.seen = {name: _Seen(np.array(self.lesson.tape.array(one))) for name, one in parameters.items()}

    def take(self, step: Step, chosen: Any, moment: Moment) -> bool:
        """Take one step of training; return False, having changed nothing, where the loss is not finite."""
        lesson, tape = self.lesson, self.lesson.tape
        parameters = tape.parameters(lesson.model)
        tape.clear(parameters.values())
        value = lesson.loss(self._output(chosen), [target[chosen] for target in lesson.targets])
        if not math.isfinite(scalar(tape, value)):
            return False
        self.calls.backward()
        with in_words("backward"):
            tape.backward(value)
        for name, tensor in parameters.items():
            self._note(name, tape.gradient(tensor), moment)
        step(parameters)
        self.steps += 1
        return True

    def measure(self, epoch: int, batch_size: int | None) -> Measured:
        """Return loss and accuracy over all examples, batch by batch, out of training mode."""
        lesson, tape = self.lesson, self.lesson.tape
        tape.training(lesson.model, on=False)
        losses, weights, outputs = [], [], []
        for chosen in _batches(lesson.examples, batch_size, None):
            targets = [target[chosen] for target in lesson.targets]
            output = self._output(chosen)
            losses.append(scalar(tape, lesson.loss(output, targets)))
            weights.append(len(lesson.inputs[0][chosen]))
            outputs.append(tape.array(output) if lesson.accuracy else np.empty(0))
        tape.training(lesson.model, on=True)
        loss = float(np.average(losses, weights=weights))
        accuracy = lesson.accuracy(np.concatenate(outputs), lesson.targets) if lesson.accuracy else None
        return Measured(epoch, loss, accuracy)

    def passages(self) -> dict[str, Passage]:
        """Return what became of every parameter up to now."""
        now = self.lesson.tape.parameters(self.lesson.model)
        return {
            name: Passage(
                shape=seen.first.shape,
                answered=seen.answered,
                told=seen.told,
                pull=seen.pull,
                nonfinite=seen.nonfinite,
                moved=_distance(seen.first, self.lesson.tape.array(now[name])) if name in now else math.nan,
                spacing=_spacing(seen.first),
                norms=_thinned(seen.norms),
            )
            for name, seen in self.seen.items()
        }

    def _output(self, chosen: Any) -> Tensor:
        self.calls.forward()
        return self.lesson.run([array[chosen] for array in self.lesson.inputs])

    def _note(self, name: str, gradient: Array | None, moment: Moment) -> None:
        if name not in self.seen:
            return
        seen = self.seen[name]
        seen.norms.append(0.0 if gradient is None else float(np.linalg.norm(np.ravel(gradient).astype(np.complex128))))
        if gradient is None:
            return
        seen.answered += 1
        seen.told += bool(np.any(gradient))
        seen.pull += float(np.max(np.abs(gradient), initial=0.0))
        if seen.nonfinite is None and not np.all(np.isfinite(gradient)):
            seen.nonfinite = moment


def scalar(tape: Tape, loss: Tensor) -> float:
    """Return the value of a loss.

    Raises:
        OpError: where it is no scalar.

    """
    value = np.asarray(tape.array(loss))
    if value.size != 1:
        raise OpError(f"expected a scalar loss, found shape {value.shape}")
    return float(value.reshape(()))


def _thinned(norms: Sequence[float]) -> tuple[float, ...]:
    size = -(-len(norms) // MAX_MEASUREMENTS) or 1
    groups = (norms[k : k + size] for k in range(0, len(norms), size))
    return tuple(float(np.sqrt(np.mean(np.square(group)))) for group in groups)


def _distance(first: Array, last: Array) -> float:
    if np.shape(last) != first.shape:
        return math.nan
    return float(np.max(np.abs(np.asarray(last, np.float64) - first), initial=0.0))


def _spacing(values: Array) -> float:
    largest = np.max(np.abs(values), initial=0.0)
    return float(np.spacing(largest)) if values.dtype.kind in "fc" else 0.0
