"""Every op of ``gradaudit.ops`` that has one output, as a function of tensors: ``functions.relu(x)``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

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
    if name not in __dir__():
        raise AttributeError(f"gradaudit.ops has no op {name!r}{nearest(name, __dir__())}")
    module = next(module for module in MODULES if hasattr(module, f"{name}_backward"))
    globals()[name] = made = recorded(getattr(module, name), getattr(module, f"{name}_backward"))
    return made


def __dir__() -> list[str]:
    public = sorted(name for module in MODULES for name in vars(module) if not name.startswith("_"))
    return [name.removesuffix("_backward") for name in public if name.endswith("_backward")]
