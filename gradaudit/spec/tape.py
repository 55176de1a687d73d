"""How a framework's tensors, and the tape behind them, are described so that no code is needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TapePreset = Literal["gradaudit", "torch", "tinygrad"]

Clearing = Literal["none", "zeros"]
"""What clears a gradient that no method clears: None, or zeros, is put in its place."""

Targets = Literal["arrays", "tensors"]
"""What losses are given beside the model's output."""

SELF = "self"
"""Said of a tape's ``node``: each tensor is its own step."""


@dataclass(frozen=True)
class TapeDescription:
    """A teaching framework in names: where it keeps what. Names may be dotted; a method is called without arguments.

    Attributes:
        tensor: its class of tensors, ``module:Class``, called with an array.
        data: the attribute of a tensor that holds its values, as an array.
        grad: the attribute that holds its gradient, an array, a tensor, or None.
        requires_grad: the attribute, and the keyword of the class, that says whether a tensor is tracked; None where
            all of them are.
        node: the attribute of a tensor that holds the step which made it, ``self`` where the tensor is that step, or
            the attributes that are looked into one after the other.
        name: the attribute of a step that holds its name; None for the name of its class, or of its function.
        parents: the attribute of a step that holds what it was computed from: tensors, steps, or both.
        saved: the attribute of a step that holds the inputs it saved, where ``parents`` leaves out leaves.
        backward: the method of a loss that runs reverse mode.
        zero_grad: the method of a tensor that clears its gradient; None for none.
        cleared: what is put in place of a gradient that no method clears.
        parameters: the method or attribute of a model that gives its parameters: a list or a dict; where a model has
            none, a model that is a pair of a function and its parameters is understood as well.
        call: the method of a model that computes its output; None where the model itself is called.
        targets: what losses take beside the model's output: arrays, or tensors of them.
        setup: called once before the first use, ``module:function``.

    """

    tensor: str
    data: str = "data"
    grad: str = "grad"
    requires_grad: str | None = "requires_grad"
    node: str = "_grad_fn"
    name: str | None = None
    parents: str = "parents"
    saved: str | None = None
    backward: str = "backward"
    zero_grad: str | None = None
    cleared: Clearing = "none"
    parameters: str = "parameters"
    call: str | None = None
    targets: Targets = "arrays"
    setup: str | None = None
