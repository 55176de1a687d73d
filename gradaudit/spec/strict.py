"""What every part of a spec document is made of: a model that allows nothing unnamed, and the words in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0)]
MAX_AXES = 64
"""Most axes that a NumPy array can have."""
FunctionName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"), Field(examples=["package.module:function"])
]
Name = Annotated[str, StringConstraints(min_length=1)]
CaseName = Annotated[str, StringConstraints(pattern=r"^[\w.+=-]+$")]
PLACE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[(\d+|'[^']+'|\"[^\"]+\")\])*$"
Place = Annotated[str, StringConstraints(pattern=PLACE), Field(examples=["grads['W']"])]


class Strict(BaseModel):
    """A part of a spec: nothing may stand there that is not named, and nothing is converted."""

    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True, frozen=True)
