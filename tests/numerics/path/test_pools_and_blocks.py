"""The bounds that pools of paths give hold for pure noise, and blocks are found where outputs do not mix."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from kernels import layer_norm, matmul, tanh
from numpy.typing import NDArray
from scipy import stats

from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import Room
from gradaudit.numerics.path.evidence import hidden, taken_for_shared
from gradaudit.numerics.path.explorer import Explorer
from gradaudit.numerics.path.nodes import INTEGRALS, LAST, NODES, SCATTER_FREEDOM, SLOPE_ERROR, TIMES, TRENDS
from gradaudit.numerics.path.partition import Cut, Partition, partition_of
from gradaudit.numerics.path.pool import Pool
from gradaudit.numerics.path.walk import Walked
from gradaudit.numerics.quantiles import moderated

Floats = NDArray[np.float64]


@pytest.mark.parametrize("degree", range(9))
def test_integrals_are_exact_for_polynomials(degree: int) -> None:
    assert INTEGRALS @ TIMES**degree == pytest.approx(TIMES ** (degree + 1) / (degree + 1), abs=1e-14)


def test_the_last_coefficients_vanish_for_what_the_quadrature_integrates_well() -> None:
    assert np.abs(LAST @ TIMES**5).max() < 1e-14
    assert np.abs(LAST @ (TIMES > 0.3)).max() > 0.05


def _walked(shares: dict[str, Floats], changes: Floats) -> Walked:
    """Return a path along which each element goes as far as 1, without rounding."""
    nothing = {name: 0.0 * of_one for name, of_one in shares.items()}
    none = {name: 0.0 * of_one[0] for name, of_one in shares.items()}
    moved, alike = {name: 1.0 + each.reshape(-1) for name, each in none.items()}, {name: [] for name in shares}
    return Walked(moved, shares, (changes,), nothing, none, none, alike, {})


def _pool_of_rows(rows: int, names: str) -> Pool:
    return Pool(Partition((rows,), ((Cut(0, rows),),)), dict.fromkeys(names, (Cut(0, rows),)))


def _noise_pool(rng: np.random.Generator, blocks: int, paths: int, spread: float) -> Pool:
    """Return a pool of paths along which forward is noise and nothing is claimed."""
    sizes = np.exp(spread * rng.normal(size=blocks))
    pool = _pool_of_rows(blocks, "x")
    for _ in range(paths):
        changes = sizes * rng.normal(size=(NODES, blocks))
        changes -= changes[0]
        nothing = np.zeros((NODES, blocks))
        pool.add(
            _walked({"x": nothing}, changes),
            {"x": np.zeros(blocks)},
        )
    return pool


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_noise_stays_within_the_bounds(spread: float) -> None:
    rng = np.random.default_rng(3)
    beyond = sum(
        bool(_noise_pool(rng, blocks, paths, spread).looks(0.0).dirty.any())
        for blocks in (1, 20, 500)
        for paths in (2, 4, 8)
        for _ in range(10)
    )
    assert beyond <= 1  # of 90, at a chance of 1e-4 each


def test_a_block_with_a_kink_on_one_of_its_paths_is_told_by_the_others() -> None:
    rng = np.random.default_rng(4)
    unseen = []
    for kinks in (0, 1, 4):
        pool = _pool_of_rows(40, "x")
        for path in range(4):
            shares = np.ones((NODES, 40, 2)) + 1e-5 * rng.normal(size=(NODES, 40, 2))
            if path < kinks:
                shares[4:, 7] = 0.0
            changes = np.outer(TIMES, np.full(40, 2.0)) + 1e-5 * rng.normal(size=(NODES, 40))
            pool.add(_walked({"x": shares}, changes - changes[0]), {"x": np.zeros(80)})
        looks = pool.looks(0.0)
        assert not looks.dirty.any()
        with np.errstate(divide="ignore", invalid="ignore"):  # of what has not moved nothing is known
            unseen.append(float(hidden("x", pool, looks)[14]))
    assert unseen[1] == pytest.approx(unseen[0], rel=0.5)
    assert unseen[2] == np.inf


def test_a_trend_of_twice_the_bound_is_seen_and_sized() -> None:
    rng = np.random.default_rng(0)
    pool = _noise_pool(rng, 50, 4, 0.3)
    trend = 2 * float(pool.looks(0.0).bound[7])
    nothing = np.zeros((NODES, 50))
    for _ in range(4):
        changes = rng.normal(size=(NODES, 50))
        changes[:, 7] += trend * TIMES
        pool.add(
            _walked({"x": nothing}, changes - changes[0]),
            {"x": np.zeros(50)},
        )
    looks = pool.looks(0.0)
    assert looks.dirty[7]
    assert looks.dirty.sum() == 1
    assert pool.estimate("x")[7] == pytest.approx(-trend / 2, rel=0.5)  # half of the paths have it


def test_paths_of_one_element_that_meet_the_same_rounding_again_accuse_no_more_than_two() -> None:
    """Up and down: to each side rounding is the same on every path, as where forward climbs its stairs again."""

    def fails(trend: float, rng: np.random.Generator) -> tuple[bool, bool]:
        sides, pool = rng.normal(size=(2, NODES, 1)), Pool(None, {})
        for path in range(8):
            changes = sides[path % 2] + trend * TIMES[:, None]
            pool.add(_walked({"x": np.ones((NODES, 1))}, changes - changes[0] + TIMES[:, None]), {"x": np.zeros(1)})
        looks = pool.looks(0.0, alpha=0.02)
        return bool(looks.failing[0]), pool.common_errors(looks, 0.0)["x"].fails

    rng = np.random.default_rng(6)
    assert np.mean([fails(0.0, rng) for _ in range(500)], axis=0).max() < 0.05
    assert np.mean([fails(30.0, rng) for _ in range(50)], axis=0).min() > 0.95


def test_an_error_that_its_block_takes_for_a_shared_one_is_hidden_as_far_as_another_pool_hides_it() -> None:
    """The formula is held against a search: an error is hidden if some common one leaves no more of it than noise."""
    rng, common = np.random.default_rng(7), 0.02
    fine, coarse = _pool_of_rows(40, "x"), Pool(None, {})
    moved = rng.uniform(0.25, 1.0, (3, 40, 5)) * rng.choice([-1.0, 1.0], (3, 40, 5))
    shares = moved * rng.choice([1.0, 1.0, 1.0, 20.0], (40, 5))
    for k in range(3):
        changes = np.outer(TIMES, shares[k].sum(1)) + 0.05 * rng.normal(size=(NODES, 40))
        walked = _walked({"x": np.stack([shares[k]] * NODES)}, changes - changes[0])
        for pool in (fine, coarse):
            pool.add(replace(walked, moved={"x": moved[k].reshape(-1)}), {"x": np.zeros(200)})
    looks, of_all = fine.looks(common), coarse.looks(common)
    with np.errstate(all="ignore"):
        found = taken_for_shared("x", [(fine, looks)], common, np.full(200, 1e9)).reshape(40, 5)
        seen = hidden("x", fine, looks).reshape(40, 5)
        both = taken_for_shared("x", [(fine, looks), (coarse, of_all)], common, np.full(200, 10.0)).reshape(40, 5)
        most = hidden("x", coarse, of_all).reshape(40, 5)
        still = Pool(None, {})
        still.add(replace(walked, moved={"x": moved[2].reshape(-1) * (np.arange(200) < 5)}), {"x": np.zeros(200)})
        rest = taken_for_shared("x", [(fine, looks), (still, still.looks(common))], common, np.full(200, 1e9))
    assert found == pytest.approx(seen)  # no other pool would pass it
    assert rest.reshape(40, 5)[1:] == pytest.approx(found[1:])  # least of all one that moved none of them
    assert (both <= np.maximum(most, seen) * (1 + 1e-12)).all()
    assert (both > 1.5 * seen).sum() >= 5
    errors, common_errors = np.linspace(0.0, 3.0, 301)[:, None, None], np.linspace(-common, common, 101)[None, :, None]
    for row, column in zip(*np.nonzero((both > 1.5 * seen) & (both < 0.99 * most)), strict=True):
        left = errors * moved[:, row, column] - common_errors * shares[:, row].sum(-1)
        passing = ((left**2).mean(-1) <= looks.bound[row] ** 2).any(1)
        assert errors[passing].max() == pytest.approx(both[row, column], abs=0.05)


def test_rounding_of_a_gradient_that_stands_still_is_noise_of_which_more_paths_make_less() -> None:
    """It is the same at all nodes of a path: forward, which is exact here, has no noise that would tell of it."""
    rng = np.random.default_rng(5)
    blocks, size = 60, 400
    slopes = rng.normal(size=(blocks, size))

    def tested(error: float, paths: int) -> tuple[int, float]:
        """Return how many blocks have a trend, and the largest error that is hidden where none is."""
        wrong = np.zeros((blocks, size))
        wrong[-1, 17] = error

        def backward(upstream: tuple[Floats, ...], *_: object) -> dict[str, Floats]:
            made = (upstream[0][:, None] * slopes).astype(ml_dtypes.bfloat16).astype(np.float64)
            return {"x": made + upstream[0][:, None] * wrong}

        x = rng.uniform(-1, 1, (blocks, size))
        claim = PathClaim(
            lambda given: ((slopes * given["x"]).sum(1),), backward, {"x": x}, (np.ones(blocks),), unit=2**-8
        )
        start = claim.values(claim.inputs)
        first = claim.gradients(claim.inputs, start) if start is not None else None
        assert start is not None
        assert first is not None
        pool = _pool_of_rows(blocks, "x")
        explorer = Explorer(claim, start, first, ("x",), rng, None, 0.25, pool)
        for _ in range(paths):
            walked = explorer.path()
            assert walked is not None
            pool.add(walked, {"x": 0.02 + 0.0 * first["x"]})
        looks = pool.looks(0.0)
        return int(looks.dirty.sum()), float(hidden("x", pool, looks)[:-size].max())

    assert tested(0.5, 3)[0] == 1
    few, many = tested(0.0, 3), tested(0.0, 12)
    assert few[0] == many[0] == 0
    assert few[1] == pytest.approx(0.12, rel=0.4)
    assert many[1] == pytest.approx(few[1] / 2, rel=0.25)


def test_columns_of_a_running_sum_are_no_blocks_whichever_half_of_them_moves() -> None:
    """What moves the last columns only changes no output of the first one."""
    inputs = {"x": np.linspace(-1.0, 1.0, 6).reshape(2, 3)}
    claim = PathClaim(
        lambda given: (given["x"].cumsum(1),),
        lambda upstream, given, _: {"x": upstream[0][:, ::-1].cumsum(1)[:, ::-1]},
        inputs,
        (np.ones((2, 3)),),
    )
    start = claim.values(inputs)
    assert start is not None
    room = Room.of(inputs["x"], None, 0.25)
    found = [partition_of(claim, "x", start, room, np.random.default_rng(seed)) for seed in range(20)]
    assert {parted and parted.axes for parted in found} == {((0, 2),)}


@pytest.mark.parametrize("blocks", [1, 40])
def test_an_error_that_all_elements_of_one_of_two_inputs_share_is_measured(blocks: int) -> None:
    rng = np.random.default_rng(2)
    pool = _pool_of_rows(blocks, "xy")
    for _ in range(4):
        claimed = {name: np.ones((NODES, 1)) * rng.choice([-1.0, 1.0], blocks) for name in "xy"}
        truth = claimed["x"][0] + claimed["y"][0] / 1.02
        changes = np.outer(TIMES, truth) + 1e-4 * rng.normal(size=(NODES, blocks))
        pool.add(_walked(claimed, changes - changes[0]), {name: np.zeros(blocks) for name in "xy"})
    found = pool.common_errors(pool.looks(1e-3), 1e-3)
    assert found["y"].fails
    assert found["y"].error == pytest.approx(1 - 1 / 1.02, abs=found["y"].bound)
    assert not found["x"].fails


@pytest.mark.parametrize(("forward", "jumps"), [("smooth", False), ("stairs", True)])
def test_what_a_wrong_claim_leaves_is_no_noise_of_a_smooth_forward(forward: str, jumps: bool) -> None:
    pool = _pool_of_rows(1, "x")
    changes = np.exp(TIMES) if forward == "smooth" else np.round(4 * TIMES) / 4
    for _ in range(3):
        pool.add(_walked({"x": np.cos(12 * TIMES)[:, None]}, (changes - changes[0])[:, None]), {"x": np.zeros(1)})
    assert (pool.scatter > 1e-3) is jumps


def test_variances_are_drawn_together_as_far_as_they_agree() -> None:
    rng = np.random.default_rng(1)
    alike = rng.chisquare(5, 2000) / 5
    found, freedom = moderated(alike, 5)
    assert freedom > 100
    assert found.std() < 0.1
    apart = alike * np.exp(3 * rng.normal(size=2000))
    found, freedom = moderated(apart, 5)
    assert freedom < 7
    assert np.corrcoef(np.log(found), np.log(apart))[0, 1] > 0.95


def test_the_slopes_standard_error_is_what_it_is_said_to_be() -> None:
    rng = np.random.default_rng(2)
    parts = TRENDS.T @ rng.normal(size=(NODES, 20000))
    assert (parts[1] * SLOPE_ERROR).std() == pytest.approx(SLOPE_ERROR, rel=0.03)
    assert stats.kstest(parts[1], "norm").pvalue > 1e-4
    assert SCATTER_FREEDOM == 5


def _parts(claim: PathClaim, name: str) -> tuple[int, ...] | None:
    start = claim.values(claim.inputs)
    assert start is not None
    room = Room.of(claim.inputs[name], claim.domains[name], 0.25)
    found = partition_of(claim, name, start, room, np.random.default_rng(0))
    return found and found.partition.shape


def test_blocks_are_found_where_outputs_do_not_mix() -> None:
    norm = layer_norm(12, 20).claim()
    assert [_parts(norm, name) for name in "xwb"] == [(12,), (20,), (20,)]
    product = matmul(9, 5, 7).claim()
    assert [_parts(product, name) for name in "xw"] == [(9,), (7,)]
    assert _parts(tanh((6, 4)).claim(), "x") == (6, 4)


def test_axes_that_are_no_neighbours_make_blocks_together() -> None:
    """Values of an attention: each of a head's columns is mixed along the sequence only."""
    rng = np.random.default_rng(0)
    mixed = rng.uniform(0.5, 1, (5, 5))
    claim = PathClaim(
        lambda inputs: (np.einsum("st,bhtd->bhsd", mixed, inputs["v"]),),
        lambda upstream, *_: {"v": np.einsum("st,bhsd->bhtd", mixed, upstream[0])},
        {"v": rng.uniform(-1, 1, (2, 3, 5, 4))},
        (np.ones((2, 3, 5, 4)),),
    )
    assert _parts(claim, "v") == (2, 3, 4)


def test_the_first_of_many_axes_makes_blocks_where_no_other_does() -> None:
    rng = np.random.default_rng(0)
    claim = PathClaim(
        lambda inputs: (inputs["x"] - inputs["x"].mean((1, 2, 3), keepdims=True),),
        lambda upstream, *_: {"x": upstream[0] - upstream[0].mean((1, 2, 3), keepdims=True)},
        {"x": rng.uniform(-1, 1, (4, 4, 4, 4))},
        (np.ones((4, 4, 4, 4)),),
    )
    assert _parts(claim, "x") == (4,)


def test_channels_in_the_middle_are_blocks() -> None:
    rng = np.random.default_rng(0)
    claim = PathClaim(
        lambda inputs: (inputs["x"] * inputs["w"][:, None],),
        lambda upstream, inputs, outputs: {"x": upstream[0] * inputs["w"][:, None], "w": upstream[0].sum((0, 2))},
        {"x": rng.uniform(-1, 1, (2, 3, 4)), "w": rng.uniform(1, 2, 3)},
        (np.ones((2, 3, 4)),),
    )
    assert _parts(claim, "w") == (3,)
    assert _parts(claim, "x") == (2, 3, 4)


def test_displacements_stay_in_the_domain_and_turn_at_what_blocks_them() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.01, 3, 500)
    room = Room.of(x, (0.01, 3.0), 0.5)
    moved = room.draw(rng)
    assert ((x + moved >= 0.01) & (x + moved <= 3.0)).all()
    assert (np.abs(moved) > 0).all()
    blocked = moved > 0
    again = room.without(blocked, moved, 0.125).displaced(np.ones(500), np.sign(moved))
    assert ((again[blocked] <= moved[blocked] / 8 + 1e-15) | (again[blocked] < 0)).all()


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_of_neighbouring_channels_are_blocks(groups: int) -> None:
    """Channels are normed in groups; of an attention, groups of heads share keys."""
    rng = np.random.default_rng(0)

    def norm(inputs: dict[str, Floats]) -> tuple[Floats]:
        x = inputs["x"].reshape(3, groups, -1)
        return ((x - x.mean(-1, keepdims=True)).reshape(3, 8, 5),)

    claim = PathClaim(norm, lambda *_: {}, {"x": rng.uniform(-1, 1, (3, 8, 5))}, (np.ones((3, 8, 5)),))
    assert _parts(claim, "x") == (3, groups)
    keys = {"k": rng.uniform(-1, 1, (groups, 6))}
    shared = PathClaim(
        lambda inputs: (np.tile(inputs["k"].sum(1)[:, None], (1, 8 // groups)).reshape(8, 1) * np.ones((8, 7)),),
        lambda *_: {},
        keys,
        (np.ones((8, 7)),),
    )
    assert _parts(shared, "k") == (groups,)


@pytest.mark.parametrize("kink", [0.2, 0.4, 0.9])
def test_an_element_stays_before_its_kink(kink: float) -> None:
    shares = np.ones((NODES, 3))
    shares[:, 1] = kink > TIMES
    way = _walked({"x": shares}, np.zeros((NODES, 1))).before_kink("x")[1]
    assert 0 < way <= min(kink, 0.5)
    assert way >= min(kink, 0.5) / 2
