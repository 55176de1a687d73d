"""Digits of 8 x 8 pixels: drawn here by a few strokes, or written by hand, as scikit-learn carries them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradaudit.tape import Tensor, functions

Array = NDArray[Any]

IMAGES = 1000
NOISE = 0.15
"""Standard deviation of what is added to every pixel."""

STRENGTH = 0.7, 1.3
"""What the pixels of a glyph lie between, without the noise."""

PLACES = 3
"""How many rows a glyph may begin in, and as many columns."""


def _glyphs(drawing: str) -> list[Array]:
    """Return glyphs side by side as arrays, 1.0 where a stroke is."""
    rows = [[[float(mark == "#") for mark in part] for part in line.split()] for line in drawing.split("\n")]
    return [np.array(glyph) for glyph in zip(*rows, strict=True)]


GLYPHS = _glyphs(
    """\
.###. ..#.. .###. .###. ...#. ##### .###. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... #.... ....# #...# #...#
#...# ..#.. ....# ..##. .#.#. ####. ####. ...#. .###. #...#
#...# ..#.. ..##. ....# ##### ....# #...# ..#.. #...# .####
#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ....#
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .###."""
)
"""The digits from 0 to 9."""


def drawn(seed: int = 0) -> tuple[tuple[Array], tuple[Array]]:
    """Return images (N, 1, 8, 8) of digits, as many of each, and which they are (N,).

    Each glyph lies anywhere in its image, with strokes of its own strength, in noise.
    """
    rng = np.random.default_rng(seed)
    digits = rng.permutation(np.arange(IMAGES) % len(GLYPHS))
    strokes = rng.uniform(*STRENGTH, (IMAGES, 1, 1)) * np.array(GLYPHS)[digits]
    images = rng.normal(scale=NOISE, size=(IMAGES, 1, 8, 8))
    for image, stroke, row, column in zip(images[:, 0], strokes, *rng.integers(PLACES, size=(2, IMAGES)), strict=True):
        image[row : row + stroke.shape[0], column : column + stroke.shape[1]] += stroke
    return (images,), (digits,)


def handwritten(seed: int = 0, held_out: bool = False) -> tuple[tuple[Array], tuple[Array]]:
    """Return images (N, 1, 8, 8) of handwritten digits with pixels from 0 to 1, and which they are (N,).

    The seed decides their order. One in five is held out from training: always the same ones.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998: its
    1797 images for testing, which scikit-learn carries as ``load_digits``.

    Raises:
        ModuleNotFoundError: where scikit-learn is not installed.

    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ModuleNotFoundError("handwritten digits need scikit-learn: pip install 'gradaudit[digits]'") from None
    images, digits = load_digits(return_X_y=True)
    chosen = np.flatnonzero((np.arange(len(digits)) % 5 == 4) == held_out)
    chosen = np.random.default_rng(seed).permutation(chosen)
    return (images[chosen].reshape(-1, 1, 8, 8) / 16.0,), (digits[chosen],)


def loss(output: Tensor, target: Tensor | ArrayLike) -> Tensor:
    """Return the mean cross-entropy of logits (N, 10)."""
    return functions.cross_entropy(output, target)


def accuracy(output: Array, target: Array) -> float:
    """Return the share of images whose digit has the largest logit."""
    return float(np.mean(output.argmax(axis=-1) == target))
