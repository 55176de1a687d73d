"""Single indices of a gradient that is searched: what was seen of them where they were looked at closely."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.element import Element, look_at
from gradaudit.checks.gradient.seen import Index, looks_of
from gradaudit.numerics.arrays import LARGE, copied, has_complex_dtype
from gradaudit.numerics.axes import Axes
from gradaudit.numerics.calibration import Calibrated
from gradaudit.numerics.derivative import Difference
from gradaudit.numerics.judging import Judged, Judgement
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.margins import CONFIRMATIONS, HEADROOM, MAX_ATTEMPTS, MAX_LISTED, SLOPE_RTOL, SMALL_SAMPLE
from gradaudit.spec.draw import generator


@dataclass
class CloseLooks:
    """The close looks at one input within a search.

    Attributes:
        claim: its gradient.
        positions: the places of its numbers in the one vector of all inputs.
        seen: what was seen, by index.
        judgements: what that means, by index.

    """

    claim: Claim
    positions: range = range(0)
    seen: dict[Index, Element] = field(default_factory=dict)
    judgements: dict[Index, Judgement] = field(default_factory=dict)
    _losses: dict[float, Loss] = field(default_factory=dict)

    def look(self, position: int, calibrated: Calibrated | None) -> Judgement:
        """Look at the element that holds the real number at a position, given what is known of forward by then."""
        index = self.index_of(position)
        if index not in self.seen:  # else it is the other part of a complex number
            self.seen[index] = self._element(index, calibrated)
            self.judgements[index] = self._judgement(index, self.seen[index])
            if self.judgements[index] in (Judgement.WRONG, Judgement.UNDECIDED) and self.claim.include_roundoff():
                self.seen[index] = self._element(index, calibrated)
                self.judgements[index] = self._judgement(index, self.seen[index])
        return self.judgements[index]

    def index_of(self, position: int) -> Index:
        """Return the index of the element that holds a real number of the input."""
        return self.claim.index_of(position // 2 if has_complex_dtype(self.claim.formula) else position)

    def difference(self, index: Index, step: float) -> Difference | None:
        """Return the slopes at an index over a step up and a step down; None where rounding leaves too little of it."""
        return self.along(index).at(0, step)

    def along(self, index: Index) -> Axes:
        """Return the sampler of differences at an index."""
        loss = self._loss(self.claim.point.spacing)
        return loss.along(loss.place_of(index))

    def is_blind(self) -> bool:
        """Whether forward is noise at any scale along a line of all elements, so that a table would say nothing."""
        loss = self._loss(self.claim.point.spacing)
        loss.measure_noise(generator(self.claim.point.subject.case, "noise"))
        blind = loss.blind
        loss.assume_noise()
        return blind

    def look_around(self, calibrated: Calibrated | None, rng: np.random.Generator) -> None:
        """Look at more indices where any is wrong, so that one sees what the mistake looks like.

        An input that is small has hardly any index in a sample of all inputs.
        """
        numbers = self.claim.numbers
        for position in rng.choice(numbers, min(numbers, 2 * MAX_LISTED), replace=False) if self.wrong else ():
            if len(self.seen) < MAX_LISTED:
                self.look(int(position), calibrated)
        for index in self.wrong[:CONFIRMATIONS] if len(self.wrong) < MAX_LISTED else ():
            self._look_beside(index, calibrated, rng)

    def _look_beside(self, index: Index, calibrated: Calibrated | None, rng: np.random.Generator) -> None:
        """Look along each axis: whether a row or a column is wrong a random sample hardly shows."""
        shape = tuple(self.claim.formula.shape)
        for axis, size in enumerate(shape):
            for other in rng.choice(size, min(size, SMALL_SAMPLE), replace=False):
                place = np.ravel_multi_index((*index[:axis], int(other), *index[axis + 1 :]), shape)
                self.look(self.claim.numbers // self.claim.size * int(place), calibrated)

    @property
    def wrong(self) -> list[Index]:
        """The indices that are wrong."""
        return [index for index, made in self.judgements.items() if made is Judgement.WRONG]

    def _judged(self, index: Index, element: Element) -> Judged:
        return self.claim.judged(looks_of(self.claim, {index: element}))[0]

    def _judgement(self, index: Index, element: Element) -> Judgement:
        made = self._judged(index, element)
        if made.right[0]:
            return Judgement.KINK if element.kink else Judgement.RIGHT
        return Judgement.WRONG if made.wrong[0] else Judgement.UNDECIDED

    def _element(self, index: Index, calibrated: Calibrated | None) -> Element:
        """Look at an element with the noise that is known of, or with its own where that cannot be trusted."""
        claim, point = self.claim, self.claim.point
        usual = calibrated if calibrated and calibrated.spacing <= HEADROOM * point.spacing else None
        loss = self._loss(usual.spacing if usual else point.spacing)
        asked, confirm = claim.asked_at(np.array([index], np.intp).reshape(1, -1)), len(self.wrong) < MAX_ATTEMPTS

        def looked(start: float | None = None) -> Element:
            found, ended = look_at(loss, asked, start=start, confirm=confirm)
            if ended:
                raise ended
            return found.at(0)

        try:
            if usual is not None:
                loss.assume_noise()
                element = looked(usual.step * point.scale_at(claim.name, index))
                # After so many wrong ones it is errors and no noise.
                if len(self.wrong) >= CONFIRMATIONS or not self._may_be_noise(index, element):
                    return element
            loss.measure_noise(generator(point.subject.case, "noise"), index)
            element = looked()
            # Noise that was measured at few points may be more.
            is_wrong = self._judgement(index, element) is Judgement.WRONG
            return element._replace(bound=2 * element.bound) if is_wrong else element
        finally:
            loss.vicinity.verify_restored()

    def _may_be_noise(self, index: Index, element: Element) -> bool:
        """Whether what contradicts a claim may be more noise than was taken for granted."""
        made, slope = self._judged(index, element), abs(element.numerical)
        return bool(made.wrong[0] and (element.doubtful or made.difference[0] <= SLOPE_RTOL * slope))

    def _loss(self, assumed: float) -> Loss:
        """Return the loss along single elements for an assumed rounding, the one that there is where it is the same."""
        if assumed not in self._losses:
            point = self.claim.point.on_host
            x = point.inputs[self.claim.name]
            # A large one is not compared at every call: the root tests before have seen that it is left alone.
            trusted = x.nbytes >= LARGE and not (point.findings or self.claim.point.findings)
            forward = (lambda: copied(point.evaluate_fleeting())) if trusted else point.evaluate
            self._losses = {assumed: Loss(forward, x, point.upstream, point.outputs, assumed)}
        return self._losses[assumed]
