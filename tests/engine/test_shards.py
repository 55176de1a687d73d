"""Shares of a run: every case falls to one, their sums are near each other, and every machine comes to the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradaudit.engine.shards import NoShardError, Shard, costs_of, parse_shard, shares
from gradaudit.spec.load import load_specs

costs = st.lists(st.floats(0.0, 1e6), max_size=60)


@settings(max_examples=60)
@given(costs, st.integers(1, 9))
def test_no_share_has_more_than_graham_s_bound(costs: list[float], of: int) -> None:
    chosen = shares(costs, of)
    loads = [sum(cost for cost, share in zip(costs, chosen, strict=True) if share == own) for own in range(of)]
    least = max(sum(costs) / of, max(costs, default=0.0))  # of any way to share them
    assert len(chosen) == len(costs)
    assert set(chosen) <= set(range(of))
    assert max(loads) <= (2 - 1 / of) * least * (1 + 1e-9)


def test_the_largest_are_apart() -> None:
    assert shares([9.0, 1.0, 1.0, 8.0, 1.0], 2) in ([0, 1, 1, 1, 0], [0, 1, 0, 1, 1])


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/4", "1/4/2", "1.0/4", "9999999/9999999"])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(NoShardError, match=r"^--shard: found '.*', expected a number"):
        parse_shard(text)


def test_a_shard_is_named_by_its_number_and_how_many_there_are() -> None:
    assert parse_shard(" 3/16 ") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


def test_what_was_not_recorded_costs_by_its_elements(tmp_path, document, write) -> None:
    sizes = {"small": 10, "large": 1000, "other": 1000}
    documents = [document(op, "square", inputs={"x": {"shape": [size]}}) for op, size in sizes.items()]
    cases = load_specs([write(tmp_path, *documents)]).cases
    small, large, other = costs_of(cases, {})
    assert large == other > small
    small, large, other = costs_of(cases, {("large", "default", "float64"): 8.0})
    assert (large, other) == (8.0, 8.0)
    assert small < 1.0
