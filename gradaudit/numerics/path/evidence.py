"""What pools say of single elements of an input, by what each showed: errors that are seen, and that may be hidden."""

from __future__ import annotations

import math

from gradaudit.numerics.arrays import Array, count, namespace
from gradaudit.numerics.path.looks import CommonError, Looks
from gradaudit.numerics.path.pool import ALPHA, Pool
from gradaudit.numerics.path.report import Resolution
from gradaudit.numerics.path.settings import Settings
from gradaudit.numerics.quantiles import MOST_FREEDOM, student_quantile

Known = list[tuple[Pool, Looks]]


def bound_and_trend(name: str, known: Known, gradient: Array, *, soon: bool = False) -> tuple[Array, Array]:
    """Return how large an error may be hidden at each element, and what trend there is, as an error there.

    Of all pools the one that hides least tells what is hidden. A trend that any of them shows stands, as far as
    none of the others leaves less room: a coarse block in which nothing is seen hides more than a fine one shows.

    Args:
        name: of the input.
        known: what pools showed, some of which moved the input.
        gradient: that is claimed for it, a vector.
        soon: leave out what the next paths will tell apart.

    """
    xp, none = namespace(gradient), 0.0 * gradient
    bound, trend, room = none + math.inf, none, none + math.inf
    for pool, looks in known:
        if name in pool.names:
            here, seen = hidden(name, pool, looks, soon=soon), shown(name, pool, looks)
            bound, trend, room = xp.minimum(bound, here), xp.maximum(trend, seen), xp.minimum(room, here + seen)
    return bound, xp.minimum(trend, room)


def common_error(name: str, known: Known, common: float) -> CommonError | None:
    """Return the error that all elements of an input share, as the pool says that knows it best; None for none."""
    each = [pool.common_errors(looks, common) for pool, looks in known if name in pool.names]
    return min((made[name] for made in each if made), key=lambda made: made.resolution, default=None)


def resolved(
    name: str, known: Known, gradient: Array, scale: Array, allowed: Array, settings: Settings
) -> tuple[Array, Resolution]:
    """Return how large an error may be hidden at each element of an input, and the smallest that would have been seen.

    Args:
        name: of the input.
        known: what pools showed that moved it.
        gradient: that is claimed for it, a vector, as the next two are.
        scale: what errors are relative to.
        allowed: errors that are tolerated.
        settings: goal, and the relative error that all elements of a block may share.

    """
    xp = namespace(gradient)
    bound, trend = bound_and_trend(name, known, gradient)
    bound = xp.maximum(bound, taken_for_shared(name, known, settings.common, settings.goal * scale))
    relative = xp.maximum(bound + trend, allowed) / scale
    size = abs(gradient)
    whole = min(
        float(looks.bound[0]) / (float((size * pool.reach(name)).sum()) or math.nan)
        for pool, looks in known
        if count(looks.bound) == 1
    )
    shared = common_error(name, known, settings.common)
    unseen = shared.resolution if shared else whole
    finest, seen = max(known, key=lambda each: count(each[1].bound))
    blocks = whole
    if finest.partition is not None:
        claimed = finest.claimed()
        blocks = float((seen.bound / xp.maximum(claimed, 0.0 * claimed + float(claimed.mean()))).max())
    return bound, Resolution(max(float(relative.max()), unseen), blocks, whole)


def taken_for_shared(name: str, known: Known, common: float, goal: Array) -> Array:
    """Return how large an error of each element is that blocks take for one they share, and another pool for noise.

    Blocks that share an error tell of no element. Another pool decides then, and passes what it hides up to the goal.

    Args:
        name: of the input.
        known: what pools showed that moved it.
        common: relative error that all elements of a block may share.
        goal: error that may be hidden at each element.

    """
    most, noise = math.inf + 0.0 * goal, 0.0 * goal
    xp = namespace(goal)
    for pool, looks in known:
        here = hidden(name, pool, looks)
        most = xp.minimum(most, xp.maximum(here, _shared(name, pool, looks, common)))
        noise = xp.maximum(noise, xp.where(here <= goal, here, xp.zeros_like(here)))
    return xp.minimum(most, noise)


def hidden(name: str, pool: Pool, looks: Looks, *, soon: bool = False) -> Array:
    """Return how large an error of one element may go unseen, if it is the only one in its block; a vector.

    It shows in the block's slopes, and more sharply in how they follow the element's own displacements.

    Args:
        name: of the input.
        pool: that moved it.
        looks: what its paths showed.
        soon: leave out what the next paths will tell apart: displacements that went as the shares of the claim did.

    """
    reach, bound = pool.reach(name), looks.bound
    xp = namespace(reach)
    if pool.many_in_a_block(name):
        bound = xp.where(looks.dirty | looks.shared, math.inf, bound)
    in_block = pool.spread(bound, name) / xp.where(reach > 0, reach, xp.ones_like(reach))
    return xp.where(reach > 0, xp.minimum(_followed_by(name, pool, looks, soon=soon), in_block), math.inf)


def shown(name: str, pool: Pool, looks: Looks) -> Array:
    """Return what the trend of each element's block comes to as an error of this element; a vector, 0 without one.

    As much of it as follows the element's displacements, where others are in the block.
    """
    reach = pool.reach(name)
    xp = namespace(reach)
    if pool.many_in_a_block(name):
        estimate, free = abs(pool.estimate(name)), pool.spread(1.0 * looks.shared, name) == 0
        dirty = pool.spread(1.0 * looks.dirty, name) > 0
        return xp.where(free & (dirty | (estimate > _followed_by(name, pool, looks))), estimate, 0.0 * reach)
    return pool.spread(looks.trend, name) / xp.where(reach > 0, reach, xp.ones_like(reach))


def _followed_by(name: str, pool: Pool, looks: Looks, *, soon: bool = False) -> Array:
    """Return what an estimate of each element's error exceeds by chance in next to no pool; a vector.

    Where the slopes have a trend already, of small errors of many elements, that is noise to the error of a single
    one. Where they follow the shares of the claim, only what goes across these tells.
    """
    (squares, products, shares), noise = pool.moments(name), looks.error
    xp = namespace(squares)
    if pool.many_in_a_block(name):
        noise = xp.maximum(noise, looks.trend)
        follows = pool.spread(1.0 * looks.shared, name) > 0
        squares = xp.where(follows & (not soon), _across(squares, products, shares), squares)
    chance = ALPHA / 2 / count(squares)
    by_chance = student_quantile(chance, looks.freedom) * noise
    rounding = student_quantile(chance, MOST_FREEDOM) * looks.rounding
    return pool.spread(xp.sqrt(by_chance**2 + rounding**2), name) / xp.sqrt(squares)


def _shared(name: str, pool: Pool, looks: Looks, common: float) -> Array:
    """Return the largest error of each element that its block takes for one that all of it share, 0 for none; a vector.

    Of the slopes displacements d, changes s that the whole block claims, and an error e leave sum (e d - c s)^2 where c
    is in common. That is least at c = e <d, s> / <s, s>, or at what may be in common if this is less.
    """
    squares, products, shares = pool.moments(name)
    xp = namespace(squares)
    if not pool.many_in_a_block(name):
        return 0.0 * squares
    seen = pool.spread(pool.paths * looks.bound**2, name)
    across, along = _across(squares, products, shares), abs(products)
    free = xp.sqrt(seen / across)
    rest = xp.clip(squares * seen - common**2 * across * shares, 0.0, None)
    most = xp.where(free * along <= common * shares, free, (common * along + xp.sqrt(rest)) / squares)
    return xp.where(squares * most**2 > seen, most, 0.0 * squares)


def _across(squares: Array, products: Array, shares: Array) -> Array:
    """Return what of displacements' squares is left of their part that goes as the changes which blocks claim."""
    xp = namespace(squares)
    return xp.clip(squares - products**2 / xp.where(shares > 0, shares, xp.ones_like(shares)), 0.0, None)
