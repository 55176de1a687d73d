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
        epochs: how many passes over the data.
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
class _Watch:
    """A model in training, and what is noted of it."""

    lesson: Lesson
    calls: Calls
    steps: int = 0
    moments: list[Moment] = field(default_factory=list)
    first: dict[str, Array] = field(default_factory=dict)
    seen: dict[str, list[tuple[float, float] | None]] = field(default_factory=dict)
    """By parameter and step, the largest element of its gradient, and the norm; None where it has none."""

    def __post_init__(self) -> None:
        parameters = self.lesson.tape.parameters(self.lesson.model)
        self.first = {name: np.array(self.lesson.tape.array(one)) for name, one in parameters.items()}
        self.seen = {name: [] for name in parameters}

    def take(self, step: Step, chosen: Any, moment: Moment) -> bool:
        """Take one step of training; return False, having changed nothing, where the loss is not finite."""
        lesson, tape = self.lesson, self.lesson.tape
        parameters = tape.parameters(lesson.model)
        tape.clear(parameters.values())
        value = lesson.loss(self._output(chosen), [target[chosen] for target in lesson.targets])
        if not math.isfinite(scalar(tape, value)):
            return False
        self.calls.count(backwards=1)
        with in_words("backward"):
            tape.backward(value)
        self.moments.append(moment)
        for name, seen in self.seen.items():
            seen.append(_sizes(tape.gradient(parameters[name])) if name in parameters else None)
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
        return {name: self._passage(name, now.get(name)) for name in self.first}

    def _passage(self, name: str, now: Tensor | None) -> Passage:
        first, seen = self.first[name], self.seen[name]
        peaks = [each[0] for each in seen if each is not None]
        lost = (moment for moment, each in zip(self.moments, seen, strict=True) if each and not math.isfinite(each[0]))
        return Passage(
            shape=first.shape,
            answered=len(peaks),
            told=sum(peak != 0.0 for peak in peaks),
            pull=sum(peaks),
            nonfinite=next(lost, None),
            moved=math.nan if now is None else _distance(first, self.lesson.tape.array(now)),
            spacing=_spacing(first),
            norms=_thinned([0.0 if each is None else each[1] for each in seen]),
        )

    def _output(self, chosen: Any) -> Tensor:
        self.calls.count(forwards=1)
        return self.lesson.run([array[chosen] for array in self.lesson.inputs])


def scalar(tape: Tape, loss: Tensor) -> float:
    """Return the value of a loss.

    Raises:
        OpError: where it is no scalar.

    """
    value = np.asarray(tape.array(loss))
    if value.size != 1:
        raise OpError(f"expected a scalar loss, found shape {value.shape}")
    return float(value.reshape(()))


def _sizes(gradient: Array | None) -> tuple[float, float] | None:
    if gradient is None:
        return None
    flat = np.ravel(gradient)
    wide = flat.astype(np.result_type(flat.dtype, np.float64))
    return float(np.max(np.abs(flat), initial=0.0)), float(np.linalg.norm(wide))


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
