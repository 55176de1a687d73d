"""Watching functions and layers while somebody's script calls them: a few calls of each are kept.

However often they are called, what is done beside them takes no more than a share of the script's own time.
"""

from __future__ import annotations

import functools
import inspect
import random
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from gradaudit.coverage.naming import methods_of
from gradaudit.coverage.passes import BackwardPass
from gradaudit.drafts.held import parameters_in
from gradaudit.record.calls import PLAIN, Call, Tensor, Watched, bound, copied, manner, numbers_of, signature_of

Function = Callable[..., Any]

SHARE = 0.2
"""Of the script's time, what recording may take of it: the first call of each pass is kept all the same."""

FREE = 0.1
"""Seconds that it may take of the shortest script."""

VARIANTS = 3
"""Calls of one pass that are kept, each with other shapes, dtypes or settings than the others."""

SAMPLED = (1, 10, 100)
"""Which of the calls that are alike is kept, the last that came: scripts begin at zeros and ones."""

AT_FIRST, RARELY, LONGEST = 100, 64, 256
"""Calls of which each is looked at; below how many later ones are passed over between two looks; and how many are where
there is no time, or nothing left to be seen."""

OPEN = 8
"""Forwards whose backward is waited for."""

PARAMETER = "param"
"""What an argument of backward is that is a plain value."""


class Clock:
    """How long a script has been running, and how much of that went into recording."""

    def __init__(self) -> None:
        self.begun = perf_counter()
        self.spent = 0.0

    @property
    def affords(self) -> bool:
        """Whether there is time to look at another call."""
        return self.spent <= max(FREE, SHARE * (perf_counter() - self.begun))

    def add(self, since: float) -> float:
        """Count what has passed since a time as spent, and return the time."""
        now = perf_counter()
        self.spent += now - since
        return now


@dataclass
class _Open:
    """A forward that was kept, and the objects by which its backward is known; ``owner`` is its layer, if any."""

    key: Any
    owner: Any
    objects: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class _Made:
    """What a layer was made with, and its modes then; ``alive`` refers to the layer as long as there is one."""

    alive: Any = None
    given: Mapping[str, Any] = field(default_factory=dict)
    modes: Mapping[str, Any] = field(default_factory=dict)


class Watch:
    """Keeps a few calls of one backward pass."""

    def __init__(self, found: BackwardPass, clock: Clock) -> None:
        self.found = found
        self._clock = clock
        self._counts: dict[Any, int] = {}
        self._kept: dict[Any, Call] = {}
        self._open: deque[_Open] = deque(maxlen=OPEN)
        self._made: dict[int, _Made] = {}
        self._own: set[str] = set()
        self._seen = 0
        self._wait = 0
        self._random = random.Random(0)
        self.troubles: list[str] = []

    @property
    def watched(self) -> Watched:
        """What was kept."""
        return Watched(self.found, tuple(self._kept.values()), self._seen)

    def forward(self, function: Function, *, skip: int = 0, layer: bool = False) -> Function:
        """Return a function that does the same, and keeps a few of its calls.

        Args:
            function: the forward.
            skip: arguments at its beginning that are no inputs: a layer, a context.
            layer: whether the first of them is a layer, which holds parameters.

        """
        signature = signature_of(function)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._is_passed_over():
                return function(*args, **kwargs)
            since = perf_counter()
            owner = args[0] if layer and args else None
            begun = self._begin(owner, signature, skip, args, kwargs)
            before = _modes(owner)
            self._clock.add(since)
            returned = function(*args, **kwargs)
            self._note_own(owner, before)
            if begun is not None:
                since = perf_counter()
                self._end(*begun, owner, returned)
                self._clock.add(since)
            return returned

        return watched

    def whole(self, function: Function) -> Callable[[tuple[Any, ...], Mapping[str, Any], Any], None]:
        """Return what keeps some of a function's calls: it is told of each afterwards, of its arguments and outputs."""
        signature = signature_of(function)

        def keep(args: tuple[Any, ...], kwargs: Mapping[str, Any], returned: Any) -> None:
            if self._is_passed_over():
                return
            since = perf_counter()
            begun = self._begin(None, signature, 0, args, kwargs)
            if begun is not None:
                self._end(*begun, None, returned)
            self._clock.add(since)

        return keep

    def backward(self, function: Function, *, skip: int = 0, layer: bool = False) -> Function:
        """Return a function that does the same, and notes what it is given of a forward that was kept."""
        signature = signature_of(function)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not self._open:
                return function(*args, **kwargs)
            since = perf_counter()
            owner = args[0] if layer and args else None
            self._match(owner, signature, skip, args, kwargs)
            before = _modes(owner)
            self._clock.add(since)
            returned = function(*args, **kwargs)
            self._note_own(owner, before)
            return returned

        return watched

    def layer(self, kind: type) -> type:
        """Watch the constructor, the forward and the backward of a class, in place."""
        names = methods_of(kind)
        for name, watch in zip(names, (self.forward, self.backward), strict=True):
            if not name:
                continue
            held = inspect.getattr_static(kind, name)
            if isinstance(held, (staticmethod, classmethod)):
                setattr(kind, name, type(held)(watch(held.__func__, skip=_context(held.__func__))))
            elif inspect.isfunction(held):
                made = watch(held, skip=1, layer=True)
                for alias in [key for key, value in vars(kind).items() if value is held] or [name]:
                    setattr(kind, alias, made)
        if inspect.isfunction(init := getattr(kind, "__init__", None)):
            kind.__init__ = self._constructor(init)  # type: ignore[misc]
        return kind

    def _constructor(self, function: Function) -> Function:
        signature = signature_of(function)

        @functools.wraps(function)
        def watched(layer: Any, *args: Any, **kwargs: Any) -> None:
            if id(layer) not in self._made and len(self._made) < 1000:
                since = perf_counter()
                given = list(bound(signature, (layer, *args), kwargs).items())[1:]
                self._remember(layer, {name: copied(value) for name, value in given})
                self._clock.add(since)
            function(layer, *args, **kwargs)
            if known := self._made.get(id(layer)):
                self._made[id(layer)] = replace(known, modes=_modes(layer))

        return watched

    def _remember(self, layer: Any, made: Mapping[str, Any]) -> None:
        number = id(layer)
        try:
            alive: Any = weakref.ref(layer, lambda _: self._made.pop(number, None))
        except TypeError:  # of a class with slots
            alive = layer
        self._made[number] = _Made(alive, made)

    def _note_own(self, owner: Any, before: Mapping[str, Any]) -> None:
        """Note which attributes a layer sets itself: they are no modes."""
        if owner is not None:
            self._own |= {name for name, value in _modes(owner).items() if before.get(name, _modes) != value}

    def _set(self, owner: Any, made: _Made) -> dict[str, Any]:
        """Return the attributes of a layer that were set by others since it was made."""
        if made.alive is None:
            return {}
        now, first = _modes(owner), made.modes
        return {name: now[name] for name in now if name in first and now[name] != first[name] and name not in self._own}

    def _is_passed_over(self) -> bool:
        """Whether nobody looks at the call that comes now."""
        if self._wait:
            self._wait -= 1
            return True
        self._wait = self._next_wait()
        return bool(self._kept) and not self._clock.affords

    def _next_wait(self) -> int:
        """Return how many calls are passed over now: none at first, and then at random, as calls come in turns."""
        if self._seen < AT_FIRST:
            return 0
        if not self._clock.affords or self._is_full:
            return LONGEST
        return self._random.randrange(RARELY)

    @property
    def _is_full(self) -> bool:
        return len(self._kept) >= VARIANTS and all(self._counts[key] >= SAMPLED[-1] for key in self._kept)

    def _begin(
        self,
        owner: Any,
        signature: inspect.Signature | None,
        skip: int,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> tuple[Any, Call, dict[str, Any]] | None:
        """Copy what forward is given; None where this call is not one that is kept."""
        self._seen += 1
        try:
            given = dict(list(bound(signature, args, kwargs).items())[skip:])
            made = self._made.get(id(owner), _Made())
            modes = self._set(owner, made)
            key = _manners(made.given), _manners(given), tuple(modes.items())
            if key not in self._kept and len(self._kept) >= VARIANTS:
                return None
            self._counts[key] = count = self._counts.get(key, 0) + 1
            if count not in SAMPLED:
                return None
            held = {one.place: np.array(one.array) for one in parameters_in(owner)} if owner is not None else {}
            return key, Call(copied(given), None, made.given, held, modes), given
        except Exception as error:  # of a property or a comparison of somebody else's: the script goes on
            self.troubles.append(f"{self.found.name}: a call cannot be kept: {type(error).__name__}: {error}")
            return None

    def _end(self, key: Any, call: Call, given: Mapping[str, Any], owner: Any, returned: Any) -> None:
        members = _members(returned)
        first = copied(members[0]) if members else None
        output = first.value if isinstance(first, Tensor) else first
        self._kept[key] = replace(call, output=output if isinstance(output, np.ndarray) else None)
        objects = [*given.items(), *zip(_words(len(members)), members, strict=True)]
        if len(members) > 2:
            objects.append(("cache", tuple(members[1:])))
        self._open.append(_Open(key, owner, tuple(objects)))

    def _match(
        self,
        owner: Any,
        signature: inspect.Signature | None,
        skip: int,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        given = dict(list(bound(signature, args, kwargs).items())[skip:])
        for one in reversed(self._open):
            words = {name: _word(value, one.objects) for name, value in given.items()}
            known = [word for word in words.values() if word not in ("", PARAMETER)]
            if (owner is not None and one.owner is owner) or (owner is None and known):
                self._kept[one.key] = replace(self._kept[one.key], words=_with_upstream(words, given))
                self._open.remove(one)
                return


def _modes(layer: Any) -> dict[str, Any]:
    """Return the attributes of a layer that are truth values or words."""
    return {name: value for name, value in getattr(layer, "__dict__", {}).items() if isinstance(value, (bool, str))}


def _manners(arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((name, manner(value)) for name, value in arguments.items())


def _context(function: Function) -> int:
    names = [name for name in (signature_of(function) or inspect.Signature()).parameters if name != "cls"]
    return int(names[:1] in (["ctx"], ["context"]))


def _members(returned: Any) -> list[Any]:
    return list(returned) if type(returned) in (tuple, list) else [returned]


def _words(count: int) -> list[str]:
    return ["output", *(["cache"] if count == 2 else [f"output[{k}]" for k in range(1, count)])]


def _word(value: Any, objects: tuple[tuple[str, Any], ...]) -> str:
    """Return what an argument of backward is called: whatever it is the same object as."""
    if isinstance(value, PLAIN) and not isinstance(value, float):
        return PARAMETER
    found = next((word for word, known in objects if _same(value, known)), "")
    return found or (PARAMETER if isinstance(value, float) else "")


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        mine, its = one.__array_interface__, other.__array_interface__
        return one.size > 0 and (mine["data"], one.shape, one.strides) == (its["data"], other.shape, other.strides)
    if type(one) is tuple and type(other) is tuple:
        return 0 < len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return False


def _with_upstream(words: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """Call the first array that is nothing else the upstream, where nothing is known to come before it."""
    unknown = [name for name, word in words.items() if not word and numbers_of(given[name]) is not None]
    return {name: "upstream" if unknown[:1] == [name] else word for name, word in words.items()}
