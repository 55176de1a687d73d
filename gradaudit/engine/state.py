"""What a task may leave changed in its process without having ended badly.

A process that is not as it was before a task is given no other one. What is looked at costs some 0.1 ms; whatever
escapes it reaches tasks of the same group, and of others those that pass.
"""

from __future__ import annotations

import builtins
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

WATCHED = ("numpy", "numpy.linalg", "numpy.random", "torch", "torch.nn.functional", "jax", "jax.numpy", "scipy")
"""Modules besides Python's own whose names an op may have replaced: those that every op may call."""

TORCH_SETTINGS = (
    "get_default_dtype",
    "get_default_device",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_autocast_enabled",
    "is_autocast_cpu_enabled",
    "are_deterministic_algorithms_enabled",
    "is_anomaly_enabled",
    "get_num_threads",
    "get_float32_matmul_precision",
)
"""Functions that say how torch is set."""

TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")

SIGNALS = tuple(map(int, sorted(signal.valid_signals())))

_handler: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
"""Returns a signal's handler: as CPython has it, since its public function looks for an enum's member each time."""

SPARE = 0.5
"""Share of the descriptors that a process may have open above which it is replaced."""


def state_of_process(before: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return what is looked at, by name; two that are equal mean that nothing was seen to change.

    Names that are what they were ``before`` are taken from there.
    """
    known = before or {}
    return {
        "environment": frozenset(getattr(os.environ, "_data", os.environ).items()),  # as it is kept, not decoded
        "limits": _limits(),
        "signal handlers": tuple(map(id, map(_handler, SIGNALS))),
        "timers": tuple(signal.getitimer(getattr(signal, name)) for name in TIMERS if hasattr(signal, name)),
        "threads": threading.active_count(),
        "children": _children(),
        "descriptors": _many_descriptors(),
        "recursion limit": sys.getrecursionlimit(),
        **{name: _names_of(module, known.get(name)) for name, module in _watched()},
        "numpy": _of_numpy(),
        "torch": _of_torch(),
        "jax": _of_jax(),
        "subnormal numbers": math.ldexp(1.0, -1070) * 2.0 != 0.0,
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what differs between two states; what is there for the first time does not."""
    return tuple(name for name, value in before.items() if not _kept(value, after.get(name)))


def _kept(value: Any, now: Any) -> bool:
    if value is now:
        return True
    if isinstance(value, dict):
        return all(now.get(name) == known for name, known in value.items())
    return value.kept_in(now) if isinstance(value, _Names) else bool(value == now)


@dataclass(frozen=True, eq=False)
class _Names:
    """What a module's names are."""

    known: Mapping[str, Any]

    def kept_in(self, now: _Names | None) -> bool:
        """Whether nothing is seen to have been replaced, which callables may have been."""
        later = {} if now is None else now.known
        return all(later.get(name) is value for name, value in self.known.items() if callable(value))


def _limits() -> Hashable:
    try:
        import resource
    except ImportError:  # Windows
        return ()
    return tuple(map(resource.getrlimit, _limit_numbers()))


@cache
def _limit_numbers() -> list[int]:
    import resource

    return sorted({value for name, value in vars(resource).items() if name.startswith("RLIMIT_")})


def _children() -> Hashable:
    """Return whether this process has children, and which others there are beside it."""
    beside = b""
    try:
        with open(f"/proc/{os.getppid()}/task/{os.getppid()}/children", "rb", buffering=0) as file:
            beside = file.read()
    except OSError:  # not Linux
        pass
    if not hasattr(os, "waitid"):
        return beside
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return beside, False
    return beside, True


def _many_descriptors() -> bool:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return len(os.listdir("/proc/self/fd")) > SPARE * limit
    except (ImportError, OSError):  # not Linux, or there are so many that not even this one can be opened
        return os.path.isdir("/proc/self")


def _watched() -> list[tuple[str, ModuleType]]:
    modules = [builtins, math, os, *(sys.modules[name] for name in WATCHED if name in sys.modules)]
    return [(f"module {module.__name__}", module) for module in modules]


def _names_of(module: ModuleType, before: _Names | None) -> _Names:
    """Return what a module's names are; the same object where they are what they were before."""
    names = vars(module)
    with suppress(Exception):  # what two arrays are
        if before is not None and before.known == names:
            return before
    return _Names(names.copy())


def _of_numpy() -> Hashable:
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None else tuple(sorted(numpy.geterr().items()))


def _of_torch() -> dict[str, Any]:
    torch: Any = sys.modules.get("torch")
    asked = {name: getattr(torch, name, None) for name in TORCH_SETTINGS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some go by another name in newer versions
        return {name: str(ask()) for name, ask in asked.items() if ask is not None}


def _of_jax() -> dict[str, Any]:
    config: Any = getattr(sys.modules.get("jax"), "config", None)
    return {name: repr(value) for name, value in getattr(config, "values", {}).items()}
