"""The random numbers of a root test: fair signs with magnitudes around one, drawn from 16 bits each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, cast, namespace

GRID = 0.5 / (np.iinfo(np.int16).max + 1)
"""Mass that an interval may hold beside its share, as random magnitudes have 16 bits."""


def random_bits(rng: np.random.Generator, length: int) -> NDArray[np.int16]:
    """Draw 16 bits for each element of a direction.

    They come from NumPy's generator whatever framework tests them and on whatever device, so that a seed gives the same
    directions and verdicts everywhere; two bytes an element are sent there for a root test.
    """
    words: NDArray[np.uint64] = np.asarray(rng.bit_generator.random_raw(-(-length // 4)))
    return words.view(np.int16)[:length]


def signed_magnitudes(bits: Array) -> Array:
    """Return ``s_i a_i`` in float32: fair signs, magnitudes uniform on the middles of 2^15 parts of [1/2, 3/2].

    So fine a grid adds 2^-16 at most to the mass of an interval. All are exact: they have 17 bits.
    """
    made = cast(bits, "float32")
    made += 0.5
    made *= 2.0**-15
    made += 0.5 * namespace(made).sign(made)
    return made
