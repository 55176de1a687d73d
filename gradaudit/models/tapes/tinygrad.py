"""The tape of tinygrad: its lazy graph of micro-operations, which tensors hold the ends of.

Nothing is noted of what comes to be while a model runs, since to look at a lazy tensor is to compute it: where a
gradient is lost, it is told that it is, and not at which line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tinygrad import Device, Tensor, nn
from tinygrad.helpers import Context

from gradaudit.models.tapes.described import is_pair
from gradaudit.models.tapes.tape import Model, Node, Tape
from gradaudit.models.tapes.tape import Tensor as AnyTensor

Array = NDArray[Any]

CUTTING = frozenset({"DETACH"})
"""Operations that no gradient passes."""

MADE = frozenset({"BUFFER", "CONST", "COPY", "DEVICE", "UNIQUE"})
"""Operations that hold or bring values rather than compute them."""


class TinygradTape(Tape):
    """Objects with tensors, or functions with a bare list of parameters, on tinygrad's tensors."""

    adds_up = True

    def __init__(self) -> None:
        _choose_device()
        self._leaves: dict[int, AnyTensor] = {}

    def tensor(self, array: Array, *, tracked: bool) -> AnyTensor:
        """Return a tensor of a copy of the array."""
        return self._known(_tensor(array))

    def target(self, array: Array) -> AnyTensor:
        """Return a tensor, which no gradient is asked of."""
        return _tensor(array)

    def is_tensor(self, value: Any) -> bool:
        """Whether this is a tensor."""
        return isinstance(value, Tensor)

    def array(self, tensor: AnyTensor) -> Array:
        """Compute the values."""
        return np.asarray(Tensor(tensor.uop).numpy())  # by another tensor, lest computing ends the graph here

    def assign(self, tensor: AnyTensor, array: Array) -> None:
        """Let the tensor be that of another array, of whatever dtype."""
        tensor.replace(_tensor(array))

    def tracked(self, tensor: AnyTensor) -> bool:
        """Whether it is of a dtype that has gradients."""
        return bool(tensor.is_floating_point())

    def node(self, tensor: AnyTensor) -> Node | None:
        """Return the operation at the end of the tensor's graph."""
        return self._node(tensor.uop) if self._leaf(tensor.uop) is None and _computes(tensor.uop) else None

    def gradient(self, tensor: AnyTensor) -> Array | None:
        """Compute what ``grad`` holds."""
        return None if tensor.grad is None else self.array(tensor.grad)

    def clear(self, tensors: Iterable[AnyTensor]) -> None:
        """Set each gradient to None, as ``zero_grad`` does."""
        for tensor in tensors:
            tensor.grad = None

    def backward(self, loss: AnyTensor) -> None:
        """Call ``backward``."""
        loss.backward()

    def call(self, model: Model, inputs: Iterable[AnyTensor]) -> Any:
        """Call the model, from the same state of the generator at every call."""
        Tensor.manual_seed(0)
        return self.call_anew(model, inputs)

    def call_anew(self, model: Model, inputs: Iterable[AnyTensor]) -> Any:
        """Call the model."""
        function = model[0] if is_pair(model) else model
        return function(*inputs)

    def parameters(self, model: Model) -> Mapping[str, AnyTensor]:
        """Return the floating tensors of the model's state, or the second part of a pair."""
        named = {f"parameters[{k}]": one for k, one in enumerate(model[1])} if is_pair(model) else self.tensors(model)
        return {name: self._known(tensor) for name, tensor in named.items() if tensor.is_floating_point()}

    def tensors(self, model: Model) -> Mapping[str, AnyTensor]:
        """Return the model's state."""
        return dict(nn.state.get_state_dict(model[0] if is_pair(model) else model))

    def _known(self, tensor: AnyTensor) -> AnyTensor:
        self._leaves[id(tensor)] = tensor
        return tensor

    def _leaf(self, operation: Any) -> AnyTensor | None:
        return next((tensor for tensor in self._leaves.values() if tensor.uop is operation), None)

    def _node(self, operation: Any) -> Node:
        return Node(operation.op.name, lambda: tuple(self._parent(source) for source in operation.src), id(operation))

    def _parent(self, operation: Any) -> Any:
        leaf = self._leaf(operation)
        if leaf is not None:
            return leaf
        return self._node(operation) if _computes(operation) else operation


def _computes(operation: Any) -> bool:
    return operation.op.name not in MADE | CUTTING and operation.base.op.name not in MADE


def _tensor(array: Array) -> AnyTensor:
    made = Tensor(np.ascontiguousarray(array).reshape(array.shape or (1,))).realize()  # a single number is a constant
    return made if array.shape else made.reshape(())


def _choose_device() -> None:
    """Let tinygrad compute in this process and, where there is no compiler for any device, in Python.

    For as long as the process lives: the functions that a spec names make tensors too, before and after any call.
    """
    Context(PARALLEL=0).__enter__()
    try:
        assert Device.DEFAULT
    except RuntimeError:
        Context(DEV="PYTHON").__enter__()
