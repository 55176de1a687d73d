"""Margins that all comparisons share: by how much a thing must exceed rounding, and by how little slopes may differ."""

from __future__ import annotations

CERTAIN = 8.0
"""How many times measured noise, or the rounding of a result, a thing must be that is taken for something else.

Normal noise exceeds eight standard deviations once in 10^15 times, noise of any law once in 64 at most (Chebyshev).
"""

MOST_ROUNDINGS = 16.0
"""Roundings that a right result may be off by.

Of 2,154 right gradients in float32, float16 and bfloat16 the errors, in unit roundoffs of their uncancelled magnitude,
have a median of 0.25, and 99% are below 3.8: this leaves four times as much.
"""

LEAST_MOVE = 16.0
"""Distances between neighbours of its dtype that an element must be displaced by: rounding takes a 32nd of it then."""

SAME_SLOPE = 1e-3
"""Part of a slope by which two differences that mean the same may differ; a kink or a term left out spoils more.

None is extrapolated: at steps of 2^-7 and below truncation comes to 10^-5 of a function whose scale is one.
"""
