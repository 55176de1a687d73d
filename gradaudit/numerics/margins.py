"""The numbers that all comparisons share: margins, shares, counts, and the steps of differences.

Each says where it comes from. What another number follows from is computed from these where it is used.
"""

from __future__ import annotations

import math

SIGNIFICANT = 8.0
"""How many times measured noise, or the rounding of a result, a thing must be that is taken for something else.

Normal noise exceeds eight standard deviations once in 10^15 times, noise of any law once in 64 at most (Chebyshev).
"""

HEADROOM = SIGNIFICANT**2
"""How many times the rounding of outputs a change is that would be seen through any rounding inside of forward."""

MAX_ROUNDINGS = 16.0
"""Roundings that a right result may be off by: the C of the tolerance.

Of 2,154 right gradients in float32, float16 and bfloat16 the errors, in unit roundoffs of their uncancelled magnitude,
have a median of 0.25, and 99% are below 3.8: this leaves four times as much.
"""

MIN_MOVE = MAX_ROUNDINGS
"""Distances between neighbours of its dtype that an element must be displaced by: rounding takes a 32nd of it then."""

SAFETY = 4.0
"""How many times an estimate the truth may be that it was made for: a deviation told from few numbers, the rounding of
sums in another order (NumPy's were seen to differ by nearly one rounding a term), the truncation along another line.

Of a geometric series with a ratio of 3/4 or less the sum is no more than so many times its first term.
"""

SLOPE_RTOL = 1e-3
"""Part of a slope by which two differences that mean the same may differ; a kink or a term left out spoils more.

None is extrapolated: at steps of 2^-7 and below truncation comes to 10^-5 of a function whose scale is one.
"""

NEGLIGIBLE = 0.01
"""Part of a thing that is nothing beside it: the last coefficients of a smooth function (a kink gives 0.05 to 0.15,
rounding to bfloat16 0.002), a jump beside the whole change, the elements that may be left out."""

MAX_UNSEEN = 0.05
"""Relative error that a pass must have been able to see, at an index: with a larger one unseen it is no pass.

Where forward changes a smaller part of its outputs than that, it stands on a stair.
"""

SPREAD = 0.1
"""Part of a thing by which what was measured of it several times may differ: a jump, a change of slope, a mismatch.

What is off by this part of a tolerance is not told from what is right: four rounds at the least threshold miss it once
in a hundred times.
"""

QUARTER = 0.25
"""Share that is neither few nor most: half of the half by which slopes differ that have nothing in common."""

HALFWAY = 1.5
"""Halfway between what stays as it is where a step is doubled, and what doubles with it."""

CONFIRMATIONS = 2
"""Times that something must show which may be chance once."""

SMALL_SAMPLE = 4
"""Draws that a root mean square is taken over, and attempts that are dear: it is within a factor of two of the truth in
19 of 20 cases."""

MAX_ATTEMPTS = 8
"""Most steps, lengths or parts that are tried one after the other: doublings, a factor of 256 in all."""

MAX_LISTED = 16
"""Indices that are looked at, or told, one by one: more of them would say no more, and cost a look each."""

RULE_OF_THREE = -math.log(MAX_UNSEEN)
"""A share of more than this over the size of a random sample shows in it with a probability of 95%."""

SAMPLE = math.ceil(RULE_OF_THREE * MAX_LISTED)
"""Indices, 48, that are drawn at random where much is wrong: a fault of one in sixteen shows in 95 of 100 samples."""

MAX_TABLE = 512
"""Elements up to which a gradient that does not pass a root test is looked at index by index.

A full table is worth more than speed there; beyond, the wrong indices are searched for.
"""

STEP = 2.0**-14
"""Step in float64, in units of the inputs.

It is so wide that even a forward which computes in float32 inside changes by 512 of its roundings, and so narrow that
few elements cross a kink.
"""

WIDE_STEP = math.sqrt(STEP)
"""Likewise where forward computes in a narrower dtype, or is to be seen from afar: 2^-7."""

FAR = SIGNIFICANT * WIDE_STEP
"""Displacement, in units of the inputs, at which any forward changes that depends on them: also one of a few digits."""

NEAR = 1.0 / HEADROOM**2
"""How much closer to the point, 2^-12, most of what is merely near it is left behind."""

WIDENING = 4.0
"""How much wider each walk is than the one before it, in search of the right one: noise grows by two at a kink."""
