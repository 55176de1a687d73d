"""The gradient check: backward's answer against finite differences of forward, at every index.

``check`` finds the ``evaluation_point`` to difference at, and a ``claim`` for each gradient with the ``allowance`` that
it may be off by. ``search`` tests all of them at once and looks closely where a test fails (``close_look``);
``exhaustive`` looks at every index. Both look at one by ``element``. ``along_paths`` holds against each other what
differences cannot read, and ``excuse`` asks of forward before anything is called wrong. What was ``seen`` of a
gradient becomes its result by ``fold``, and what a diagnosis starts from by ``comparison``.
"""

from gradaudit.checks.gradient.check import check_gradient

__all__ = ["check_gradient"]
