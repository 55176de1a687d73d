"""Whether what is said of a wrong gradient is true: faults in ops of small sizes, where coincidences abound.

    python tests/benchmarks/small_faults.py [--count 1000] [--seed 0]

Cases of the shipped ops are given sizes of 2 to 6, a fault is planted in one gradient, and the case is audited. Each
cause that is named is then held against the right backward, at all elements, at draws and shapes that no audit has
seen: it is false where it does not hold there. Exit status: 0 where none is false, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

sys.path += [str(Path(__file__).parents[1] / "diagnosis"), str(Path(__file__).parents[1] / "ops")]

from faults import FAULTS
from planted import NoOccasionError, Planted, failed
from shipped import CASES_BY_OP, audit_changed

from gradaudit.audit import likely_causes
from gradaudit.diagnosis.captured import Ignored
from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.columns import Diagonal, Mistaken
from gradaudit.diagnosis.constant import Factor
from gradaudit.diagnosis.evidence import Claim
from gradaudit.diagnosis.shifted import Rolled
from gradaudit.diagnosis.subset import WrongRegion
from gradaudit.results import Finding
from gradaudit.spec.case import Case
from gradaudit.spec.draw import UndrawableError, draw_inputs, draw_upstream
from gradaudit.targets import open_op
from gradaudit.targets.op import OpError

Array = Any

LEAST, MOST = 2, 6
"""Sizes."""

SEEDS = range(7001, 7007)
"""Of the draws that decide."""

CLOSE = 1e-6
"""Relative difference up to which two gradients are the same."""

CLAIMED = 0.95
"""Share of the indices at which a cause that does not explain all must hold."""


def small(case: Case, rng: np.random.Generator) -> Case:
    """Return a case with other sizes, equal ones alike; some of them may become equal."""
    sizes = {size for made in case.inputs if made.values is None for size in made.shape} - {0, 1}
    new = {size: int(rng.integers(LEAST, MOST + 1)) for size in sorted(sizes)}
    inputs = tuple(
        made if made.values is not None else replace(made, shape=tuple(new.get(size, size) for size in made.shape))
        for made in case.inputs
    )
    return replace(case, inputs=inputs, upstream=case.upstream if isinstance(case.upstream, str) else "random")


def drawn(count: int, seed: int) -> Iterator[tuple[Case, str, str, Any, int]]:
    """Yield cases of small sizes that forward takes, each with an input, a kind of fault, a fault, and a seed."""
    rng, ops = np.random.default_rng(seed), list(CASES_BY_OP.values())
    while count:
        cases = [case for case in ops[rng.integers(len(ops))] if case.dtype in ("float32", "float64")]
        if not cases:
            continue
        case = small(cases[rng.integers(len(cases))], rng)
        names = [made.name for made in case.inputs if made.differentiable]
        code = list(FAULTS)[rng.integers(len(FAULTS))]
        fault = FAULTS[code][rng.integers(len(FAULTS[code]))]()
        if prod(max((made.shape for made in case.inputs), key=prod)) <= 6**3 and points(case, names[0], open_op(case)):
            yield case, names[rng.integers(len(names))], code, fault, int(rng.integers(2**31))
            count -= 1


def points(case: Case, name: str, op: Any, seeds: Any = SEEDS[:1]) -> list[tuple[Claim, Array]]:
    """Return what an op answers at some draws in double precision, with all elements as places."""
    made = []
    wide = tuple(replace(each, dtype="float64") if each.dtype == case.dtype else each for each in case.inputs)
    for seed in seeds:
        drawn = replace(case, dtype="float64", inputs=wide, seed=seed)
        try:
            inputs = draw_inputs(drawn)
            outputs = op.forward(inputs)
            counted = op.differentiable_outputs(outputs)
            upstream = tuple(draw_upstream(drawn, k, outputs[k].shape, outputs[k].dtype) for k in counted)
            gradient = op.backward(upstream, inputs, outputs)[name]
        except (OpError, UndrawableError):
            continue
        if gradient is not None and gradient.shape == inputs[name].shape and np.isfinite(gradient).all():
            places = np.argwhere(np.ones(gradient.shape, bool)).reshape(gradient.size, gradient.ndim)
            claim = Claim(
                name=name,
                analytical=np.asarray(gradient),
                places=places,
                inputs=inputs,
                upstream=upstream,
                outputs=tuple(outputs[k] for k in counted),
                params=case.params,
            )
            made.append((claim, outputs))
    return made


def is_false(cause: Cause, planted: str, case: Case, name: str, wrong: Any) -> bool:
    """Whether a cause does not hold at draws and shapes that it was not found at."""
    if cause.rule is None or isinstance(cause, Ignored) or cause.finding.code in likely_causes.OF_CALLS:
        return "indices" not in cause.finding.evidence and cause.finding.code != planted
    right, rng = open_op(case), np.random.default_rng(3)
    for k, shaped in enumerate((case, case, case, small(case, rng), small(case, rng), small(case, rng))):
        if k >= len(SEEDS) // 2 and says_numbers(cause.finding):
            continue
        for claim, outputs in points(shaped, name, wrong, SEEDS[k : k + 1]):
            if holds(cause, claim, right, outputs) is False:
                return True
    return False


def says_numbers(finding: Finding) -> bool:
    """Whether a sentence is of these sizes only, as one that lists factors or a number without a name."""
    listed = finding.code in ("factor-per-axis", "upstream-part")
    return listed or ("changes with the sizes" in finding.message) or ("along all elements" in finding.message)


def holds(cause: Cause, claim: Claim, right: Any, outputs: Any) -> bool | None:
    """Whether a cause holds at one point; None where it says nothing of it."""
    truth = np.asarray(right.backward(claim.upstream, dict(claim.inputs), outputs)[claim.name], np.float64)
    truth = truth.reshape(-1)
    scale = float(np.abs(truth).max(initial=0.0)) + float(np.abs(claim.claimed).max(initial=0.0))

    def off(made: Array) -> Array:
        return np.abs(made - truth) > CLOSE * (np.abs(truth) + scale)

    wrong = off(claim.claimed)
    if not wrong.any():
        return None
    if isinstance(cause, WrongRegion):
        assert cause.region is not None
        mask = cause.region.of(claim)
        if mask is None:
            return None
        sure = ~cause.region.threshold.unsure(claim) if cause.region.threshold else np.ones(len(mask), bool)
        outside = 1.0 - float((wrong & ~mask & sure).sum()) / max(1, int(wrong.sum()))
        inside = cause.inside(claim) if cause.inside else None
        return outside >= CLAIMED and (inside is None or not (off(inside) & mask & sure).any())
    if isinstance(cause, Mistaken):
        ways = [made for way in cause.ways if (made := way(claim.upstream)) is not None]
        answers = [np.asarray(right.backward(w, dict(claim.inputs), outputs)[claim.name]).reshape(-1) for w in ways]
        return any(np.allclose(each, claim.claimed, rtol=CLOSE, atol=CLOSE * scale) for each in answers)
    if isinstance(cause, Diagonal):
        return None
    predicted = cause.rule(claim) if cause.rule else None
    if predicted is None:
        return None
    if isinstance(cause, Rolled):
        rolled = [claim.at_places(np.roll(claim.analytical, by, cause.axis)) for by in cause.ways]
        return any(bool((np.abs(made - truth) <= CLOSE * (np.abs(truth) + scale)).all()) for made in rolled)
    if isinstance(cause, Factor) and cause.names:
        named = [made.at(claim) * claim.claimed for made in cause.names]
        return any(bool((np.abs(made - truth) <= 1e-3 * (np.abs(truth) + scale)).all()) for made in named)
    known = np.isfinite(predicted)
    # What was seen in float32 is known to three digits.
    bad = np.abs(predicted - truth)[known] > 1e-3 * (np.abs(truth)[known] + scale)
    return bool(bad.mean() <= (1.0 - CLAIMED if cause.explained < 1.0 else 0.0)) if known.any() else None


@dataclass
class Listening:
    """Hears the causes of an audit, and what they cost."""

    heard: list[Cause] = field(default_factory=list)
    forwards: int = 0
    causes_of: Any = field(default_factory=lambda: likely_causes.causes_of)

    def __call__(self, subject: Any, evidence: Any, points: Any) -> list[Cause]:
        before = subject.op.calls.forwards
        found: list[Cause] = self.causes_of(subject, evidence, points)
        self.heard += found
        self.forwards += subject.op.calls.forwards - before
        return found


def try_one(case: Case, name: str, code: str, fault: Any, seed: int) -> tuple[str, Listening, list[Cause]]:
    """Plant a fault; return how the audit ended, what was heard in it, and what of that is false."""
    wrong, listening = Planted(open_op(case), name, (fault,), seed), Listening()
    with np.errstate(all="ignore"), patch.object(likely_causes, "causes_of", listening):
        audited = audit_changed(case, lambda opened: replace(wrong, op=opened))
        result = next(each for each in audited.results if each.input == name)
        if not failed(result):
            return "unnoticed", listening, []
        said = {finding.message for finding in result.findings}
        listening.heard = [cause for cause in listening.heard if cause.finding.message in said]
        return "noticed", listening, [each for each in listening.heard if is_false(each, code, case, name, wrong)]


def main() -> int:
    """Run the benchmark and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts: Mapping[str, Counter[str]] = {code: Counter() for code in FAULTS}
    most, started = 0, time.process_time()
    for case, name, code, fault, seed in drawn(options.count, options.seed):
        try:
            ended, listening, false = try_one(case, name, code, fault, seed)
        except NoOccasionError:
            counts[code]["no occasion"] += 1
            continue
        counts[code] += Counter({ended: 1, "said": int(bool(listening.heard)), "false": len(false)})
        most = max(most, listening.forwards)
        for cause in false:
            shapes = [made.shape for made in case.inputs]
            print(f"false: {case.id} {shapes} {name} {fault.__name__} {seed}: {cause.finding.message}", flush=True)
    for code, count in counts.items():
        print(f"{code:18} {', '.join(f'{number} {what}' for what, number in sorted(count.items()))}")
    print(f"most forwards for causes: {most}; {time.process_time() - started:.0f} s of processor time")
    return 1 if any(count["false"] for count in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
