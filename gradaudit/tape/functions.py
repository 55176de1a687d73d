"""Every op of ``gradaudit.ops`` that has one output, as a function of tensors: ``functions.relu(x)``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import gradaudit.ops
from gradaudit.spec.errors import nearest
from gradaudit.tape.tensor import Tensor, recorded

MODULES = [
    import_module(f"gradaudit.ops.{name}")
    for _, name, package in pkgutil.iter_modules(gradaudit.ops.__path__)
    if not package
]


def __getattr__(name: str) -> Callable[..., Tensor]:
    """Wrap an op when it is first asked for."""
    module = _home().get(name)
    if module is None:
        raise AttributeError(f"gradaudit.ops has no op {name!r}{nearest(name, _home())}")
    made = recorded(getattr(module, name), getattr(module, f"{name}_backward"))
    globals()[name] = made
    return made


def _home() -> dict[str, ModuleType]:
    public = {name: module for module in MODULES for name in vars(module) if not name.startswith("_")}
    return {name: module for name, module in public.items() if f"{name}_backward" in public}
