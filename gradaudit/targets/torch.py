"""Ops in PyTorch: functions, ``Function.apply``, and modules, whose parameters are inputs by their names.

Tensors share memory with the NumPy arrays that they are made from, on the CPU. Large arrays are NumPy's there too: that
takes less time to begin an operation, and shares none among threads that wait for each other. On a device they are
tensors. Every call begins with the same state of the random number generator and the same buffers, so that dropout is a
function and a running mean does not run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, reduce
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import Module
from torch.nn.parameter import is_lazy

from gradaudit.spec.dtypes import dtype_of
from gradaudit.spec.op_targets import Mode
from gradaudit.targets.framework_op import FrameworkOp, UnusableError, needs_nothing
from gradaudit.targets.structure import leaves
from gradaudit.targets.torch_modes import INTO_LEAVES, PULLS, Call, Pull, backward_of, generator_at

Array = NDArray[Any]
Tensor = Any

BFLOAT16 = dtype_of("bfloat16")
"""Which NumPy has from elsewhere, and torch does not know by name."""


def torch_op(
    function: Callable[..., Any],
    *,
    params: Mapping[str, Any] | None = None,
    constants: frozenset[str] = frozenset(),
    counted: tuple[int, ...] | None = None,
    seed: int = 0,
    mode: Mode = "reverse",
) -> FrameworkOp:
    """Return the op of a function on tensors, of ``Function.apply``, of a module or of what makes one.

    Args:
        function: called with the inputs by position; a module may also be given by a class or function that needs no
            arguments. A module's inputs are what its forward takes, and its parameters by their names.
        params: keyword arguments; those of ``Function.apply`` go to their places in the signature of its forward.
        constants: names of the inputs of floating dtype whose gradients are not asked for.
        counted: positions of the outputs that count, nested ones counted through; None for all that require grad.
        seed: of the generator that every call, and the making of the module, begins with.
        mode: by which differentiation gradients are had. The op of the second order is the backward: besides the
            inputs it takes the upstream of each output that counts, named ``upstream[k]``.

    Raises:
        UnusableError: where a function that needs no arguments makes something else than a module.

    """
    state = torch.Generator().manual_seed(seed).get_state()
    with generator_at(state):
        module = _module(function)
    call = _call(_taking_keywords(function), params or {}) if module is None else ModuleCall(module, params or {})
    parameters = {} if module is None else _trained(module)
    device = _device(module)
    native = partial(_tensor, device=device)
    there = None if device.type == "cpu" else native
    if mode == "second":
        held = TorchFunction(backward_of(call), state, native)
        return FrameworkOp(held, constants, parameters=parameters, native=there)
    return FrameworkOp(TorchFunction(call, state, native, PULLS[mode]), constants, counted, parameters, there)


@dataclass(frozen=True)
class TorchFunction:
    """A function of named tensors.

    Attributes:
        call: takes the tensors and returns its outputs in order.
        generator_state: of the generator that it begins with.
        native: makes a tensor of a NumPy array, on the device that the function works on.
        pull: how gradients are had.
        turns: counts the calls of backward.

    """

    call: Call
    generator_state: Tensor
    native: Callable[[Array], Tensor]
    pull: Pull = PULLS["reverse"]
    turns: Iterator[int] = field(default_factory=partial(count, 1))

    def outputs(self, inputs: Mapping[str, Any], wanted: frozenset[str]) -> tuple[Any, ...]:
        """Call the function in the mode that it is trained in, so that backward is of what was differenced."""
        with generator_at(self.generator_state), _recording():
            outputs = self.call(self._tensors(inputs, wanted))
        for out in outputs:
            if _counts(out) and out.layout is not torch.strided:
                raise UnusableError(f"gave a tensor of layout {out.layout}; expected a dense one")
        answered = _answering(inputs.values())
        return tuple([answered(out) if _counts(out) else None for out in outputs])

    def stacked(
        self, inputs: Mapping[str, Any], varied: str, points: Array, wanted: frozenset[str]
    ) -> tuple[Array | None, ...]:
        """Call the function for several contents of an input, along a first axis: what draws or keeps nothing can."""
        tensors = self._tensors(inputs, wanted)

        def at(point: Tensor) -> list[Any]:
            return self.call({name: point if name == varied else tensor for name, tensor in tensors.items()})

        with generator_at(self.generator_state), _recording():
            outputs = torch.func.vmap(at)(self._given(points).requires_grad_(varied in wanted))
        return tuple([_array(out) if _counts(out) else None for out in outputs])

    def gradients(
        self, upstream: Mapping[int, Any], inputs: Mapping[str, Any], wanted: frozenset[str]
    ) -> dict[str, Any]:
        """Call the function and autograd; what autograd knows no path to has the gradient zero.

        What raises is asked again as training asks, where that is another way.
        """
        try:
            return self._pulled(self.pull, upstream, inputs, wanted)
        except RuntimeError as refused:
            with suppress(Exception):
                return self._pulled(INTO_LEAVES[self.pull], upstream, inputs, wanted)
            raise refused from None

    def _pulled(
        self, pull: Pull, upstream: Mapping[int, Any], inputs: Mapping[str, Any], wanted: frozenset[str]
    ) -> dict[str, Any]:
        given = {k: self._given(part) for k, part in upstream.items()}
        tensors = self._tensors(inputs, wanted)
        holding = self.call.holding(tensors) if isinstance(self.call, ModuleCall) else nullcontext()
        with generator_at(self.generator_state), _recording(), holding:
            made = pull(self._called, tensors, given)
        answered = _answering(inputs.values())
        return {name: answered(gradient) for name, gradient in made.items()}

    def written_backwards(self, inputs: Mapping[str, Any], wanted: frozenset[str]) -> list[Callable[..., Any]]:
        """Return the backwards of the ``autograd.Function``s that the function calls, the last called first.

        Torch's own, such as a checkpoint, are none of those.
        """
        with generator_at(self.generator_state), _recording():
            outputs = self.call(self._tensors(inputs, wanted))
        waiting = [out.grad_fn for out in outputs if isinstance(out, torch.Tensor)]
        found: dict[Any, None] = {}
        seen = set()
        while waiting:
            node = waiting.pop(0)
            if node is not None and node not in seen:
                seen.add(node)
                owner = getattr(type(node), "_forward_cls", None)
                if owner and owner.__module__.partition(".")[0] != torch.__name__:
                    found[owner.backward] = None
                waiting += [following for following, _ in node.next_functions]
        return list(found)

    def again(self) -> TorchFunction | None:
        """Return the function with the gradients of a second backward over one graph; None in other modes."""
        return replace(self, pull=PULLS["again"]) if self.pull is PULLS["reverse"] else None

    def _called(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        """Call the function, and leave the generator in another state each time: backward must not depend on it."""
        outputs = self.call(tensors)
        torch.random.default_generator.manual_seed(next(self.turns))
        return outputs

    def _tensors(self, inputs: Mapping[str, Any], wanted: frozenset[str]) -> dict[str, Tensor]:
        return {name: self._given(array).requires_grad_(name in wanted) for name, array in inputs.items()}

    def _given(self, array: Any) -> Tensor:
        """Return a tensor for autograd's own use, in the memory of what is given where that can be."""
        return self.native(array) if isinstance(array, np.ndarray) else array.detach()


def _recording() -> AbstractContextManager[Any]:
    """Let autograd record what is called, which costs nothing where it does anyway."""
    return _RECORDS_ALREADY if torch.is_grad_enabled() else torch.enable_grad()


_RECORDS_ALREADY: AbstractContextManager[Any] = nullcontext()


def _call(function: Callable[..., Any], params: Mapping[str, Any]) -> Call:
    return lambda tensors: list(leaves(function(*tensors.values(), **params)))


def _trained(module: Module) -> dict[str, Array]:
    """Return the parameters that require a gradient, by name, as the module was made with."""
    return {name: _array(parameter) for name, parameter in module.named_parameters() if parameter.requires_grad}


@dataclass(frozen=True)
class ModuleCall:
    """A module, called with the parameters that the inputs hold and with buffers that are its own at every call."""

    module: Module
    params: Mapping[str, Any]

    def __call__(self, tensors: Mapping[str, Tensor]) -> list[Any]:
        """Return the module's outputs."""
        given = {name: tensor for name, tensor in tensors.items() if name in self._own_names}
        arguments = tuple(tensor for name, tensor in tensors.items() if name not in given)
        state = {**self._constants(tensors), **given}
        return list(leaves(torch.func.functional_call(self.module, state, arguments, dict(self.params))))

    @contextmanager
    def holding(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """Let the module hold the inputs' parameters until backward is done: checkpoints call it again by then."""
        own = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        others = {**self._constants(tensors), **tensors}
        held = {id(tensor): others[name] for name, tensor in own.items()}
        places = [kept for part in self.module.modules() for kept in (part._parameters, part._buffers)]
        before = [dict(kept) for kept in places]
        try:
            for kept in places:  # whatever is tied is there more than once
                kept.update({name: held[id(tensor)] for name, tensor in kept.items() if id(tensor) in held})
            yield
        finally:
            for kept, was in zip(places, before, strict=True):
                kept.update(was)

    @cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.module.named_parameters())

    def _constants(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return copies of buffers and of parameters that are no inputs, in the inputs' precision."""
        floating = [tensor.dtype for tensor in tensors.values() if tensor.is_floating_point() or tensor.is_complex()]
        dtype = reduce(torch.promote_types, floating) if floating else None
        own = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        return {name: _constant(tensor, dtype) for name, tensor in own.items() if name not in tensors}


def _constant(tensor: Tensor, dtype: Any) -> Tensor:
    copy = tensor.detach().clone()
    if dtype is None or not (copy.is_floating_point() or copy.is_complex()):
        return copy
    return copy.to(dtype.to_complex() if copy.is_complex() else dtype.to_real())


def _taking_keywords(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``Function.apply`` so that it takes keywords, which it does not; others as they are.

    Defaults are filled in up to the last argument that is given only: backward returns a gradient for each.
    """
    owner = getattr(function, "__self__", None)
    if not (inspect.isclass(owner) and issubclass(owner, torch.autograd.Function)):
        return function
    parameters = list(inspect.signature(getattr(owner, "forward")).parameters.values())  # noqa: B009 (Any to mypy)
    has_context = getattr(owner, "setup_context") is torch.autograd.Function.setup_context  # noqa: B009
    signature = inspect.Signature(parameters[int(has_context) :])

    def apply(*tensors: Tensor, **params: Any) -> Any:
        if not params:
            return function(*tensors)
        bound = signature.bind(*tensors, **params)
        given = 1 + max(k for k, name in enumerate(signature.parameters) if name in bound.arguments)
        bound.apply_defaults()
        return function(*bound.args[:given])

    return apply


def _module(function: Any) -> Module | None:
    """Return the module that is given, or made by what needs no arguments; None for a function of inputs."""
    if not isinstance(function, Module) and not needs_nothing(function):
        return None
    made = function if isinstance(function, Module) else function()
    if not isinstance(made, Module):
        found = type(made).__name__
        raise UnusableError(
            f"needs no inputs and returned {found}; expected a function of inputs, or a torch.nn.Module"
        )
    lazy = [name for name, held in (*made.named_parameters(), *made.named_buffers()) if is_lazy(held)]
    if lazy:
        raise UnusableError(
            f"has no shape yet for {', '.join(lazy)}, made at the first call; expected a module that was called once"
        )
    return made


def _device(module: Module | None) -> Any:
    """Return where a module's parameters are, else where tensors are made."""
    first = None if module is None else next(module.parameters(), None)
    return torch.get_default_device() if first is None else first.device


def _tensor(array: Array, device: Any) -> Tensor:
    """Return a tensor in the array's memory; in its own where torch cannot use that, or on another device."""
    made = _shared(array)
    return made if device.type == "cpu" else made.to(device)


def _shared(array: Array) -> Tensor:
    if not array.flags.writeable or (array.ndim and min(array.strides) < 0):
        thin = tuple(slice(0, 1) if step == 0 else slice(None) for step in array.strides)
        return _shared(array[thin].copy()).expand(array.shape)  # stretched as it was: a sum hands on such an upstream
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _counts(output: Any) -> bool:
    """Whether autograd differentiates an output, or it is no floating one and may be looked at."""
    if not isinstance(output, torch.Tensor):
        return False
    floating = output.is_floating_point() or output.is_complex()
    return bool(output.requires_grad) if floating else True


def _answering(given: Iterable[Any]) -> Callable[[Tensor], Any]:
    """Return what makes an answer of a tensor, to those who called with such arrays."""
    for array in given:
        if isinstance(array, np.ndarray):
            return _array
    return _dense


def _dense(tensor: Tensor) -> Tensor:
    """Return a tensor for others than autograd: a dense one, as the gradients of embeddings may not be."""
    dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return dense.detach().resolve_conj().resolve_neg()


def _array(tensor: Tensor) -> Array:
    """Return an array in a tensor's memory."""
    if tensor.layout is not torch.strided:
        tensor = _dense(tensor)
    if tensor.dtype is torch.bfloat16:
        return np.asarray(_dense(tensor).view(torch.int16).numpy(force=True).view(BFLOAT16))
    try:
        made: Array = tensor.numpy(force=True)  # which detaches it, and does what conjugation it put off
        return made
    except TypeError:
        raise UnusableError(f"gave a tensor of {tensor.dtype}, which NumPy does not have") from None
