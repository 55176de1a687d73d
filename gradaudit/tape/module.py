"""Models: objects whose attributes are tensors, models, and lists or dicts of these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gradaudit.tape.tensor import Tensor


class Module:
    """What a model is made of: its parameters are the tracked tensors among its attributes, and theirs in turn."""

    def named_parameters(self) -> dict[str, Tensor]:
        """Return the parameters by their paths, such as ``blocks[0].attention.query``, in the order of assignment.

        A tensor that lies in several places has the first one's path.
        """
        first: dict[int, tuple[str, Tensor]] = {}
        for path, tensor in _tensors(self, "", frozenset()):
            first.setdefault(id(tensor), (path, tensor))
        return {path: tensor for path, tensor in first.values() if tensor.requires_grad}

    def parameters(self) -> list[Tensor]:
        """Return the parameters."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for tensor in self.parameters():
            tensor.zero_grad()


def _tensors(value: Any, path: str, above: frozenset[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a value with their paths; what contains itself is entered once."""
    if isinstance(value, Tensor):
        yield path, value
    elif id(value) not in above:
        for step, member in _members(value):
            yield from _tensors(member, path + step if path else step.lstrip("."), above | {id(value)})


def _members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", member) for key, member in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{k}]", member) for k, member in enumerate(value)]
    return [(f".{name}", member) for name, member in vars(value).items()] if isinstance(value, Module) else []
