"""What names say: which tensors carry no gradient, which functions leave the tape on purpose, what they compute."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


DEFAULT_TENSORS = ("Tensor",)
"""What the class of tensors is called where nobody says otherwise."""

DEFAULT_ATTRIBUTES = ("data",)
"""The attributes of a tensor that give its array."""

CONSTANT = re.compile(
    r"(.*_)?(targets?|labels?|y_true|truth|masks?|indices|index|indexes|idxs?|ids?|tokens?|prompts?|classes|lengths?|"
    r"padding|grads?|gradients?|upstream|noise|cache[sd]?|caches|buffers?|seeds?|running_\w+|(key|value)_cache|"
    r"positions?|one_?hot|config|cfg|args|kwargs|batch|dataset|loader)(_(data|array|np|tensor|reshaped|flat))?|d[xywb]|g",
    re.IGNORECASE,
)
"""Names of what no gradient is asked for: integers, masks, labels, gradients themselves, what is kept between calls."""

ON_PURPOSE = re.compile(
    r"\b(detach\w*|clone|copy|deepcopy|numpy|stop|predict\w*|infer\w*|eval\w*|accura\w*|metrics?|scores?|generat\w*|"
    r"sampl\w*|repr|str|format|print\w*|show|plot\w*|visuali\w*|load\w*|save|dump|state|init|initiali\w*|reset|"
    r"optimi\w*|zeros?|ones|(de|re)?quanti\w*|astype|convert|to|from|ensure|as|get batch|next batch|batches|shuffl\w*|"
    r"augment\w*|random\w*|dataset|tokeni\w*|tests?|demo\w*|examples?|exercises?|solutions?|analy\w*|bench\w*|profil\w*|"
    r"measure\w*|compare|check|verify|valid\w*|assert|debug|cach\w*|masks?|arg ?max|arg ?min|one hot|make|create|"
    r"grad\w*|backwards?|vjp|jvp|adjoint|hooks?|prun\w*|compress\w*|distill\w*|iter|getstate|setstate|reduce|round|"
    r"sign|floor|ceil|eq|ne|lt|le|gt|ge|bool|len|getattr|get item|no|without)\b"
)
"""Words in the names of functions and classes that take values off the tape because that is their work."""

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
"""A word of a name in snake case or in camel case."""

LOSS = re.compile(r"loss|entropy|mse|mae|bce|nll|criterion|huber|hinge|kl_?div", re.IGNORECASE)
"""What functions and classes are called whose second argument is a target."""

NO_TAPE = re.compile(r"no_?grad|inference_?mode|no_?tape|stop_?record|enable_backprop|set_grad_enabled|test_mode|eval")
"""What context managers and decorators are called in which nothing is recorded."""

NO_DERIVATIVE = words(
    "argmax argmin argsort argpartition argwhere nonzero flatnonzero sign floor ceil round rint trunc fix isnan isinf "
    "isfinite isclose allclose array_equal zeros_like ones_like empty_like full_like zeros ones empty full eye arange "
    "random rand randn normal uniform randint choice permutation any all equal not_equal less less_equal greater "
    "greater_equal logical_and logical_or logical_not unique searchsorted digitize bincount count_nonzero shape ndim "
    "size len int str bool repr isinstance type id hash range hasattr getattr dtype heaviside one_hot multinomial "
    "sample decode tokenize format tolist detach stop_gradient item keys print tobytes save numpy load topk gt lt ge "
    "le eq ne signbit spacing result_type histogram can_cast min_scalar_type iinfo finfo getsizeof super "
    "binomial rand_like randn_like default_rng standard_normal RandomState Generator nbytes quantize matrix_rank"
)
"""Functions and methods whose result has no derivative, or is taken off the tape by being called."""

SHIFTED = re.compile(r"soft_?max|soft_?plus|log_?sum_?exp|lse", re.IGNORECASE)
"""What functions are called in which a maximum is subtracted that cancels: it needs no gradient."""

MAXIMA = frozenset({"max", "amax", "nanmax"})
"""Functions that take a maximum."""

INTEGERS = re.compile(r"u?int\d*_?|bool_?|long|short|byte|char", re.IGNORECASE)
"""Names of dtypes whose values have no derivative."""

RESHAPES = words(
    "reshape view transpose permute swapaxes moveaxis flatten ravel squeeze expand_dims unsqueeze atleast_1d "
    "atleast_2d atleast_3d T"
)
"""Functions, methods and attributes that only arrange the elements of an array anew."""

SUMS = frozenset({"add", "subtract"})
"""Functions that add arrays as the operators do."""

ALIASES = words("asarray ascontiguousarray array astype copy contiguous float float32 float64")
"""Functions and methods that leave the values as they are."""

DESCRIBING = words(
    "shape dtype ndim size device name requires_grad grad training itemsize strides nbytes label _grad version id "
    "is_leaf layout __name__ __class__ __dict__ backend"
)
"""Attributes that describe a tensor and have no derivative."""

PLAIN_ARGUMENTS = re.compile(
    r"requires?_?grad\w*|dtype|device|name|label|copy|data|use_\w+|is_\w+|track\w*|trainable|shape"
)
"""Arguments of a tensor's constructor, and attributes set on a tensor, that record nothing on the tape."""


@dataclass(frozen=True)
class Vocabulary:
    """How a project calls its tensors.

    Attributes:
        tensors: names of the class.
        attributes: names of the attributes that give a tensor's array.

    """

    tensors: tuple[str, ...] = DEFAULT_TENSORS
    attributes: tuple[str, ...] = DEFAULT_ATTRIBUTES


def last_word(node: ast.AST) -> str:
    """Return the last word of a dotted name, of what is called or of what is taken an element of; else nothing."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return last_word(node.func)
        case ast.Subscript():
            return last_word(node.value)
    return ""


def dotted(node: ast.AST) -> str:
    """Return a dotted name as it is written, nothing for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def is_on_purpose(name: str) -> bool:
    """Whether a function or class of this name takes values off the tape because that is its work."""
    return ON_PURPOSE.search(" ".join(WORD.findall(name)).lower()) is not None


def carries_gradient(name: str) -> bool:
    """Whether a name may be that of a tensor that a gradient is asked for."""
    return CONSTANT.fullmatch(name.rpartition(".")[2].lstrip("_")) is None
