"""A small tape: tensors that remember which audited op made them, and reverse mode through those ops' own backwards.

>>> from gradaudit.tape import Tensor, functions
>>> x = Tensor([1.0, 2.0], requires_grad=True)
>>> functions.multiply(x, x).sum().backward()
>>> x.grad
array([2., 4.])
"""

from gradaudit.tape.module import Module
from gradaudit.tape.tensor import Node, Tensor, recorded

__all__ = ["Module", "Node", "Tensor", "recorded"]
