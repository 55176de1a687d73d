"""Values for arguments that are settings: by name, by what the function compares them with, by annotation."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

SETTINGS: tuple[tuple[str, Any], ...] = (
    (r"stride[s]?|.*_stride", 2),
    (r"pad|padding|.*_pad", 1),
    (r"dilation", 1),
    (r"groups?|num_groups|n_groups|g", 2),
    (r"pool_?(height|width|size|h|w)|size", 2),
    (r"kernel(_?size)?|k(size)?|filter_?size|fh|fw|field_?(height|width)", 3),
    (r"ax[ei]s|dim", -1),
    (r"eps(ilon)?", 1e-5),
    (r"momentum", 0.9),
    (r"p|drop(out)?(_?(rate|ratio|prob|p))?|keep_?prob|rate|ratio|prob", 0.5),
    (r"(is_?)?train(ing)?(_?flg|_?mode|_?flag)?|train_?(flg|mode)", True),
    (r"mode", "train"),
    (r"seed|random_state|rng_seed", 7),
    (r"alpha|negative_slope|slope|beta|gamma|delta|margin|temperature|temp|tau|scale", 0.7),
    (r"lr|learning_rate|eta", 1.0),
    (r"reg|lam(bda)?_?|l2|weight_decay|lambd", 0.3),
    (r"n(um)?_?heads?|h", 2),
    (r"(n_?|num_?)class(es)?|depth|vocab(_size)?", 4),
    (r"keepdims?", True),
    (r"n|m|batch_?size|N", 3),
    (r"power|exponent|order|degree", 3),
    (r"reduction", "mean"),
    (r"shape|newshape|output_?shape", (2, 6)),
    (r"lo(w(er)?)?|min(_val(ue)?)?|a_min|vmin", -0.8),
    (r"hi(gh)?|upper|max(_val(ue)?)?|a_max|vmax", 0.9),
    (r"name|verbose|debug", ""),
)
"""What such an argument gets: never what could hide a mistake, such as a stride of one."""

TRAINING = re.compile(r"(is_?)?train(ing)?(_?flg|_?mode|_?flag)?|mode")
"""Arguments with a default that backward is written for another value of."""

CONFIG = re.compile(r".*(params?|parameters?|config|cfg|conf|opts?|options|kwargs|settings|meta|args)")
"""Arguments that are dicts of settings."""


def setting(name: str, annotation: Any = None) -> Any:
    """Return a value for a setting of this name; None where the name says nothing."""
    word = name.lower().strip("_")
    for pattern, value in SETTINGS:
        if re.fullmatch(pattern, word):
            return value
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return {"int": 2, "bool": True, "float": 0.7, "str": ""}.get(text)


def is_setting(parameter: inspect.Parameter, source: ast.AST | None) -> bool:
    """Whether an argument without a default is a setting: by annotation, by name, or as it is compared with words."""
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if text in ("int", "bool", "str"):
        return True
    word = parameter.name.lower().strip("_")
    if words_compared(parameter.name, source):
        return True
    sure = (
        r"stride[s]?|pad(ding)?|ax[ei]s|dim|eps(ilon)?|mode|(is_?)?train(ing)?(_?fl\w*)?|keepdims?|seed|momentum|"
        r"kernel_?size|pool_?(size|h|w|height|width)|n(um)?_?heads?|drop_?prob|keep_?prob|p_?drop|dropout(_rate)?|"
        r"lr|learning_rate|lam(bda)?_?|lambd|reg|(n_?|num_?)classes|shape|negative_slope|groups|dilation"
    )
    return bool(re.fullmatch(sure, word))


def words_compared(name: str, source: ast.AST | None) -> list[str]:
    """Return the texts that a function compares an argument with: ``if activation == "relu"``."""
    compared = [
        below
        for below in (ast.walk(source) if source else ())
        if isinstance(below, ast.Compare) and isinstance(below.left, ast.Name) and below.left.id == name
    ]
    constants = [part for one in compared for part in ast.walk(one) if isinstance(part, ast.Constant)]
    return [part.value for part in constants if isinstance(part.value, str)]


def keys_read(name: str, source: ast.AST | None) -> dict[str, bool]:
    """Return the keys that a function looks up in an argument, and whether each has to be there."""
    found: dict[str, bool] = {}
    for below in ast.walk(source) if source else ():
        match below:
            case ast.Subscript(value=ast.Name(id=held), slice=ast.Constant(value=str(key)), ctx=ast.Load()) if (
                held == name
            ):
                found[key] = True
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=held), attr="get"), args=[ast.Constant(value=str(key)), *_]
            ):
                if held == name:
                    found.setdefault(key, False)
    return found


def takes_logarithm(function: Callable[..., Any]) -> bool:
    """Whether a function, or any method of a class, takes a logarithm."""
    tree = tree_of(function)
    words = {below.attr for below in ast.walk(tree) if isinstance(below, ast.Attribute)} if tree else set()
    return bool(words & {"log", "log2", "log10"})


def unpacked_into(name: str, source: ast.AST | None) -> list[str]:
    """Return the names that a function unpacks an argument into: ``W, b = params``; none where it does not."""
    for below in ast.walk(source) if source else ():
        match below:
            case ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=held)) if held == name:
                names = [part.id for part in parts if isinstance(part, ast.Name)]
                return names if len(names) == len(parts) else []
    return []


def tree_of(function: Callable[..., Any] | None) -> ast.AST | None:
    """Return the syntax tree of a function; None where its source is not at hand."""
    if function is None:
        return None
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
