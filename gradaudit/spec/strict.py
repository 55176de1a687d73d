"""What every part of a spec document is made of: classes that declare its keys, and the words in it.

A part is a class with annotated attributes, whose values are the defaults: ``shape: Annotated[list[Size] | None,
Field(max_length=64)] = None``. What is declared is what ``reading`` holds documents against, and what ``schema`` tells
editors. No validating library does both as fast: msgspec stops at the first mistake and does not say below which key
of a mapping it stands, and importing pydantic took a third of a small run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self


@dataclass(frozen=True)
class Field:
    """What is said of a value beside its type.

    Attributes:
        description: what it is, for editors.
        ge: the least that a number may be.
        gt: what a number is above.
        le: the most that a number may be.
        lt: what a number is below.
        finite: whether a number may neither be infinite nor NaN.
        min_length: the least length of a text, a list or a mapping.
        max_length: the most.
        pattern: a regular expression for the whole of a text.
        named: what such a text is, in words.
        examples: right values, for editors.
        words: gives the words that a text may be, for editors.

    """

    description: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    finite: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    named: str = ""
    examples: tuple[str, ...] = ()
    words: Callable[[], list[str]] | None = None


@dataclass(frozen=True)
class Before:
    """What makes a value of what is written, of type ``takes``, before it is held against the type declared.

    It raises ``ValueError`` where what is written is wrong.
    """

    make: Callable[[Any], Any]
    takes: Any


@dataclass(frozen=True)
class After:
    """What looks at a value of the type declared, and raises ``ValueError`` where it is wrong."""

    look: Callable[[Any], object]


class Strict:
    """A part of a spec: nothing may stand there that is not declared, and nothing is converted.

    An instance holds what was given; of all else the class has the defaults.

    Attributes:
        declared: the type of each key; those of the classes that this one extends come first.
        unsaid: what each key is where nothing is said of it, a part of its own being empty then; without those that
            are required.

    """

    declared: ClassVar[Mapping[str, Any]] = {}
    unsaid: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.declared = {**cls.declared, **cls.__annotations__}
        defaults = {key: getattr(cls, key) for key in cls.declared if hasattr(cls, key)}
        cls.unsaid = {key: {} if isinstance(default, Strict) else default for key, default in defaults.items()}

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} stays as it was read: {name} cannot be set")

    @classmethod
    def arranged(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Return what is written in the keys that are declared, where there is another way to write it."""
        return written

    @classmethod
    def meant(cls, found: Any) -> str:
        """Return ``"; did you mean ...?"`` for what stands where a mapping should, or an empty string."""
        return ""

    def given(self) -> dict[str, Any]:
        """Return what was given, as plain data."""
        return {key: plain(value) for key, value in self.__dict__.items()}

    def but(self, **changes: Any) -> Self:
        """Return the same with some keys changed."""
        return type(self)(**self.__dict__ | changes)


def plain(value: Any) -> Any:
    """Return what a part, or a mapping of parts, was given as plain data; anything else as it is."""
    if isinstance(value, Strict):
        return value.given()
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items()}
    return value


Finite = Annotated[float, Field(finite=True)]
NonNegative = Annotated[float, Field(ge=0, finite=True)]
Positive = Annotated[float, Field(gt=0, finite=True)]
Size = Annotated[int, Field(ge=0)]
MAX_AXES = 64
"""Most axes that a NumPy array can have."""
FUNCTION = "module:function"
"""How a function is named."""
FunctionName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$", named=FUNCTION, examples=("package.module:function",))
]
Name = Annotated[str, Field(min_length=1)]
CaseName = Annotated[str, Field(pattern=r"^[\w.+=-]+$", named="a name of letters, digits and . + = - _")]
Place = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[(\d+|'[^']+'|\"[^\"]+\")\])*$",
        named="a place in a layer, such as W, params['W'] or weight.data",
        examples=("grads['W']",),
    ),
]
