"""From blocks that fail to the elements that are wrong: confirmed on fresh paths, halved, and named in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, count, like, on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_LISTED, SMALL_SAMPLE
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.explorer import Explorer
from gradaudit.numerics.path.looks import CommonError, Looks
from gradaudit.numerics.path.pool import Pool
from gradaudit.numerics.path.report import Culprit
from gradaudit.numerics.path.settings import Settings

PATHS = 3
"""Paths of a group at first, and those that confirm a suspicion; a part that is looked at on the way takes one."""


Places = NDArray[np.intp]
Confirmed = tuple[Pool, Looks]
MakeExplorer = Callable[[tuple[str, ...], dict[str, Array] | None], Explorer]


class Search:
    """Looks for what is wrong in suspected blocks.

    Args:
        claim: forward and backward.
        explorer: makes what walks paths of some inputs, with weights of elements.
        allowed: by input, what each element may be off by.
        settings: tolerance, goal, and the forwards that may be spent.

    Attributes:
        unexplained: what was suspected and not confirmed, and what there were no calls for; a sentence each.

    """

    def __init__(self, claim: PathClaim, explorer: MakeExplorer, allowed: dict[str, Array], settings: Settings) -> None:
        self._claim = claim
        self._explorer = explorer
        self._allowed = allowed
        self._common = settings.common
        self._whole = settings.whole
        self._until = claim.forwards + settings.calls
        self._wholly: dict[str, Pool] = {}
        self._shared: set[str] = set()
        self._suspects: dict[str, list[tuple[Pool, Looks]]] = {}
        self.unexplained: list[str] = []

    def suspect(self, pool: Pool, looks: Looks) -> None:
        """Note that blocks of a pool fail."""
        for name in pool.names:
            self._suspects.setdefault(name, []).append((pool, looks))

    def suspect_all_of(self, name: str, pool: Pool, *, shared: bool) -> None:
        """Note that all elements of an input seem to be off, or to share an error."""
        self._wholly[name] = pool
        self._shared |= {name} if shared else set()

    def run(self) -> tuple[Culprit, ...]:
        """Return the culprits of all inputs."""
        found = [culprit for name in self._suspects for culprit in self._of_input(name)]
        for name, pool in self._wholly.items():
            single = [culprit for culprit in found if culprit.input == name]
            if all(culprit.kind == "index" for culprit in single):  # each may be within its tolerance, all are not
                allowed = on_host(self._allowed[name])
                wrong = [each.worst for each in single if abs(each.error) - each.bound > allowed[each.worst]]
                found += self._with_common_error(name, np.setdiff1d(np.arange(allowed.size), wrong), pool)
        if (self._suspects or self._shared) and not found:
            names = ", ".join(dict.fromkeys([*self._suspects, *sorted(self._shared)]))
            self.unexplained.append(f"{names}: a path test fails, but no part of a single input confirms it")
        return tuple(found)

    def _of_input(self, name: str) -> list[Culprit]:
        """Return the culprits of an input: from its finest blocks that fail, else from the input as a whole."""
        finest_first = sorted(self._suspects[name], key=lambda each: -count(each[1].failing))
        return next((found for each in finest_first if (found := self._of_blocks(name, *each))), [])

    def _of_blocks(self, name: str, pool: Pool, looks: Looks) -> list[Culprit]:
        failing = on_host(looks.failing)
        worth = on_host(looks.seen / looks.bound)
        size = count(pool.spread(looks.bound, name))
        numbers = pool.spread(like(np.arange(failing.size, dtype=np.float64), looks.bound), name)
        blocks = on_host(numbers).astype(int)
        places = np.flatnonzero(failing[blocks])
        confirmed = self._confirmed(name, places, size)
        if confirmed is None:
            return []
        if failing.size == size:
            return self._named_one_by_one(name, pool, looks, places, confirmed)
        if failing.size == 1:
            return self._named(self._halved(name, places, size, confirmed))
        worst = [block for block in np.argsort(-worth) if failing[block]][:SMALL_SAMPLE]
        found = []
        for block in worst:
            mine = np.flatnonzero(blocks == block)
            inside = confirmed if len(worst) == 1 else self._confirmed(name, mine, size)
            if inside is not None:
                found += self._named(self._halved(name, mine, size, inside))
        if failing.sum() > len(found):
            found += self._named((places, confirmed))
        return found

    def _named_one_by_one(
        self, name: str, pool: Pool, looks: Looks, places: Places, confirmed: Confirmed
    ) -> list[Culprit]:
        """Return few elements that fail by themselves one by one, and many as a block if most do on fresh paths."""
        if places.size > MAX_LISTED:
            fresh = Pool(pool.partition, {name: pool.axes[name]})
            if self._walked(name, places, count(self._allowed[name]), PATHS, fresh) is None:
                return []
            again = fresh.looks(self._common)
            still = places[on_host(fresh.spread(1.0 * again.failing, name))[places] > 0]
            scattered = fresh.scattered_error(again, self._common)
            if 2 * still.size < places.size and scattered is not None and scattered.fails:
                return [self._scattered(name, places, fresh, again, scattered)]
            if 2 * still.size < places.size:
                return self._named((places, confirmed))
            trend = float(np.linalg.norm(on_host(again.seen * again.failing)))
            return [self._several(name, still, fresh, trend)]
        errors, reach = on_host(pool.estimate(name)), on_host(pool.reach(name))
        bounds = on_host(looks.bound) / np.maximum(reach, np.finfo(float).tiny)
        return [self._one(name, int(k), float(errors[k]), float(bounds[k]), reach) for k in places]

    def _with_common_error(self, name: str, places: Places, pool: Pool) -> list[Culprit]:
        """Return the culprit that elements are together, if they share an error on fresh paths too."""
        fresh, whole = Pool(pool.partition, {name: pool.axes[name]} if pool.partition else {}), Pool(None, {})
        hidden = False
        for _ in range(CONFIRMATIONS if places.size else 0):
            if self._walked(name, places, count(self._allowed[name]), PATHS, fresh, whole) is None:
                break
            looks = fresh.looks(self._common)
            shared = fresh.common_errors(looks, self._common).get(name)
            # Blocks that seemed not to mix may do so further away: the outputs as a whole must not say otherwise.
            other = whole.common_errors(whole.looks(self._common), self._common).get(name)
            scattered = fresh.scattered_error(looks, self._common)
            if shared is not None and shared.fails and (other is None or shared.is_compatible(other)):
                trend = float(np.linalg.norm(on_host(looks.seen)))
                return [self._several(name, places, fresh, trend)]
            if scattered is not None and scattered.fails:
                return [self._scattered(name, places, fresh, looks, scattered)]
            hidden = shared is not None and abs(shared.error) + shared.bound > max(self._whole, shared.allowed)
            if not hidden:
                break
        if hidden and places.size >= SMALL_SAMPLE and name not in self._shared:
            self.unexplained.append(f"{name}: forward's noise could hide an error that all elements share")
        return []

    def _scattered(self, name: str, places: Places, pool: Pool, looks: Looks, error: CommonError) -> Culprit:
        found = self._several(name, places, pool, float(np.linalg.norm(on_host(looks.seen))))
        return replace(found, error=error.error, bound=error.bound, scattered=True)

    def _several(self, name: str, places: Places, pool: Pool, trend: float) -> Culprit:
        reach = on_host(pool.reach(name))
        error, bound = pool.shared_error()
        kind: Literal["input", "block"] = "input" if places.size == reach.size else "block"
        worst = int(places[on_host(pool.alike(name))[places].argmax()])
        return Culprit(name, kind, places, error, bound, trend, reach[places], worst)

    def _one(self, name: str, place: int, error: float, bound: float, reach: NDArray[np.float64]) -> Culprit:
        moved = reach[place : place + 1]
        return Culprit(name, "index", np.array([place]), error, bound, abs(error) * float(moved[0]), moved, place)

    def _named(self, found: tuple[Places, Confirmed]) -> list[Culprit]:
        """Return the culprit that confirmed elements are; none where their trend is within the tolerance."""
        places, (pool, looks) = found
        if not bool(looks.failing[0]):
            return []
        (name,) = pool.names
        reach = on_host(pool.reach(name))
        if places.size == 1:
            k = int(places[0])
            error, bound = float(pool.estimate(name)[k]), float(looks.bound[0]) / float(reach[k])
            return [self._one(name, k, error, bound, reach)]
        return [self._several(name, places, pool, float(looks.seen[0]))]

    def _halved(self, name: str, places: Places, size: int, confirmed: Confirmed) -> tuple[Places, Confirmed]:
        """Return the smallest part with a trend that alone accounts for it, and what fresh paths show of that."""
        seen, whole = float(confirmed[1].seen[0]), places
        # Those whose displacements the trend follows best are looked at first: they must show half of it.
        if places.size > MAX_LISTED:
            alike = on_host(confirmed[0].alike(name))[places]
            likely = np.sort(places[np.argsort(-alike)[:MAX_LISTED]])
            if self._shows(name, likely, size, seen / 2):
                places = likely
        while places.size > 1 and self._claim.forwards < self._until:
            half = places.size // 2
            parts = [part for part in (places[:half], places[half:]) if self._shows(name, part, size)]
            if len(parts) != 1:
                break
            places = parts[0]
        inside = self._confirmed(name, places, size) if places.size < whole.size else confirmed
        return (places, inside) if inside is not None else (whole, confirmed)

    def _shows(self, name: str, places: Places, size: int, least: float = 0.0) -> bool:
        """Whether some elements moved alone show a trend on one path, and at least one of that size."""
        pool = self._walked(name, places, size, 1)
        if pool is None:
            return False
        looks = pool.looks(self._common)
        return float(looks.seen[0]) > least and bool(looks.dirty[0])

    def _confirmed(self, name: str, places: Places, size: int) -> Confirmed | None:
        """Return what fresh paths show that move these elements alone, where they show a trend too."""
        pool = self._walked(name, places, size, PATHS)
        if pool is None:
            return None
        looks = pool.looks(self._common)
        return (pool, looks) if bool(looks.dirty[0]) else None

    def _walked(self, name: str, places: Places, size: int, paths: int, *into: Pool) -> Pool | None:
        moving = np.zeros(size)
        moving[places] = 1.0
        explorer = self._explorer((name,), {name: like(moving, self._allowed[name])})
        pools = into or (Pool(None, {}),)
        for _ in range(paths):
            walked = explorer.path()
            if walked is not None:
                for pool in pools:
                    pool.add(walked, self._allowed)
        return pools[0] if pools[0].paths else None
