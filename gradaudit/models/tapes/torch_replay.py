"""Steps of torch taken again, alone: with other inputs, or back from other upstreams."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradaudit.models.tapes.place import model_line, shown
from gradaudit.models.tapes.tape import Node, Replay, Tensor
from gradaudit.models.tapes.torch_calls import Call, made_by, version

Array = NDArray[Any]


class Replayer:
    """Hands on every step that is differentiable as one that can be taken again.

    Args:
        look: is handed the step, as it is taken.
        node: returns what a tensor was made by.
        key: returns what a walk knows a tensor by.
        array: returns a tensor's values.

    """

    def __init__(
        self,
        look: Callable[[Replay], None],
        node: Callable[[Tensor], Node | None],
        key: Callable[[Tensor], int],
        array: Callable[[Tensor], Array],
    ) -> None:
        self.look = look
        self.node = node
        self.key = key
        self.array = array

    def __call__(self, call: Call) -> Any:
        """Make a call, and hand on the step that it is."""
        given = list({id(each): each for each in call.tensors}.values())
        sources = [each for each in given if each.requires_grad and _floating(each)]
        if not sources or not torch.is_grad_enabled():
            return call()
        keys = tuple(map(self.key, sources))
        versions = {id(each): version(each) for each in given}
        kept = {id(each): each.detach().clone() for each in given}
        state = torch.get_rng_state()
        returned = call()
        outputs = [each for each in made_by(call, versions, returned) if isinstance(each, torch.Tensor)]
        outputs = [each for each in outputs if each.requires_grad and each.grad_fn is not None and _floating(each)]
        if outputs:
            again = _Again(call, kept, [id(each) for each in sources], state, torch.get_rng_state())
            self._hand_on(call, again, sources, outputs, keys)
        return returned

    def _hand_on(
        self, call: Call, again: _Again, sources: list[Tensor], outputs: list[Tensor], keys: tuple[int, ...]
    ) -> None:
        node = self.node(outputs[0])
        assert node is not None
        place, within = model_line()
        values = tuple(self.array(again.kept[id(each)]) for each in sources)
        inside = _seen_inside(call, sources, outputs[0].grad_fn, self.array) if call.kind else lambda: None
        with ExitStack() as stack:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x))
            self.look(
                Replay(
                    name=node.name,
                    place=place,
                    within=within,
                    source=_source(call.kind),
                    inputs=values,
                    keys=keys,
                    node=node,
                    forward=lambda arrays: [self.array(each) for each in again.taken(arrays)],
                    backward=lambda upstreams: [
                        None if each is None else self.array(each) for each in again.back(upstreams)
                    ],
                    inside=inside,
                )
            )
            if call.kind:  # which may keep what it needs where the next call finds it: let that be what it was
                again.taken(values)


class _Again:
    """A call with what it was given, to be made as often as one likes.

    Args:
        call: the call.
        kept: copies of the tensors that it was given, by the ``id`` of these.
        sources: which of them it is differentiable in.
        state: of torch's generator before the call.
        after: of the generator afterwards.

    """

    def __init__(self, call: Call, kept: Mapping[int, Tensor], sources: list[int], state: Any, after: Any) -> None:
        self.call, self.kept, self.sources = call, kept, sources
        self.state, self.after = state, after
        self.autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def taken(self, arrays: Sequence[Array]) -> list[Tensor]:
        """Return the outputs for other values of the sources."""
        moved = [
            torch.from_numpy(np.array(array, order="C")).to(self.kept[key].dtype)
            for key, array in zip(self.sources, arrays, strict=True)
        ]
        return self._made(moved)[1]

    def back(self, upstreams: Sequence[Array]) -> list[Tensor | None]:
        """Return the gradients of the sources."""
        given, outputs = self._made([self.kept[key] for key in self.sources])
        weights = [
            torch.from_numpy(np.array(w, order="C")).to(y.dtype) for w, y in zip(upstreams, outputs, strict=True)
        ]
        with torch.enable_grad():
            return list(torch.autograd.grad(outputs, given, weights, allow_unused=True))

    def _made(self, values: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return leaves with these values, and what the call makes of them."""
        given = [value.detach().clone().requires_grad_() for value in values]
        with torch.enable_grad(), torch.autocast("cpu", self.autocast[1], enabled=self.autocast[0]):
            instead = {key: value.clone() for key, value in self.kept.items()}
            instead |= {key: leaf * 1 for key, leaf in zip(self.sources, given, strict=True)}
            call = self.call.given(instead)
            versions = {id(each): version(each) for each in call.tensors}
            torch.set_rng_state(self.state)
            try:
                returned = call()
            finally:
                torch.set_rng_state(self.after)
            made = [each for each in made_by(call, versions, returned) if isinstance(each, torch.Tensor)]
        return given, [each for each in made if each.requires_grad and _floating(each)]


def _seen_inside(
    call: Call, sources: list[Tensor], node: Any, array: Callable[[Tensor], Array]
) -> Callable[[], tuple[list[Array], list[Array | None]] | None]:
    """Return what tells afterwards what a user's backward was given in reverse mode, and what it made of it."""
    held = [each for each in call.args if isinstance(each, torch.Tensor)]
    places = [next((k for k, each in enumerate(held) if each is source), -1) for source in sources]
    seen: list[tuple[list[Array], list[Array | None]]] = []

    def note(made: Sequence[Any], upstreams: Sequence[Any]) -> None:
        if len(made) == len(held) and min(places) >= 0 and all(each is not None for each in upstreams):
            gradients = [None if made[k] is None else array(made[k]).copy() for k in places]
            seen.append(([array(each).copy() for each in upstreams], gradients))

    if hasattr(node, "register_hook"):
        node.register_hook(note)
    return lambda: seen[0] if len(seen) == 1 else None


def _source(kind: Any) -> str:
    """Return where the backward of a user's ``Function`` is written."""
    if kind is None:
        return ""
    try:
        function = inspect.unwrap(kind.vjp if "vjp" in vars(kind) else kind.backward)
        return f"{shown(function.__code__.co_filename)}:{function.__code__.co_firstlineno}"
    except AttributeError:
        return ""


def _floating(tensor: Tensor) -> bool:
    return bool(tensor.is_floating_point() or tensor.is_complex())
