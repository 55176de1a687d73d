"""How to see a result for oneself: the command that audits its case alone, and Python that repeats the comparison."""

from __future__ import annotations

import math
import shlex
from string import Template

from gradaudit.explain.curve import StepCurve
from gradaudit.spec.case import Case
from gradaudit.spec.model_targets import ModelTarget
from gradaudit.spec.op_targets import FrameworkTarget
from gradaudit.targets import names_to_import


def command_for(case: Case) -> str:
    """Return the shell command that audits this case alone."""
    file = str(case.location.file)
    words = ["gradaudit", "run", f"./{file}" if file.startswith("-") else file]
    words += ["-k", f"/{case.op}::{case.name}[{case.dtype}]", "--dtype", case.dtype, "--seed", str(case.seed)]
    return shlex.join(words)


def snippet_for(case: Case, name: str, curve: StepCurve) -> str:
    """Return a program that prints backward's answer at the curve's index beside a central difference.

    It runs from the folder that the specs were named from.

    Args:
        case: the case.
        name: the input's name.
        curve: the index, the step, and the dtype that forward is differenced in.

    """
    return _SNIPPET.substitute(
        path=repr(str(case.location.file)),
        dtype=repr(case.dtype),
        seed=case.seed,
        names=repr((case.op, case.name)),
        input=repr(name),
        index=repr(curve.index),
        step=_step_in_python(curve.chosen_step),
        **_COMPLETING if isinstance(case.target, (FrameworkTarget, ModelTarget)) else _COMPLETE,
        functions="\n".join(f"# {path[-1]} is {name}" for path, name in names_to_import(case.target).items()),
        point="widened(x)" if curve.dtype == "float64" else "x",
        displacement="1j * displacement" if curve.part == "imaginary" else "displacement",
        part=".imag" if curve.part == "imaginary" else ".real" if case.dtype.startswith("complex") else "",
    )


def _step_in_python(step: float) -> str:
    mantissa, exponent = math.frexp(step)
    return f"2.0**{exponent - 1}" if mantissa == 0.5 else repr(step)


_COMPLETE = {"import_completed": "", "complete": ""}

_COMPLETING = {
    "import_completed": "from gradaudit.targets.parameters import completed\n",
    "complete": "case = completed(case, op)\n",
}
"""What a snippet adds where a module may bring parameters along."""

_SNIPPET = Template(
    """\
from pathlib import Path

import numpy as np

from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs
from gradaudit.targets import open_op
${import_completed}
file = Path($path)
cases = load_specs([file], Overrides(dtypes=($dtype,), seed=$seed)).cases
names = $names
case = next(case for case in cases if (case.op, case.name) == names)
$functions
op = open_op(case)
${complete}inputs = draw_inputs(case)
outputs = op.forward(inputs)
counted = op.differentiable_outputs(outputs)
upstream = tuple(
    draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted
)
gradient = op.backward(upstream, inputs, outputs)[$input]

index, step = $index, $step


def outputs_at(displacement):
    drawn = draw_inputs(case)
    point = {name: $point.copy("K") for name, x in drawn.items()}
    point[$input][index] += $displacement
    outputs = op.forward(point)
    return [widened(outputs[k].copy()) for k in counted]


changes = zip(upstream, outputs_at(step), outputs_at(-step))
numerical = sum(np.vdot(widened(u), up - down).real for u, up, down in changes)
print("analytical:", gradient[index]$part)
print("numerical: ", numerical / (2 * step))
"""
)
