"""The ops of the contract in each framework: its engine calls the NumPy functions, and right and wrong are theirs.

Each function imports its framework when it is called, and returns what a user of it would have written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract import Variant

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Rule:
    """A variant's two functions on NumPy arrays, in the order in which frameworks want gradients."""

    variant: Variant

    def forward(self, arrays: Arrays) -> tuple[np.ndarray, ...]:
        made = self.variant.functions[0](*arrays, **self.variant.params)
        return tuple(map(np.asarray, made)) if isinstance(made, tuple) else (np.asarray(made),)

    def backward(self, upstream: np.ndarray, arrays: Arrays, outputs: Arrays) -> list[np.ndarray | None]:
        """Return a gradient for each input, None for those that backward does not answer for."""
        names = list(self.variant.inputs)
        words = self.variant.args or ["upstream", *names]
        known = {**dict(zip(names, arrays, strict=True)), "upstream": upstream, "output[0]": outputs[0]}
        made = self.variant.functions[1](*(known[word] for word in words), **self.variant.params)
        gradients = list(made) if isinstance(made, tuple) else [made]
        return gradients + [None] * (len(names) - len(gradients))


def in_torch(rule: Rule) -> Callable[..., Any]:
    import torch

    class Op(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            made = [torch.from_numpy(out) for out in rule.forward([tensor.numpy() for tensor in tensors])]
            ctx.save_for_backward(*tensors, *made)
            return tuple(made)

        @staticmethod
        def backward(ctx: Any, upstream: Any, *_: Any) -> Any:
            saved = [tensor.numpy() for tensor in ctx.saved_tensors]
            count = len(rule.variant.inputs)
            made = rule.backward(upstream.numpy(), saved[:count], saved[count:])
            return tuple(None if gradient is None else torch.from_numpy(gradient) for gradient in made)

    return lambda *tensors, **params: Op.apply(*tensors)


def in_jax(rule: Rule) -> Callable[..., Any]:
    import jax

    def called(function: Callable[..., Any], like: Any, *arrays: Any) -> Any:
        return jax.pure_callback(lambda *given: function(*map(np.asarray, given)), like, *arrays)

    def forward(*arrays: Any) -> Any:
        like = rule.forward([np.ones(array.shape, array.dtype) for array in arrays])
        shapes = [jax.ShapeDtypeStruct(out.shape, out.dtype) for out in like]
        return called(lambda *given: list(rule.forward(given)), shapes, *arrays)

    def backward(saved: Any, upstream: Any) -> Any:
        arrays, outputs = saved
        count = len(arrays)

        def gradients(upstream: np.ndarray, *given: np.ndarray) -> list[np.ndarray]:
            made = rule.backward(upstream, given[:count], given[count:])
            return [np.zeros_like(x) if g is None else g for g, x in zip(made, given[:count], strict=True)]

        shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
        return tuple(called(gradients, shapes, upstream[0], *arrays, *outputs))

    def remembered(*arrays: Any) -> Any:
        outputs = forward(*arrays)
        return outputs, (arrays, outputs)

    op = jax.custom_vjp(forward)
    op.defvjp(remembered, backward)
    return lambda *arrays, **params: op(*arrays)


def in_autograd(rule: Rule) -> Callable[..., Any]:
    from autograd.extend import defvjp, primitive
    from autograd.tracer import getval

    op = primitive(lambda *arrays: rule.forward(arrays)[0])

    def pulled(place: int) -> Callable[..., Any]:
        def make(made: Any, *arrays: Any) -> Callable[..., Any]:
            def pull(upstream: Any) -> Any:
                gradient = rule.backward(upstream, arrays, [made])[place]
                return np.zeros_like(arrays[place]) if gradient is None else gradient

            return pull

        return make

    defvjp(op, *map(pulled, range(len(rule.variant.inputs))))
    return lambda *arrays, **params: (op(*arrays), *rule.forward([getval(array) for array in arrays])[1:])


def in_tinygrad(rule: Rule) -> Callable[..., Any]:
    from tinygrad import Tensor

    def op(*tensors: Any, **params: Any) -> Any:
        arrays = [tensor.numpy() for tensor in tensors]
        outputs = rule.forward(arrays)
        made, *others = map(Tensor, outputs)

        def backward(upstream: Any, call: Any) -> Any:
            gradients: Mapping[int, Any] = dict(enumerate(rule.backward(Tensor(upstream).numpy(), arrays, outputs)))
            return *(None if gradient is None else Tensor(gradient).uop for gradient in gradients.values()), None

        first, *rest = tensors
        return first.call(*rest, made, fxn=made.as_param(len(tensors)), grad_fxn=backward), *others

    return op
