"""The path test: line integrals of the claim against the change of forward, for every index from a handful of calls."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.numerics.arrays import Array, as_reals, count, namespace, on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_LISTED, MAX_TABLE, QUARTER
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import SHORTEST, Room
from gradaudit.numerics.path.evidence import Known, bound_and_trend, common_error, resolved, shown
from gradaudit.numerics.path.explorer import Explorer
from gradaudit.numerics.path.locate import PATHS, Search
from gradaudit.numerics.path.looks import CommonError, Looks
from gradaudit.numerics.path.nodes import NODES, SCATTER_FREEDOM
from gradaudit.numerics.path.partition import Parted, block_sums, coarser, partition_of
from gradaudit.numerics.path.pool import ALPHA, Pool
from gradaudit.numerics.path.report import InputReport, PathReport
from gradaudit.numerics.path.settings import SECOND_SHARE, SHARE, Settings
from gradaudit.numerics.quantiles import student_quantile

MOST_PATHS = 2 * MAX_TABLE
"""Paths that anyone is told to walk at most."""

PER_PATH = NODES - 1
"""Forwards, and backwards, of one path: its start is known, but for another upstream's."""

Names = tuple[str, ...]


def path_test(
    claim: PathClaim,
    rng: np.random.Generator,
    settings: Settings | None = None,
    tolerances: Mapping[str, Array] | None = None,
) -> PathReport:
    """Hold backward against forward along paths through the domain.

    Args:
        claim: forward and backward at the point.
        rng: random stream for displacements.
        settings: tolerance, goal and budget.
        tolerances: by input, what each element may be off by, where that is known better; of the input's shape.

    Returns:
        For every element an estimate of the error with its bound; culprits; what stays open.

    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # a gradient that is zero has no scale
        return _Test(claim, rng, settings or Settings(), tolerances or {}).run()


@dataclass
class _Group:
    """Inputs moved together."""

    explorer: Explorer
    pools: list[Pool]


class _Test:
    def __init__(
        self, claim: PathClaim, rng: np.random.Generator, settings: Settings, tolerances: Mapping[str, Array]
    ) -> None:
        self._claim = claim
        self._rng = rng
        self._settings = settings
        self._tolerances = tolerances
        self._groups: list[_Group] = []
        self._unexplained: list[str] = []
        self._parted: dict[str, Parted | None] = {}
        self._before = claim.forwards, claim.backwards
        self._until = claim.spent + settings.calls
        self._per_path = PER_PATH + claim.is_half
        self._reserved = 0

    def run(self) -> PathReport:
        claim = self._claim
        start = claim.values(claim.inputs)
        first = claim.gradients(claim.inputs, start) if start is not None else None
        if start is None or first is None:
            return self._empty(f"at the point {claim.refusal}")
        self._start, self._first = start, {name: gradient * 1.0 for name, gradient in first.items()}
        self._names = tuple(name for name in claim.differentiable if count(claim.inputs[name]))
        self._typical = {name: math.sqrt(float((g * g).mean())) for name, g in self._first.items()}
        self._allowed = {name: self._allowance(name) for name in self._names}
        if self._settings.together:
            self._walk_together()
        if not self._settings.together or self._open():
            self._walk_apart()
        if not self._are_known(self._names):
            return self._empty(f"no path inside the domain could be walked to its end: {claim.refusal}")
        self._second_pass()
        return self._report()

    # ... what is moved

    def _explorer(
        self, names: Names, moving: dict[str, Array] | None = None, share: float = SHARE, pool: Pool | None = None
    ) -> Explorer:
        one_block = pool is not None and pool.partition is None
        # Where lengths alone tell elements apart, equal errors of opposite signs would cancel on every second path.
        shortest = 0.5 if one_block else SHORTEST
        pool = pool or Pool(None, {})
        return Explorer(self._claim, self._start, self._first, names, self._rng, moving, share, pool, shortest)

    def _walk_group(self, group: _Group, paths: int) -> bool:
        """Walk paths of a group, as far as the calls last, the first ones in any case; return whether all could be."""
        if group not in self._groups:
            self._groups.append(group)
        for _ in range(paths):
            needed = max(1, CONFIRMATIONS - group.pools[0].paths)
            if self._left < self._per_path and group.pools[0].paths >= CONFIRMATIONS:
                return False
            walked = group.explorer.path(self._claim.spent + self._left - needed * self._per_path)
            if walked is None:
                return False
            for pool in group.pools:
                pool.add(walked, self._allowed)
        return True

    @property
    def _left(self) -> int:
        return self._until - self._reserved - self._claim.spent

    def _walk_together(self) -> None:
        """Move all inputs; once where kinks of mixtures spoil that, of which each block has fewer."""
        group = _Group(self._explorer(self._names), [Pool(None, {})])
        group.explorer.patient = False
        if self._walk_group(group, 1) and not group.explorer.has_mixed_kinks:
            self._walk_group(group, PATHS - 1)
        group.explorer.patient = True

    def _walk_apart(self) -> None:
        """Move inputs with the same blocks together, where more must be known of one of them."""
        wanted = self._open() if self._groups else set(self._names)
        groups, each = [], [names for names in self._alike() if wanted & set(names)]
        for later, names in zip(reversed(range(len(each))), each, strict=True):
            pools = self._pools(names)
            self._reserved = 0
            if self._are_known(names) and self._left < CONFIRMATIONS * self._per_path:
                continue
            self._reserved = later * PATHS * self._per_path
            if self._groups and len(pools) == 1 and names == self._names:  # they are known as one block already
                groups.append(self._groups[0])
                self._walk_group(groups[-1], PATHS - groups[-1].pools[0].paths)
                continue
            groups.append(_Group(self._explorer(names, share=self._share_of(SHARE), pool=pools[-1]), pools))
            self._walk_group(groups[-1], PATHS)
        for group in sorted(groups, key=self._more):
            group = self._narrowed(group)
            while self._more(group) and self._left >= 2 * self._per_path and group.explorer.lengthen():
                self._walk_group(group, 1)
            while 0 < (more := self._more(group)) * PER_PATH <= 2 * self._left:
                if not self._walk_group(group, min(more, group.pools[-1].paths)):
                    break

    def _share_of(self, share: float) -> float:
        """Return how far paths go at first: where digits are many, as far as those that had to be short for kinks."""
        if not self._settings.together:
            return share
        known = [group.explorer.share for group in self._groups if not group.explorer.has_mixed_kinks]
        mixed = [SECOND_SHARE / MAX_LISTED for group in self._groups if group.explorer.has_mixed_kinks]
        return min([share, *known, *mixed])

    def _narrowed(self, group: _Group) -> _Group:
        """Return a group without the inputs of which enough is known, if some are: their rounding is noise."""
        names = tuple(name for name in group.explorer.names if name in self._open())
        if not names or names == group.explorer.names or self._left < CONFIRMATIONS * self._per_path:
            return group
        pools = self._pools(names)
        alone = _Group(self._explorer(names, pool=pools[-1]), pools)
        alone.explorer.learn(group.explorer)
        alone.explorer.lengthen()
        self._walk_group(alone, CONFIRMATIONS)
        return alone

    def _alike(self) -> list[Names]:
        """Return the inputs by the blocks that they have; those that have none by themselves."""
        together: dict[object, list[str]] = {}
        for name in self._names:
            room = Room.of(self._claim.inputs[name], self._claim.domains[name], SHARE)
            parted = self._parted[name] = partition_of(self._claim, name, self._start, room, self._rng)
            together.setdefault(parted.partition if parted else name, []).append(name)
        return [tuple(names) for names in together.values()]

    def _pools(self, names: Names) -> list[Pool]:
        """Return pools for inputs moved together: for the whole, and for their blocks, the finest last."""
        axes = {name: parted.axes for name in names if (parted := self._parted.get(name)) is not None}
        parted = self._parted.get(names[0])
        if parted is None:
            return [Pool(None, {})]
        coarse = [Pool(partition, chosen) for partition, chosen in coarser(parted.partition, axes)]
        return [Pool(None, {}), *coarse, Pool(parted.partition, axes)]

    def _more(self, group: _Group) -> int:
        """Return how many more paths would reach the goal; none where something fails, which kinks far off may bury."""
        if any(bool(pool.looks(self._settings.common).failing.any()) for pool in group.pools if pool.paths):
            return 0
        needed = [number for name in group.explorer.names if (number := self._needed(name)) is not None]
        if len(needed) < len(group.explorer.names):
            return self._settings.calls
        return max(0, max(needed) - group.pools[-1].paths)

    def _second_pass(self) -> None:
        """Move only what is still undecided, where that is little."""
        share = self._share_of(SECOND_SHARE if self._settings.together else SHARE)
        for name in self._names:
            undecided = self._open_at(name, self._looks())
            many = int(undecided.sum())
            if not 0 < many <= QUARTER * count(undecided) or self._left < 2 * self._per_path:
                continue
            pools = self._pools((name,))
            explorer = self._explorer((name,), {name: undecided * 1.0}, share, pools[-1])
            for group in () if self._settings.together else self._groups:
                explorer.learn(group.explorer)
            self._walk_group(_Group(explorer, pools), PATHS)

    # ... what is known

    def _looks(self) -> Known:
        pools = [pool for group in self._groups for pool in group.pools if pool.paths >= CONFIRMATIONS]
        return [(pool, pool.looks(self._settings.common)) for pool in pools]

    def _are_known(self, names: tuple[str, ...]) -> bool:
        """Return whether some paths moved each of these inputs."""
        moved = {name for pool, _ in self._looks() for name in pool.names}
        return moved.issuperset(names)

    def _open(self) -> set[str]:
        """Return the inputs of which more must be known: something was seen, or too little could have been."""
        looks = self._looks()
        return {
            name
            for name in self._names
            if any(bool(found.failing.any()) for pool, found in looks if name in pool.names)
            or bool(self._open_at(name, looks).any())
            or self._is_whole_open(name, looks)
        }

    def _is_whole_open(self, name: str, looks: Known) -> bool:
        """Return whether an error that all elements share, and that matters, may be hidden."""
        found = common_error(name, looks, self._settings.common)
        return found is not None and not self._unseen(found) <= 1.0

    def _unseen(self, found: CommonError) -> float:
        """Return how many times the goal a common error is that noise may hide; or one that is tolerated.

        Where forward has many digits that is little, unless the claimed changes cancelled on every path.
        """
        hidden = found.hides(self._settings.whole)
        return max(hidden, found.resolution / self._settings.goal) if self._settings.together else hidden

    def _open_at(self, name: str, looks: Known) -> Array:
        """Return at which elements an error may be that matters.

        Without a trend it is one above the goal; a trend is one above the tolerance, if it were all this element's.
        """
        hidden, shown = bound_and_trend(name, looks, self._first[name])
        is_known = hidden <= self._settings.goal * self._scale(name)
        return ~(is_known & (shown <= self._allowed[name]))  # what is no number is not known

    def _allowance(self, name: str) -> Array:
        if name in self._tolerances:
            return as_reals(self._tolerances[name])
        return self._settings.rtol * abs(self._first[name]) + self._settings.floor * self._typical[name]

    def _scale(self, name: str) -> Array:
        g = abs(self._first[name])
        return namespace(g).maximum(g, 0.0 * g + self._typical[name])

    def _needed(self, name: str) -> int | None:
        """Return how many paths would show an error of the goal's size; None where no number would."""
        looks, gradient = self._looks(), self._first[name]
        pools = [(pool, found) for pool, found in looks if name in pool.names]
        if not pools:
            return None
        at_once, now = (
            float((bound_and_trend(name, pools, gradient, soon=soon)[0] / self._scale(name)).max())
            / self._settings.goal
            for soon in (False, True)
        )
        common = common_error(name, pools, self._settings.common)
        now = max(now, self._unseen(common)) if common else now
        finest, elements = pools[-1][0], count(self._first[name])
        paths, prior = finest.paths, pools[-1][1].freedom - SCATTER_FREEDOM * finest.paths
        if not math.isfinite(now):
            return None

        def is_enough(many: int) -> bool:
            freedom = SCATTER_FREEDOM * paths + prior, SCATTER_FREEDOM * many + prior
            before, after = (student_quantile(ALPHA / 2 / elements, each) for each in freedom)
            return now * after / before <= math.sqrt(1 + (many - paths) / finest.worth)

        if not is_enough(MOST_PATHS):
            return None
        return bisect_left(range(MOST_PATHS), True, lo=paths + (now <= 1.0 < at_once), key=is_enough)

    # ... what is reported

    def _report(self) -> PathReport:
        claim, looks = self._claim, self._looks()
        search = Search(claim, self._explorer, self._allowed, self._settings)
        for pool, found in looks:
            suspects = self._suspects(pool, found, looks)
            if bool(suspects.any()):
                search.suspect(pool, replace(found, failing=suspects))
            scattered = pool.scattered_error(found, self._settings.common, soon=True)
            for name in pool.names if scattered is not None and scattered.fails else ():
                search.suspect_all_of(name, pool, shared=False)
            for name, error in pool.common_errors(found, self._settings.common).items():
                if abs(error.error) > error.bound + self._settings.common:  # what others round to may hide it
                    search.suspect_all_of(name, pool, shared=error.fails)
        culprits = search.run()
        guilty = {culprit.input for culprit in culprits}
        inputs = {
            name: self._input_report(name, self._without(guilty - {name}, name, looks) if guilty else looks)
            for name in self._names
        }
        unexplained = [*self._unexplained, *search.unexplained]
        for name, report in inputs.items():
            if report.undecided:
                resolution = f"{report.resolution.index:.1g} at the worst"
                unexplained.append(f"{name}: {report.undecided} elements undecided, resolution {resolution}")
            elif self._is_whole_open(name, looks):
                unexplained.append(f"{name}: forward's noise could hide an error that all elements share")
        return PathReport(
            inputs=inputs,
            culprits=culprits,
            unexplained=tuple(unexplained),
            paths={name: max(pool.paths for pool, _ in looks if name in pool.names) for name in self._names},
            paths_needed={name: self._needed(name) for name in self._names},
            noise=min(pool.scatter for pool, _ in looks),
            forwards=claim.forwards - self._before[0],
            backwards=claim.backwards - self._before[1],
        )

    def _without(self, guilty: set[str], name: str, looks: Known) -> Known:
        """Move an input alone of which something is open for the company that it had; what was seen with it is void."""
        shared = [pool for pool, _ in looks if name in pool.names and guilty & set(pool.names)]
        if not shared or not bool(self._open_at(name, looks).any()):
            return looks
        pools = self._pools((name,))
        explorer = self._explorer((name,), pool=pools[-1])
        for _ in range(PATHS):
            if (walked := explorer.path()) is not None:
                for pool in pools:
                    pool.add(walked, self._allowed)
        if pools[0].paths < CONFIRMATIONS:
            return looks
        innocent = [(pool, found) for pool, found in looks if pool not in shared]
        return innocent + [(pool, pool.looks(self._settings.common)) for pool in pools]

    def _suspects(self, pool: Pool, found: Looks, looks: Known) -> Array:
        """Return the blocks of a pool that fail, or have a trend that may be of one undecided element."""
        suspects = found.failing
        for name in pool.names:
            open_ones = 1.0 * self._open_at(name, looks)
            places = pool.axes[name] if pool.partition is not None else ()
            shape = tuple(self._claim.inputs[name].shape)
            seen = (pool.spread(1.0 * found.dirty, name) > 0) | (shown(name, pool, found) > 0)
            suspects = suspects | (block_sums((open_ones * seen).reshape((1, *shape)), places)[0] > 0)
        return suspects

    def _input_report(self, name: str, looks: Known) -> InputReport:
        mine = [(pool, found) for pool, found in looks if name in pool.names]
        bound, found = resolved(name, mine, self._first[name], self._scale(name), self._allowed[name], self._settings)
        finest, _ = max(mine, key=lambda each: count(each[1].bound))
        undecided = int(self._open_at(name, looks).sum())
        shape = tuple(self._claim.inputs[name].shape)
        estimate, bound = (np.asarray(on_host(each)).reshape(shape) for each in (finest.estimate(name), bound))
        return InputReport(name, estimate, bound, found, undecided)

    def _empty(self, why: str) -> PathReport:
        calls = self._claim.forwards - self._before[0], self._claim.backwards - self._before[1]
        return PathReport({}, (), (why,), {}, {}, math.nan, *calls)
