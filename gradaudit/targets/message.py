"""Messages to and from a child process: arrays and words in one safetensors buffer.

A buffer is eight bytes that say how long its header is (an unsigned little-endian number), the header (JSON: each
array's dtype, shape and place in the data, and ``__metadata__``, from text to text), and the data. The format is that
of https://github.com/huggingface/safetensors, written here because a reader of a pipe has to know from the header how
much more to wait for, and because what a child gets wrong is told to the person who writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.dtypes import dtype_of

Array = NDArray[Any]

DTYPES: Mapping[str, str] = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}
"""The format's names of the dtypes that gradaudit knows; it has none for complex128."""

_NAMES = {name: code for code, name in DTYPES.items()}

PREFIX = 8
"""Bytes that say how long the header is."""

MAX_HEADER = 2**20
"""Longest header: a few arrays and an error message need far less, text taken for a length gives far more."""

ALIGNMENT = 8
"""The data begins at a multiple of this, for which the header is filled up with spaces."""

METADATA = "__metadata__"

MAX_AXES = 64
"""Most axes of an array: as many as NumPy's have."""

MAX_ELEMENTS = 2**59
"""Most elements of an array with the axes that have none left out; NumPy counts its bytes in 63 bits."""


class MessageError(ValueError):
    """What was received is no message; the text says what was found instead of what."""


@dataclass(frozen=True)
class Message:
    """Named arrays, and named texts beside them."""

    arrays: Mapping[str, Array] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def encoded(message: Message) -> list[memoryview]:
    """Return a message as the pieces of its buffer, without a copy of what is contiguous already.

    Raises:
        MessageError: where the format has no dtype for an array, or a text is none.

    """
    header: dict[str, Any] = {METADATA: dict(message.texts)}
    pieces: list[memoryview] = []
    end = 0
    # Wide elements first: then each array begins at a multiple of its element's size.
    for name, array in sorted(message.arrays.items(), key=lambda entry: -entry[1].dtype.itemsize):
        if (code := _NAMES.get(array.dtype.name)) is None:
            raise MessageError(f"{name} is {array.dtype}, which the format of messages does not have")
        if name == METADATA:
            raise MessageError(f"an array cannot be named {METADATA}, which holds the texts")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        pieces.append(little.reshape(-1).view(np.uint8).data)
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        found = error.object[error.start : error.end]
        raise MessageError(f"{found!a} is no character: texts and names are sent in UTF-8") from None
    text += b" " * (-len(text) % ALIGNMENT)
    return [memoryview(len(text).to_bytes(PREFIX, "little") + text), *(piece for piece in pieces if piece.nbytes)]


def header_length(prefix: bytes) -> int:
    """Return how many bytes the header has.

    Raises:
        MessageError: where these bytes begin no message.

    """
    length = int.from_bytes(prefix, "little")
    if not 2 <= length <= MAX_HEADER:
        expected = f"expected a header's length, at most {MAX_HEADER:,}; does the program print to standard output?"
        raise MessageError(f"it begins with {prefix!r}; {expected}")
    return length


@dataclass(frozen=True)
class Header:
    """Where each array lies in the data, and the texts."""

    places: Mapping[str, _Place]
    texts: Mapping[str, str]

    @property
    def data_length(self) -> int:
        """Bytes of data that follow the header."""
        return max((place.end for place in self.places.values()), default=0)


@dataclass(frozen=True)
class _Place:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(text: bytes) -> Header:
    """Return what a header says.

    Raises:
        MessageError: where it is not one.

    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"its header is not JSON: {error}; found {text[:60]!r}") from None
    if not isinstance(parsed, dict):
        raise MessageError(f"its header is not a JSON object; found {text[:60]!r}")
    texts = parsed.pop(METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
        raise MessageError(f"{METADATA} must hold texts only; found {json.dumps(texts)[:60]}")
    places = {name: _place(name, entry) for name, entry in parsed.items()}
    end = 0
    for name, place in sorted(places.items(), key=lambda entry: (entry[1].start, entry[1].end)):
        if place.start != end:
            raise MessageError(
                f"{name} begins at byte {place.start} of the data; expected {end}, without gap or overlap"
            )
        end = place.end
    return Header(places, texts)


def _place(name: str, entry: Any) -> _Place:
    try:
        code, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
    except (TypeError, KeyError, ValueError):
        found = json.dumps(entry)[:60]
        raise MessageError(f"{name} needs dtype, shape and data_offsets [begin, end]; found {found}") from None
    if not isinstance(code, str) or code not in DTYPES:
        raise MessageError(f"{name} has the dtype {code!r}; expected one of {', '.join(DTYPES)}")
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise MessageError(f"{name} has shape {shape} and data_offsets {[start, end]}; expected whole numbers")
    if len(shape) > MAX_AXES or math.prod(filter(None, shape)) > MAX_ELEMENTS:
        raise MessageError(f"{name} has the shape {str(shape)[:60]}, more than any array")
    dtype = dtype_of(DTYPES[code])
    if end - start != math.prod(shape) * dtype.itemsize:
        needed = f"{code} of shape {shape} takes {math.prod(shape) * dtype.itemsize:,} bytes"
        raise MessageError(f"{name}: {needed}, its data_offsets {[start, end]} span {end - start:,}")
    return _Place(dtype, tuple(shape), start, end)


def decoded(header: Header, data: bytearray) -> Message:
    """Return the message of a header and its data; the arrays are views of the data where they are aligned."""
    arrays = {}
    for name, place in header.places.items():
        raw = np.frombuffer(data, np.uint8, place.end - place.start, place.start) if place.end > place.start else None
        array = np.empty(0, place.dtype) if raw is None else raw.view(place.dtype.newbyteorder("<"))
        arrays[name] = np.require(array.astype(place.dtype, copy=False).reshape(place.shape), requirements="A")
    return Message(arrays, header.texts)
