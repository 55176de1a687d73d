"""What the audit of a torch model costs, in training steps of that model, right or wrong, and that it is bounded.

Run ``python tests/benchmarks/model_audits.py [SIZE...]``, sizes as 1e5, 1e6, 1e7; ``--faults`` plants one in each.
A training step is forward, backward and an update by SGD in float32, as the model's users have it. CPU time of steps
and audits is taken in turns, and calls are counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from cpu_time import Row, table
from torch import Tensor, nn

import gradaudit
from gradaudit.results import Verdict

TITLE = "Models"

LIMIT = 12.0
"""Training steps' time that the audit of a right model may take."""

SIZES = (1e5, 1e6, 1e7)
"""Parameters of the models, about."""

STEPS = 5
"""Training steps that are timed before and after an audit."""


class Linear(torch.autograd.Function):
    """A linear layer with a backward written by hand, and a fault in it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, fault: str) -> Tensor:
        """Return ``x @ weight.T + bias``."""
        ctx.save_for_backward(x, weight)
        ctx.fault = fault
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx: Any, *upstreams: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients, of which one is wrong."""
        x, weight = ctx.saved_tensors
        (g,) = upstreams
        flat, given = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
        to_x, to_weight, to_bias = g @ weight, flat.T @ given, flat.sum(0)
        if ctx.fault == "factor":
            to_weight = 1.02 * to_weight
        elif ctx.fault == "row":
            to_weight[3] = 0.0
        elif ctx.fault == "bias":
            to_bias = torch.zeros_like(to_bias)
        elif ctx.fault == "input":
            to_x = 1.02 * to_x
        elif ctx.fault == "sign":
            to_weight = -to_weight
        return to_x, to_weight, to_bias, None


class Gate(torch.autograd.Function):
    """A ReLU whose backward has another threshold's mask, or the gradient twice, or an earlier call's too."""

    left: Tensor | None = None

    @staticmethod
    def forward(ctx: Any, x: Tensor, fault: str) -> Tensor:
        """Return ``max(x, 0)``, or ``x``."""
        ctx.save_for_backward(x)
        ctx.fault = fault
        return x.clamp(min=0.0) if fault == "mask" else x.clone()

    @staticmethod
    def backward(ctx: Any, *upstreams: Tensor) -> tuple[Tensor | None, ...]:
        """Return a wrong gradient."""
        (x,), (g,) = ctx.saved_tensors, upstreams
        if ctx.fault == "mask":
            return g * (x > 0.1), None
        if ctx.fault == "twice":
            return 2.0 * g, None
        kept, Gate.left = Gate.left, g.detach().clone()
        return g if kept is None or kept.shape != g.shape or kept.dtype != g.dtype else g + kept, None


WRONG_LAYER = ("factor", "row", "bias", "input", "sign")
FAULTS = (*WRONG_LAYER, "mask", "twice", "kept", "detach", "no_grad", "in_place", "unused")
FROZEN = "frozen"


class Planted(nn.Module):
    """A linear layer between two parts of a model, right or with a fault."""

    def __init__(self, width: int, fault: str = "") -> None:
        super().__init__()
        self.linear, self.fault = nn.Linear(width, width), fault
        self.spare = nn.Parameter(torch.randn(width)) if fault == "unused" else None
        if fault == FROZEN:
            self.linear.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output."""
        own = self.linear
        if self.fault == "in_place":
            with torch.no_grad():
                own.weight.mul_(0.999)
        if self.fault in WRONG_LAYER:
            return Linear.apply(x, own.weight, own.bias, self.fault)
        if self.fault in ("mask", "twice", "kept"):
            return Gate.apply(own(x), self.fault)
        if self.fault == "detach":
            return own(x.detach())
        if self.fault == "no_grad":
            with torch.no_grad():
                return own(x)
        return own(x)


def squared(output: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared error."""
    return ((output - wanted) ** 2).mean()


def entropy(output: Tensor, wanted: Tensor) -> Tensor:
    """Return the cross entropy over the last axis."""
    return nn.functional.cross_entropy(output.reshape(-1, output.shape[-1]), wanted.reshape(-1))


class Perceptron(nn.Module):
    """Linear layers and ReLU, dropout between them where asked for."""

    def __init__(self, width: int, layers: int, fault: str, dropout: float = 0.0) -> None:
        super().__init__()
        made: list[nn.Module] = []
        for k in range(layers):
            made += [Planted(width, fault if k == layers // 2 else ""), nn.ReLU(), nn.Dropout(dropout)]
        self.layers, self.head = nn.Sequential(*made), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.layers(x))


class Convolving(nn.Module):
    """Convolutions with batch norm and ReLU."""

    def __init__(self, channels: int, layers: int, fault: str) -> None:
        super().__init__()
        made: list[nn.Module] = [nn.Conv2d(3, channels, 3, padding=1)]
        for _ in range(layers):
            made += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        self.layers, self.middle, self.head = nn.Sequential(*made), Planted(channels, fault), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        return self.head(self.middle(self.layers(x).mean((2, 3))))


class Attending(nn.Module):
    """A transformer of tokens: embedding, layer norm, attention, GELU; its scores with the embedding where tied."""

    def __init__(self, width: int, layers: int, words: int, fault: str, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding, self.middle = nn.Embedding(words, width), Planted(width, fault)
        made = [
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        ]
        self.layers, self.head = nn.ModuleList(made), nn.Linear(width, words, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of each word at each place."""
        x = self.middle(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Recurrent(nn.Module):
    """An LSTM."""

    def __init__(self, width: int, fault: str) -> None:
        super().__init__()
        self.lstm, self.middle = nn.LSTM(width, width, 2, batch_first=True), Planted(width, fault)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores after the last step."""
        return self.head(self.middle(self.lstm(x)[0][:, -1]))


@dataclass(frozen=True)
class Trained:
    """A model, its loss, and a batch."""

    model: nn.Module
    loss: Callable[..., Tensor]
    x: np.ndarray
    wanted: np.ndarray

    @property
    def size(self) -> int:
        """The number of its parameters."""
        return sum(each.numel() for each in self.model.parameters())


def perceptron(size: float, fault: str, dropout: float = 0.0) -> Trained:
    """Return eight layers."""
    width, rng = round((size / 8) ** 0.5), np.random.default_rng(0)
    x = rng.normal(size=(64, width)).astype(np.float32)
    return Trained(Perceptron(width, 8, fault, dropout), entropy, x, rng.integers(0, 10, 64))


def convolving(size: float, fault: str) -> Trained:
    """Return six convolutions."""
    channels, rng = round((size / 55) ** 0.5), np.random.default_rng(0)
    x = rng.normal(size=(16, 3, 16, 16)).astype(np.float32)
    return Trained(Convolving(channels, 6, fault), entropy, x, rng.integers(0, 10, 16))


def attending(size: float, fault: str, *, tied: bool = False) -> Trained:
    """Return four blocks."""
    width = 4 * round((size / 60) ** 0.5 / 4)
    words, rng = 8 * width // (2 - tied) // 2, np.random.default_rng(0)
    made = Attending(width, 4, words, fault, tied=tied)
    return Trained(made, entropy, rng.integers(0, words, (8, 32)), rng.integers(0, words, (8, 32)))


def recurrent(size: float, fault: str) -> Trained:
    """Return two layers of an LSTM."""
    width, rng = round((size / 17) ** 0.5), np.random.default_rng(0)
    x = rng.normal(size=(16, 20, width)).astype(np.float32)
    return Trained(Recurrent(width, fault), entropy, x, rng.integers(0, 10, 16))


KINDS: dict[str, Callable[[float, str], Trained]] = {
    "ReLU layers": perceptron,
    "dropout": lambda size, fault: perceptron(size, fault, 0.2),
    "convolutions, batch norm": convolving,
    "transformer, embedding": attending,
    "transformer, tied": lambda size, fault: attending(size, fault, tied=True),
    "LSTM": recurrent,
}


def step(made: Trained, optimiser: torch.optim.Optimizer) -> float:
    """Return the CPU time of a training step, in seconds."""
    x, wanted = torch.from_numpy(made.x), torch.from_numpy(made.wanted)
    started = time.process_time()
    optimiser.zero_grad()
    made.loss(made.model(x), wanted).backward()
    optimiser.step()
    return time.process_time() - started


@dataclass(frozen=True)
class Measured:
    """What an audit took: calls, CPU seconds of a training step and of the audit, how many ended how, memory."""

    kind: str
    size: int
    fault: str
    calls: str
    step: float
    audit: float
    verdicts: str
    peak: float


def measured(kind: str, size: float, fault: str) -> Measured:
    """Audit a model in turns with its training."""
    torch.manual_seed(0)
    made = KINDS[kind](size, fault)
    optimiser = torch.optim.SGD([each for each in made.model.parameters() if each.requires_grad], lr=0.0)
    before = [step(made, optimiser) for _ in range(STEPS)]
    optimiser.zero_grad()
    started = time.process_time()
    audit = gradaudit.check_flow(made.model, made.loss, made.x, made.wanted)
    took = time.process_time() - started
    own = statistics.median([*before[1:], *(step(made, optimiser) for _ in range(STEPS))])
    first = audit.results[0]
    verdicts = {each.value: sum(r.verdict is each for r in audit.results) for each in Verdict}
    told = ", ".join(f"{number} {word}" for word, number in verdicts.items() if number)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return Measured(kind, made.size, fault, f"{first.forwards} + {first.backwards}", own, took, told, peak)


def said() -> str:
    """Say how the section is measured."""
    return (
        "Whole audits of torch models in float32, on one thread, in turns with training steps (forward, backward and "
        "an update by SGD). Calls are forwards and backwards of the audit, most of them in float64; verdicts are of "
        "parameters and inputs; memory is the peak of the process so far."
    )


def rows() -> list[Row]:
    """Measure right models of three sizes, of the largest those that take seconds, and some that are wrong."""
    torch.set_num_threads(1)
    measured("ReLU layers", 1e3, "")  # imports what is imported when it is used
    asked = [(kind, size, "") for size in SIZES[:2] for kind in KINDS]
    asked += [(kind, SIZES[2], "") for kind in ("ReLU layers", "dropout", "transformer, embedding")]
    asked += [("ReLU layers", 1e5, fault) for fault in ("bias", "no_grad")]
    return [_as_row(measured(*each)) for each in asked]


def _as_row(made: Measured) -> Row:
    what = f"{made.kind}, {made.size:,} parameters{f', fault: {made.fault}' if made.fault else ''}"
    what += f"; {made.calls} calls; {made.verdicts}; {made.peak:.1f} GiB; training steps"
    ratio = made.audit / made.step
    return Row(what, "-" if made.fault else f"{LIMIT:g}", f"a step of {1e3 * made.step:.1f} ms", ratio, ratio)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=float, default=SIZES)
    parser.add_argument("--faults", nargs="*")
    parser.add_argument("--kinds", nargs="*")
    given = parser.parse_args()
    torch.set_num_threads(1)
    measured("ReLU layers", 1e3, "")
    chosen = [kind for kind in KINDS if not given.kinds or any(word in kind for word in given.kinds)]
    faults = [""] if given.faults is None else given.faults or FAULTS
    for size, kind, fault in ((s, k, f) for s in given.sizes for k in chosen for f in faults):
        print(table([_as_row(measured(kind, size, fault))])[-1], flush=True)


if __name__ == "__main__":
    main()
