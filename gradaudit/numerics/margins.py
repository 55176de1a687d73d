"""Margins that all comparisons share, and the steps of differences at a point where nothing else is known."""

from __future__ import annotations

CERTAIN = 8.0
"""How many times measured noise, or the rounding of a result, a thing must be that is taken for something else.

Normal noise exceeds eight standard deviations once in 10^15 times, noise of any law once in 64 at most (Chebyshev).
"""

FAR_ABOVE = CERTAIN**2
"""How many times the rounding of outputs a change is that would be seen through any rounding inside of forward."""

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

MOVED = 0.05
"""Part of the outputs that a displacement of every element changes at least, unless forward stands on a stair.

Those are few that jump from one round number to another.
"""

EVEN = 0.1
"""Part of a jump, or of a change of slope, by which what was measured of it several times may differ."""

STEP = 2.0**-14
"""Step in float64, in units of the inputs.

It is so wide that even a forward which computes in float32 inside changes by 512 of its roundings, and so narrow that
few elements cross a kink.
"""

WIDE_STEP = 2.0**-7
"""Likewise where forward computes in a narrower dtype, or is to be seen from afar."""

FAR = 2.0**-4
"""Displacement, in units of the inputs, at which any forward changes that depends on them: also one of a few digits."""

ONE_BY_ONE = 16
"""Indices that are looked at, or told, one by one: more of them would say no more, and cost a look each."""

CLOSER = 64.0
"""How much closer to the point a one-sided difference looks for the error that a central one shows."""
