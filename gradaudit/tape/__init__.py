"""A small tape: tensors that remember which audited op made them, and reverse mode through those ops' own backwards."""

from gradaudit.tape.module import Module
from gradaudit.tape.tensor import Node, Tensor, recorded

__all__ = ["Module", "Node", "Tensor", "recorded"]
