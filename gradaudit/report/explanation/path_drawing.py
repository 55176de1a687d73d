"""Forward along a path beside the integral of the gradient, in words and as a table."""

from __future__ import annotations

from gradaudit.explain.path_curve import PathCurve


def path_in_words(path: PathCurve) -> str:
    """Return what the two do from one end to the other."""
    change, integral = path.changes[-1], path.integrals[-1]
    return (
        f"A path through the inputs' ranges that moves {path.elements:,} elements of {path.input}, in {path.dtype}: "
        f"forward changes by {change:.4g}, the integral of the analytical gradient is {integral:.4g}. For a right "
        "gradient the two agree up to forward's own error."
    )


def draw_path(path: PathCurve) -> tuple[str, ...]:
    """Return a line for each place on the path."""
    head = f"{'place':>6}  {'forward':>12}  {'integral':>12}  {'difference':>12}"
    rows = zip(path.times, path.changes, path.integrals, strict=True)
    return (head, *(f"{time:6.3f}  {change:12.4e}  {sum_:12.4e}  {change - sum_:12.1e}" for time, change, sum_ in rows))
