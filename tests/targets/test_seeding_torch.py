"""Torch is seeded before each call as its own ``manual_seed`` does, devices where there are any."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gradaudit.targets import generators
from gradaudit.targets.generators import seed_torch, seeded


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    generators._has_devices.cache_clear()
    yield
    generators._has_devices.cache_clear()


def test_numbers_are_those_of_manual_seed_and_the_state_is_put_back() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    expected = torch.rand(4)
    before = torch.get_rng_state()
    with seeded(3):
        assert torch.equal(torch.rand(4), expected)
    assert torch.equal(torch.get_rng_state(), before)


NOT_TO_BE_ASKED: dict[str, Any] = {}  # as before torch 2.6
NO_DEVICE = {"accelerator": SimpleNamespace(device_count=lambda: 0)}
DEVICES = {"accelerator": SimpleNamespace(device_count=lambda: 2)}


@pytest.mark.parametrize(("found", "all_of_them"), [(NOT_TO_BE_ASKED, True), (NO_DEVICE, False), (DEVICES, True)])
def test_all_generators_are_seeded_where_there_may_be_devices(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], all_of_them: bool
) -> None:
    everywhere: list[int] = []
    processor: list[int] = []
    default = SimpleNamespace(manual_seed=processor.append)
    torch = SimpleNamespace(manual_seed=everywhere.append, default_generator=default, **found)
    monkeypatch.setitem(sys.modules, "torch", torch)
    seed_torch(torch, 5)
    assert (everywhere, processor) == (([5], []) if all_of_them else ([], [5]))
