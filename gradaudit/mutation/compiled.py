"""A mutant as a function, beside the module that it was made from."""

from __future__ import annotations
import __future__

import ast
import importlib
from collections.abc import Callable
from functools import reduce
from types import ModuleType
from typing import Any

from gradaudit.mutation.mutants import Backward, definitions


class Overlay(dict[str, Any]):
    """The globals of a mutant: its own definitions, and for everything else those of its module as they are now.

    The module keeps its own, so that forward calls what it always called, and what either of them saves in the module
    the other finds.
    """

    def __init__(self, module: ModuleType) -> None:
        super().__init__(__name__=module.__name__)
        self._module = module

    def __missing__(self, name: str) -> Any:
        return vars(self._module)[name]


def compiled(source: Backward) -> Callable[..., Any]:
    """Return the function that a backward's source defines.

    Its module must be importable; what the source reaches is defined anew.
    """
    module = importlib.import_module(source.module)
    tree = ast.Module(definitions(ast.parse(source.text), source.names), type_ignores=[])
    flags = __future__.annotations.compiler_flag  # annotations stay text: nothing in them is to be run
    namespace = Overlay(module)
    exec(compile(tree, str(source.file), "exec", flags, dont_inherit=True), namespace)
    first, *rest = source.attribute.split(".")
    function: Callable[..., Any] = reduce(getattr, rest, namespace[first])
    return function
