"""A child process that squares x, and errs in the way that the op's name says."""

from __future__ import annotations

import array
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

BEYOND = 3
"""Forwards after which those that err later do."""


def receive() -> tuple[dict[str, str], dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", sys.stdin.buffer.read(8))
    header = json.loads(sys.stdin.buffer.read(length))
    texts = header.pop("__metadata__")
    if texts.get("op") == "unread" and texts["call"] == "forward":
        return texts, header, bytes(max(entry["data_offsets"][1] for entry in header.values()))
    return texts, header, sys.stdin.buffer.read(max((e["data_offsets"][1] for e in header.values()), default=0))


def write(raw: bytes) -> None:
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def message(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def numbers(header: dict[str, Any], data: bytes, name: str) -> array.array[float]:
    begin, end = header[name]["data_offsets"]
    return array.array("d", data[begin:end])


def named(name: str, values: Any, **changes: Any) -> bytes:
    data = array.array("d", values).tobytes()
    entry = {"dtype": "F64", "shape": [len(values)], "data_offsets": [0, len(data)]} | changes
    return message({name: entry}, data)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    time.sleep(3600)


def flood() -> None:
    for k in range(20_000):
        sys.stderr.write(f"line {k} of what nobody asked for\n")
    sys.stderr.flush()


def flood_for_ever() -> None:
    while True:
        flood()


def leave() -> None:
    sys.stderr.write("cannot find the weights\n")
    sys.exit(3)


def start_another() -> None:
    """Start a process that hangs as well, and tell of it."""
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "3600")
    Path("grandchild").write_text(str(child))
    hang()


DEEDS = {
    "crash": crash,
    "hang": hang,
    "flood": flood,
    "flood for ever": flood_for_ever,
    "leave": leave,
    "start another": start_another,
}

ANSWERS = {
    "print": b"Listening on port 8080\n",
    "print and leave": b"hi\n",
    "no JSON": struct.pack("<Q", 8) + b"{forward",
    "a list": struct.pack("<Q", 8) + b"[1, 2,3]",
    "no dtype": named("output[0]", [1.0], dtype="F8_E4M3"),
    "wrong offsets": named("output[0]", [1.0], data_offsets=[0, 4]),
    "a gap": named("output[0]", [1.0], data_offsets=[8, 16]),
    "elements beyond number": named("output[0]", [], shape=[0, 10**30]),
    "axes beyond number": named("output[0]", [1.0], shape=[1] * 65),
    "no shape": message({"output[0]": {"dtype": "F64"}}),
    "half": named("output[0]", [1.0, 2.0])[:-9],
    "numbers in metadata": message({"__metadata__": {"error": 3}}),
    "nothing": message({}),
    "misnamed": named("y", [1.0]),
    "integers": named("output[0]", [1.0], dtype="I64"),
    "a gap in names": message(
        {
            "output[0]": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            "output[2]": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]},
        },
        b"\0" * 16,
    ),
    "two": named("output[0]", [1.0, 2.0, 3.0]) + named("output[0]", [1.0, 2.0, 3.0]),
    "an error": message({"__metadata__": {"error": "the weights are gone"}}),
}


DESCRIPTIONS = {
    "unknown": {"error": "there is no op unknown"},
    "another protocol": {"protocol": "2"},
    "no protocol": {},
    "narrow args": {"protocol": "1", "args": '["upstream", "x"]'},
    "wrong args": {"protocol": "1", "args": '["upstreem"]'},
    "no list": {"protocol": "1", "args": "upstream"},
    "layer": {"protocol": "1", "args": '["upstream"]'},
    "counts output -1": {"protocol": "1", "differentiable": "[-1]"},
    "counts output 4": {"protocol": "1", "differentiable": "[4]"},
    "counts output 0 twice": {"protocol": "1", "differentiable": "[0, 0]"},
    "counts nothing": {"protocol": "1", "differentiable": "[]"},
    "lists in lists": {"protocol": "1", "args": "[" * 100_000},
    "no word": {"error": ""},
    "no points": {"protocol": "1", "points": "0"},
    "points in words": {"protocol": "1", "points": "as many as you like"},
}

SEVERAL = "several, "
"""How the names of ops begin that take several points in one message; the rest is how they err then."""


def forward(op: str, count: int, x: Any) -> None:
    deed = DEEDS.get(op.removesuffix(" later"))
    if op in ANSWERS:
        write(ANSWERS[op])
        if op in ("half", "print and leave"):
            sys.exit()
        return
    if deed and (count > BEYOND if op.endswith(" later") else count == 1):
        deed()
    write(named("output[0]", [value * value for value in x]))
    if op == "unread":
        hang()


def forward_of_several(how: str, points: int, x: Any) -> None:
    """Answer for several points of three elements each."""
    shape = [points, len(x) // points]
    squares = [value * value for value in x]
    if how in DEEDS:
        DEEDS[how]()
    elif how == "an error":
        write(message({"__metadata__": {"error": "one at a time, please"}}))
    elif how == "nothing":
        write(message({}))
    elif how == "the first only":
        write(named("output[0]", squares[: shape[1]]))
    elif how == "the first axis last":
        write(named("output[0]", squares, shape=shape[::-1]))
    elif how == "one too few":
        write(named("output[0]", squares[: -shape[1]], shape=[points - 1, shape[1]]))
    elif how == "float32":
        raw = array.array("f", squares).tobytes()
        write(message({"output[0]": {"dtype": "F32", "shape": shape, "data_offsets": [0, len(raw)]}}, raw))
    elif how == "half":
        write(named("output[0]", squares, shape=shape)[:-9])
        sys.exit()
    elif how == "zeros":
        write(named("output[0]", [0.0] * len(x), shape=shape))
    else:
        write(named("output[0]", squares, shape=shape))


def backward(op: str, x: Any, upstream: Any) -> None:
    gradient = [2 * value * u for value, u in zip(x, upstream, strict=True)]
    if op == "narrow gradient":
        raw = array.array("f", gradient).tobytes()
        write(message({"x": {"dtype": "F32", "shape": [len(x)], "data_offsets": [0, len(raw)]}}, raw))
    else:
        write(named("xx" if op == "misnamed gradient" else "x", gradient))


def main() -> None:
    Path("child").write_text(str(os.getpid()))
    count = 0
    x = None
    while True:
        texts, header, data = receive()
        if texts["call"] == "exit":
            Path("told to exit").touch()
            return
        if texts["call"] == "describe":
            several = {"points": "8"} if texts["op"].startswith(SEVERAL) else {}
            write(message({"__metadata__": DESCRIPTIONS.get(texts["op"], {"protocol": "1"}) | several}))
        elif "points" in texts:
            with Path("points").open("a") as asked:
                asked.write(texts["points"] + texts["varied"] + " ")
            forward_of_several(
                texts["op"].removeprefix(SEVERAL), int(texts["points"]), numbers(header, data, texts["varied"])
            )
        elif texts["call"] == "forward":
            count += 1
            x = numbers(header, data, "x")
            forward(texts["op"], count, x)
        else:
            Path("sent").write_text(" ".join(sorted(header)))
            x = x if texts["op"] == "layer" else numbers(header, data, "x")
            backward(texts["op"], x, numbers(header, data, "upstream[0]"))


if __name__ == "__main__":
    main()
