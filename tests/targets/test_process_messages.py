"""The format of messages: what is written is read back, by this reader and by the library that the format is from."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gradaudit.targets.message import (
    ALIGNMENT,
    DTYPES,
    PREFIX,
    Message,
    MessageError,
    decoded,
    encoded,
    header_length,
    read_header,
)

PLAIN = sorted(set(DTYPES.values()) - {"bfloat16"})


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(st.sampled_from(PLAIN)))
    return draw(hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)))


messages = st.builds(
    Message,
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "__metadata__"), arrays(), max_size=4),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
)


def buffer_of(message: Message) -> bytes:
    return b"".join(encoded(message))


def read(buffer: bytes) -> Message:
    end = PREFIX + header_length(buffer[:PREFIX])
    header = read_header(buffer[PREFIX:end])
    assert len(buffer) == end + header.data_length
    return decoded(header, bytearray(buffer[end:]))


def bits(message: Message) -> Any:
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in message.arrays.items()}


@given(messages)
@settings(max_examples=40)
def test_what_is_written_is_read_back_bit_for_bit(message: Message) -> None:
    again = read(buffer_of(message))
    assert (bits(again), again.texts) == (bits(message), message.texts)


@given(messages)
@settings(max_examples=40)
def test_the_library_reads_the_same(message: Message) -> None:
    library = pytest.importorskip("safetensors.numpy")
    found = library.load(buffer_of(message))
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in found.items()} == bits(message)


@given(messages)
@settings(max_examples=40)
def test_what_the_library_writes_is_read(message: Message) -> None:
    library = pytest.importorskip("safetensors.numpy")
    contiguous = {name: np.array(array, order="C") for name, array in message.arrays.items()}
    again = read(library.save(contiguous, dict(message.texts) or None))
    assert (bits(again), again.texts) == (bits(message), message.texts)


def test_bfloat16_survives_a_message_bit_by_bit() -> None:
    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    assert bits(read(buffer_of(Message({"x": array})))) == bits(Message({"x": array}))


@pytest.mark.parametrize("layout", [lambda x: x.T, lambda x: x[:, ::2], lambda x: x.astype(">f8")], ids="TSB")
def test_any_layout_travels_in_row_major_order(layout: Any) -> None:
    array = layout(np.arange(12.0).reshape(3, 4))
    assert read(buffer_of(Message({"x": array}))).arrays["x"].tolist() == array.tolist()


@given(messages)
@settings(max_examples=40)
def test_every_array_begins_at_a_multiple_of_its_elements_size(message: Message) -> None:
    buffer = buffer_of(message)
    length = header_length(buffer[:PREFIX])
    assert (PREFIX + length) % ALIGNMENT == 0
    for name, entry in json.loads(buffer[PREFIX : PREFIX + length]).items():
        if name in message.arrays:
            assert entry["data_offsets"][0] % message.arrays[name].dtype.itemsize == 0


def test_complex128_cannot_be_sent() -> None:
    with pytest.raises(MessageError, match="x is complex128, which the format of messages does not have"):
        encoded(Message({"x": np.ones(2, complex)}))


@given(st.binary(max_size=300))
def test_anything_that_is_no_header_is_refused_in_words(text: bytes) -> None:
    with suppress(MessageError):
        assert read_header(text).data_length == 0


@given(arrays(), st.integers(0, 1), st.sampled_from([-1, 0, 1, 7, 10**30, 0.5, None, "8"]))
@settings(max_examples=50)
def test_offsets_that_are_not_those_of_the_array_are_refused(array: Any, which: int, number: Any) -> None:
    buffer = buffer_of(Message({"x": array}))
    header = json.loads(buffer[PREFIX : PREFIX + header_length(buffer[:PREFIX])])
    right = list(header["x"]["data_offsets"])
    header["x"]["data_offsets"][which] = number
    if header["x"]["data_offsets"] != right:
        with pytest.raises(MessageError, match="x"):
            read_header(json.dumps(header).encode())


@pytest.mark.parametrize("prefix", [b"Hello, w", b"\0" * 8, b"\xff" * 8])
def test_a_length_that_no_header_has(prefix: bytes) -> None:
    with pytest.raises(MessageError, match="does the program print"):
        header_length(prefix)
