"""Backwards that are wrong in one corner alone, each beside a right one, and the specs that both pass.

What is wrong was seen in public: ``seen`` names reports of the same kind in other projects. The backwards are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 32
"""Elements that a vectorised loop works on at once."""


@dataclass(frozen=True)
class Fault:
    """A backward that is wrong in one corner.

    Attributes:
        corner: where it is wrong.
        forward: what it is the gradient of.
        right, wrong: the twin, and the backward.
        inputs: as a spec says them.
        smallest: elements of all inputs that a person would need to show it.
        seen: where faults of this kind were reported, as ``owner/name#number``.
        spec: further keys of the spec.

    """

    corner: str
    forward: Callable[..., Any]
    right: Callable[..., Any]
    wrong: Callable[..., Any]
    inputs: Mapping[str, Any]
    smallest: int
    seen: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the wrong backward."""
        return self.wrong.__name__

    def text(self, *, wrong: bool) -> str:
        """Return the spec of the wrong backward, or of the right one."""
        backward = self.wrong if wrong else self.right
        functions = {"forward": self.forward, "backward": backward}
        folder = str(Path(__file__).resolve().parent)
        target = {key: f"{made.__module__}:{made.__name__}" for key, made in functions.items()} | {"folder": folder}
        document = {"op": backward.__name__, "target": target, "inputs": dict(self.inputs), "dtype": "float64"}
        return yaml.safe_dump(document | dict(self.spec), sort_keys=False)


def tanh(x: Array) -> Array:
    return np.tanh(x)


def tanh_backward(u: Array, x: Array) -> Array:
    return u * (1 - np.tanh(x) ** 2)


def last_block_copied(u: Array, x: Array) -> Array:
    whole = x.size // BLOCK * BLOCK
    gradient = u.reshape(-1).copy()
    gradient[:whole] = tanh_backward(u, x).reshape(-1)[:whole]
    return gradient.reshape(x.shape)


def last_block_unwritten(u: Array, x: Array) -> Array:
    whole = x.size // BLOCK * BLOCK
    gradient = np.empty(x.size, x.dtype)
    gradient[:whole] = tanh_backward(u, x).reshape(-1)[:whole]
    return gradient.reshape(x.shape)


def norm(x: Array) -> Array:
    return np.sqrt((x**2).sum(axis=-1))


def norm_backward(u: Array, x: Array) -> Array:
    length = norm(x)[..., None]
    return u[..., None] * np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def rest_of_row_left_out(u: Array, x: Array) -> Array:
    whole = max(x.shape[-1] // BLOCK * BLOCK, min(x.shape[-1], BLOCK))
    length = norm(x[..., :whole])[..., None]
    return u[..., None] * np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def zero_row_divided_by_itself(u: Array, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return u[..., None] * x / norm(x)[..., None]


def shifted(x: Array, b: Array) -> Array:
    return x * 2.0 + b


def shifted_backward(u: Array, x: Array, b: Array) -> tuple[Array, Array]:
    return 2.0 * u, u.sum(axis=0)


def batch_of_one_squeezed(u: Array, x: Array, b: Array) -> tuple[Array, Array]:
    return 2.0 * u, np.broadcast_to(np.asarray(u.squeeze().sum(axis=0)), b.shape).copy()


def energy(x: Array) -> Array:
    return (x**2).sum(axis=1)


def energy_backward(u: Array, x: Array) -> Array:
    return 2 * x * u[:, None]


def empty_batch_divided(u: Array, x: Array) -> Array:
    return 2 * x * np.repeat(u, x.size // x.shape[0]).reshape(x.shape)


def first_of_upstream_for_all(u: Array, x: Array) -> Array:
    return 2 * x * u[:1, None]


def largest(x: Array) -> Array:
    return x.max(axis=-1)


def largest_backward(u: Array, x: Array) -> Array:
    hit = x == x.max(axis=-1, keepdims=True)
    return u[..., None] * hit / hit.sum(axis=-1, keepdims=True)


def ties_all_paid(u: Array, x: Array) -> Array:
    return u[..., None] * (x == x.max(axis=-1, keepdims=True))


def product(x: Array) -> Array:
    return x.prod(axis=-1)


def product_backward(u: Array, x: Array) -> Array:
    others = np.stack([np.delete(x, k, axis=-1).prod(axis=-1) for k in range(x.shape[-1])], axis=-1)
    return u[..., None] * others


def product_divided(u: Array, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return u[..., None] * x.prod(axis=-1, keepdims=True) / x


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.1 * x)


def leaky_backward(u: Array, x: Array) -> Array:
    return u * np.where(x > 0, 1.0, 0.1)


def both_sides_at_zero(u: Array, x: Array) -> Array:
    return u * ((x >= 0) + 0.1 * (x <= 0))


def stretched_upstream_is_one_number(u: Array, x: Array) -> Array:
    if 0 in u.strides and u.size:
        u = np.full(u.shape, u.reshape(-1)[0])
    return tanh_backward(u, x)


def rows_of_upstream_are_adjacent(u: Array, x: Array) -> Array:
    if u.ndim == 2 and u.size and u.strides[1] == u.itemsize and u.strides[0] > u.shape[1] * u.itemsize:
        u = np.lib.stride_tricks.as_strided(u, u.shape, (u.shape[1] * u.itemsize, u.itemsize))
    return tanh_backward(u, x)


def negative_strides_read_forwards(u: Array, x: Array) -> Array:
    ways = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in x.strides)
    return tanh_backward(u, x[ways])


def input_read_in_memory_order(u: Array, x: Array) -> Array:
    return tanh_backward(u, x.ravel(order="K").reshape(x.shape))


def upstream_clipped(u: Array, x: Array) -> Array:
    return tanh_backward(np.clip(u, -5.0, 5.0), x)


def running_sum(x: Array, axis: int = 0) -> Array:
    return np.cumsum(x, axis=axis)


def running_sum_backward(u: Array, x: Array, axis: int = 0) -> Array:
    return np.flip(np.cumsum(np.flip(u, axis), axis=axis), axis)


def negative_axis_not_flipped(u: Array, x: Array, axis: int = 0) -> Array:
    ways = tuple(slice(None, None, -1 if k == axis else 1) for k in range(x.ndim))
    return np.cumsum(u[ways], axis=axis)[ways]


def smoothed(x: Array, width: int = 2) -> Array:
    before = (width - 1) // 2
    padded = np.pad(x, (before, width - 1 - before))
    return np.convolve(padded, np.arange(1.0, width + 1) / width, "valid")


def smoothed_backward(u: Array, x: Array, width: int = 2) -> Array:
    before = (width - 1) // 2
    whole = np.convolve(u, np.arange(1.0, width + 1)[::-1] / width)
    return whole[before : before + x.size]


def odd_width_off_by_one(u: Array, x: Array, width: int = 2) -> Array:
    before = width // 2 - 1 if width % 2 == 0 else width // 2 - (width > 1)
    whole = np.convolve(u, np.arange(1.0, width + 1)[::-1] / width)
    return whole[before : before + x.size]


def standardised(x: Array, eps: float = 1e-12) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)


def standardised_backward(u: Array, x: Array, eps: float = 1e-12) -> Array:
    y = standardised(x, eps)
    scale = np.sqrt(x.var(axis=-1, keepdims=True) + eps)
    return (u - u.mean(axis=-1, keepdims=True) - y * (u * y).mean(axis=-1, keepdims=True)) / scale


def eps_left_out(u: Array, x: Array, eps: float = 1e-12) -> Array:
    y = standardised(x, eps)
    with np.errstate(all="ignore"):
        scale = x.std(axis=-1, keepdims=True)
        return (u - u.mean(axis=-1, keepdims=True) - y * (u * y).mean(axis=-1, keepdims=True)) / scale


def masked_softmax(x: Array, seen: Array) -> Array:
    logits = np.where(seen > 0, x, -1e9)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def masked_softmax_backward(u: Array, x: Array, seen: Array) -> Array:
    return hidden_rows_get_gradient(u, x, seen) * (seen > 0)


def hidden_rows_get_gradient(u: Array, x: Array, seen: Array) -> Array:
    y = masked_softmax(x, seen)
    return y * (u - (u * y).sum(axis=-1, keepdims=True))


def balanced(x: Array, positive: Array) -> Array:
    share = (positive > 0).mean()
    return x * np.where(positive > 0, 1 - share, share)


def balanced_backward(u: Array, x: Array, positive: Array) -> Array:
    share = (positive > 0).mean()
    return u * np.where(positive > 0, 1 - share, share)


def all_ones_not_weighted(u: Array, x: Array, positive: Array) -> Array:
    share = (positive > 0).mean()
    return u * np.where(positive > 0, (1 - share) or 1.0, share)


def rows(table: Array, index: Array) -> Array:
    return table[index]


def rows_backward(u: Array, table: Array, index: Array) -> Array:
    gradient = np.zeros_like(table)
    np.add.at(gradient, index, u)
    return gradient


def repeated_rows_overwritten(u: Array, table: Array, index: Array) -> Array:
    gradient = np.zeros_like(table)
    gradient[index] = u
    return gradient


def class_sums(x: Array, label: Array) -> Array:
    return np.stack([x[label == k].sum(axis=0) for k in range(3)]) / 3


def class_sums_backward(u: Array, x: Array, label: Array) -> Array:
    return u[label] / 3


def absent_classes_not_counted(u: Array, x: Array, label: Array) -> Array:
    return u[label] / len(np.unique(label))


def rms_scaled(x: Array) -> Array:
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    return (wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-3)).astype(x.dtype)


def rms_scaled_backward(u: Array, x: Array) -> Array:
    kind = np.promote_types(x.dtype, np.float32)
    return _of_rms(u.astype(kind), x.astype(kind), (x.astype(kind) ** 2).mean(axis=-1, keepdims=True)).astype(x.dtype)


def squares_summed_in_half(u: Array, x: Array) -> Array:
    kind = np.promote_types(x.dtype, np.float32)
    with np.errstate(all="ignore"):
        mean = (x * x).sum(axis=-1, keepdims=True) / x.dtype.type(x.shape[-1])
    return _of_rms(u.astype(kind), x.astype(kind), mean.astype(kind)).astype(x.dtype)


def _of_rms(u: Array, x: Array, mean: Array) -> Array:
    length = np.sqrt(mean + 1e-3)
    return (u - x / length**2 * (u * x).mean(axis=-1, keepdims=True)) / length


def softplus(x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def softplus_backward(u: Array, x: Array) -> Array:
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    with np.errstate(all="ignore"):
        return (u / (1 + np.exp(-wide))).astype(x.dtype)


def large_logits_overflow(u: Array, x: Array) -> Array:
    with np.errstate(all="ignore"):
        return (u * np.exp(x) / (1 + np.exp(x))).astype(x.dtype)


def outer_scaled(x: Array, w: Array) -> Array:
    return x @ w


def outer_scaled_backward(u: Array, x: Array, w: Array) -> tuple[Array, Array]:
    return u @ w.T, x.T @ u


def square_weights_transposed(u: Array, x: Array, w: Array) -> tuple[Array, Array]:
    gradient = u.T @ x
    return u @ w.T, gradient if gradient.shape == w.shape else gradient.T


def windows(x: Array, stride: int = 2, dilation: int = 2) -> Array:
    count = (x.shape[-1] - dilation - 1) // stride + 1
    return x[: count * stride : stride] + 2 * x[dilation : dilation + count * stride : stride]


def windows_backward(u: Array, x: Array, stride: int = 2, dilation: int = 2) -> Array:
    gradient = np.zeros_like(x)
    first = np.arange(u.size) * stride
    np.add.at(gradient, first, u)
    np.add.at(gradient, first + dilation, 2 * u)
    return gradient


def stride_for_dilation(u: Array, x: Array, stride: int = 2, dilation: int = 2) -> Array:
    gradient = np.zeros_like(x)
    first = np.arange(u.size) * stride
    np.add.at(gradient, first, u)
    np.add.at(gradient, np.minimum(first + stride, x.size - 1), 2 * u)
    return gradient


VECTOR = {"x": {"shape": [64]}}
MATRIX = {"x": {"shape": [3, 4]}}
FLOATS = {"dtype": ["float32", "float64"]}

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("the last partial block", tanh, tanh_backward, last_block_copied, VECTOR, 1, ("triton-lang/triton#630",)),
        Fault(
            "the last partial block, which is not written",
            tanh,
            tanh_backward,
            last_block_unwritten,
            VECTOR,
            1,
            ("pytorch/FBGEMM#5754", "pytorch/pytorch#23784"),
        ),
        Fault(
            "rows whose length is no multiple of 32",
            norm,
            norm_backward,
            rest_of_row_left_out,
            {"x": {"shape": [2, 64]}},
            33,
            ("triton-lang/triton#630",),
        ),
        Fault(
            "a row of zeros, whose norm is zero",
            norm,
            norm_backward,
            zero_row_divided_by_itself,
            MATRIX,
            1,
            ("pytorch/pytorch#2421", "chainer/chainer#4765"),
        ),
        Fault(
            "a batch of one",
            shifted,
            shifted_backward,
            batch_of_one_squeezed,
            {"x": {"shape": [3, 4]}, "b": {"shape": [4]}},
            4,
            ("pytorch/pytorch#1813", "pymc-devs/pytensor#661"),
        ),
        Fault(
            "an empty batch",
            energy,
            energy_backward,
            empty_batch_divided,
            MATRIX,
            0,
            ("pytorch/pytorch#34202", "Oneflow-Inc/oneflow#8371"),
        ),
        Fault("another row of the upstream", energy, energy_backward, first_of_upstream_for_all, MATRIX, 2),
        Fault(
            "a tie",
            largest,
            largest_backward,
            ties_all_paid,
            MATRIX,
            2,
            ("pytorch/pytorch#56734", "apache/mxnet#18563"),
        ),
        Fault(
            "a zero in a product",
            product,
            product_backward,
            product_divided,
            MATRIX,
            1,
            ("tensorflow/tensorflow#3862", "tracel-ai/burn#3864", "tinygrad/tinygrad#17404", "apache/mxnet#18078"),
        ),
        Fault(
            "exactly at a kink",
            leaky,
            leaky_backward,
            both_sides_at_zero,
            MATRIX,
            1,
            ("pytorch/pytorch#7049", "tenstorrent/tt-metal#48201"),
        ),
        Fault(
            "an expanded upstream",
            tanh,
            tanh_backward,
            stretched_upstream_is_one_number,
            MATRIX,
            4,
            ("torch/nn#345", "pytorch/pytorch#64529"),
        ),
        Fault(
            "a narrow view as the upstream",
            tanh,
            tanh_backward,
            rows_of_upstream_are_adjacent,
            MATRIX,
            2,
            ("Dao-AILab/flash-attention#355", "pytorch/FBGEMM#3006", "open-mmlab/mmcv#737"),
        ),
        Fault("negative strides", tanh, tanh_backward, negative_strides_read_forwards, MATRIX, 2),
        Fault(
            "a transposed input",
            tanh,
            tanh_backward,
            input_read_in_memory_order,
            MATRIX,
            4,
            ("MrNeRF/optimized-fused-ssim#1", "pytorch/pytorch#30303"),
        ),
        Fault("a large upstream", tanh, tanh_backward, upstream_clipped, MATRIX, 1),
        Fault(
            "axis = -1",
            running_sum,
            running_sum_backward,
            negative_axis_not_flipped,
            MATRIX,
            2,
            ("tensorflow/tensorflow#2641",),
            {"cases": [{"name": "rows", "params": {"axis": 0}}, {"name": "columns", "params": {"axis": 1}}]},
        ),
        Fault(
            "a window of odd width",
            smoothed,
            smoothed_backward,
            odd_width_off_by_one,
            {"x": {"shape": [9]}},
            1,
            (),
            {"cases": [{"name": "two", "params": {"width": 2}}, {"name": "four", "params": {"width": 4}}]},
        ),
        Fault(
            "no variance",
            standardised,
            standardised_backward,
            eps_left_out,
            MATRIX,
            1,
            ("FluxML/Flux.jl#2096", "keras-team/keras#2960", "tracel-ai/burn#1992"),
        ),
        Fault(
            "a mask that hides everything",
            masked_softmax,
            masked_softmax_backward,
            hidden_rows_get_gradient,
            {
                "x": {"shape": [2, 3]},
                "seen": {"values": [[1, 0, 1], [0, 1, 1]], "dtype": "int64", "differentiable": False},
            },
            4,
            ("pytorch/pytorch#41508", "NVIDIA/cudnn-frontend#676"),
        ),
        Fault(
            "a mask of all ones",
            balanced,
            balanced_backward,
            all_ones_not_weighted,
            {
                "x": {"shape": [4]},
                "positive": {"values": [1, 0, 1, 0], "dtype": "int64", "differentiable": False},
            },
            2,
        ),
        Fault(
            "a repeated index",
            rows,
            rows_backward,
            repeated_rows_overwritten,
            {
                "table": {"shape": [4, 2]},
                "index": {"values": [2, 0, 1], "dtype": "int64", "differentiable": False},
            },
            3,
            ("pytorch/pytorch#1631", "PaddlePaddle/Paddle#17662", "pytorch/pytorch#1528"),
        ),
        Fault(
            "a class that is absent",
            class_sums,
            class_sums_backward,
            absent_classes_not_counted,
            {
                "x": {"shape": [4, 2]},
                "label": {"values": [0, 1, 2, 1], "dtype": "int64", "differentiable": False},
            },
            2,
            (),
            {"requires": ["label < 3"]},
        ),
        Fault(
            "squares beyond the range of float16",
            rms_scaled,
            rms_scaled_backward,
            squares_summed_in_half,
            {"x": {"shape": [4, 16]}},
            1,
            ("xlite-dev/LeetCUDA#335", "kornia/kornia#4305", "tinygrad/tinygrad#15363"),
            {"dtype": "float16"},
        ),
        Fault(
            "logits whose exponential is beyond the range of float16",
            softplus,
            softplus_backward,
            large_logits_overflow,
            {"x": {"shape": [4, 4]}},
            1,
            ("NVIDIA/cudnn-frontend#676",),
            {"dtype": "float16"},
        ),
        Fault(
            "weights that are square",
            outer_scaled,
            outer_scaled_backward,
            square_weights_transposed,
            {"x": {"shape": [3, 2]}, "w": {"shape": [2, 4]}},
            6,
        ),
        Fault(
            "a stride that is not the dilation",
            windows,
            windows_backward,
            stride_for_dilation,
            {"x": {"shape": [12]}},
            3,
            ("huggingface/candle#2337", "deeplearning4j/deeplearning4j#8077"),
            {
                "cases": [
                    {"name": "ones", "params": {"stride": 1, "dilation": 1}},
                    {"name": "twos", "params": {"stride": 2, "dilation": 2}},
                ]
            },
        ),
    )
}
