"""How people name backward passes, and the forwards that belong to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

BACKWARD = r"backwards?(?:_pass|_prop(?:agation)?|_propagate)?|back_?prop(?:agate|agation)?|bwd|vjp|bprop|pullback"
"""What a backward pass is called beside its op: words that mean nothing else."""

LOOSE = r"grad|gradient|prime|deriv|derivative|der|jac|jacobian"
"""Words that are used for other things as well: there must be a forward of the same name."""

VARIANT = r"(?P<variant>_naive|_fast|_slow|_alt|_numpy|_np|_cpu|_im2col|_vectorized|_loop|_fn|_func)?"
"""What may follow, in forward's name too."""

_SUFFIXED = re.compile(rf"_*(?P<op>\w+?)_(?:(?P<strong>{BACKWARD})|(?P<loose>{LOOSE})){VARIANT}")
_PREFIXED = re.compile(
    rf"_*(?:(?P<strong>{BACKWARD})|(?P<loose>{LOOSE}|d|compute_(?:grad|gradient|derivative)))_(?P<op>\w+?){VARIANT}"
)
_SHORT = re.compile(r"d(?P<op>[a-z]\w{2,})")
"""``dsigmoid``, beside ``sigmoid``."""

FORWARD_METHODS = (
    "forward",
    "__call__",
    "forward_pass",
    "forward_prop",
    "forward_propagate",
    "forward_propagation",
    "feed_forward",
    "feedforward",
    "fprop",
    "fwd",
    "call",
    "apply",
    "activate",
    "activation",
    "compute",
    "compute_loss",
    "loss",
    "cost",
    "fn",
    "function",
    "func",
    "f",
    "value",
    "evaluate",
    "calculate",
)
"""Methods that compute what a class stands for, the likeliest first."""

BACKWARD_METHODS = (
    "backward",
    "backward_pass",
    "backward_prop",
    "backward_propagate",
    "backward_propagation",
    "back_propagate",
    "back_propagation",
    "back_prop",
    "backpropagate",
    "backpropagation",
    "backprop",
    "bprop",
    "bwd",
    "back",
    "vjp",
)
"""Methods that are backward passes and nothing else."""

SLOPE_METHODS = (
    "gradient",
    "grad",
    "compute_gradient",
    "compute_gradients",
    "calculate_gradient",
    "derivative",
    "compute_derivative",
    "deriv",
    "prime",
    "df",
    "dfn",
    "df_dx",
    "dactivation",
    "activation_prime",
    "loss_prime",
    "loss_gradient",
    "loss_grad",
    "loss_derivative",
)
"""Methods that give a derivative where their class has a forward beside them."""


@dataclass(frozen=True)
class Naming:
    """What a function's name says: the op, whether it is sure, and how the forwards may be called, likeliest first."""

    op: str
    sure: bool
    forwards: tuple[str, ...]


def snake(name: str) -> str:
    """Return a name in ``camelCase`` with underscores instead."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


def naming(name: str) -> Naming | None:
    """Return what the name of a function says of it as a backward pass; None for none."""
    plain = snake(name.rpartition(".")[2])
    for pattern in (_SUFFIXED, _PREFIXED, _SHORT):
        if found := pattern.fullmatch(plain):
            parts = found.groupdict()
            op, variant = parts["op"].strip("_"), parts.get("variant") or ""
            if op:
                return Naming(op, bool(parts.get("strong")), tuple(dict.fromkeys(_forwards(op, variant))))
    return None


def _forwards(op: str, variant: str) -> Iterator[str]:
    for tail in (variant, ""):
        yield from (f"{op}_forward{tail}", f"forward_{op}{tail}", f"{op}_fwd{tail}", f"fwd_{op}{tail}")
        yield from (f"{op}_forward_pass{tail}", f"{op}_fprop{tail}", f"{op}_fw{tail}")
        yield from (f"{op}{tail}", f"_{op}{tail}", f"compute_{op}{tail}")
    yield from (f"{op}_fn", f"{op}_func", f"{op}_function", f"{op}_activation", f"{op}_loss", f"f_{op}")


def forward_among(named: Naming, names: Collection[str]) -> str:
    """Return which of some names is the forward that belongs to a backward pass; empty for none."""
    by_snake = {snake(name).lower(): name for name in reversed(list(names))}
    return next((by_snake[one.lower()] for one in named.forwards if one.lower() in by_snake), "")


def backward_method(names: Collection[str]) -> str:
    """Return which of a class's methods is its backward pass; empty for none."""
    by_snake = {snake(name).lower(): name for name in names}
    return next((by_snake[one] for one in (*BACKWARD_METHODS, *SLOPE_METHODS) if one in by_snake), "")


def forward_method(names: Collection[str], backward: str) -> str:
    """Return which of a class's methods is the forward of a backward; empty for none.

    A derivative may stand beside a function of a like name: ``activation_prime`` beside ``activation``.
    """
    by_snake = {snake(name).lower(): name for name in names}
    if (named := naming(backward)) and named.op in by_snake:
        return by_snake[named.op]
    return next((by_snake[one] for one in FORWARD_METHODS if one in by_snake), "")


def methods_of(kind: type) -> tuple[str, str]:
    """Return the forward and the backward of a class: of its own before those that it inherits, which may be empty."""
    inherited = [one for one in dir(kind) if not (one.startswith("__") and one != "__call__")]
    own = [name for name in vars(kind) if name in inherited]
    backward = backward_method(own) or backward_method(inherited)
    forward = forward_method([one for one in own if one != backward], backward)
    return forward or forward_method([one for one in inherited if one != backward], backward), backward
