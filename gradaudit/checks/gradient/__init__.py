"""The gradient check: backward's answer against finite differences of forward, at every index.

``check`` finds the ``evaluation_point`` to difference at (``inside`` tells a forward that computes in a narrower dtype
than it returns) and chooses between two ways. ``exhaustive`` takes every index, and ``fitting`` the tolerance that
suits; ``search`` tests all inputs at once, ``close_look`` keeps what was seen of each, and ``look_around`` sees more
of a wrong one. Both look at an index by ``element``, and say what they found by ``fold`` and ``comparison``.
"""

from gradaudit.checks.gradient.check import check_gradient

__all__ = ["check_gradient"]
