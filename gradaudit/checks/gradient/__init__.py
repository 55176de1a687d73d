"""The gradient check: backward's answer against finite differences of forward, at every index.

``check`` finds the ``ground`` to difference on (``inside`` tells a forward that computes in a narrower dtype than it
returns) and chooses between two ways. ``exhaustive`` takes every index, and ``fitting`` the tolerance that suits;
``search`` tests all inputs at once, ``searched`` keeps what was seen of each, and ``look_around`` looks at more of a
wrong one. Both look at an index by ``element``, and say what they found by ``outcome`` and ``comparison``.
"""

from gradaudit.checks.gradient.check import check_gradient

__all__ = ["check_gradient"]
