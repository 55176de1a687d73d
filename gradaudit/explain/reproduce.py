"""How to see a result for oneself: the command that audits its case alone, and Python that repeats the comparison."""

from __future__ import annotations

import math
import shlex
from string import Template

from gradaudit.explain.curve import StepCurve
from gradaudit.spec.case import Case
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
    functions = " and ".join(path.rpartition(":")[2] for path in names_to_import(case.target).values())
    narrow = "" if curve.dtype in ("float64", "complex128") else ", narrow=True"
    return _SNIPPET.substitute(
        path=repr(str(case.location.file)),
        case=repr(case.id),
        seed=case.seed,
        input=repr(name),
        index=repr(curve.index),
        step=_step_in_python(curve.chosen_step),
        functions=functions,
        narrow=narrow,
        part=".imag" if curve.part == "imaginary" else ".real" if case.dtype.startswith("complex") else "",
    )


def _step_in_python(step: float) -> str:
    mantissa, exponent = math.frexp(step)
    return f"2.0**{exponent - 1}" if mantissa == 0.5 else repr(step)


_SNIPPET = Template(
    """\
import gradaudit

at = gradaudit.point($path, $case, seed=$seed)
# it calls $functions
index = $index
print("analytical:", at.gradient($input)[index]$part)
print("numerical: ", at.difference($input, index, step=$step$narrow)$part)
"""
)
