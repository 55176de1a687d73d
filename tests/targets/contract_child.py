"""A child process that answers for the ops of the contract: the format of messages, read and written once more."""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

import contract_ops
import numpy as np

DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8"}
CODES = {dtype: code for code, dtype in DTYPES.items()}


def receive() -> tuple[dict[str, str], dict[str, Any]]:
    (length,) = struct.unpack("<Q", sys.stdin.buffer.read(8))
    header = json.loads(sys.stdin.buffer.read(length))
    texts = header.pop("__metadata__")
    data = sys.stdin.buffer.read(max((entry["data_offsets"][1] for entry in header.values()), default=0))
    arrays = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return texts, arrays


def send(texts: dict[str, str], arrays: dict[str, Any]) -> None:
    header: dict[str, Any] = {"__metadata__": texts}
    data = b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        header[name] = {"dtype": CODES[array.dtype.str], "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text + data)
    sys.stdout.buffer.flush()


def answered(texts: dict[str, str], arrays: dict[str, Any], inputs: list[str], args: list[str] | None) -> Any:
    forward, backward = (getattr(contract_ops, name) for name in texts["op"].split("/"))
    params = json.loads(texts["params"])
    if texts["call"] == "forward":
        made = forward(*(arrays[name] for name in inputs), **params)
        return {f"output[{k}]": out for k, out in enumerate(made if isinstance(made, tuple) else (made,))}
    words = args or ["upstream", *inputs]
    given = arrays | {"upstream": arrays["upstream[0]"]}
    made = backward(*(given[word] for word in words), **params)
    made = made if isinstance(made, tuple) else (made,)
    return {name: gradient for name, gradient in zip(inputs, made, strict=False) if gradient is not None}


def answered_each(texts: dict[str, str], arrays: dict[str, Any], inputs: list[str], args: list[str] | None) -> Any:
    """Answer for several points one after the other: a point that raises spoils them all."""
    varied = texts["varied"]
    made = [answered(texts, arrays | {varied: point}, inputs, args) for point in arrays[varied]]
    return {name: np.stack([outputs[name] for outputs in made]) for name in made[0]}


def main(inputs: list[str], args: list[str] | None, points: str | None = None) -> None:
    while True:
        texts, arrays = receive()
        if texts["call"] == "exit":
            return
        try:
            if texts["call"] == "describe":
                send({"protocol": "1"} | ({"points": points} if points else {}), {})
            elif "points" in texts:
                send({}, answered_each(texts, arrays, inputs, args))
            else:
                send({}, answered(texts, arrays, inputs, args))
        except Exception as error:
            send({"error": str(error)}, {})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]), *sys.argv[3:])
