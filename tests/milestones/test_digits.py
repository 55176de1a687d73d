"""The digits that milestones read."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gradaudit.milestones import digits


def test_all_digits_are_drawn_equally_often() -> None:
    (images,), (labels,) = digits.drawn()
    assert images.shape == (len(labels), 1, 8, 8)
    assert set(np.bincount(labels)) == {len(labels) // 10}


def test_glyphs_differ_from_each_other_by_several_pixels() -> None:
    glyphs = np.array(digits.GLYPHS)
    assert glyphs.shape == (10, 6, 5)
    differing = [np.count_nonzero(a != b) for k, a in enumerate(glyphs) for b in glyphs[:k]]
    assert min(differing) >= 2


def test_without_noise_an_image_holds_its_glyph_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "NOISE", 0.0)
    (images,), (labels,) = digits.drawn(4)
    for image, label in zip(images[:50, 0], labels, strict=False):
        rows, columns = np.nonzero(image)
        strokes = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        glyph = digits.GLYPHS[label]
        drawn = glyph[:, glyph.any(axis=0)]
        assert np.allclose(strokes, strokes.max() * drawn)


def test_seeds_decide() -> None:
    (first,), _ = digits.drawn(1)
    (again,), _ = digits.drawn(1)
    (other,), _ = digits.drawn(2)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_handwritten_ones_are_split_and_scaled() -> None:
    pytest.importorskip("sklearn")
    (training,), (labels,) = digits.handwritten(1)
    (held_out,), _ = digits.handwritten(1, held_out=True)
    assert len(training) + len(held_out) == 1797
    assert (training.min(), training.max()) == (0.0, 1.0)
    assert set(labels) == set(range(10))
    assert not {image.tobytes() for image in training} & {image.tobytes() for image in held_out}


def test_without_scikit_learn_handwritten_ones_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'gradaudit\[digits\]'"):
        digits.handwritten()
