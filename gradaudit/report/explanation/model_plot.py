"""A model's gradients by depth, and its loss curve, as panels of a picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gradaudit.explain.explanation import ModelView
from gradaudit.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NAMES = 40
"""Parameters whose names fit below the axis."""


def draw_magnitudes(axes: Axes, view: ModelView) -> None:
    """Draw the rms of each parameter's gradient, in the order in which they lie behind the loss."""
    axes.set_title(f"gradients from the loss back ({view.case}, {view.dtype})", fontsize="medium")
    leaves = [leaf for step in view.graph.steps for leaf in step.leaves if leaf.name] if view.graph else []
    if not view.graph or not (leaves or view.graph.unreached):
        axes.text(0.5, 0.5, view.trouble or "no parameters", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    sizes = {leaf.name: leaf.gradient or math.nan for leaf in leaves}
    axes.plot(range(len(sizes)), list(sizes.values()), "o-", ms=3.5, color="tab:blue")
    if any(size > 0 for size in sizes.values()):
        axes.set_yscale("log")
    names = [*sizes, *(leaf.name for leaf in view.graph.unreached)]
    for k, name in enumerate(names):
        if not sizes.get(name, math.nan) > 0:
            label = "zero" if name in sizes else "not reached"
            axes.axvline(k, color="tab:red", ls=":")
            axes.annotate(label, (k, 0.5), xycoords=("data", "axes fraction"), rotation=90, fontsize="x-small")
    axes.set_ylabel("rms gradient")
    if len(names) <= MAX_NAMES:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")


def draw_training(axes: Axes, result: Result) -> None:
    """Draw loss and accuracy against epochs."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(f"training of {result.op} ({result.case}, {result.dtype})", fontsize="medium")
    epochs = [made.epoch for made in result.training]
    axes.plot(epochs, [made.loss for made in result.training], "o-", ms=2.5, color="tab:blue")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss over all data", color="tab:blue")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracies = [math.nan if made.accuracy is None else made.accuracy for made in result.training]
    if any(math.isfinite(accuracy) for accuracy in accuracies):
        right = axes.twinx()
        right.plot(epochs, accuracies, "-", color="tab:green")
        right.set_ylim(-0.02, 1.02)
        right.set_ylabel("accuracy", color="tab:green")
