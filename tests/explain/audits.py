"""Explanations of ops that a test writes into a folder of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from gradaudit.explain.explain import cases_of, explain
from gradaudit.explain.explanation import Explanation
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs

Explained = Callable[..., Explanation]


def explained(
    folder: Path, forward: str, backward: str, inputs: str = "x: {shape: [3, 4], range: [0.5, 1.5]}", **more: object
) -> Explanation:
    """Return the explanation of an op, given as Python expressions in x and u, in the current folder ``folder``."""
    text = f"""
        import numpy as np


        def forward(x):
            return {forward}


        def backward(u, x):
            return {backward}
    """
    (folder / "kernels.py").write_text(textwrap.dedent(text))
    lines = ["op: example", "target: {forward: 'kernels:forward', backward: 'kernels:backward'}"]
    lines += ["inputs:", f"  {inputs}", *(f"{key}: {value}" for key, value in more.items())]
    (folder / "spec.yaml").write_text("\n".join(lines) + "\n")
    return explain(cases_of(load_specs([Path("spec.yaml")], Overrides()), "example"), jobs=0)
