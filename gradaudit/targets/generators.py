"""The global generators of random numbers, put into a known state for a while."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import cache, lru_cache
from itertools import count
from typing import Any

import numpy as np
from numpy.random.mtrand import get_bit_generator, set_bit_generator

FORWARD = 0
"""The seed that every forward begins with."""


class _Restoring(threading.local):
    """Whether this thread puts the generators of Python and NumPy back later, once for all that seeds them."""

    later = False


_restoring = _Restoring()


_spare: list[np.random.MT19937] = []
"""Sources of NumPy's random numbers that nobody uses now: one takes longer to make than a small op for many calls."""


@contextmanager
def set_aside() -> Iterator[None]:
    """Let NumPy's generator draw from another source, and put Python's back in the end, whatever ``seeded`` does.

    A normal number that NumPy has drawn and keeps for the next call is lost.
    """
    state, source, before = random.getstate(), get_bit_generator(), _restoring.later
    other = _spare.pop() if _spare else np.random.MT19937(FORWARD)
    set_bit_generator(other)
    _restoring.later = True
    try:
        yield
    finally:
        _restoring.later = before
        set_bit_generator(source)
        random.setstate(state)
        _spare.append(other)


@contextmanager
def restored() -> Iterator[None]:
    """Put the generators of Python and NumPy back in the end as they were, whatever ``seeded`` makes of them meanwhile.

    A normal number that NumPy keeps is part of a state that takes far longer to tell than its source to be put aside;
    beside a source that is not its usual one NumPy cannot be told such a number.
    """
    state: Any = np.random.get_state(legacy=False)
    try:
        with set_aside():
            yield
    finally:
        if state["has_gauss"] and state["bit_generator"] == "MT19937":
            np.random.set_state(state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy, and of torch and tinygrad where they are imported.

    Their states are afterwards what they were before, but for tinygrad's, which cannot be asked for; within
    ``set_aside`` only once that ends.
    """
    later, torch, tinygrad = _restoring.later, sys.modules.get("torch"), sys.modules.get("tinygrad")
    with nullcontext() if later else restored(), torch.random.fork_rng(devices=[]) if torch else nullcontext():
        _restoring.later = False  # what is seeded within is put back there
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            if torch is not None:
                seed_torch(torch, seed)
            if tinygrad is not None:
                tinygrad.Tensor.manual_seed(seed)
            yield
        finally:
            _restoring.later = later


def seed_torch(torch: Any, seed: int) -> None:
    """Seed torch's generators, as its ``manual_seed`` does.

    That formats the whole stack for each kind of device that is not in use, which takes longer than a small model runs:
    where there is no device, the one generator of the processor is all that can be drawn from.
    """
    (torch.manual_seed if _has_devices() else torch.default_generator.manual_seed)(seed)


@cache
def _has_devices() -> bool:
    """Whether torch finds a device besides the processor; it cannot be asked for all kinds at once before 2.6."""
    accelerator = getattr(sys.modules["torch"], "accelerator", None)
    return accelerator is None or bool(accelerator.device_count())


class PutBack:
    """Calls functions with the global generators put back: forward draws the same numbers each time.

    A backward that draws for itself gets others each time, as it does in use. What is called draws nothing, as a rule;
    where the first calls did not, the generators are left alone afterwards.

    Args:
        namespaces: modules' names whose own generators are put back as well, to where they are now.

    """

    TRIED = 3
    """Calls after which it is known whether anything is drawn."""

    def __init__(self, namespaces: Iterable[Mapping[str, Any]] = ()) -> None:
        self._own = [(held, deepcopy(_state(held))) for names in namespaces for held in generators_in(names)]
        self._turns = count(1)
        self._calls = 0
        self._draws = bool(self._own)

    @property
    def draws(self) -> bool:
        """Whether anything was drawn from one of them."""
        return self._draws

    def forward(self, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Call a function with the generators as they are at every forward."""
        for held, state in self._own:
            _set_state(held, deepcopy(state))
        return self._called(FORWARD, function, *args, **keywords)

    def backward(self, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Call a function with the generators in another state than ever before."""
        return self._called(next(self._turns), function, *args, **keywords)

    def _called(self, seed: int, function: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        if self._calls >= self.TRIED and not self._draws:
            return function(*args, **keywords)
        self._calls += 1
        with seeded(seed):
            made = function(*args, **keywords)
            self._draws |= (random.random(), np.random.random_sample()) != _first_drawn(seed)
        return made


def generators_in(names: Mapping[str, Any]) -> list[Any]:
    """Return the generators of random numbers that a namespace holds, NumPy's and Python's."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return [value for value in list(names.values()) if isinstance(value, kinds)]


@lru_cache(maxsize=PutBack.TRIED)
def _first_drawn(seed: int) -> tuple[float, float]:
    """Return the first numbers that Python's generator and NumPy's give after this seed; others follow later."""
    return random.Random(seed).random(), float(np.random.RandomState(seed % 2**32).random_sample())


def _state(held: Any) -> Any:
    if isinstance(held, random.Random):
        return held.getstate()
    return held.bit_generator.state if isinstance(held, np.random.Generator) else held.get_state()


def _set_state(held: Any, state: Any) -> None:
    if isinstance(held, random.Random):
        held.setstate(state)
    elif isinstance(held, np.random.Generator):
        held.bit_generator.state = state
    else:
        held.set_state(state)
